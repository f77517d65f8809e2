/**
 * The rules of one table in one array, and the functions that they call. A rule's number is where its record begins;
 * records of a chain lie one behind the other, so that a packet that walks a short chain reads memory in a row.
 *
 * `label` orders the rules of a chain: a rule put between two others gets a label between theirs, so that inserting
 * into a chain of 50,000 moves nothing. What remembers rules remembers numbers and compares labels.
 */
import type { BindEnv, MatchFn, MatchUse, TargetFn, TargetUse } from '../../ext/extension.js';
import type { Rule } from '../../ruleset/model.js';
import type { Packet } from '../../wire/packet.js';
import type { DeviceNames } from './device-names.js';
import { isStateful, Lowering, type Step } from './lower.js';
import {
  encodeSteps,
  OP_CALL,
  OP_CALL_STATEFUL,
  OP_DEVICE,
  OP_END,
  OP_EQUAL,
  OP_NO_RANGES,
  OP_NOT_ADDRESS,
  OP_NOT_DEVICE,
  OP_RANGES,
  OP_UNEQUAL,
} from './program.js';

/** What a rule does when it matches. */
export const DO_NONE = 0;
export const DO_ACCEPT = 1;
export const DO_DROP = 2;
export const DO_QUEUE = 3;
export const DO_RETURN = 4;
/** `argument` is the chain's number. */
export const DO_JUMP = 5;
export const DO_GOTO = 6;
/** `argument` is the function's place. */
export const DO_EXTENSION = 7;

/** Results of `passes`. */
export const FAILED = 0;
export const PASSED = 1;
export const HOTDROP = 2;

/*
 * A record, in 32-bit words from the rule's number (which is even: the numbers among them are 64 bits wide):
 *   0 next rule of the chain, or -1
 *   1 action | (level of its key in the chain's hashed plan + 1) << 8 (0: in no subtable)
 *   2 argument of the action
 *   3 first of its own places for functions, or -1
 *   4 index of its model
 *   5 words of its program in use | words reserved << 16
 *   6 packets, 8 bytes, 10 label: float64
 *  12 the program that must pass; in a hashed chain without the tests that the key has answered
 */
const NEXT = 0;
const ACTION = 1;
const ARGUMENT = 2;
const FUNCTIONS = 3;
const MODEL = 4;
const PROGRAM_SIZE = 5;
const PACKETS = 3;
const BYTES = 4;
const LABEL = 5;
const RECORD_WORDS = 12;

/** Of a record with a program of two or three tests. */
const TYPICAL_WORDS = 22;
/** Words left free for rules that patches bring before the array must grow. */
const SPARE_WORDS = 1024;
const NO_PLACES: readonly number[] = [];
/** Bound for good: needs no look at when it was. */
const FOREVER = 0x7fffffff;

export class RuleStore {
  readonly env: BindEnv;
  readonly names: DeviceNames;
  readonly lowering: Lowering;
  ints: Int32Array = new Int32Array(SPARE_WORDS);
  floats: Float64Array = new Float64Array(this.ints.buffer);
  #used = 0;
  readonly #models: (Rule | undefined)[] = [];
  readonly #freeModels: number[] = [];
  /** Numbers of removed rules, by words of the record. */
  readonly #freeRecords = new Map<number, number[]>();
  readonly #functions: (MatchFn | TargetFn | undefined)[] = [];
  readonly #freeFunctions = new Map<number, number[]>();
  /** Table change at which a function was bound, by place. */
  readonly #boundAt: number[] = [];
  /** Places of functions that rules with equal values share, by extension and value as printed. */
  readonly #shared = new Map<string, number>();
  readonly #code: number[] = [];
  /** Counts the changes of the table. */
  change = 0;
  /** The rule at which the last HOTDROP happened. */
  brokenAt = -1;

  constructor(env: BindEnv, names: DeviceNames) {
    this.env = env;
    this.names = names;
    this.lowering = new Lowering(env.family, names);
  }

