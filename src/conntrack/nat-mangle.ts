/**
 * Rewrites packets from tuples: one side (source or destination) of a packet, and of the packet that an ICMP error quotes.
 * Per packet: allocates nothing. Kernel: net/netfilter/nf_nat_proto.c.
 *
 * A packet shall look like the inverse of its connection's other direction, so its source becomes that tuple's destination
 * and the reverse. The packet quoted by an error went the other way: its other side takes the very same part of the tuple.
 */
import { checksumOf, fold, replaceLong, replaceWord } from '../net/checksum.js';
import { CRC32C_START, finishCrc32c, updateCrc32c } from '../net/crc32c.js';
import { type Family, type ManipType, NF_NAT_MANIP_DST, NF_NAT_MANIP_SRC } from '../net/netfilter.js';
import {
  IPPROTO_AH,
  IPPROTO_GRE,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_NONE,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { setAddress, setPort } from '../wire/mangle.js';
import { CSUM_PARTIAL, L4_OK, type Packet } from '../wire/packet.js';
import { pseudoHeaderSum, sumView, writeTransportChecksum } from '../wire/transport-checksum.js';
import { T_DST, T_PORTS, T_SRC, type TransportPlace, tupleHasPorts } from './tuple.js';

/** ICMP types that carry an id (echo, timestamp, information, address mask), as bits. */
const ICMP_WITH_ID = (1 << 0) | (1 << 8) | (1 << 13) | (1 << 14) | (1 << 15) | (1 << 16) | (1 << 17) | (1 << 18);
const ICMPV6_ECHO_REQUEST = 128;
const ICMPV6_ECHO_REPLY = 129;
const ICMP_HEADER_SIZE = 8;
/** Bytes of transport header that must be there; a quote may hold no more. */
const TRANSPORT_NEED = 8;
const TCP_HEADER_SIZE = 20;
const SCTP_HEADER_SIZE = 12;
const GRE_VERSION_MASK = 7;

/** Offset in a tuple of the address that replaces the `manip` side of a packet. */
const addressPart = (manip: ManipType): number => (manip === NF_NAT_MANIP_SRC ? T_DST : T_SRC);

/** Port that replaces the one on the `manip` side of a packet; an ICMP id is the same on both. */
function portPart(tuples: Uint32Array, at: number, manip: ManipType, protocol: number): number {
  const isId = protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6;
  return manip === NF_NAT_MANIP_SRC && !isId ? tuples[at + T_PORTS]! & 0xffff : tuples[at + T_PORTS]! >>> 16;
}

function hasIcmpId(protocol: number, type: number): boolean {
  if (protocol === IPPROTO_ICMPV6) return type === ICMPV6_ECHO_REQUEST || type === ICMPV6_ECHO_REPLY;
  return protocol === IPPROTO_ICMP && type < 32 && (ICMP_WITH_ID & (1 << type)) !== 0;
}

/** GRE is insisted on up to its call id, and for a new destination on a version that has one or none. Kernel: gre_manip_pkt(). */
function greFits(view: DataView, off: number, end: number, wireEnd: number, destination: boolean): boolean {
  if (off + TRANSPORT_NEED > wireEnd) return false;
  return !destination || off + 2 > end || (view.getUint8(off + 1) & GRE_VERSION_MASK) <= 1;
}

/**
 * Gives one side of the packet what the tuple at `at` of its connection's other direction says. False: the transport header
 * does not fit the packet, which must be dropped. Kernel: nf_nat_manip_pkt().
 */
export function mangleOuter(
  p: Packet,
  tuples: Uint32Array,
  at: number,
  manip: ManipType,
  place: TransportPlace,
): boolean {
  const destination = manip === NF_NAT_MANIP_DST;
  const protocol = p.f[Field.Protocol]!;
  if (tupleHasPorts(protocol)) {
    setPort(p, destination, portPart(tuples, at, manip, protocol));
  } else if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
    if (p.l4State === L4_OK && hasIcmpId(protocol, p.view.getUint8(p.l4Off)))
      setIcmpId(p, tuples[at + T_PORTS]! >>> 16);
  } else if (protocol === IPPROTO_GRE) {
    if (!greFits(p.view, p.l4Off, p.end, p.wireEnd, destination)) return false;
  } else if (protocol === IPPROTO_AH && p.family === 6) {
    return mangleBehindAh(p, tuples, at, manip, place);
  }
  setAddress(p, destination, tuples, at + addressPart(manip));
  if (protocol === IPPROTO_SCTP && p.csum !== CSUM_PARTIAL) writeTransportChecksum(p);
  return true;
}

