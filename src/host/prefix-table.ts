/**
 * Longest-prefix match: prefixes of one routing table (or of several merged ones) → lists of values.
 * One open-addressing hash over (masked words, prefix length); a search tries the lengths that exist, longest first.
 * Layout: keys[slot × (width + 1)] are the words and the length + 1 (0: free slot); heads[slot] is the first value's
 * place in `next`/`values`, a linked list in the order in which values are to be tried.
 */
import { maskOf4 } from '../net/ip4.js';
import { maskOf6 } from '../net/ip6.js';

export class PrefixTable {
  readonly #width: 1 | 4;
  #keys: Uint32Array;
  #heads: Int32Array;
  #slots: number;
  #used = 0;
  /** Prefix lengths that exist, longest first, and their masks. */
  readonly #lengths: number[] = [];
  readonly #masks: (readonly number[])[] = [];
  readonly #values: number[] = [];
  readonly #next: number[] = [];
  readonly #key = new Uint32Array(5);

  constructor(width: 1 | 4) {
    this.#width = width;
    this.#slots = 16;
    this.#keys = new Uint32Array(this.#slots * (width + 1));
    this.#heads = new Int32Array(this.#slots);
  }

  /** Appends a value to a prefix's list. The caller adds them in the order in which they are to be tried. */
  add(words: ArrayLike<number>, bits: number, value: number): void {
    if (!this.#lengths.includes(bits)) {
      const at = this.#lengths.findIndex((length) => length < bits);
      const place = at === -1 ? this.#lengths.length : at;
      this.#lengths.splice(place, 0, bits);
      this.#masks.splice(place, 0, this.#width === 1 ? [maskOf4(bits)] : maskOf6(bits));
    }
    if (this.#used * 2 >= this.#slots) this.#grow();
    const level = this.#lengths.indexOf(bits);
    const slot = this.#slotOf(words, 0, level);
    const place = this.#values.length;
    this.#values.push(value);
    this.#next.push(-1);
    const base = slot * (this.#width + 1);
    if (this.#keys[base + this.#width] === 0) {
      for (let i = 0; i <= this.#width; i++) this.#keys[base + i] = this.#key[i]!;
      this.#heads[slot] = place;
      this.#used++;
      return;
    }
    let last = this.#heads[slot]!;
    while (this.#next[last]! !== -1) last = this.#next[last]!;
    this.#next[last] = place;
  }

  /** Number of prefix lengths that exist: levels 0 … levelCount - 1, longest first. */
  get levelCount(): number {
    return this.#lengths.length;
  }

  bitsOf(level: number): number {
    return this.#lengths[level]!;
  }

  /** Place of the first value for the address at a level, or -1. Allocates nothing. */
  first(words: ArrayLike<number>, at: number, level: number): number {
    const slot = this.#slotOf(words, at, level);
    return this.#keys[slot * (this.#width + 1) + this.#width] === 0 ? -1 : this.#heads[slot]!;
  }

  value(place: number): number {
    return this.#values[place]!;
  }

  /** Place of the next value of the same prefix, or -1. */
  next(place: number): number {
    return this.#next[place]!;
  }

  /** Slot that holds the masked address at this level, or the free slot where it would go; leaves the key in #key. */
  #slotOf(words: ArrayLike<number>, at: number, level: number): number {
    const width = this.#width;
    const key = this.#key;
    const mask = this.#masks[level]!;
    let hash = this.#lengths[level]!;
    for (let i = 0; i < width; i++) {
      const word = (words[at + i]! & mask[i]!) >>> 0;
      key[i] = word;
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    key[width] = this.#lengths[level]! + 1;
    const last = this.#slots - 1;
    for (let slot = hash & last; ; slot = (slot + 1) & last) {
      const base = slot * (width + 1);
      if (this.#keys[base + width] === 0) return slot;
      let same = true;
      for (let i = 0; i <= width && same; i++) same = this.#keys[base + i] === key[i];
      if (same) return slot;
    }
  }

  #grow(): void {
    const { width, keys, heads } = { width: this.#width, keys: this.#keys, heads: this.#heads };
    const before = this.#slots;
    this.#slots *= 2;
    this.#keys = new Uint32Array(this.#slots * (width + 1));
    this.#heads = new Int32Array(this.#slots);
    for (let slot = 0; slot < before; slot++) {
      const base = slot * (width + 1);
      const length = keys[base + width]!;
      if (length === 0) continue;
      const to = this.#slotOf(keys, base, this.#lengths.indexOf(length - 1));
      for (let i = 0; i <= width; i++) this.#keys[to * (width + 1) + i] = keys[base + i]!;
      this.#heads[to] = heads[slot]!;
    }
  }
}
