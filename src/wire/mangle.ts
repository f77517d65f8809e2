/**
 * Changes to a packet's headers: bytes, checksums (incrementally, RFC 1624) and decoded fields in one step.
 * Per packet: allocates nothing.
 */
import { fold, replaceLong, replaceSum, replaceWord, wordDifference } from '../net/checksum.js';
import {
  IPPROTO_DCCP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import { Field } from './field.js';
import { CSUM_PARTIAL, L4_FRAGMENT, L4_OK, type Packet } from './packet.js';

/** TTL of IPv4 (header checksum kept right) or hop limit of IPv6. */
export function setTtl(p: Packet, ttl: number): void {
  const at = p.l3Off;
  if (p.family === 4) {
    const before = p.view.getUint16(at + 8);
    p.view.setUint8(at + 8, ttl);
    p.view.setUint16(at + 10, replaceWord(p.view.getUint16(at + 10), before, p.view.getUint16(at + 8)));
  } else {
    p.view.setUint8(at + 7, ttl);
  }
  p.f[Field.Ttl] = ttl;
}

/** TOS byte of IPv4 or traffic class of IPv6. */
export function setTos(p: Packet, tos: number): void {
  const at = p.l3Off;
  if (p.family === 4) {
    const before = p.view.getUint16(at);
    p.view.setUint8(at + 1, tos);
    p.view.setUint16(at + 10, replaceWord(p.view.getUint16(at + 10), before, p.view.getUint16(at)));
  } else {
    const word = p.view.getUint32(at);
    p.view.setUint32(at, ((word & 0xf00fffff) | (tos << 20)) >>> 0);
  }
  p.f[Field.Tos] = tos;
}

/** Offset of the transport checksum field from the transport header's start, or -1 where the protocol has none that covers addresses. */
export function checksumOffsetOf(protocol: number): number {
  switch (protocol) {
    case IPPROTO_TCP:
      return 16;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_DCCP:
      return 6;
    case IPPROTO_ICMPV6:
      return 2;
    default:
      return -1;
  }
}

/**
 * Adjusts the transport checksum for a 32-bit word that changed; `pseudo`: the word belongs to the pseudo header
 * (an offloaded checksum holds just that sum, uncomplemented, and must not see changes elsewhere).
 * UDP: a checksum of 0 stays; UDP and UDP-Lite: a result of 0 becomes 0xffff (kernel: inet_proto_csum_replace4()).
 */
export function adjustTransportChecksum(p: Packet, before: number, after: number, pseudo: boolean): void {
  addToTransportChecksum(p, wordDifference(before, after), pseudo);
}

/** The same for several words at once: `difference` is the sum of their wordDifference(). */
function addToTransportChecksum(p: Packet, difference: number, pseudo: boolean): void {
  const protocol = p.f[Field.Protocol]!;
  const within = checksumOffsetOf(protocol);
  // Linux 6.16 took DCCP out of NAT: addresses change under its checksum.
  if (within === -1 || protocol === IPPROTO_DCCP || p.l4State === L4_FRAGMENT) return;
  const at = p.l4Off + within;
  if (at + 2 > p.end) return;
  const old = p.view.getUint16(at);
  if (p.csum === CSUM_PARTIAL) {
    if (pseudo) p.view.setUint16(at, fold(old + difference));
    return;
  }
  if (protocol === IPPROTO_UDP && old === 0) return;
  const updated = replaceSum(old, difference);
  p.view.setUint16(at, updated === 0 && (protocol === IPPROTO_UDP || protocol === IPPROTO_UDPLITE) ? 0xffff : updated);
}

/** Sets source or destination address; `words[at..at+4)` as in Field.Src0 (IPv4: first word only). Checksums follow. */
export function setAddress(p: Packet, destination: boolean, words: ArrayLike<number>, at: number): void {
  const slot = destination ? Field.Dst0 : Field.Src0;
  if (p.family === 4) {
    const byteOff = p.l3Off + (destination ? 16 : 12);
    const before = p.f[slot]!;
    const after = words[at]! >>> 0;
    if (before === after) return;
    p.view.setUint32(byteOff, after);
    p.view.setUint16(p.l3Off + 10, replaceLong(p.view.getUint16(p.l3Off + 10), before, after));
    adjustTransportChecksum(p, before, after, true);
    p.f[slot] = after;
    return;
  }
  const byteOff = p.l3Off + (destination ? 24 : 8);
  let difference = 0;
  for (let i = 0; i < 4; i++) {
    const before = p.f[slot + i]!;
    const after = words[at + i]! >>> 0;
    if (before === after) continue;
    p.view.setUint32(byteOff + (i << 2), after);
    difference += wordDifference(before, after);
    p.f[slot + i] = after;
  }
  if (difference !== 0) addToTransportChecksum(p, difference, true);
}

/** Sets source or destination port of a TCP, UDP, UDP-Lite or SCTP packet. SCTP's CRC32c is the caller's. */
export function setPort(p: Packet, destination: boolean, port: number): void {
  const slot = destination ? Field.DstPort : Field.SrcPort;
  const before = p.f[slot]!;
  if (before === port || p.l4State !== L4_OK) return;
  p.view.setUint16(p.l4Off + (destination ? 2 : 0), port);
  if (p.f[Field.Protocol]! !== IPPROTO_SCTP) adjustTransportChecksum(p, before, port, false);
  p.f[slot] = port;
}
