/**
 * A tuple identifies one direction of a connection: TUPLE_WORDS words of a Uint32Array, so that look-ups compare words
 * and make no objects. Kernel: struct nf_conntrack_tuple, nf_ct_get_tuple(), nf_ct_invert_tuple().
 *
 * Layout: source address (4 words), destination address (4 words; IPv4 uses the first word of each, the rest is 0),
 * ports, then zone << 16 | family << 8 | protocol. The zone is part of the tuple because look-ups need both alike.
 */
import type { Family } from '../net/netfilter.js';
import {
  IPPROTO_AH,
  IPPROTO_FRAGMENT,
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
import { isExtensionHeader, L4_OK, L4_SHORT, type Packet } from '../wire/packet.js';

export const TUPLE_WORDS = 10;
export const T_SRC = 0;
export const T_DST = 4;
/** source port << 16 | destination port; ICMP: id << 16 | type << 8 | code; GRE: keys; others 0. */
export const T_PORTS = 8;
/** zone << 16 | family (4 or 6) << 8 | protocol. */
export const T_PROTO = 9;

const ICMP_HEADER_SIZE = 8;
const GRE_VERSION_MASK = 7;
const GRE_PROTOCOL_PPP = 0x880b;

/** The type that answers an ICMP type, by type; 255: none. */
const ICMP_INVERSE = inverses([8, 0], [13, 14], [15, 16], [17, 18]);
const ICMPV6_INVERSE = inverses([128, 129], [139, 140]);

function inverses(...pairs: readonly (readonly [number, number])[]): Uint8Array {
  const table = new Uint8Array(256).fill(255);
  for (const [a, b] of pairs) {
    table[a] = b;
    table[b] = a;
  }
  return table;
}

/** True if the ICMP (protocol 1) or ICMPv6 (58) type has an answer, so that it can be part of a tuple. */
export function hasInverseType(protocol: number, type: number): boolean {
  return (protocol === IPPROTO_ICMP ? ICMP_INVERSE : ICMPV6_INVERSE)[type] !== 255;
}

export const tupleProtocol = (tuples: Uint32Array, at: number): number => tuples[at + T_PROTO]! & 255;
export const tupleFamily = (tuples: Uint32Array, at: number): Family =>
  ((tuples[at + T_PROTO]! >>> 8) & 255) === 4 ? 4 : 6;
export const tupleZone = (tuples: Uint32Array, at: number): number => tuples[at + T_PROTO]! >>> 16;

/** Puts the tuple into another zone (0 to 65535). */
export function setTupleZone(tuples: Uint32Array, at: number, zone: number): void {
  tuples[at + T_PROTO] = ((zone << 16) | (tuples[at + T_PROTO]! & 0xffff)) >>> 0;
}

/**
 * Where conntrack finds the transport header of a packet. It differs from what ip6tables sees: AH is walked through,
 * and "no next header" is no header. Kernel: get_l4proto(), ipv6_skip_exthdr().
 */
export class TransportPlace {
  off = 0;
  protocol = 0;

  /** False if there is no transport header. Per packet: allocates nothing. */
  find(packet: Packet): boolean {
    const protocol = packet.f[Field.Protocol]!;
    this.off = packet.l4Off;
    this.protocol = protocol;
    if (packet.l4State !== L4_OK && packet.l4State !== L4_SHORT) return false;
    if (packet.family === 4) return true;
    if (protocol === IPPROTO_NONE) return false;
    return protocol !== IPPROTO_AH || this.skipFrom(packet.view, packet.end, IPPROTO_AH, this.off);
  }

  /**
   * Walks IPv6 extension headers from `off` on, where a header of kind `next` lies. False: chain broken, or a later
   * fragment.
   */
  skipFrom(view: DataView, end: number, next: number, off: number): boolean {
    while (isExtensionHeader(next)) {
      if (next === IPPROTO_NONE || off + 2 > end) return false;
      const following = view.getUint8(off);
      const units = view.getUint8(off + 1);
      if (next === IPPROTO_FRAGMENT) {
        if (off + 4 > end || (view.getUint16(off + 2) & 0xfff8) !== 0) return false;
        off += 8;
      } else {
        off += next === IPPROTO_AH ? (units + 2) << 2 : (units + 1) << 3;
      }
      next = following;
    }
    this.off = off;
    this.protocol = next;
    return true;
  }
}

/**
 * Writes the tuple's T_PORTS word from the transport header at `off`. False if the header is too short, or of a kind
 * that has no tuple. Per packet: allocates nothing.
 */
export function readTuplePorts(
  view: DataView,
  off: number,
  end: number,
  protocol: number,
  out: Uint32Array,
  at: number,
): boolean {
  switch (protocol) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_SCTP:
      if (off + 4 > end) return false;
      out[at + T_PORTS] = view.getUint32(off);
      return true;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      if (off + ICMP_HEADER_SIZE > end) return false;
      out[at + T_PORTS] = ((view.getUint16(off + 4) << 16) | view.getUint16(off)) >>> 0;
      return true;
    case IPPROTO_GRE: {
      out[at + T_PORTS] = 0;
      if (off + 4 > end || (view.getUint16(off) & GRE_VERSION_MASK) !== 1 || off + 8 > end) return true;
      if (view.getUint16(off + 2) !== GRE_PROTOCOL_PPP) return false;
      // The PPTP helper alone knows the other side's call id; without it the source key is 0.
      out[at + T_PORTS] = view.getUint16(off + 6);
      return true;
    }
    default:
      out[at + T_PORTS] = 0;
      return true;
  }
}

