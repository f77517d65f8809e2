/**
 * Transport checksums over whole packets: judged, computed, completed. Incremental updates are mangle.ts's.
 * TCP, UDP, UDP-Lite (partial coverage), DCCP (partial coverage), ICMP, ICMPv6, SCTP (CRC-32C).
 * Allocates nothing. Kernel: nf_ip_checksum(), nf_ip6_checksum(), skb_checksum_help(), sctp_compute_cksum().
 */
import { checksumOf, fold } from '../net/checksum.js';
import { CRC32C_START, finishCrc32c, updateCrc32c } from '../net/crc32c.js';
import {
  IPPROTO_DCCP,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import { Field } from './field.js';
import { CSUM_OWN, CSUM_PARTIAL, L4_OK, type Packet } from './packet.js';

/** The checksum fits, or UDP's field is 0 (none was sent). */
export const CHECKSUM_RIGHT = 0;
export const CHECKSUM_WRONG = 1;
/** The field holds what a sender leaves to its network card: the pseudo header's sum alone (SCTP: 0). */
export const CHECKSUM_LEFT_PARTIAL = 2;
/** Nothing can be said: the capture was cut, a fragment, a header too short, or a protocol without such a checksum. */
export const CHECKSUM_UNKNOWN = 3;
export type ChecksumState = 0 | 1 | 2 | 3;

const ZEROES = new DataView(new ArrayBuffer(4));

/** Ones' complement sum of bytes [from, to) as 16-bit words; an odd last byte counts as its upper half. Not folded; to − from ≤ 64 KiB. */
export function sumView(view: DataView, from: number, to: number): number {
  let at = from;
  let sum = 0;
  // Halves of four-byte words stay below 2^32 over 64 KiB, so integer addition that wraps is enough.
  for (const stop = to - 15; at < stop; at += 16) {
    const a = view.getUint32(at);
    const b = view.getUint32(at + 4);
    const c = view.getUint32(at + 8);
    const d = view.getUint32(at + 12);
    sum =
      (sum +
        (a & 0xffff) +
        (a >>> 16) +
        (b & 0xffff) +
        (b >>> 16) +
        (c & 0xffff) +
        (c >>> 16) +
        (d & 0xffff) +
        (d >>> 16)) |
      0;
  }
  for (; at + 1 < to; at += 2) sum = (sum + view.getUint16(at)) | 0;
  if (at < to) sum = (sum + (view.getUint8(at) << 8)) | 0;
  return sum >>> 0;
}

/** Sum of the pseudo header: addresses, `length` of the transport part in bytes, protocol number. Not folded. */
export function pseudoHeaderSum(packet: Packet, protocol: number, length: number): number {
  const { f } = packet;
  const words = packet.family === 4 ? 1 : 4;
  let sum = protocol + (length >>> 16) + (length & 0xffff);
  for (let i = 0; i < words; i++) {
    sum += (f[Field.Src0 + i]! >>> 16) + (f[Field.Src0 + i]! & 0xffff);
    sum += (f[Field.Dst0 + i]! >>> 16) + (f[Field.Dst0 + i]! & 0xffff);
  }
  return sum;
}

/** Offset of the checksum field from the transport header's start, or -1 where the protocol has none. */
function fieldOffset(protocol: number): number {
  switch (protocol) {
    case IPPROTO_TCP:
      return 16;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_DCCP:
      return 6;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return 2;
    case IPPROTO_SCTP:
      return 8;
    default:
      return -1;
  }
}

/** Bytes that the checksum covers, from the transport header's start; -1: the header says something impossible. */
function coverage(packet: Packet, protocol: number, length: number): number {
  const at = packet.l4Off;
  if (protocol === IPPROTO_UDPLITE) {
    const covered = packet.view.getUint16(at + 4);
    if (covered === 0) return length;
    return covered < 8 || covered > length ? -1 : covered;
  }
  if (protocol === IPPROTO_DCCP) {
    const cover = packet.view.getUint8(at + 5) & 15;
    const covered = (packet.view.getUint8(at + 4) + cover - 1) << 2;
    return cover === 0 ? length : covered > length ? -1 : covered;
  }
  return length;
}

/** Whether the checksum can be looked at all: known protocol, whole packet, whole header. */
function judgeable(packet: Packet): boolean {
  return (
    packet.l4State === L4_OK && !packet.isCut && !packet.isFragment && fieldOffset(packet.f[Field.Protocol]!) !== -1
  );
}

/** CRC-32C of the SCTP packet, its own field taken as zero. */
function sctpChecksum(packet: Packet, length: number): number {
  const at = packet.l4Off;
  let crc = updateCrc32c(CRC32C_START, packet.view, at, at + 8);
  crc = updateCrc32c(crc, ZEROES, 0, 4);
  return finishCrc32c(updateCrc32c(crc, packet.view, at + 12, at + length));
}

/**
 * Judges the transport checksum by the bytes alone (`packet.csum` is not looked at). `length` is the transport part's
 * size in bytes; conntrack takes the whole IP payload, a UDP socket the UDP length.
 */
export function transportChecksumState(packet: Packet, length: number = packet.l4Length): ChecksumState {
  if (!judgeable(packet) || length > packet.l4Length) return CHECKSUM_UNKNOWN;
  const protocol = packet.f[Field.Protocol]!;
  const { view, l4Off } = packet;
  if (protocol === IPPROTO_SCTP) {
    const field = view.getUint32(l4Off + 8, true);
    if (field === sctpChecksum(packet, length)) return CHECKSUM_RIGHT;
    return field === 0 ? CHECKSUM_LEFT_PARTIAL : CHECKSUM_WRONG;
  }
  const field = view.getUint16(l4Off + fieldOffset(protocol));
  if (field === 0 && protocol === IPPROTO_UDP) return CHECKSUM_RIGHT;
  const covered = coverage(packet, protocol, length);
  if (covered === -1) return CHECKSUM_WRONG;
  const pseudo = protocol === IPPROTO_ICMP ? 0 : pseudoHeaderSum(packet, protocol, length);
  if (fold(pseudo + sumView(view, l4Off, l4Off + covered)) === 0xffff) return CHECKSUM_RIGHT;
  return protocol !== IPPROTO_ICMP && field === fold(pseudo) ? CHECKSUM_LEFT_PARTIAL : CHECKSUM_WRONG;
}

/**
 * Writes the right transport checksum over the whole IP payload and notes that this host made it. Does nothing and
 * returns false where `transportChecksumState` would be unknown. UDP: a result of 0 is written as 0xffff.
 */
export function writeTransportChecksum(packet: Packet): boolean {
  if (!judgeable(packet)) return false;
  const protocol = packet.f[Field.Protocol]!;
  const { view, l4Off, l4Length } = packet;
  if (protocol === IPPROTO_SCTP) {
    view.setUint32(l4Off + 8, sctpChecksum(packet, l4Length), true);
  } else {
    const at = l4Off + fieldOffset(protocol);
    const covered = coverage(packet, protocol, l4Length);
    if (covered === -1) return false;
    view.setUint16(at, 0);
    const pseudo = protocol === IPPROTO_ICMP ? 0 : pseudoHeaderSum(packet, protocol, l4Length);
    const checksum = checksumOf(pseudo + sumView(view, l4Off, l4Off + covered));
    view.setUint16(at, checksum === 0 && protocol === IPPROTO_UDP ? 0xffff : checksum);
  }
  packet.csum = CSUM_OWN;
  return true;
}

/** Leaves the checksum of a TCP packet to the card: only the pseudo header's sum is in the field (CHECKSUM_PARTIAL). */
export function leaveTransportChecksum(packet: Packet): void {
  packet.view.setUint16(packet.l4Off + 16, fold(pseudoHeaderSum(packet, IPPROTO_TCP, packet.l4Length)));
  packet.csum = CSUM_PARTIAL;
}

/** Completes an offloaded checksum, as the card would. No effect unless `packet.csum` says that it is partial. */
export function completeTransportChecksum(packet: Packet): void {
  if (packet.csum === CSUM_PARTIAL) writeTransportChecksum(packet);
}