  /** Stores a rule with all its tests as its program; returns its number. Its counters are zero, its place is open. */
  add(model: Rule, steps: readonly Step[]): number {
    const called = this.lowering.called(model);
    const own = ownCount(called);
    const base = own === 0 ? -1 : this.#reserveFunctions(own);
    const code = this.#code;
    const length = encodeSteps(steps, this.#placesOf(called, base), code);
    const size = RECORD_WORDS + length + (length & 1);
    let rule = this.#freeRecords.get(size)?.pop();
    if (rule === undefined) {
      rule = this.#used;
      this.#used += size;
      if (this.#used > this.ints.length) this.#resize(Math.ceil(this.#used / 2) * 3);
    }
    const { ints } = this;
    for (let i = rule; i < rule + RECORD_WORDS; i++) ints[i] = 0;
    ints[rule + NEXT] = -1;
    ints[rule + FUNCTIONS] = base;
    ints[rule + MODEL] = this.#freeModels.pop() ?? this.#models.length;
    this.#models[ints[rule + MODEL]!] = model;
    ints[rule + PROGRAM_SIZE] = length | ((size - RECORD_WORDS) << 16);
    for (let i = 0; i < length; i++) ints[rule + RECORD_WORDS + i] = code[i]!;
    if (own > 0) this.#bindStateful(called, base);
    return rule;
  }

  /** Gives back all that the rule holds. */
  remove(rule: number): void {
    const model = this.model(rule);
    const base = this.ints[rule + FUNCTIONS]!;
    if (base !== -1) {
      const own = ownCount(this.lowering.called(model));
      this.#functions.fill(undefined, base, base + own);
      pushFree(this.#freeFunctions, own, base);
    }
    const index = this.ints[rule + MODEL]!;
    this.#models[index] = undefined;
    this.#freeModels.push(index);
    pushFree(this.#freeRecords, RECORD_WORDS + (this.ints[rule + PROGRAM_SIZE]! >>> 16), rule);
  }

  /** Before a load: makes room for about so many rules. */
  reserve(ruleCount: number): void {
    this.#resize(this.#used + ruleCount * TYPICAL_WORDS + SPARE_WORDS);
  }

  /** After a load: gives back the room that growing took in advance, but for some. */
  trim(): void {
    const words = this.#used + SPARE_WORDS;
    // Less than an eighth too much is not worth a copy.
    if (this.ints.length - words > words >> 3) this.#resize(words);
  }

  #resize(words: number): void {
    const before = this.ints;
    this.ints = new Int32Array(words + (words & 1));
    this.floats = new Float64Array(this.ints.buffer);
    this.ints.set(before.subarray(0, Math.min(before.length, this.ints.length)));
  }

  next(rule: number): number {
    return this.ints[rule + NEXT]!;
  }
  setNext(rule: number, next: number): void {
    this.ints[rule + NEXT] = next;
  }
  label(rule: number): number {
    return this.floats[(rule >> 1) + LABEL]!;
  }
  setLabel(rule: number, label: number): void {
    this.floats[(rule >> 1) + LABEL] = label;
  }
  action(rule: number): number {
    return this.ints[rule + ACTION]! & 255;
  }
  argument(rule: number): number {
    return this.ints[rule + ARGUMENT]!;
  }
  setAction(rule: number, action: number, argument: number): void {
    this.ints[rule + ACTION] = (this.ints[rule + ACTION]! & ~255) | action;
    this.ints[rule + ARGUMENT] = argument;
  }
  /** Level of the rule's key in the chain's hashed plan, or -1. */
  level(rule: number): number {
    return (this.ints[rule + ACTION]! >> 8) - 1;
  }
  /** True if there is nothing to test. */
  isEmpty(rule: number): boolean {
    return (this.ints[rule + PROGRAM_SIZE]! & 0xffff) === 0;
  }
  model(rule: number): Rule {
    return this.#models[this.ints[rule + MODEL]!]!;
  }
  packets(rule: number): number {
    return this.floats[(rule >> 1) + PACKETS]!;
  }
  bytes(rule: number): number {
    return this.floats[(rule >> 1) + BYTES]!;
  }
  /** Counts packets of `size` bytes together. */
  count(rule: number, packets: number, size: number): void {
    const at = rule >> 1;
    this.floats[at + PACKETS]! += packets;
    this.floats[at + BYTES]! += size;
  }

  /** Replaces the program by some of the rule's tests and notes the level of its key (-1: none). */
  setProgram(rule: number, steps: readonly Step[], level: number): void {
    const { ints } = this;
    let length = 0;
    if (steps.length > 0) {
      const hasCalls = steps.some(({ kind }) => kind === 'call');
      const places = hasCalls ? this.#places(this.model(rule), ints[rule + FUNCTIONS]!) : NO_PLACES;
      length = encodeSteps(steps, places, this.#code);
    }
    ints[rule + PROGRAM_SIZE] = (ints[rule + PROGRAM_SIZE]! & ~0xffff) | length;
    for (let i = 0; i < length; i++) ints[rule + RECORD_WORDS + i] = this.#code[i]!;
    ints[rule + ACTION] = (ints[rule + ACTION]! & 255) | ((level + 1) << 8);
  }

  /** Place of the function of the rule's target, an extension. */
  targetPlace(rule: number): number {
    return this.#places(this.model(rule), this.ints[rule + FUNCTIONS]!).at(-1)!;
  }

  #reserveFunctions(count: number): number {
    const reused = this.#freeFunctions.get(count)?.pop();
    if (reused !== undefined) return reused;
    for (let i = 0; i < count; i++) {
      this.#functions.push(undefined);
      this.#boundAt.push(0);
    }
    return this.#functions.length - count;
  }

  /** Places of the functions that the rule calls: its matches by ordinal, then its target. */
  #places(model: Rule, base: number): readonly number[] {
    return this.#placesOf(this.lowering.called(model), base);
  }

  #placesOf(called: readonly (MatchUse | TargetUse)[], base: number): readonly number[] {
    if (called.length === 0) return NO_PLACES;
    let own = base;
    return called.map((use) => (isShared(use) ? this.#sharedPlace(use) : own++));
  }

  #sharedPlace(use: MatchUse | TargetUse): number {
    const key = `${use.ext.kind} ${use.ext.print(use.value, this.env.family)}`;
    let place = this.#shared.get(key);
    if (place === undefined) {
      place = this.#reserveFunctions(1);
      this.#shared.set(key, place);
    }
    return place;
  }

  /** Binds the rule's stateful extensions now: who comes first settles what a name's shared state is. */
  #bindStateful(called: readonly (MatchUse | TargetUse)[], base: number): void {
    let place = base;
    for (const use of called) {
      if (isShared(use)) continue;
      if (isStateful(use)) this.#bind(use, place);
      place++;
    }
  }

  #bind(use: MatchUse | TargetUse, place: number): MatchFn | TargetFn {
    const bound = use.ext.bind(use.value, this.env);
    this.#functions[place] = bound;
    this.#boundAt[place] = isStateful(use) ? this.change : FOREVER;
    return bound;
  }