/** ip6tables stops at an authentication header, connection tracking looks behind it: the fields know no transport header. */
function mangleBehindAh(p: Packet, tuples: Uint32Array, at: number, manip: ManipType, place: TransportPlace): boolean {
  const destination = manip === NF_NAT_MANIP_DST;
  const part = at + addressPart(manip);
  const found = place.find(p);
  const protocol = found ? place.protocol : IPPROTO_NONE;
  const port = portPart(tuples, at, manip, protocol);
  if (!mangleBytes(p, p.l3Off, found ? place.off : p.end, protocol, destination, tuples, part, port)) return false;
  const slot = destination ? Field.Dst0 : Field.Src0;
  for (let i = 0; i < 4; i++) p.f[slot + i] = tuples[part + i]!;
  return true;
}

function setIcmpId(p: Packet, id: number): void {
  const at = p.l4Off;
  const before = p.view.getUint16(at + 4);
  if (before === id) return;
  p.view.setUint16(at + 4, id);
  if (p.csum !== CSUM_PARTIAL) p.view.setUint16(at + 2, replaceWord(p.view.getUint16(at + 2), before, id));
}

/**
 * The same for headers that are only bytes: IP at `l3Off`, transport at `l4Off`; the new address is tuples[part..], the new
 * port `port`. False: fewer than 8 bytes of transport header.
 */
function mangleBytes(
  p: Packet,
  l3Off: number,
  l4Off: number,
  protocol: number,
  destination: boolean,
  tuples: Uint32Array,
  part: number,
  port: number,
): boolean {
  const { view, family } = p;
  const checksumOff = checksumField(p, protocol, l4Off, destination);
  if (checksumOff === NO_ROOM) return false;
  const hasId = (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) && hasIcmpId(protocol, view.getUint8(l4Off));
  if (hasId || tupleHasPorts(protocol)) {
    const off = l4Off + (hasId ? 4 : destination ? 2 : 0);
    const before = view.getUint16(off);
    view.setUint16(off, port);
    if (checksumOff > 0) view.setUint16(checksumOff, replaceWord(view.getUint16(checksumOff), before, port));
  }
  const addressOff = l3Off + addressOffset(family, destination);
  for (let i = 0; i < (family === 4 ? 1 : 4); i++) {
    const off = addressOff + (i << 2);
    const before = view.getUint32(off);
    const after = tuples[part + i]!;
    view.setUint32(off, after);
    if (family === 4) view.setUint16(l3Off + 10, replaceLong(view.getUint16(l3Off + 10), before, after));
    if (checksumOff > 0 && protocol !== IPPROTO_ICMP) {
      view.setUint16(checksumOff, replaceLong(view.getUint16(checksumOff), before, after));
    }
  }
  if (protocol === IPPROTO_UDP || protocol === IPPROTO_UDPLITE) {
    if (checksumOff > 0 && view.getUint16(checksumOff) === 0) view.setUint16(checksumOff, 0xffff);
  } else if (protocol === IPPROTO_SCTP) {
    recomputeSctp(p, l4Off);
  }
  return true;
}

function addressOffset(family: Family, destination: boolean): number {
  if (family === 4) return destination ? 16 : 12;
  return destination ? 24 : 8;
}

