/**
 * What the parts of a replay have touched on a host, to show that no part has met another: then each part's packets would
 * have fared the same had the others not been there, and parts may be replayed apart. A part is a number; parts that have
 * met are linked. Keys are kept as pairs of hashes (pair-hash.ts): two different things may be taken for one, which links
 * parts that need not be; one thing is never taken for two.
 */
import { PairHash } from '../base/pair-hash.js';
import { PairTable } from '../base/pair-table.js';
import { UnionFind } from '../base/union-find.js';
import type { EntryTable } from '../conntrack/entry-table.js';
import { T_PORTS, TUPLE_WORDS } from '../conntrack/tuple.js';
import type { HostWatch, SharedThing } from '../host/host.js';
import type { SessionWatch } from './session.js';
import type { WireKey } from './wire-key.js';

/** Kinds of keys. */
const SALT_TUPLE = 11;
const SALT_SOURCE = 12;
const SALT_THING = 13;
const SALT_WIRE = 14;
const THINGS: readonly SharedThing[] = ['fragments', 'icmp-limit'];
/** Nobody: the connections that were there before. */
const NO_PART = -1;
const SECOND_US = 1_000_000;

/** What a footprint comes to, as plain data. */
export interface FootprintData {
  /** Three words each: hash, hash, part that touched it. */
  readonly keys: Uint32Array;
  /** The same for sources asked for by source NAT, and for every connection that can be met by its source. */
  readonly askedSources: Uint32Array;
  readonly listedSources: Uint32Array;
  /** Two parts each. */
  readonly links: Uint32Array;
  /** Connections from before (their `made`) that were met. */
  readonly claimed: Float64Array;
  /** Most entries of the connection table at once, and most that were made in a second of the clock. */
  readonly peakCount: number;
  readonly mostPerSecond: number;
  /** Why the parts cannot be replayed apart at all. */
  readonly obstacle: string | undefined;
}

export class Footprint implements HostWatch, SessionWatch {
  /** Part of the record that is replayed next. */
  record = NO_PART;
  /** Part for which the host works at the moment. */
  part = NO_PART;
  #obstacle: string | undefined;
  #entries: EntryTable | undefined;
  readonly #hash: PairHash;
  readonly #keys = new PairTable();
  readonly #asked = new PairTable();
  readonly #listed: number[] = [];
  readonly #links: number[] = [];
  readonly #joined = new UnionFind();
  /** Part that owns the entry, by index. */
  #owner = new Int32Array(64);
  readonly #claimed: number[] = [];
  readonly #key = new Uint32Array(6);
  #second = -1;
  #ofSecond = 0;
  #mostPerSecond = 0;

  /** `partCount`: parts are below it. `seed` is the same for all footprints that are compared. */
  constructor(partCount: number, seed: number) {
    this.#hash = new PairHash(seed);
    this.#joined.extend(partCount);
  }

  /** The connections of the host that is watched: needed before the first record. */
  attach(entries: EntryTable): void {
    this.#entries = entries;
  }

  found(entry: number): void {
    const owner = this.#owner[entry]!;
    if (owner === this.part) return;
    if (owner !== NO_PART) {
      this.#link(owner);
      return;
    }
    if (this.part === NO_PART) return;
    this.#owner[entry] = this.part;
    this.#claimed.push(this.#entries!.made[entry]!);
    this.#noteTuples(entry);
  }

  missed(words: Uint32Array, at: number): void {
    if (this.part !== NO_PART) this.#noteTuple(words, at);
  }

