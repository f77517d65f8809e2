/**
 * A small number for each of the IPv4 addresses asked for lately. Direct-mapped; it grows while most questions are new to
 * it, up to a size that still fits a processor's cache.
 * Layout: words[2 × slot] is the address, then the value + 2 (0: free).
 */
const FIRST_SLOTS = 256;
const MOST_SLOTS = 32_768;

/** The cache does not know. */
export const UNKNOWN = -2;

export class AddressCache {
  #words = new Int32Array(2 * FIRST_SLOTS);
  /** Entries stored since the cache had its size. */
  #stored = 0;

  /** The value (at least -1), or UNKNOWN. Per packet: allocates nothing. */
  find(address: number): number {
    const words = this.#words;
    const at = this.#slotOf(address);
    return words[at] === (address | 0) ? words[at + 1]! - 2 : UNKNOWN;
  }

  set(address: number, value: number): void {
    if (++this.#stored > this.#words.length && this.#words.length < 2 * MOST_SLOTS) {
      this.#words = new Int32Array(4 * this.#words.length);
      this.#stored = 0;
    }
    const at = this.#slotOf(address);
    this.#words[at] = address;
    this.#words[at + 1] = value + 2;
  }

  #slotOf(address: number): number {
    const hash = Math.imul(address, 0x9e3779b1);
    return ((hash ^ (hash >>> 15)) & ((this.#words.length >> 1) - 1)) << 1;
  }
}
