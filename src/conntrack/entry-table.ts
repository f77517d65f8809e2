/**
 * The connections of one host in typed arrays: no object per entry. An entry is an index; its two tuples lie at
 * (index × 2 + direction) × TUPLE_WORDS and are hashed on their own, so that one look-up finds entry and direction.
 *
 * Layout: a node is index × 2 + direction. #heads[bucket] holds node + 1 (0: none), #links[2 × node] the following node + 1
 * and the tuple's hash behind it, which tells most of what shares a bucket apart without a look at the tuples. Entries that were given back wait in a queue before they are used again: packets on
 * their way may still look at one (the kernel holds them by reference count).
 * Kernel: nf_conntrack_hash, __nf_conntrack_find_get(), nf_conntrack_alloc().
 */
import { growFloat64, growInt32, growUint8, growUint32 } from '../base/grow.js';
import { IPS_CONFIRMED, IPS_DYING } from '../net/netfilter.js';
import type { LookupWatch } from './lookup-watch.js';
import { T_PORTS, T_PROTO, TUPLE_WORDS, tupleZone } from './tuple.js';

const FIRST_CAPACITY = 64;
const FIRST_BUCKET_COUNT = 64;
/** Entries given back stay untouched until so many more have been given back. */
const QUARANTINE = 64;
/** Kernel: NF_CT_EVICTION_RANGE. */
const EVICTION_RANGE = 8;
/** Numbers of `made` for each turn, and for all before the first. */
const TURN = 65_536;
const FIRST_TURN = 2 ** 26;

/** What an index called by the table keeps up to date, e.g. the source index of NAT. */
export interface EntryObserver {
  inserted(entry: number): void;
  removed(entry: number): void;
}

export class EntryTable {
  /** Entry i, direction d at (i × 2 + d) × TUPLE_WORDS. Arrays are replaced when the table grows: never keep one. */
  tuples: Uint32Array = new Uint32Array(FIRST_CAPACITY * 2 * TUPLE_WORDS);
  /** IPS_… bits. */
  status: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  mark: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  /** Moment of expiry on the virtual clock, µs; confirmed entries only (before: the timeout itself, µs). */
  deadlineUs: Float64Array = new Float64Array(FIRST_CAPACITY);
  createdUs: Float64Array = new Float64Array(FIRST_CAPACITY);
  /** Seen so far at index × 2 + direction; -1: not counted. */
  packets: Float64Array = new Float64Array(FIRST_CAPACITY * 2);
  bytes: Float64Array = new Float64Array(FIRST_CAPACITY * 2);
  /** Protocol's state (TCP, SCTP: number of their table). */
  state: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** Entry of the connection that expected this one, or -1. */
  master: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** How often the index has been handed out: tells an entry from a later one in its place. */
  serial: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  /** Device through which a masqueraded connection leaves, or 0. */
  natDevice: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** Grows from entry to entry as they are made: tells their order, which indices do not (they are used again). */
  made: Float64Array = new Float64Array(FIRST_CAPACITY);

  /** Virtual time as of the last tick, µs; whoever works with the table keeps it in step. */
  nowUs = 0;
  /** Called at insert and remove. */
  observer: EntryObserver | undefined;
  watch: LookupWatch | undefined;
  /** Most entries that were handed out at once. */
  peakCount = 0;

  readonly #seed: number;
  #heads: Int32Array = new Int32Array(FIRST_BUCKET_COUNT);
  #mask = FIRST_BUCKET_COUNT - 1;
  #links: Int32Array = new Int32Array(FIRST_CAPACITY * 4);
  /** Queue of entries given back: #freeNext[entry] is the one after it, -1 at the tail. */
  #freeNext: Int32Array = new Int32Array(FIRST_CAPACITY);
  #freeHead = -1;
  #freeTail = -1;
  #freeCount = 0;
  /** 1 while an entry is handed out. */
  #used: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  #limit = 0;
  #nextMade = 1;
  #count = 0;
  #confirmed = 0;
  #capacity = FIRST_CAPACITY;

  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  /** Entries handed out: confirmed, unconfirmed, and expired ones that nobody has met yet. */
  get count(): number {
    return this.#count;
  }
  get confirmedCount(): number {
    return this.#confirmed;
  }
  /** Indices are below this. */
  get limit(): number {
    return this.#limit;
  }
  get capacity(): number {
    return this.#capacity;
  }

