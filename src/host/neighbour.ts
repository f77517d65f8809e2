/**
 * Neighbours: (device, address) → hardware address. Filled from `ip neigh` and, if asked, from what captured frames say.
 * Each family has a hash of its own, so that one of IPv4 is small: it is looked at for every packet, and hardly ever twice
 * at one place. Open addressing; layout: keys[slot × (1 + width)] is device + 1 (0: free), then the address; macs[slot × 2].
 */
/** Hostile captures may show any number of senders; past this nothing new is learned. */
const MOST = 1 << 20;

export class Neighbours {
  readonly #tables: { readonly 4: NeighbourTable; readonly 6: NeighbourTable };
  /** Hardware address that `find` has found: first two and last four bytes. */
  macHigh = 0;
  macLow = 0;

  /** `seed`: of the hash, so that no capture can be made to crowd it. */
  constructor(seed: number) {
    this.#tables = { 4: new NeighbourTable(1, seed), 6: new NeighbourTable(4, seed) };
  }

  /** Per packet: allocates nothing. Words are words[at..at+4), IPv4 in the first. */
  find(device: number, family: number, words: ArrayLike<number>, at: number): boolean {
    const table = this.#of(family);
    const slot = table.find(device, words, at);
    if (slot === -1) return false;
    this.macHigh = table.macs[slot * 2]!;
    this.macLow = table.macs[slot * 2 + 1]!;
    return true;
  }

  /** Whether the address is known, without its hardware address. */
  has(device: number, family: number, words: ArrayLike<number>, at: number): boolean {
    return this.#of(family).find(device, words, at) !== -1;
  }

  set(device: number, family: number, words: ArrayLike<number>, at: number, high: number, low: number): void {
    const { 4: four, 6: six } = this.#tables;
    this.#of(family).set(device, words, at, high, low, four.count + six.count < MOST);
  }

  #of(family: number): NeighbourTable {
    return family === 4 ? this.#tables[4] : this.#tables[6];
  }
}

class NeighbourTable {
  readonly #width: 1 | 4;
  readonly #seed: number;
  #slots = 32;
  #keys: Uint32Array;
  macs = new Uint32Array(this.#slots * 2);
  count = 0;

  constructor(width: 1 | 4, seed: number) {
    this.#width = width;
    this.#seed = seed | 0;
    this.#keys = new Uint32Array(this.#slots * (1 + width));
  }

  /** Slot of the address, or -1. */
  find(device: number, words: ArrayLike<number>, at: number): number {
    const slot = this.#slotOf(device, words, at);
    return this.#keys[slot * (1 + this.#width)] === 0 ? -1 : slot;
  }

  set(device: number, words: ArrayLike<number>, at: number, high: number, low: number, mayGrow: boolean): void {
    let slot = this.#slotOf(device, words, at);
    const width = this.#width;
    if (this.#keys[slot * (1 + width)] === 0) {
      if (!mayGrow) return;
      if (++this.count * 4 > this.#slots * 3) {
        this.#grow();
        slot = this.#slotOf(device, words, at);
      }
      const base = slot * (1 + width);
      this.#keys[base] = device + 1;
      for (let i = 0; i < width; i++) this.#keys[base + 1 + i] = words[at + i]!;
    }
    this.macs[slot * 2] = high;
    this.macs[slot * 2 + 1] = low;
  }

  /** Slot that holds the address, or the free one where it would go. */
  #slotOf(device: number, words: ArrayLike<number>, at: number): number {
    const keys = this.#keys;
    const width = this.#width;
    const last = this.#slots - 1;
    let hash = this.#seed ^ device;
    for (let i = 0; i < width; i++) {
      hash = Math.imul(hash ^ words[at + i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85ebca6b);
    hash ^= hash >>> 13;
    for (let slot = hash & last; ; slot = (slot + 1) & last) {
      const base = slot * (1 + width);
      if (keys[base] === 0) return slot;
      if (keys[base] !== device + 1) continue;
      let same = true;
      for (let i = 0; i < width && same; i++) same = keys[base + 1 + i] === words[at + i]! >>> 0;
      if (same) return slot;
    }
  }

  #grow(): void {
    const keys = this.#keys;
    const { macs } = this;
    const stride = 1 + this.#width;
    this.#slots *= 2;
    this.#keys = new Uint32Array(this.#slots * stride);
    this.macs = new Uint32Array(this.#slots * 2);
    for (let base = 0, from = 0; base < keys.length; base += stride, from += 2) {
      if (keys[base] === 0) continue;
      const slot = this.#slotOf(keys[base]! - 1, keys, base + 1);
      for (let i = 0; i < stride; i++) this.#keys[slot * stride + i] = keys[base + i]!;
      this.macs[slot * 2] = macs[from]!;
      this.macs[slot * 2 + 1] = macs[from + 1]!;
    }
  }
}
