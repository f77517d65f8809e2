/**
 * Which records of a replay belong together, as far as a look at the wire tells: those of one conversation (wire-key.ts), and
 * all whose conversation cannot be told. Where addresses are translated one connection shows as two conversations; they
 * are guessed to be one if they share an end that few others have. A guess may be wrong either way: too much joined costs
 * balance, too little shows when the parts are replayed (footprint.ts), and is then joined.
 */
import { growFloat64, growUint32 } from '../base/grow.js';
import { PairHash } from '../base/pair-hash.js';
import { PairTable } from '../base/pair-table.js';
import { UnionFind } from '../base/union-find.js';
import { T_DST, T_PORTS, T_PROTO, T_SRC } from '../conntrack/tuple.js';
import { hasPorts } from '../wire/packet.js';
import type { WireKey } from './wire-key.js';

/** Part of every packet whose conversation cannot be told. */
export const REST = 0;
/** Conversations that share an end: more are a server's clients, not two sides of one connection. */
const MOST_SHARING_END = 3;
/** Conversations that show one sequence number: two connections may begin with the same; more are made so by a program. */
const MOST_SHARING_SEQUENCE = 8;
const SALT_END = 21;
const SALT_END_AND_PORT = 22;
const SALT_SEQUENCE = 23;
const SALT_SERVER = 24;
/** A part or server heavier than this share of a worker's load is dealt out on its own. */
const HEAVY = 1 / 4;
/** Share of all records that one worker may have; beyond it several are not worth their start. */
const MOST_ALONE = 0.9;

export class Partition {
  /** Sets of parts that belong together; each is known by its smallest part. */
  readonly parts = new UnionFind();
  readonly #conversations = new PairTable();
  /** Records of each part, and the server that its first record names. */
  #weight: Float64Array = new Float64Array(64);
  #server: Uint32Array = new Uint32Array(64);
  readonly #servers = new PairTable();
  readonly #hash: PairHash;
  readonly #key = new Uint32Array(7);
  /** By sequence numbers, which tell much, and by ends, which tell less; undefined: nothing is guessed. */
  readonly #sequences: Guesses | undefined;
  readonly #ends: Guesses | undefined;

  /** `translated`: addresses may be rewritten on the way, so guesses are worth their while. */
  constructor(seed: number, translated: boolean) {
    this.#hash = new PairHash(seed);
    if (translated) {
      this.#sequences = new Guesses(MOST_SHARING_SEQUENCE);
      this.#ends = new Guesses(MOST_SHARING_END);
    }
    this.#begin(REST, 0);
  }

  get partCount(): number {
    return this.parts.count;
  }

  /** Part of a record whose conversation `wire` was read for, undefined where it cannot be told. */
  add(wire: WireKey | undefined): number {
    let part = REST;
    if (wire !== undefined) {
      const { first, second } = wire.hash;
      const next = this.parts.count;
      part = this.#conversations.add(first, second, next);
      if (part === -1) {
        part = next;
        this.#begin(part, this.#serverOf(wire));
        this.#guess(part, wire);
      }
    }
    this.#weight[part] = this.#weight[part]! + 1;
    return part;
  }

