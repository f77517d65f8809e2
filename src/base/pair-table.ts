/**
 * Map from pairs of 32-bit words (pair-hash.ts) to whole numbers from 0 to 2^32 − 2. Open addressing with linear probing, at
 * most two thirds full; nothing is taken out.
 * Layout: slots[slot × 3] holds value + 1 (0: free), then the pair.
 */
const WIDTH = 3;
const FIRST_SLOT_COUNT = 1024;

export class PairTable {
  #slots = new Uint32Array(FIRST_SLOT_COUNT * WIDTH);
  #mask = FIRST_SLOT_COUNT - 1;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Value of the pair, or -1. */
  find(first: number, second: number): number {
    const at = this.#slotOf(this.#slots, first, second) * WIDTH;
    return this.#slots[at]! - 1;
  }

  /** Value that the pair had before, which stays; else -1, and `value` is its value from now on. */
  add(first: number, second: number, value: number): number {
    const slots = this.#slots;
    const at = this.#slotOf(slots, first, second) * WIDTH;
    if (slots[at] !== 0) return slots[at]! - 1;
    slots[at] = value + 1;
    slots[at + 1] = first;
    slots[at + 2] = second;
    if (++this.#count * 3 > (this.#mask + 1) * 2) this.#grow();
    return -1;
  }

  /** All entries, three words each: first, second, value. */
  entries(): Uint32Array {
    const out = new Uint32Array(this.#count * WIDTH);
    let to = 0;
    for (let at = 0; at < this.#slots.length; at += WIDTH) {
      if (this.#slots[at] === 0) continue;
      out[to++] = this.#slots[at + 1]!;
      out[to++] = this.#slots[at + 2]!;
      out[to++] = this.#slots[at]! - 1;
    }
    return out;
  }

  #slotOf(slots: Uint32Array, first: number, second: number): number {
    const a = first >>> 0;
    const b = second >>> 0;
    let slot = first & this.#mask;
    for (;;) {
      const at = slot * WIDTH;
      if (slots[at] === 0 || (slots[at + 1] === a && slots[at + 2] === b)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #grow(): void {
    const before = this.#slots;
    this.#mask = this.#mask * 2 + 1;
    const slots = new Uint32Array((this.#mask + 1) * WIDTH);
    for (let at = 0; at < before.length; at += WIDTH) {
      if (before[at] === 0) continue;
      const to = this.#slotOf(slots, before[at + 1]! | 0, before[at + 2]!) * WIDTH;
      slots[to] = before[at]!;
      slots[to + 1] = before[at + 1]!;
      slots[to + 2] = before[at + 2]!;
    }
    this.#slots = slots;
  }
}