const NO_ROOM = -1;
const NO_FIELD = 0;

/** Offset of the checksum to adjust, NO_FIELD if there is none within reach, NO_ROOM if the header itself is not there. */
function checksumField(p: Packet, protocol: number, l4Off: number, destination: boolean): number {
  const { view, end, wireEnd } = p;
  let field: number;
  switch (protocol) {
    case IPPROTO_TCP:
      field = l4Off + TCP_HEADER_SIZE > wireEnd ? NO_FIELD : l4Off + 16;
      break;
    case IPPROTO_UDP:
      field = l4Off + TRANSPORT_NEED > end || view.getUint16(l4Off + 6) === 0 ? NO_FIELD : l4Off + 6;
      break;
    case IPPROTO_UDPLITE:
      field = l4Off + 6;
      break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      field = l4Off + 2;
      break;
    case IPPROTO_SCTP:
      field = NO_FIELD;
      break;
    case IPPROTO_GRE:
      return greFits(view, l4Off, end, wireEnd, destination) ? NO_FIELD : NO_ROOM;
    default:
      return NO_FIELD;
  }
  if (l4Off + TRANSPORT_NEED > wireEnd) return NO_ROOM;
  return field + 2 > end ? NO_FIELD : field;
}

/**
 * Translates the packet that the ICMP error at `off` quotes, then makes the error's own checksum anew; `manip` is the side of
 * the error itself that is to follow. False: the quote is too short. Kernel: nf_nat_icmp_reply_translation(), first half.
 */
export function mangleQuote(
  p: Packet,
  off: number,
  tuples: Uint32Array,
  at: number,
  manip: ManipType,
  place: TransportPlace,
): boolean {
  const { view, end, family } = p;
  const inner = off + ICMP_HEADER_SIZE;
  if (inner + (family === 4 ? 20 : 40) > end) return false;
  const before = sumView(view, off, end);
  let protocol: number;
  let l4Off: number;
  if (family === 4) {
    protocol = view.getUint8(inner + 9);
    l4Off = inner + ((view.getUint8(inner) & 15) << 2);
  } else {
    // Without a transport header in the quote only the addresses are translated.
    const found = place.skipFrom(view, end, view.getUint8(inner + 6), inner + 40);
    protocol = found ? place.protocol : IPPROTO_NONE;
    l4Off = found ? place.off : end;
  }
  const port = portPart(tuples, at, manip, protocol);
  if (!mangleBytes(p, inner, l4Off, protocol, manip === NF_NAT_MANIP_SRC, tuples, at + addressPart(manip), port)) {
    return false;
  }
  rewriteIcmpChecksum(p, off, before);
  return true;
}

/** SCTP's CRC over what is there, of a quote over its part, as the kernel does. */
function recomputeSctp(p: Packet, l4Off: number): void {
  if (p.isCut || l4Off + SCTP_HEADER_SIZE > p.end) return;
  p.view.setUint32(l4Off + 8, 0);
  p.view.setUint32(l4Off + 8, finishCrc32c(updateCrc32c(CRC32C_START, p.view, l4Off, p.end)), true);
}

/** Anew over the whole message, as the kernel does; of a cut capture by the difference that the change made. */
function rewriteIcmpChecksum(p: Packet, off: number, before: number): void {
  if (p.csum === CSUM_PARTIAL) return;
  const { view, end } = p;
  const field = off + 2;
  if (p.isCut) {
    const sum = (~view.getUint16(field) & 0xffff) + fold(sumView(view, off, end)) + (~fold(before) & 0xffff);
    view.setUint16(field, checksumOf(sum));
    return;
  }
  view.setUint16(field, 0);
  const pseudo = p.family === 4 ? 0 : pseudoHeaderSum(p, IPPROTO_ICMPV6, p.wireEnd - off);
  view.setUint16(field, checksumOf(pseudo + sumView(view, off, end)));
}
