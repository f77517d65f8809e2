/**
 * Map from keys of a fixed number of 32-bit words to whole numbers ≥ 0, in one typed array. Open addressing with linear
 * probing, at most two thirds full; deletion shifts back what follows, so that there are no tombstones.
 * Layout: slots[slot × (width + 1)] holds value + 1 (0: free), then the key's words.
 */
const MAX_LOAD = 2 / 3;
const MIN_SLOT_COUNT = 8;

export class WordTable {
  readonly width: number;
  readonly #seed: number;
  #slots: Int32Array;
  /** Slot count − 1; the count is a power of two. */
  #mask: number;
  #count = 0;

  /** `expected` keys fit without growing. */
  constructor(width: number, expected: number, seed: number) {
    this.width = width;
    this.#seed = seed;
    let slotCount = MIN_SLOT_COUNT;
    while (slotCount * MAX_LOAD < expected) slotCount *= 2;
    this.#mask = slotCount - 1;
    this.#slots = new Int32Array(slotCount * (width + 1));
  }

  get count(): number {
    return this.#count;
  }

  get byteSize(): number {
    return this.#slots.byteLength;
  }

  /** Value stored for key[0..width), or -1. Allocates nothing. */
  find(key: Int32Array): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const width = this.width;
    const stride = width + 1;
    let hash = this.#seed;
    for (let i = 0; i < width; i++) {
      hash = Math.imul(hash ^ key[i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 13)) & mask;
    for (;;) {
      const at = slot * stride;
      const stored = slots[at]!;
      if (stored === 0) return -1;
      let i = 0;
      while (i < width && slots[at + 1 + i] === key[i]) i++;
      if (i === width) return stored - 1;
      slot = (slot + 1) & mask;
    }
  }

  /** Stores a value (0 to 2^31 − 2) for the key, in place of an earlier one, which it returns; -1: there was none. */
  set(key: Int32Array, value: number): number {
    const at = this.#slotOf(key) * (this.width + 1);
    const slots = this.#slots;
    const stored = slots[at]!;
    if (stored !== 0) {
      slots[at] = value + 1;
      return stored - 1;
    }
    if (this.#count + 1 > (this.#mask + 1) * MAX_LOAD) {
      this.#grow();
      return this.set(key, value);
    }
    slots[at] = value + 1;
    for (let i = 0; i < this.width; i++) slots[at + 1 + i] = key[i]!;
    this.#count++;
    return -1;
  }

  /** Forgets the key; false if it was not there. */
  delete(key: Int32Array): boolean {
    const slots = this.#slots;
    const stride = this.width + 1;
    const mask = this.#mask;
    let hole = this.#slotOf(key);
    if (slots[hole * stride] === 0) return false;
    this.#count--;
    for (let slot = (hole + 1) & mask; slots[slot * stride] !== 0; slot = (slot + 1) & mask) {
      const home = this.#hashAt(slots, slot * stride + 1) & mask;
      // A key stays where it is if its home lies behind the hole, going round.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      slots.copyWithin(hole * stride, slot * stride, slot * stride + stride);
      hole = slot;
    }
    slots[hole * stride] = 0;
    return true;
  }

  /** Calls `visit` with every value, in no particular order. */
  forEach(visit: (value: number) => void): void {
    for (let at = 0; at < this.#slots.length; at += this.width + 1) {
      if (this.#slots[at] !== 0) visit(this.#slots[at]! - 1);
    }
  }

  /** Slot that holds the key, or the free one where it would go. */
  #slotOf(key: Int32Array): number {
    const slots = this.#slots;
    const stride = this.width + 1;
    let slot = this.#hashAt(key, 0) & this.#mask;
    for (;;) {
      const at = slot * stride;
      if (slots[at] === 0) return slot;
      let i = 0;
      while (i < this.width && slots[at + 1 + i] === key[i]) i++;
      if (i === this.width) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** Multiply and fold each word, then finish as MurmurHash3 does. `find` has the same lines inline. */
  #hashAt(words: Int32Array, at: number): number {
    let hash = this.#seed;
    for (let i = 0; i < this.width; i++) {
      hash = Math.imul(hash ^ words[at + i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85ebca6b);
    return hash ^ (hash >>> 13);
  }

  #grow(): void {
    const before = this.#slots;
    const stride = this.width + 1;
    const slotCount = (this.#mask + 1) * 2;
    this.#mask = slotCount - 1;
    this.#slots = new Int32Array(slotCount * stride);
    for (let at = 0; at < before.length; at += stride) {
      if (before[at] === 0) continue;
      let slot = this.#hashAt(before, at + 1) & this.#mask;
      while (this.#slots[slot * stride] !== 0) slot = (slot + 1) & this.#mask;
      this.#slots.set(before.subarray(at, at + stride), slot * stride);
    }
  }
}
