/** Internet checksums (RFC 1071) and their incremental update (RFC 1624). Sums are folded 16-bit words, host order. */

/** Ones' complement sum of bytes [from, to), continued from `sum`; an odd last byte counts as its upper half. Not folded. */
export function sumBytes(bytes: Uint8Array, from: number, to: number, sum = 0): number {
  let at = from;
  let total = sum;
  // 2^16 words of 16 bits stay below 2^53 by far; a 64 KiB packet needs no fold on the way.
  for (; at + 1 < to; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  if (at < to) total += bytes[at]! << 8;
  return total;
}

/** Folds a sum (below 2^48) into 16 bits. */
export function fold(sum: number): number {
  let s = sum > 0xffffffff ? (sum % 0x1_0000_0000) + Math.floor(sum / 0x1_0000_0000) : sum;
  while (s > 0xffff) s = (s & 0xffff) + (s >>> 16);
  return s;
}

/** Whether a sum above 0 folds to all ones: what one with its checksum in it does. Division by a constant is cheaper than folds. */
export function foldsToOnes(sum: number): boolean {
  return sum % 0xffff === 0;
}

/** The checksum field for a sum: its complement. */
export function checksumOf(sum: number): number {
  return ~fold(sum) & 0xffff;
}

/** What changing a 32-bit word adds to a sum over it. Both words unsigned. */
export function wordDifference(before: number, after: number): number {
  return (~before >>> 16) + (~before & 0xffff) + (after >>> 16) + (after & 0xffff);
}

/** New checksum field after a sum under it grew by `difference` (below 2^31 − 2^16; RFC 1624, eq. 3). */
export function replaceSum(checksum: number, difference: number): number {
  let sum = (~checksum & 0xffff) + difference;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** `replaceSum` for a difference that is folded already: short enough to be inlined on the packet path. */
export function replaceFolded(checksum: number, difference: number): number {
  const sum = (~checksum & 0xffff) + difference;
  return ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
}

/** New checksum field after one 16-bit word under it changed (kernel: csum_replace2()). */
export function replaceWord(checksum: number, before: number, after: number): number {
  return replaceSum(checksum, (~before & 0xffff) + after);
}

/** The same for a 32-bit word (kernel: csum_replace4()). Both words unsigned. */
export function replaceLong(checksum: number, before: number, after: number): number {
  return replaceSum(checksum, wordDifference(before, after));
}
