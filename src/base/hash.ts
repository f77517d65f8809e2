/** Jenkins' lookup3 over 32-bit words, as the kernel's jhash2() (include/linux/jhash.h). All words unsigned at the edge. */
const JHASH_INITVAL = 0xdeadbeef;

/** Hash of `count` words of `words` from index `at`, with `seed`. Per packet: allocates nothing. */
export function jhash2(words: ArrayLike<number>, at: number, count: number, seed: number): number {
  let a = (JHASH_INITVAL + (count << 2) + seed) | 0;
  let b = a;
  let c = a;
  let i = at;
  let left = count;
  while (left > 3) {
    a = (a + words[i]!) | 0;
    b = (b + words[i + 1]!) | 0;
    c = (c + words[i + 2]!) | 0;
    a = ((a - c) ^ ((c << 4) | (c >>> 28))) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ ((a << 6) | (a >>> 26))) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ ((b << 8) | (b >>> 24))) | 0;
    b = (b + a) | 0;
    a = ((a - c) ^ ((c << 16) | (c >>> 16))) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ ((a << 19) | (a >>> 13))) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ ((b << 4) | (b >>> 28))) | 0;
    b = (b + a) | 0;
    i += 3;
    left -= 3;
  }
  if (left === 0) return c >>> 0;
  if (left === 3) c = (c + words[i + 2]!) | 0;
  if (left >= 2) b = (b + words[i + 1]!) | 0;
  a = (a + words[i]!) | 0;
  c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
  a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
  b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
  c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
  a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
  b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
  c = ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
  return c >>> 0;
}