  /** True for a confirmed entry that has not expired. */
  isAlive(entry: number): boolean {
    return (
      (this.status[entry]! & (IPS_CONFIRMED | IPS_DYING)) === IPS_CONFIRMED && this.nowUs < this.deadlineUs[entry]!
    );
  }

  /** From now on `made` is at least `turn` × TURN: entries of one turn are told by it from those of another. */
  beginTurn(turn: number): void {
    this.#nextMade = Math.max(this.#nextMade, FIRST_TURN + turn * TURN);
  }

  /** A fresh unconfirmed entry with empty status; its tuples are the caller's to write. */
  allocate(): number {
    let entry: number;
    if (this.#freeCount > QUARANTINE) {
      entry = this.#freeHead;
      this.#freeHead = this.#freeNext[entry]!;
      this.#freeCount--;
    } else {
      entry = this.#limit++;
      if (entry >= this.#capacity) this.#grow();
    }
    if (++this.#count > this.peakCount) this.peakCount = this.#count;
    this.watch?.allocated(this.nowUs);
    this.#used[entry] = 1;
    this.serial[entry] = this.serial[entry]! + 1;
    this.status[entry] = 0;
    this.mark[entry] = 0;
    this.deadlineUs[entry] = 0;
    this.createdUs[entry] = this.nowUs;
    this.packets[entry * 2] = this.packets[entry * 2 + 1] = -1;
    this.bytes[entry * 2] = this.bytes[entry * 2 + 1] = -1;
    this.state[entry] = 0;
    this.master[entry] = -1;
    this.natDevice[entry] = 0;
    this.made[entry] = this.#nextMade++;
    return entry;
  }

  /** Gives an unconfirmed (or removed) entry back. What it held stays readable for a while. */
  free(entry: number): void {
    if (this.#used[entry] === 0) return;
    this.#used[entry] = 0;
    this.#count--;
    this.#freeNext[entry] = -1;
    if (this.#freeCount === 0) this.#freeHead = entry;
    else this.#freeNext[this.#freeTail] = entry;
    this.#freeTail = entry;
    this.#freeCount++;
  }

  /** Hashes both tuples and sets CONFIRMED. `deadlineUs` must be set by the caller. */
  insert(entry: number): void {
    this.#hashOwn(entry * 2);
    this.#hashOwn(entry * 2 + 1);
    this.insertHashed(entry);
  }

  /** The same for an entry both of whose tuples were just looked for by `findOwn`. */
  insertHashed(entry: number): void {
    if (this.#count * 2 > this.#heads.length) this.#rehash(this.#heads.length * 2);
    this.status[entry] = this.status[entry]! | IPS_CONFIRMED;
    this.#link(entry * 2);
    this.#link(entry * 2 + 1);
    this.#confirmed++;
    this.watch?.inserted(entry);
    this.observer?.inserted(entry);
  }

  /** Takes a confirmed entry out of the hash, marks it DYING and gives it back. */
  remove(entry: number): void {
    const status = this.status[entry]!;
    if ((status & (IPS_CONFIRMED | IPS_DYING)) !== IPS_CONFIRMED) return;
    this.observer?.removed(entry);
    this.#unlink(entry * 2);
    this.#unlink(entry * 2 + 1);
    this.status[entry] = status | IPS_DYING;
    this.#confirmed--;
    this.free(entry);
  }

  /**
   * Node (entry × 2 + direction) of the confirmed, unexpired entry with the tuple words[at..], or -1. Expired entries met on
   * the way are removed. Per packet: allocates nothing. Kernel: ____nf_conntrack_find().
   */
  find(words: Uint32Array, at: number): number {
    return this.#findHashed(words, at, hashTuple(words, at, this.#seed));
  }

  /** As `find` for the tuple of an unconfirmed entry's own node. */
  findOwn(node: number): number {
    return this.#findHashed(this.tuples, node * TUPLE_WORDS, this.#hashOwn(node));
  }

  #findHashed(words: Uint32Array, at: number, hash: number): number {
    const node = this.#search(words, at, hash, this.#heads[hash & this.#mask]!);
    if (this.watch !== undefined) {
      if (node === -1) this.watch.missed(words, at);
      else this.watch.found(node >> 1);
    }
    return node;
  }

  /** As `find`, but only a node of the given direction counts. */
  findDirection(words: Uint32Array, at: number, direction: number): number {
    let node = this.find(words, at);
    while (node !== -1 && (node & 1) !== direction) node = this.#findAfter(words, at, node);
    return node;
  }

  /** What the search that has found `node` finds next. */
  #findAfter(words: Uint32Array, at: number, node: number): number {
    return this.#search(words, at, this.#links[2 * node + 1]!, this.#links[2 * node]!);
  }

  /** The search of `find` from a link on (node + 1, 0: end). */
  #search(words: Uint32Array, at: number, hash: number, first: number): number {
    if (first === 0) return -1;
    let link = first;
    const proto = words[at + T_PROTO]!;
    const ports = words[at + T_PORTS]!;
    const src = words[at]!;
    const dst = words[at + 4]!;
    while (link !== 0) {
      const node = link - 1;
      const own = node * TUPLE_WORDS;
      const { tuples } = this;
      link = this.#links[2 * node]!;
      if (this.#links[2 * node + 1] !== hash) continue;
      if (
        tuples[own + T_PORTS] !== ports ||
        tuples[own] !== src ||
        tuples[own + 4] !== dst ||
        tuples[own + T_PROTO] !== proto ||
        ((proto & 0x200) !== 0 && !sameTail(tuples, own, words, at))
      ) {
        continue;
      }
      const entry = node >> 1;
      if (this.nowUs < this.deadlineUs[entry]!) return node;
      this.remove(entry);
    }
    return -1;
  }

  /**
   * Whether another confirmed, unexpired entry than `except` has the tuple in either direction. Entries with `except`'s own original tuple do
   * not count: that is the same connection, met twice. Where the zones of `except` differ by direction, replies are compared with replies
   * only. Kernel: nf_conntrack_tuple_taken().
   */
  isTaken(words: Uint32Array, at: number, except: number): boolean {
    const repliesOnly = except >= 0 && tupleZone(this.tuples, except * 2 * TUPLE_WORDS) !== tupleZone(words, at);
    let node = this.find(words, at);
    while (node !== -1) {
      const entry = node >> 1;
      const counts = entry !== except && (!repliesOnly || (node & 1) === 1);
      if (counts && (except < 0 || !this.#sameTuple(entry * 2, except * 2))) return true;
      node = this.#findAfter(words, at, node);
    }
    return false;
  }

  #sameTuple(a: number, b: number): boolean {
    for (let i = 0; i < TUPLE_WORDS; i++) {
      if (this.tuples[a * TUPLE_WORDS + i] !== this.tuples[b * TUPLE_WORDS + i]) return false;
    }
    return true;
  }

  /**
   * Makes room in a full table: looks through EVICTION_RANGE buckets, of `bucketCount` (rounded up to a power of two), from the bucket of the new tuple
   * on, and removes all entries that `mayGo` in the first bucket that has any. False: nothing could go. Kernel: early_drop().
   */
  evict(words: Uint32Array, at: number, bucketCount: number, mayGo: (entry: number) => boolean): boolean {
    const count = 2 ** Math.ceil(Math.log2(bucketCount));
    const first = hashTuple(words, at, this.#seed) & (count - 1);
    for (let n = 0; n < EVICTION_RANGE; n++) {
      const bucket = (first + n) & (count - 1);
      let removed = false;
      // The table's own buckets may be fewer (then they hold others too) or more (then several make one).
      for (let own = bucket & this.#mask; own <= this.#mask; own += count) {
        for (let link = this.#heads[own]!; link !== 0; ) {
          const node = link - 1;
          link = this.#links[2 * node]!;
          if ((this.#links[2 * node + 1]! & (count - 1)) !== bucket) continue;
          const entry = node >> 1;
          if (!this.isAlive(entry)) {
            this.remove(entry);
          } else if (mayGo(entry)) {
            this.remove(entry);
            removed = true;
          }
        }
      }
      if (removed) return true;
    }
    return false;
  }

  /** Calls `visit` with each confirmed, unexpired entry in index order; it may remove the entry it is given. */
  forEach(visit: (entry: number) => void): void {
    for (let entry = 0; entry < this.#limit; entry++) {
      if (this.#used[entry] === 1 && this.isAlive(entry)) visit(entry);
    }
  }

  /** Removes what has expired among `count` indices from `start` on; returns where to go on. Kernel: gc_worker(). */
  sweep(start: number, count: number): number {
    let entry = start < this.#limit ? start : 0;
    for (let n = Math.min(count, this.#limit); n > 0; n--) {
      if (this.#used[entry] === 1 && (this.status[entry]! & IPS_CONFIRMED) !== 0 && !this.isAlive(entry)) {
        this.remove(entry);
      }
      if (++entry >= this.#limit) entry = 0;
    }
    return entry;
  }

  /** Moves all moments of confirmed entries by `us` µs. */
  shift(us: number): void {
    for (let entry = 0; entry < this.#limit; entry++) {
      this.createdUs[entry] = this.createdUs[entry]! + us;
      if ((this.status[entry]! & IPS_CONFIRMED) !== 0) this.deadlineUs[entry] = this.deadlineUs[entry]! + us;
    }
  }

  /** Notes the hash of the node's tuple. */
  #hashOwn(node: number): number {
    const hash = hashTuple(this.tuples, node * TUPLE_WORDS, this.#seed);
    this.#links[2 * node + 1] = hash;
    return hash;
  }

  /** The node's hash has been noted. */
  #link(node: number): void {
    const links = this.#links;
    const bucket = links[2 * node + 1]! & this.#mask;
    links[2 * node] = this.#heads[bucket]!;
    this.#heads[bucket] = node + 1;
  }

  #unlink(node: number): void {
    const links = this.#links;
    const bucket = links[2 * node + 1]! & this.#mask;
    let link = this.#heads[bucket]!;
    if (link === node + 1) {
      this.#heads[bucket] = links[2 * node]!;
      return;
    }
    while (link !== 0) {
      const following = links[2 * (link - 1)]!;
      if (following === node + 1) {
        links[2 * (link - 1)] = links[2 * node]!;
        return;
      }
      link = following;
    }
    throw new Error('bug: a confirmed entry is missing in its bucket');
  }

  #rehash(bucketCount: number): void {
    this.#heads = new Int32Array(bucketCount);
    this.#mask = bucketCount - 1;
    for (let entry = 0; entry < this.#limit; entry++) {
      if (this.#used[entry] === 0 || (this.status[entry]! & IPS_CONFIRMED) === 0) continue;
      this.#link(entry * 2);
      this.#link(entry * 2 + 1);
    }
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    this.#capacity = capacity;
    this.tuples = growUint32(this.tuples, capacity * 2 * TUPLE_WORDS);
    this.status = growUint32(this.status, capacity);
    this.mark = growUint32(this.mark, capacity);
    this.serial = growUint32(this.serial, capacity);
    this.deadlineUs = growFloat64(this.deadlineUs, capacity);
    this.createdUs = growFloat64(this.createdUs, capacity);
    this.packets = growFloat64(this.packets, capacity * 2);
    this.bytes = growFloat64(this.bytes, capacity * 2);
    this.master = growInt32(this.master, capacity);
    this.natDevice = growInt32(this.natDevice, capacity);
    this.made = growFloat64(this.made, capacity);
    this.#links = growInt32(this.#links, capacity * 4);
    this.#freeNext = growInt32(this.#freeNext, capacity);
    this.state = growUint8(this.state, capacity);
    this.#used = growUint8(this.#used, capacity);
  }
}

/** The words that only IPv6 uses. */
function sameTail(a: Uint32Array, aAt: number, b: Uint32Array, bAt: number): boolean {
  for (let i = 1; i < 8; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

/** Multiply and fold each word; IPv4 leaves out the words that are 0. Signed. */
function hashTuple(words: Uint32Array, at: number, seed: number): number {
  const proto = words[at + T_PROTO]!;
  let hash = Math.imul(seed ^ words[at]!, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ words[at + 4]!, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ words[at + T_PORTS]!, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ proto, 0x85ebca6b);
  if ((proto & 0x200) !== 0) {
    for (let i = 1; i < 8; i++) {
      hash = Math.imul(hash ^ (hash >>> 15) ^ words[at + i]!, 0x9e3779b1);
    }
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0xc2b2ae35);
  return hash ^ (hash >>> 15);
}
