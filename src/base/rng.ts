/** Seeded random numbers (sfc32): the only source of chance below the shells, so that a seed repeats a run. */
export class Rng {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;
  readonly #seed: number;
  /** Stream to go to at the next draw, or -1. */
  #jumpTo = -1;

  constructor(seed: number) {
    this.#seed = seed;
    this.#a = seed | 0;
    this.#b = (seed / 0x1_0000_0000) | 0;
    this.#c = 0x9e3779b9 | 0;
    this.#counter = 1;
    for (let i = 0; i < 12; i++) this.u32();
  }

  /**
   * What is drawn from now on is the beginning of stream `n` (1 to 2^53) of the seed, whatever was drawn before. Costs
   * nothing until something is drawn.
   */
  jump(n: number): void {
    this.#jumpTo = n;
  }

  #enter(n: number): void {
    this.#jumpTo = -1;
    this.#a = this.#seed | 0;
    this.#b = (this.#seed / 0x1_0000_0000) | 0;
    this.#c = (0x9e3779b9 + Math.imul(n | 0, 0x85ebca6b)) | 0;
    this.#counter = (1 + Math.floor(n / 0x1_0000_0000)) | 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** A uniform 32-bit word, unsigned. */
  u32(): number {
    if (this.#jumpTo !== -1) this.#enter(this.#jumpTo);
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return t >>> 0;
  }

  /** A uniform whole number in [0, bound); bound from 1 to 2^32. */
  below(bound: number): number {
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    let word = this.u32();
    while (word >= limit) word = this.u32();
    return word % bound;
  }
}
