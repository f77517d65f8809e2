/**
 * Address lists of the recent match. Kernel: struct recent_table, net/netfilter/xt_recent.c.
 * Layout: entry e has its address at address[4e .. 4e+4), its ring of stamps at stamps[e × ring …); a doubly linked
 * list (older, younger) from the least to the most recently updated entry. No entry is -1.
 */
import type { Family } from '../net/netfilter.js';

/** Module parameter ip_list_tot. */
const MAX_ENTRIES = 100;
const DEFAULT_RING = 32;
const NONE = -1;

/** Stamps that a rule's hitcount (0: none) asks of an entry's ring. */
export function ringSizeFor(hitCount: number): number {
  return hitCount === 0 ? DEFAULT_RING : 2 ** Math.ceil(Math.log2(hitCount));
}

export class RecentTable {
  /** Of the first rule that named the table. */
  readonly mask: ArrayLike<number>;
  count = 0;
  #ring: number;
  readonly #address = new Uint32Array(MAX_ENTRIES * 4);
  readonly #family = new Uint8Array(MAX_ENTRIES);
  readonly #ttl = new Uint16Array(MAX_ENTRIES);
  #stamps: Float64Array;
  readonly #stampCount = new Uint32Array(MAX_ENTRIES);
  /** Where the next stamp goes; 1 behind the last written one. */
  readonly #index = new Uint32Array(MAX_ENTRIES);
  readonly #older = new Int32Array(MAX_ENTRIES).fill(NONE);
  readonly #younger = new Int32Array(MAX_ENTRIES).fill(NONE);
  #oldest = NONE;
  #youngest = NONE;
  readonly #used = new Uint8Array(MAX_ENTRIES);

  constructor(mask: ArrayLike<number>, ring: number) {
    this.mask = mask;
    this.#ring = ring;
    this.#stamps = new Float64Array(MAX_ENTRIES * ring);
  }

  /** A rule that needs a larger ring empties the table and enlarges it. */
  need(ring: number): void {
    if (ring <= this.#ring) return;
    while (this.#oldest !== NONE) this.remove(this.#oldest);
    this.#ring = ring;
    this.#stamps = new Float64Array(MAX_ENTRIES * ring);
  }

  /**
   * Entry of the address words[at..at+4) under the mask, or -1; `ttl` 0 fits any, and an entry with ttl 0 any.
   * Per packet: allocates nothing. A hundred entries at most are searched one by one.
   */
  find(family: Family, words: ArrayLike<number>, at: number, ttl: number): number {
    const { mask } = this;
    const a = (words[at]! & mask[0]!) >>> 0;
    for (let e = this.#oldest; e !== NONE; e = this.#younger[e]!) {
      if (this.#address[e << 2] !== a || this.#family[e] !== family) continue;
      if (
        family === 6 &&
        (this.#address[(e << 2) + 1] !== (words[at + 1]! & mask[1]!) >>> 0 ||
          this.#address[(e << 2) + 2] !== (words[at + 2]! & mask[2]!) >>> 0 ||
          this.#address[(e << 2) + 3] !== (words[at + 3]! & mask[3]!) >>> 0)
      )
        continue;
      if (ttl === 0 || this.#ttl[e] === 0 || this.#ttl[e] === ttl) return e;
    }
    return NONE;
  }

  /** A new entry with one stamp; a full table loses its least recently updated one. */
  add(family: Family, words: ArrayLike<number>, at: number, ttl: number, now: number): void {
    if (this.count === MAX_ENTRIES) this.remove(this.#oldest);
    const e = this.#used.indexOf(0);
    this.#used[e] = 1;
    this.count++;
    for (let i = 0; i < 4; i++) this.#address[(e << 2) + i] = (words[at + i]! & this.mask[i]!) >>> 0;
    this.#family[e] = family;
    this.#ttl[e] = ttl;
    this.#stamps[e * this.#ring] = now;
    this.#stampCount[e] = 1;
    this.#index[e] = 1;
    this.#linkYoungest(e);
  }

  /** Another stamp; the entry becomes the youngest. Kernel: recent_entry_update(). */
  update(e: number, ttl: number, now: number): void {
    const at = this.#index[e]! & (this.#ring - 1);
    this.#stamps[e * this.#ring + at] = now;
    this.#index[e] = at + 1;
    if (at + 1 > this.#stampCount[e]!) this.#stampCount[e] = at + 1;
    this.#ttl[e] = ttl;
    this.#unlink(e);
    this.#linkYoungest(e);
  }

  remove(e: number): void {
    this.#unlink(e);
    this.#used[e] = 0;
    this.count--;
  }

  /** True if at least `hitCount` stamps (0: one) are not older than `since`; `since` -Infinity: all count. */
  hits(e: number, since: number, hitCount: number): boolean {
    const first = e * this.#ring;
    let hits = 0;
    for (let i = 0; i < this.#stampCount[e]!; i++) {
      if (this.#stamps[first + i]! < since) continue;
      if (hitCount === 0 || ++hits >= hitCount) return true;
    }
    return false;
  }

  /** Drops the least recently updated entry if its last stamp is older than `since`; never the one being updated. */
  reap(since: number, updating: number): void {
    const e = this.#oldest;
    if (e === NONE || e === updating) return;
    if (this.#stamps[e * this.#ring + this.#index[e]! - 1]! < since) this.remove(e);
  }

  #unlink(e: number): void {
    const older = this.#older[e]!;
    const younger = this.#younger[e]!;
    if (older === NONE) this.#oldest = younger;
    else this.#younger[older] = younger;
    if (younger === NONE) this.#youngest = older;
    else this.#older[younger] = older;
  }

  #linkYoungest(e: number): void {
    this.#older[e] = this.#youngest;
    this.#younger[e] = NONE;
    if (this.#youngest === NONE) this.#oldest = e;
    else this.#younger[this.#youngest] = e;
    this.#youngest = e;
  }
}
