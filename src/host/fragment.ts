/**
 * Cuts a datagram for its way out: where it was cut before it was gathered, else to the MTU.
 * Kernel: ip_do_fragment() (net/ipv4/ip_output.c), ip6_fragment() (net/ipv6/ip6_output.c). Allocates nothing.
 */
import { checksumOf, sumBytes } from '../net/checksum.js';
import { IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_HOPOPTS, IPPROTO_ROUTING } from '../net/protocol.js';
import { HEADROOM, type HostPacket } from './host-packet.js';

/** Takes each piece: a whole IP packet in `piece`'s own buffer. */
export type TakePiece = (piece: HostPacket) => void;

/**
 * Cuts an IPv4 datagram; `mtu` is the limit of each piece. `scratch` is reused for every piece.
 * Pieces carry id, TOS and TTL of the whole; DF stays clear.
 */
export function cut4(whole: HostPacket, mtu: number, scratch: HostPacket, take: TakePiece): void {
  const { bytes, l3Off, l3Size } = whole;
  const before = whole.view.getUint16(l3Off + 6);
  const firstOffset = (before & 0x1fff) << 3;
  const total = whole.wireEnd - l3Off - l3Size;
  const asBefore = cutsAsBefore(whole, l3Size, mtu, total);
  const room = mtu - l3Size;
  const pieceMtu = room - (room & 7);
  let left = total;
  let at = 0;
  let index = 0;
  while (left > 0) {
    const size = asBefore
      ? index === whole.reassembly - 1
        ? left
        : whole.pieceSizes[index]!
      : left > room
        ? pieceMtu
        : left;
    scratch.attachOwn(l3Size + size);
    scratch.bytes.set(bytes.subarray(l3Off, l3Off + l3Size), HEADROOM);
    if (at > 0) blankOptions(scratch.bytes, HEADROOM + 20, HEADROOM + l3Size);
    copyHere(whole, l3Off + l3Size + at, size, scratch, HEADROOM + l3Size);
    left -= size;
    const more = left > 0 || (before & 0x2000) !== 0 ? 0x2000 : 0;
    // Only pieces cut anew keep the don't-fragment bit of a datagram that came in pieces with it.
    const df = whole.piecesHadDf && !asBefore ? 0x4000 : 0;
    const { view } = scratch;
    view.setUint16(HEADROOM + 2, l3Size + size);
    view.setUint16(HEADROOM + 6, df | more | ((firstOffset + at) >> 3));
    view.setUint16(HEADROOM + 10, 0);
    view.setUint16(HEADROOM + 10, checksumOf(sumBytes(scratch.bytes, HEADROOM, HEADROOM + l3Size)));
    scratch.parse(4, HEADROOM, HEADROOM + l3Size + size, HEADROOM + l3Size + size);
    take(scratch);
    at += size;
    index++;
  }
}

/**
 * Cuts an IPv6 datagram behind its unfragmentable part; `id` is the identification of all pieces. `mtu` ≥ 1280 limits
 * each piece.
 */
export function cut6(whole: HostPacket, mtu: number, id: number, scratch: HostPacket, take: TakePiece): void {
  const { bytes, view, l3Off } = whole;
  const nextHeaderAt = lastRepeatedByte(whole);
  const headSize =
    nextHeaderAt === l3Off + 6 ? 40 : nextHeaderAt + ((view.getUint8(nextHeaderAt + 1) + 1) << 3) - l3Off;
  const nextHeader = view.getUint8(nextHeaderAt);
  const total = whole.wireEnd - l3Off - headSize;
  const asBefore = cutsAsBefore(whole, headSize + 8, mtu, total);
  const room = (mtu - headSize - 8) & ~7;
  let left = total;
  let at = 0;
  let index = 0;
  while (left > 0) {
    const size = asBefore
      ? index === whole.reassembly - 1
        ? left
        : whole.pieceSizes[index]!
      : left > mtu - headSize - 8
        ? room
        : left;
    const end = HEADROOM + headSize + 8 + size;
    scratch.attachOwn(headSize + 8 + size);
    scratch.bytes.set(bytes.subarray(l3Off, l3Off + headSize), HEADROOM);
    copyHere(whole, l3Off + headSize + at, size, scratch, HEADROOM + headSize + 8);
    left -= size;
    const out = scratch.view;
    out.setUint16(HEADROOM + 4, headSize - 40 + 8 + size);
    out.setUint8(HEADROOM + nextHeaderAt - l3Off, IPPROTO_FRAGMENT);
    out.setUint16(HEADROOM + headSize, nextHeader << 8);
    out.setUint16(HEADROOM + headSize + 2, at | (left > 0 ? 1 : 0));
    out.setUint32(HEADROOM + headSize + 4, id);
    scratch.parse(6, HEADROOM, end, end);
    take(scratch);
    at += size;
    index++;
  }
}

/** The pieces that came fit: they leave as they came. Kernel: the fast path over frag_list. */
function cutsAsBefore(whole: HostPacket, headSize: number, mtu: number, total: number): boolean {
  if (whole.reassembly < 1 || whole.isFragment) return false;
  let sum = 0;
  for (let i = 0; i < whole.reassembly; i++) {
    if (whole.pieceSizes[i]! + headSize > mtu) return false;
    if (i < whole.reassembly - 1 && (whole.pieceSizes[i]! & 7) !== 0) return false;
    sum += whole.pieceSizes[i]!;
  }
  const last = whole.pieceSizes[whole.reassembly - 1]!;
  // A target may have changed the length (TCPMSS): the last piece takes what is over, if it can.
  return total - (sum - last) > 0 && total - (sum - last) + headSize <= mtu;
}

/** Copies what the capture has; the rest of the piece is zero. */
function copyHere(from: HostPacket, at: number, size: number, to: HostPacket, toAt: number): void {
  const here = Math.max(0, Math.min(size, from.end - at));
  to.bytes.set(from.bytes.subarray(at, at + here), toAt);
  if (here < size) to.bytes.fill(0, toAt + here, toAt + size);
}

/** Options without the copied bit stand in the first piece only; NOPs fill their place (kernel: ip_options_fragment()). */
function blankOptions(bytes: Uint8Array, from: number, end: number): void {
  let at = from;
  while (at < end) {
    const kind = bytes[at]!;
    if (kind === 0) return;
    if (kind === 1) {
      at++;
      continue;
    }
    const size = bytes[at + 1]!;
    if (size < 2 || at + size > end) return;
    if ((kind & 0x80) === 0) bytes.fill(1, at, at + size);
    at += size;
  }
}

/**
 * Offset of the next-header byte that will name the fragment header. Kernel: ip6_find_1stfragopt(), where destination
 * options belong to the part that every piece repeats only before a routing header.
 */
function lastRepeatedByte(packet: HostPacket): number {
  const { view, l3Off, end } = packet;
  let byte = l3Off + 6;
  let at = l3Off + 40;
  let sawRouting = false;
  for (;;) {
    const next = view.getUint8(byte);
    if (next === IPPROTO_ROUTING) sawRouting = true;
    else if (next === IPPROTO_DSTOPTS ? sawRouting : next !== IPPROTO_HOPOPTS) return byte;
    if (at + 8 > end) return byte;
    byte = at;
    at += (view.getUint8(at + 1) + 1) << 3;
  }
}