  /** The rule's match by ordinal among those that must be called, at `place`. */
  matchFunction(rule: number, ordinal: number, place: number, stateful: boolean): MatchFn {
    let bound = this.#functions[place];
    if (bound === undefined || (stateful && this.change !== 0 && this.#boundAt[place] !== this.change)) {
      bound = this.#bind(this.lowering.called(this.model(rule))[ordinal]!, place);
    }
    return bound as MatchFn; // a match's place holds its function
  }

  /** The same without the place at hand. */
  matchFunctionOf(rule: number, ordinal: number): MatchFn {
    const use = this.lowering.called(this.model(rule))[ordinal]!;
    const place = this.#places(this.model(rule), this.ints[rule + FUNCTIONS]!)[ordinal]!;
    return this.matchFunction(rule, ordinal, place, isStateful(use));
  }

  /** The rule's target, an extension. */
  targetFunction(rule: number): TargetFn {
    const place = this.ints[rule + ARGUMENT]!;
    let bound = this.#functions[place];
    if (bound === undefined || (this.change !== 0 && this.#boundAt[place]! < this.change)) {
      bound = this.#bind(this.lowering.called(this.model(rule)).at(-1)!, place);
    }
    return bound as TargetFn; // a target's place holds its function
  }

  /**
   * Runs the program of a rule. HOTDROP: a match found the packet broken.
   * Per packet: allocates nothing once the rule's functions are bound.
   */
  passes(rule: number, packet: Packet): number {
    const words = this.ints;
    const f = packet.f;
    if ((words[rule + PROGRAM_SIZE]! & 0xffff) === 0) return PASSED;
    let at = rule + RECORD_WORDS;
    for (;;) {
      const word = words[at]!;
      const slot = (word >> 8) & 255;
      switch (word & 255) {
        case OP_END:
          return PASSED;
        case OP_EQUAL:
          if ((f[slot]! & words[at + 1]!) !== words[at + 2]) return FAILED;
          at += 3;
          break;
        case OP_UNEQUAL:
          if ((f[slot]! & words[at + 1]!) === words[at + 2]) return FAILED;
          at += 3;
          break;
        case OP_RANGES:
        case OP_NO_RANGES: {
          const value = f[slot]! | 0;
          const end = at + 1 + ((word >>> 16) << 1);
          let inside = false;
          for (let i = at + 1; i < end; i += 2) {
            if ((value - words[i]!) >>> 0 <= words[i + 1]! >>> 0) {
              inside = true;
              break;
            }
          }
          if (inside !== ((word & 255) === OP_RANGES)) return FAILED;
          at = end;
          break;
        }
        case OP_NOT_ADDRESS:
          if (
            (f[slot]! & words[at + 1]!) === words[at + 5] &&
            (f[slot + 1]! & words[at + 2]!) === words[at + 6] &&
            (f[slot + 2]! & words[at + 3]!) === words[at + 7] &&
            (f[slot + 3]! & words[at + 4]!) === words[at + 8]
          ) {
            return FAILED;
          }
          at += 9;
          break;
        case OP_DEVICE:
        case OP_NOT_DEVICE:
          if (this.names.fits(words[at + 1]!, f[slot]!) !== ((word & 255) === OP_DEVICE)) return FAILED;
          at += 2;
          break;
        case OP_CALL:
        case OP_CALL_STATEFUL: {
          const match = this.matchFunction(rule, word >>> 16, words[at + 1]!, (word & 255) === OP_CALL_STATEFUL);
          const matched = match(packet);
          if (packet.hotdrop) {
            this.brokenAt = rule;
            return HOTDROP;
          }
          if (!matched) return FAILED;
          at += 2;
          break;
        }
        default:
          return FAILED; // OP_NEVER
      }
    }
  }

  /** Bytes of the arrays; closures of bound functions are not in it. */
  get byteSize(): number {
    return this.ints.byteLength + 8 * (this.#models.length + 2 * this.#functions.length);
  }
}

/** How many of them have a function of the rule's own. */
function ownCount(called: readonly (MatchUse | TargetUse)[]): number {
  let count = 0;
  for (const use of called) if (!isShared(use)) count++;
  return count;
}

function isShared(use: MatchUse | TargetUse): boolean {
  return use.ext.shares?.(use.value) === true;
}

function pushFree(free: Map<number, number[]>, size: number, at: number): void {
  const list = free.get(size);
  if (list === undefined) free.set(size, [at]);
  else list.push(at);
}
