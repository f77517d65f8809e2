/**
 * Rewrites packets from tuples: one side (source or destination) of a packet, or of the packet that an ICMP error quotes.
 * Per packet: allocates nothing. Kernel: net/netfilter/nf_nat_proto.c.
 */
import { checksumOf, fold, replaceLong, replaceWord } from '../net/checksum.js';
import { CRC32C_START, finishCrc32c, updateCrc32c } from '../net/crc32c.js';
import { type Family, type ManipType, NF_NAT_MANIP_DST, NF_NAT_MANIP_SRC } from '../net/netfilter.js';
import {
  IPPROTO_AH,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
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
/** Bytes of the transport header that must be there to be rewritten; a quote may hold no more. */
const PORTS_NEED = 8;
const TCP_HEADER_SIZE = 20;
const SCTP_HEADER_SIZE = 12;

const partOf = (tuple: Uint32Array, at: number, manip: ManipType): number =>
  manip === NF_NAT_MANIP_SRC ? tuple[at + T_PORTS]! >>> 16 : tuple[at + T_PORTS]! & 0xffff;

/**
 * Gives the packet the source (or destination) part of the tuple at `at`. False: the transport header does not fit the
 * packet, which must be dropped. Kernel: nf_nat_manip_pkt().
 */
export function mangleOuter(
  p: Packet,
  tuple: Uint32Array,
  at: number,
  manip: ManipType,
  place: TransportPlace,
): boolean {
  const destination = manip === NF_NAT_MANIP_DST;
  const protocol = p.protocol;
  if (p.family === 6 && protocol === IPPROTO_AH) {
    // ip6tables stops at AH, connection tracking looks behind it.
    if (!place.find(p)) return true;
    if (!mangleBytes(p.view, 6, p.l3Off, place.off, place.protocol, p.end, tuple, at, manip)) return false;
    const slot = destination ? Field.Dst0 : Field.Src0;
    for (let i = 0; i < 4; i++) p.f[slot + i] = tuple[at + (destination ? T_DST : T_SRC) + i]!;
    return true;
  }
  if (p.l4State === L4_OK) {
    if (tupleHasPorts(protocol)) {
      setPort(p, destination, partOf(tuple, at, manip));
    } else if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
      if (hasIcmpId(protocol, p.view.getUint8(p.l4Off))) setIcmpId(p, tuple[at + T_PORTS]! >>> 16);
    }
  }
  setAddress(p, destination, tuple, at + (destination ? T_DST : T_SRC));
  if (protocol === IPPROTO_SCTP && p.csum !== CSUM_PARTIAL) writeTransportChecksum(p);
  return true;
}

function hasIcmpId(protocol: number, type: number): boolean {
  if (protocol === IPPROTO_ICMPV6) return type === ICMPV6_ECHO_REQUEST || type === ICMPV6_ECHO_REPLY;
  return type < 32 && (ICMP_WITH_ID & (1 << type)) !== 0;
}

function setIcmpId(p: Packet, id: number): void {
  const at = p.l4Off;
  if (at + PORTS_NEED > p.end) return;
  const before = p.view.getUint16(at + 4);
  if (before === id) return;
  p.view.setUint16(at + 4, id);
  p.view.setUint16(at + 2, replaceWord(p.view.getUint16(at + 2), before, id));
}

/**
 * The same for a packet inside another: only bytes, no fields. `l3Off` and `l4Off` are its headers, `end` the end of what
 * is quoted. False: fewer than 8 bytes of transport header.
 */
function mangleBytes(
  view: DataView,
  family: Family,
  l3Off: number,
  l4Off: number,
  protocol: number,
  end: number,
  tuple: Uint32Array,
  at: number,
  manip: ManipType,
): boolean {
  const destination = manip === NF_NAT_MANIP_DST;
  const addressOff = l3Off + (family === 4 ? (destination ? 16 : 12) : destination ? 24 : 8);
  const addressAt = at + (destination ? T_DST : T_SRC);
  const wordCount = family === 4 ? 1 : 4;
  const checksumOff = checksumField(protocol, end - l4Off, view, l4Off);
  if (checksumOff === NO_ROOM) return false;
  const hasId = (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) && hasIcmpId(protocol, view.getUint8(l4Off));
  if (tupleHasPorts(protocol) || hasId) {
    const off = l4Off + (hasId ? 4 : destination ? 2 : 0);
    const before = view.getUint16(off);
    const after = hasId ? tuple[at + T_PORTS]! >>> 16 : partOf(tuple, at, manip);
    view.setUint16(off, after);
    if (checksumOff > 0) view.setUint16(checksumOff, replaceWord(view.getUint16(checksumOff), before, after));
  }
  for (let i = 0; i < wordCount; i++) {
    const off = addressOff + 4 * i;
    const before = view.getUint32(off);
    const after = tuple[addressAt + i]!;
    view.setUint32(off, after);
    if (family === 4) view.setUint16(l3Off + 10, replaceLong(view.getUint16(l3Off + 10), before, after));
    if (checksumOff > 0 && protocol !== IPPROTO_ICMP) {
      view.setUint16(checksumOff, replaceLong(view.getUint16(checksumOff), before, after));
    }
  }
  if (checksumOff > 0 && protocol === IPPROTO_UDP && view.getUint16(checksumOff) === 0)
    view.setUint16(checksumOff, 0xffff);
  return true;
}