  allocated(nowUs: number): void {
    if (this.part === NO_PART) return;
    const second = Math.floor(nowUs / SECOND_US);
    if (second !== this.#second) {
      this.#second = second;
      this.#ofSecond = 0;
    }
    if (++this.#ofSecond > this.#mostPerSecond) this.#mostPerSecond = this.#ofSecond;
  }

  inserted(entry: number): void {
    if (entry >= this.#owner.length) this.#grow(entry);
    // Its tuples are noted already: before an entry is confirmed, both are looked for, and missed.
    this.#owner[entry] = this.part;
  }

  listedBySource(entry: number): void {
    if (this.part === NO_PART) return;
    const { tuples } = this.#entries!;
    const at = entry * 2 * TUPLE_WORDS;
    this.#hashSource(tuples, at, tuples[at + TUPLE_WORDS - 1]!);
    this.#listed.push(this.#hash.first >>> 0, this.#hash.second >>> 0, this.part);
  }

  askedForSource(words: Uint32Array, at: number, proto: number): void {
    this.#hashSource(words, at, proto);
    this.#note(this.#asked);
  }

  uses(thing: SharedThing): void {
    if (this.part === NO_PART) return;
    this.#hashThing(thing);
    this.#note(this.#keys);
  }

  beginRecord(): void {
    this.part = this.record;
  }

  beginTimers(): void {
    this.#hashThing('fragments');
    this.part = this.#keys.find(this.#hash.first, this.#hash.second);
  }

  /** A frame whose conversation cannot be told may be a fragment. */
  wire(key: WireKey | undefined): void {
    if (key === undefined) {
      this.uses('fragments');
      return;
    }
    this.#hash.of(key.words, 0, TUPLE_WORDS, SALT_WIRE);
    this.#note(this.#keys);
  }

  cannotTellApart(why: string): void {
    this.#obstacle ??= why;
  }

  /** The entry was there before, and nobody has met it. */
  isUntouched(entry: number): boolean {
    return this.#owner[entry] === NO_PART;
  }

  data(): FootprintData {
    const links = [...this.#links];
    for (let i = 0; i < this.#listed.length && this.#asked.count > 0; i += 3) {
      const asking = this.#asked.find(this.#listed[i]!, this.#listed[i + 1]!);
      if (asking !== -1 && this.#joined.join(asking, this.#listed[i + 2]!)) links.push(asking, this.#listed[i + 2]!);
    }
    return {
      keys: this.#keys.entries(),
      askedSources: this.#asked.entries(),
      listedSources: Uint32Array.from(this.#listed),
      links: Uint32Array.from(links),
      claimed: Float64Array.from(this.#claimed),
      peakCount: this.#entries?.peakCount ?? 0,
      mostPerSecond: this.#mostPerSecond,
      obstacle: this.#obstacle,
    };
  }

  #noteTuples(entry: number): void {
    const { tuples } = this.#entries!;
    this.#noteTuple(tuples, entry * 2 * TUPLE_WORDS);
    this.#noteTuple(tuples, (entry * 2 + 1) * TUPLE_WORDS);
  }

  #noteTuple(words: Uint32Array, at: number): void {
    this.#hash.of(words, at, TUPLE_WORDS, SALT_TUPLE);
    this.#note(this.#keys);
  }

  #hashSource(words: Uint32Array, at: number, proto: number): void {
    const key = this.#key;
    for (let i = 0; i < 4; i++) key[i] = words[at + i]!;
    key[4] = words[at + T_PORTS]! >>> 16;
    key[5] = proto;
    this.#hash.of(key, 0, 6, SALT_SOURCE);
  }

  #hashThing(thing: SharedThing): void {
    this.#key[0] = THINGS.indexOf(thing);
    this.#hash.of(this.#key, 0, 1, SALT_THING);
  }

  #note(table: PairTable): void {
    const before = table.add(this.#hash.first, this.#hash.second, this.part);
    if (before !== -1 && before !== this.part) this.#link(before);
  }

  #link(other: number): void {
    if (this.#joined.join(other, this.part)) this.#links.push(other, this.part);
  }

  #grow(entry: number): void {
    const grown = new Int32Array(2 * (entry + 1)).fill(NO_PART);
    grown.set(this.#owner);
    this.#owner = grown;
  }
}

/**
 * Links between parts that the footprints of one run show, each to be of parts that one worker has replayed alone: joins them
 * in `parts`. True if parts of different workers have met, so that the run proves nothing.
 */
export function joinFootprints(
  footprints: readonly FootprintData[],
  parts: UnionFind,
  workerOf: (part: number) => number,
): boolean {
  let haveMet = false;
  const meet = (a: number, b: number): void => {
    if (workerOf(a) !== workerOf(b)) haveMet = true;
    parts.join(a, b);
  };
  const collect = (pick: (data: FootprintData) => Uint32Array): PairTable => {
    const table = new PairTable();
    for (const data of footprints) {
      const words = pick(data);
      for (let i = 0; i < words.length; i += 3) {
        const before = table.add(words[i]!, words[i + 1]!, words[i + 2]!);
        if (before !== -1 && before !== words[i + 2]) meet(before, words[i + 2]!);
      }
    }
    return table;
  };
  for (const { links } of footprints) for (let i = 0; i < links.length; i += 2) meet(links[i]!, links[i + 1]!);
  collect((data) => data.keys);
  const asked = collect((data) => data.askedSources);
  if (asked.count === 0) return haveMet;
  for (const { listedSources: listed } of footprints) {
    for (let i = 0; i < listed.length; i += 3) {
      const asking = asked.find(listed[i]!, listed[i + 1]!);
      if (asking !== -1) meet(asking, listed[i + 2]!);
    }
  }
  return haveMet;
}