  /** The record of `part` opens a TCP connection, or answers that: its other side will show the same number, if any does. */
  noteSequence(part: number, number: number): void {
    if (this.#sequences === undefined) return;
    this.#key[0] = number;
    this.#hash.of(this.#key, 0, 1, SALT_SEQUENCE);
    this.#sequences.note(this.#hash, part);
  }

  /** No record comes any more: joins what is guessed to be one. */
  settleGuesses(): void {
    const paired = new Uint8Array(this.parts.count);
    this.#sequences?.settle(this.parts, paired);
    this.#ends?.settle(this.parts, paired);
  }

  /**
   * Worker (below `workerCount`) of each part, the same for parts that belong together. Those of one server stay together as
   * far as that leaves balance: they are the likeliest to meet. Returns undefined where one worker would have nearly all.
   */
  deal(workerCount: number): Uint8Array | undefined {
    const { parts } = this;
    const { count } = parts;
    const weight = new Float64Array(count);
    let total = 0;
    for (let i = 0; i < count; i++) {
      const root = parts.find(i);
      weight[root] = weight[root]! + this.#weight[i]!;
      total += this.#weight[i]!;
    }
    const heavy = (total / workerCount) * HEAVY;
    const load = new Float64Array(workerCount);
    const worker = new Uint8Array(count);
    const give = (amount: number): number => {
      let least = 0;
      for (let w = 1; w < workerCount; w++) if (load[w]! < load[least]!) least = w;
      load[least] = load[least]! + amount;
      return least;
    };
    const heavyRoots: number[] = [];
    const byServer = new Float64Array(this.#servers.count + 1);
    for (let i = 0; i < count; i++) {
      if (parts.find(i) !== i) continue;
      if (weight[i]! > heavy) heavyRoots.push(i);
      else byServer[this.#server[i]!] = byServer[this.#server[i]!]! + weight[i]!;
    }
    heavyRoots.sort((a, b) => weight[b]! - weight[a]!);
    for (const root of heavyRoots) worker[root] = give(weight[root]!);
    const servers = [...byServer.keys()].filter((s) => byServer[s]! > 0 && byServer[s]! <= heavy);
    servers.sort((a, b) => byServer[b]! - byServer[a]!);
    const ofServer = new Int16Array(byServer.length).fill(-1);
    for (const server of servers) ofServer[server] = give(byServer[server]!);
    for (let i = 0; i < count; i++) {
      if (parts.find(i) !== i || weight[i]! > heavy) continue;
      const together = ofServer[this.#server[i]!]!;
      worker[i] = together === -1 ? give(weight[i]!) : together;
    }
    for (let i = 0; i < count; i++) worker[i] = worker[parts.find(i)]!;
    return Math.max(...load) > total * MOST_ALONE ? undefined : worker;
  }

  #begin(part: number, server: number): void {
    this.parts.extend(part + 1);
    if (part >= this.#weight.length) {
      this.#weight = growFloat64(this.#weight, part + 1);
      this.#server = growUint32(this.#server, part + 1);
    }
    this.#server[part] = server;
  }

  /** Number of the end with the smaller port: most likely that which was dialled. */
  #serverOf({ words }: WireKey): number {
    const ports = words[T_PORTS]!;
    const at = ports >>> 16 < (ports & 0xffff) ? T_SRC : T_DST;
    this.#hashEnd(words, at, SALT_SERVER);
    const next = this.#servers.count + 1;
    const known = this.#servers.add(this.#hash.first, this.#hash.second, next);
    return known === -1 ? next : known;
  }

  #hashEnd(words: Uint32Array, at: number, salt: number): void {
    const key = this.#key;
    const ports = words[T_PORTS]!;
    for (let i = 0; i < 4; i++) key[i] = words[at + i]!;
    key[4] = at === T_SRC ? ports >>> 16 : ports & 0xffff;
    key[5] = words[T_PROTO]!;
    // With the other end's port where the salt is for that.
    key[6] = salt !== SALT_END_AND_PORT ? 0 : at === T_SRC ? ports & 0xffff : ports >>> 16;
    this.#hash.of(key, 0, 7, salt);
  }

  /** DNAT leaves the client's end as it is; SNAT leaves the server's, and mostly the client's port. */
  #guess(part: number, wire: WireKey): void {
    const guesses = this.#ends;
    if (guesses === undefined || !hasPorts(wire.words[T_PROTO]! & 255)) return;
    for (const salt of [SALT_END, SALT_END_AND_PORT]) {
      for (const at of [T_SRC, T_DST]) {
        this.#hashEnd(wire.words, at, salt);
        guesses.note(this.#hash, part);
      }
    }
  }
}

/** Things by which two conversations may be told to be one connection: those that only few have. */
class Guesses {
  readonly #table = new PairTable();
  readonly #most: number;
  /** Conversations that have it, and the first one, by number of the thing. */
  #sharing: Uint32Array = new Uint32Array(64);
  #first: Uint32Array = new Uint32Array(64);
  /** Thing and conversation, for the later ones. */
  readonly #later: number[] = [];

  /** A thing that more than `most` conversations have tells nothing. */
  constructor(most: number) {
    this.#most = most;
  }

  note(hash: PairHash, part: number): void {
    const next = this.#table.count;
    const thing = this.#table.add(hash.first, hash.second, next);
    if (thing === -1) {
      if (next >= this.#first.length) {
        this.#first = growUint32(this.#first, next + 1);
        this.#sharing = growUint32(this.#sharing, next + 1);
      }
      this.#first[next] = part;
      this.#sharing[next] = 1;
      return;
    }
    if (this.#first[thing] === part || this.#sharing[thing]! > this.#most) return;
    this.#sharing[thing] = this.#sharing[thing]! + 1;
    this.#later.push(thing, part);
  }

  /** Joins those that share a thing; who is `paired` has found the other side already, and looks for no other by another kind of thing. */
  settle(parts: UnionFind, paired: Uint8Array): void {
    const before = paired.slice();
    for (let i = 0; i < this.#later.length; i += 2) {
      const thing = this.#later[i]!;
      const first = this.#first[thing]!;
      const other = this.#later[i + 1]!;
      if (this.#sharing[thing]! > this.#most || (before[first]! | before[other]!) !== 0) continue;
      parts.join(first, other);
      paired[first] = paired[other] = 1;
    }
  }
}