const NO_ROOM = -1;
const NO_FIELD = 0;

/** Offset of the checksum to adjust, NO_FIELD if there is none within reach, NO_ROOM if the header itself is not there. */
function checksumField(protocol: number, size: number, view: DataView, l4Off: number): number {
  if (protocol === IPPROTO_TCP) return size < PORTS_NEED ? NO_ROOM : size < TCP_HEADER_SIZE ? NO_FIELD : l4Off + 16;
  if (protocol === IPPROTO_UDP) {
    if (size < PORTS_NEED) return NO_ROOM;
    return view.getUint16(l4Off + 6) === 0 ? NO_FIELD : l4Off + 6;
  }
  if (protocol === IPPROTO_UDPLITE) return size < PORTS_NEED ? NO_ROOM : l4Off + 6;
  // SCTP's CRC covers the whole packet, of which a quote holds a part: the kernel sums what is there.
  if (protocol === IPPROTO_SCTP) return size < PORTS_NEED ? NO_ROOM : NO_FIELD;
  if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) return size < PORTS_NEED ? NO_ROOM : l4Off + 2;
  return NO_FIELD;
}

/**
 * Translates the packet that an ICMP error at `p` quotes: `manip` side of the inner header from the tuple at `at`, then the
 * error's own checksum anew. False: the quote is too short. Kernel: nf_nat_icmp_reply_translation(), first half.
 */
export function mangleQuote(
  p: Packet,
  tuple: Uint32Array,
  at: number,
  manip: ManipType,
  place: TransportPlace,
): boolean {
  const { view, end } = p;
  const inner = p.l4Off + 8;
  if (inner + (p.family === 4 ? 20 : 40) > end) return false;
  const before = sumView(view, p.l4Off, end);
  let translated: boolean;
  if (p.family === 4) {
    const l4Off = inner + ((view.getUint8(inner) & 15) << 2);
    translated = mangleBytes(view, 4, inner, l4Off, view.getUint8(inner + 9), end, tuple, at, manip);
    recomputeQuotedSctp(p, view.getUint8(inner + 9), l4Off, end);
  } else {
    // Without a transport header in the quote only the addresses are translated.
    const found = place.skipFrom(view, end, view.getUint8(inner + 6), inner + 40);
    const protocol = found ? place.protocol : 59;
    translated = mangleBytes(view, 6, inner, found ? place.off : end, protocol, end, tuple, at, manip);
    if (found) recomputeQuotedSctp(p, protocol, place.off, end);
  }
  if (!translated) return false;
  rewriteIcmpChecksum(p, before);
  return true;
}

function recomputeQuotedSctp(p: Packet, protocol: number, l4Off: number, end: number): void {
  if (protocol !== IPPROTO_SCTP || end - l4Off < SCTP_HEADER_SIZE || p.isCut) return;
  p.view.setUint32(l4Off + 8, 0);
  p.view.setUint32(l4Off + 8, finishCrc32c(updateCrc32c(CRC32C_START, p.view, l4Off, end)), true);
}

/** Anew over the whole message, as the kernel does; of a cut capture by the difference that the change made. */
function rewriteIcmpChecksum(p: Packet, before: number): void {
  if (p.csum === CSUM_PARTIAL) return;
  const { view, l4Off, end } = p;
  const field = l4Off + 2;
  if (p.isCut) {
    const after = sumView(view, l4Off, end);
    const sum = (~view.getUint16(field) & 0xffff) + fold(after) + (~fold(before) & 0xffff);
    view.setUint16(field, ~fold(sum) & 0xffff);
    return;
  }
  view.setUint16(field, 0);
  const pseudo = p.family === 4 ? 0 : pseudoHeaderSum(p, IPPROTO_ICMPV6, p.l4Length);
  view.setUint16(field, checksumOf(pseudo + sumView(view, l4Off, end)));
}