/**
 * Writes the packet's tuple in its original-direction zone (`templateZoneOriginal`), with the transport header at `place`. False: the
 * packet has none. Per packet: allocates nothing.
 */
export function tupleOfPacketAt(packet: Packet, place: TransportPlace, out: Uint32Array, at: number): boolean {
  const { f } = packet;
  out[at] = f[Field.Src0]!;
  out[at + 1] = f[Field.Src1]!;
  out[at + 2] = f[Field.Src2]!;
  out[at + 3] = f[Field.Src3]!;
  out[at + 4] = f[Field.Dst0]!;
  out[at + 5] = f[Field.Dst1]!;
  out[at + 6] = f[Field.Dst2]!;
  out[at + 7] = f[Field.Dst3]!;
  out[at + T_PROTO] = ((packet.templateZoneOriginal << 16) | (packet.family << 8) | place.protocol) >>> 0;
  return readTuplePorts(packet.view, place.off, packet.end, place.protocol, out, at);
}

/**
 * Writes the tuple of the opposite direction, in the same zone. `from` and `out` may be the same array only if the places
 * do not overlap. False if the ICMP type has no inverse. Kernel: nf_ct_invert_tuple().
 */
export function invertTuple(from: Uint32Array, fromAt: number, out: Uint32Array, outAt: number): boolean {
  for (let i = 0; i < 4; i++) {
    out[outAt + T_SRC + i] = from[fromAt + T_DST + i]!;
    out[outAt + T_DST + i] = from[fromAt + T_SRC + i]!;
  }
  out[outAt + T_PROTO] = from[fromAt + T_PROTO]!;
  const ports = from[fromAt + T_PORTS]!;
  const protocol = from[fromAt + T_PROTO]! & 255;
  if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
    const inverse = (protocol === IPPROTO_ICMP ? ICMP_INVERSE : ICMPV6_INVERSE)[(ports >>> 8) & 255]!;
    if (inverse === 255) return false;
    out[outAt + T_PORTS] = ((ports & 0xffff00ff) | (inverse << 8)) >>> 0;
    return true;
  }
  out[outAt + T_PORTS] = ((ports << 16) | (ports >>> 16)) >>> 0;
  return true;
}

/** True for protocols whose tuple holds two ports. DCCP is not among them: Linux 6.16 removed its tracker. */
export function tupleHasPorts(protocol: number): boolean {
  return (
    protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_UDPLITE || protocol === IPPROTO_SCTP
  );
}

const ownPlace = new TransportPlace();

/** As tupleOfPacketAt, with the transport header looked for first. */
export function tupleOfPacket(packet: Packet, out: Uint32Array, at: number): boolean {
  return ownPlace.find(packet) && tupleOfPacketAt(packet, ownPlace, out, at);
}
