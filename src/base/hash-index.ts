/**
 * Map from 32-bit hashes to whole numbers ≥ 0, in one typed array. What has a hash is the caller's: two keys with one
 * hash share its value. Open addressing with linear probing, at most two thirds full; deletion shifts back what follows, so
 * that there are no tombstones. Layout: slots[2 × slot] holds value + 1 (0: free), then the hash.
 */
const MAX_LOAD = 2 / 3;
const MIN_SLOT_COUNT = 8;

export class HashIndex {
  #slots: Int32Array;
  /** Slot count − 1; the count is a power of two. */
  #mask: number;
  #count = 0;

  /** `expected` hashes fit without growing. */
  constructor(expected: number) {
    let slotCount = MIN_SLOT_COUNT;
    while (slotCount * MAX_LOAD < expected) slotCount *= 2;
    this.#mask = slotCount - 1;
    this.#slots = new Int32Array(slotCount * 2);
  }

  get count(): number {
    return this.#count;
  }

  get byteSize(): number {
    return this.#slots.byteLength;
  }

  /** Value stored for the hash (signed; its low bits well mixed), or -1. Allocates nothing. */
  find(hash: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const stored = slots[2 * slot]!;
      if (stored === 0) return -1;
      if (slots[2 * slot + 1] === hash) return stored - 1;
    }
  }

  /** Stores a value (0 to 2^31 − 2) for the hash, in place of an earlier one, which it returns; -1: there was none. */
  set(hash: number, value: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    let slot = hash & mask;
    while (slots[2 * slot] !== 0 && slots[2 * slot + 1] !== hash) slot = (slot + 1) & mask;
    const stored = slots[2 * slot]!;
    if (stored !== 0) {
      slots[2 * slot] = value + 1;
      return stored - 1;
    }
    if (this.#count + 1 > (mask + 1) * MAX_LOAD) {
      this.#grow();
      return this.set(hash, value);
    }
    slots[2 * slot] = value + 1;
    slots[2 * slot + 1] = hash;
    this.#count++;
    return -1;
  }

  /** Forgets the hash; false if it was not there. */
  delete(hash: number): boolean {
    const slots = this.#slots;
    const mask = this.#mask;
    let hole = hash & mask;
    while (slots[2 * hole] !== 0 && slots[2 * hole + 1] !== hash) hole = (hole + 1) & mask;
    if (slots[2 * hole] === 0) return false;
    this.#count--;
    for (let slot = (hole + 1) & mask; slots[2 * slot] !== 0; slot = (slot + 1) & mask) {
      const home = slots[2 * slot + 1]! & mask;
      // A hash stays where it is if its home lies behind the hole, going round.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      slots[2 * hole] = slots[2 * slot]!;
      slots[2 * hole + 1] = slots[2 * slot + 1]!;
      hole = slot;
    }
    slots[2 * hole] = 0;
    return true;
  }

  /** Calls `visit` with every value, in no particular order. */
  forEach(visit: (value: number) => void): void {
    for (let at = 0; at < this.#slots.length; at += 2) if (this.#slots[at] !== 0) visit(this.#slots[at]! - 1);
  }

  #grow(): void {
    const before = this.#slots;
    const slotCount = (this.#mask + 1) * 2;
    this.#mask = slotCount - 1;
    this.#slots = new Int32Array(slotCount * 2);
    for (let at = 0; at < before.length; at += 2) {
      if (before[at] === 0) continue;
      let slot = before[at + 1]! & this.#mask;
      while (this.#slots[2 * slot] !== 0) slot = (slot + 1) & this.#mask;
      this.#slots[2 * slot] = before[at]!;
      this.#slots[2 * slot + 1] = before[at + 1]!;
    }
  }
}
