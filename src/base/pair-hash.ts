/**
 * Two 32-bit hashes of one key. Who asks only "may these two be equal?" may keep the pair instead of the key: equal keys
 * have equal pairs; that unequal ones have is possible, and so rare (2^-64 for two keys) that it costs nothing to allow for.
 */
export class PairHash {
  first = 0;
  second = 0;
  readonly #seed: number;

  /** `seed`: chosen keys collide by chance only. */
  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  /** Fills `first` and `second` for words[at .. at + count); `salt` tells kinds of keys apart. Allocates nothing. */
  of(words: ArrayLike<number>, at: number, count: number, salt: number): void {
    let a = this.#seed ^ Math.imul(salt + 1, 0x9e3779b1);
    let b = Math.imul(this.#seed ^ 0x7feb352d, 0x846ca68b) ^ salt;
    for (let i = at; i < at + count; i++) {
      const word = words[i]!;
      a = Math.imul(a ^ word, 0x9e3779b1);
      a ^= a >>> 15;
      b = Math.imul(b ^ word, 0xc2b2ae35);
      b ^= b >>> 13;
    }
    a = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
    b = Math.imul(b ^ (b >>> 16), 0x27d4eb2f);
    this.first = a ^ (a >>> 13);
    this.second = b ^ (b >>> 15);
  }
}
