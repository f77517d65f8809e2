/**
 * Neighbours: (device, address) → hardware address. Filled from `ip neigh` and, if asked, from what captured frames say.
 * Open addressing; layout: keys[slot × 6] is device + 1 (0: free), four address words and the family; macs[slot × 2].
 */
const WIDTH = 6;
/** Hostile captures may show any number of senders; past this nothing new is learned. */
const MOST = 1 << 20;

export class Neighbours {
  #slots = 64;
  #used = 0;
  #keys = new Uint32Array(this.#slots * WIDTH);
  #macs = new Uint32Array(this.#slots * 2);
  /** Hardware address that `find` has found: first two and last four bytes. */
  macHigh = 0;
  macLow = 0;

  /** Per packet: allocates nothing. Words are words[at..at+4), IPv4 in the first, the rest zero. */
  find(device: number, family: number, words: ArrayLike<number>, at: number): boolean {
    const slot = this.#slotOf(device, family, words, at);
    if (this.#keys[slot * WIDTH] === 0) return false;
    this.macHigh = this.#macs[slot * 2]!;
    this.macLow = this.#macs[slot * 2 + 1]!;
    return true;
  }

  set(device: number, family: number, words: ArrayLike<number>, at: number, high: number, low: number): void {
    let slot = this.#slotOf(device, family, words, at);
    if (this.#keys[slot * WIDTH] === 0) {
      if (this.#used >= MOST) return;
      if (++this.#used * 2 > this.#slots) {
        this.#grow();
        slot = this.#slotOf(device, family, words, at);
      }
      const base = slot * WIDTH;
      this.#keys[base] = device + 1;
      for (let i = 0; i < 4; i++) this.#keys[base + 1 + i] = family === 4 && i > 0 ? 0 : words[at + i]!;
      this.#keys[base + 5] = family;
    }
    this.#macs[slot * 2] = high;
    this.#macs[slot * 2 + 1] = low;
  }

  #slotOf(device: number, family: number, words: ArrayLike<number>, at: number): number {
    const keys = this.#keys;
    const last = this.#slots - 1;
    const count = family === 4 ? 1 : 4;
    let hash = device + family;
    for (let i = 0; i < count; i++) {
      hash = Math.imul(hash ^ words[at + i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    for (let slot = hash & last; ; slot = (slot + 1) & last) {
      const base = slot * WIDTH;
      if (keys[base] === 0) return slot;
      if (keys[base] !== device + 1 || keys[base + 5] !== family) continue;
      let same = true;
      for (let i = 0; i < count && same; i++) same = keys[base + 1 + i] === words[at + i]! >>> 0;
      if (same) return slot;
    }
  }

  #grow(): void {
    const keys = this.#keys;
    const macs = this.#macs;
    this.#slots *= 2;
    this.#keys = new Uint32Array(this.#slots * WIDTH);
    this.#macs = new Uint32Array(this.#slots * 2);
    for (let base = 0, from = 0; base < keys.length; base += WIDTH, from += 2) {
      if (keys[base] === 0) continue;
      const slot = this.#slotOf(keys[base]! - 1, keys[base + 5]!, keys, base + 1);
      for (let i = 0; i < WIDTH; i++) this.#keys[slot * WIDTH + i] = keys[base + i]!;
      this.#macs[slot * 2] = macs[from]!;
      this.#macs[slot * 2 + 1] = macs[from + 1]!;
    }
  }
}
