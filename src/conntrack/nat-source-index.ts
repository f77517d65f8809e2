/**
 * Connections by the source part of their original tuple, newest first: source NAT gives one client port the same
 * outside port towards every destination (kernel: nf_nat_bysource, find_appropriate_src()).
 *
 * Most rule sets never ask (a port is free, or drawn at random): until somebody does, only the order of listing is kept.
 *
 * Layout: #heads[bucket] holds entry + 1 (0: none), #next[entry] the following entry + 1, #previous[entry] the one before.
 */
import { growFloat64, growInt32 } from '../base/grow.js';
import { IPS_SRC_NAT_DONE } from '../net/netfilter.js';
import type { EntryObserver, EntryTable } from './entry-table.js';
import { T_PORTS, T_PROTO, TUPLE_WORDS } from './tuple.js';

const FIRST_BUCKET_COUNT = 64;

export class NatSourceIndex implements EntryObserver {
  readonly #table: EntryTable;
  #heads = new Int32Array(FIRST_BUCKET_COUNT);
  #next: Int32Array = new Int32Array(0);
  #previous: Int32Array = new Int32Array(0);
  /** By entry: its place in the order of listing; 0: it is not listed. */
  #order: Float64Array = new Float64Array(0);
  #lastOrder = 0;
  #count = 0;
  /** Somebody has asked: the buckets are kept. */
  #isAsked = false;

  constructor(table: EntryTable) {
    this.#table = table;
  }

  /** Only connections whose source side NAT has decided are looked at; those it never saw are not listed. */
  inserted(entry: number): void {
    if ((this.#table.status[entry]! & IPS_SRC_NAT_DONE) === 0) return;
    if (entry >= this.#order.length) this.#order = growFloat64(this.#order, this.#table.capacity);
    this.#order[entry] = ++this.#lastOrder;
    this.#count++;
    this.#table.watch?.listedBySource(entry);
    if (!this.#isAsked) return;
    if (this.#next.length < this.#table.capacity) this.#grow(this.#table.capacity);
    if (this.#count > this.#heads.length) this.#build();
    else this.#link(entry);
  }

  removed(entry: number): void {
    if (entry >= this.#order.length || this.#order[entry] === 0) return;
    this.#order[entry] = 0;
    this.#count--;
    if (!this.#isAsked) return;
    const next = this.#next[entry]!;
    const previous = this.#previous[entry]!;
    if (previous === 0) this.#heads[this.#bucketOf(entry)] = next;
    else this.#next[previous - 1] = next;
    if (next !== 0) this.#previous[next - 1] = previous;
  }

  /**
   * Newest live entry with the source part of the tuple words[at..], or -1. Go on with `after`. `proto` is the T_PROTO word
   * of the asking connection's original tuple: where zones differ by direction, the original one counts.
   */
  first(words: Uint32Array, at: number, proto: number): number {
    this.#table.watch?.askedForSource(words, at, proto);
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#grow(this.#table.capacity);
      this.#build();
    }
    return this.#from(this.#heads[this.#bucket(words, at, proto)]!, words, at, proto);
  }

  /** The next older one after `entry`, or -1. */
  after(entry: number, words: Uint32Array, at: number, proto: number): number {
    return this.#from(this.#next[entry]!, words, at, proto);
  }

  #from(link: number, words: Uint32Array, at: number, proto: number): number {
    const { tuples } = this.#table;
    while (link !== 0) {
      const entry = link - 1;
      const own = entry * 2 * TUPLE_WORDS;
      if (
        tuples[own + T_PORTS]! >>> 16 === words[at + T_PORTS]! >>> 16 &&
        tuples[own + T_PROTO] === proto &&
        tuples[own] === words[at] &&
        tuples[own + 1] === words[at + 1] &&
        tuples[own + 2] === words[at + 2] &&
        tuples[own + 3] === words[at + 3]
      ) {
        this.#table.watch?.found(entry);
        if (this.#table.isAlive(entry)) return entry;
      }
      link = this.#next[entry]!;
    }
    return -1;
  }

  #bucket(words: Uint32Array, at: number, proto: number): number {
    let hash = Math.imul(words[at]! ^ 0x2545f491, 0x9e3779b1);
    for (let i = 1; i < 4; i++) hash = Math.imul(hash ^ (hash >>> 15) ^ words[at + i]!, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15) ^ (words[at + T_PORTS]! >>> 16), 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 13) ^ proto, 0x85ebca6b);
    return (hash ^ (hash >>> 16)) & (this.#heads.length - 1);
  }

  #bucketOf(entry: number): number {
    const at = entry * 2 * TUPLE_WORDS;
    return this.#bucket(this.#table.tuples, at, this.#table.tuples[at + T_PROTO]!);
  }

  #link(entry: number): void {
    const bucket = this.#bucketOf(entry);
    const head = this.#heads[bucket]!;
    this.#next[entry] = head;
    this.#previous[entry] = 0;
    if (head !== 0) this.#previous[head - 1] = entry + 1;
    this.#heads[bucket] = entry + 1;
  }

  /** Makes the buckets anew, so many that they are short. */
  #build(): void {
    let bucketCount = this.#heads.length;
    while (bucketCount < this.#count) bucketCount *= 2;
    this.#heads = new Int32Array(bucketCount);
    const order = this.#order;
    const listed: number[] = [];
    for (let entry = 0; entry < order.length; entry++) if (order[entry]! > 0) listed.push(entry);
    // Linking puts an entry first, so the oldest go in first to keep "newest first".
    listed.sort((a, b) => order[a]! - order[b]!);
    for (const entry of listed) this.#link(entry);
  }

  #grow(capacity: number): void {
    this.#next = growInt32(this.#next, capacity);
    this.#previous = growInt32(this.#previous, capacity);
  }
}
