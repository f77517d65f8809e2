/**
 * The rules of one table in one array, and the functions that they call. A rule's number is where its record begins;
 * records of a chain lie one behind the other, so that a packet that walks a short chain reads memory in a row.
 *
 * A chain has a head (HEAD_WORDS) in the same array, made right before its first rules: jumps name the head, which stays
 * while rules come and go, and who reads it has fetched the first rule.
 *
 * `label` orders the rules of a chain: a rule put between two others gets a label between theirs, so that inserting
 * into a chain of 50,000 moves nothing. What remembers rules remembers numbers and compares labels.
 */
import { invariant } from '../../base/assert.js';
import { growInt32 } from '../../base/grow.js';
import type { BindEnv, MatchFn, MatchUse, TargetExt, TargetFn, TargetUse, WordTargetFn } from '../../ext/extension.js';
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
  OP_IS,
  OP_IS_SMALL,
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
/** `argument` is the chain's head. */
export const DO_JUMP = 5;
export const DO_GOTO = 6;
/** `argument` is the function's place. */
export const DO_EXTENSION = 7;
/** `argument` is where the target's two words lie; the function is one for all of its kind. */
export const DO_WORDS = 8;
/** The same before its first packet: whether the words can hold the value is not known yet. */
export const DO_UNREAD = 9;

/** In a chain's head instead of its first rule: it has a hashed plan. */
export const HASHED = -2;

/** Results of `passes`. */
export const FAILED = 0;
export const PASSED = 1;
export const HOTDROP = 2;

/*
 * A record, in 32-bit words from the rule's number (which is even: the numbers among them are 64 bits wide):
 *   0 next rule of the chain, or -1
 *   1 action | (level of its key in the chain's hashed plan + 1) << 8 (0: in no subtable)
 *     | 1 << 16 if it has tests | number of the function for its words << 24
 *   2 argument of the action
 *   3 index of its model, and of what is seldom read
 *   4 packets, 6 bytes, 8 label: float64
 *  10 the program that must pass, then the target's words
 * A head: first rule of the chain, -1 or HASHED; the chain's number.
 */
const NEXT = 0;
const ACTION = 1;
const ARGUMENT = 2;
const MODEL = 3;
const PACKETS = 2;
const BYTES = 3;
const LABEL = 4;
const RECORD_WORDS = 10;
const HEAD_WORDS = 2;
/** Words of a line of the processor's cache, and how many lie behind every head at least. */
const LINE = 16;
const BEHIND_HEAD = 7 * LINE;
const TARGET_WORDS = 2;
const HAS_TESTS = 1 << 16;

/** Seldom read, by index of the model: first of the rule's own places for functions, or -1; words of the record. */
const COLD_WORDS = 2;

/** Of a record with a program of two or three tests. */
const TYPICAL_WORDS = 16;
/** Words left free for rules that patches bring before the array must grow. */
const SPARE_WORDS = 1024;
/** Their number has a byte in a record. */
const MOST_WORD_TARGETS = 255;
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
  readonly #fetched = new Int32Array(1);
  #cold: Int32Array = new Int32Array(64);
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
  /** Functions of targets whose values are words. */
  readonly #wordTargets: WordTargetFn[] = [];
  readonly #wordTargetOf = new Map<TargetExt, number>();
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

  /**
   * Stores a rule with all its tests as its program; returns its number. Its counters are zero, its place is open, and
   * `bindStateful` is to follow.
   */
  add(model: Rule, steps: readonly Step[]): number {
    const called = this.lowering.called(model);
    const own = ownCount(called);
    const base = own === 0 ? -1 : this.#reserveFunctions(own);
    const code = this.#code;
    const length = encodeSteps(steps, this.#placesOf(called, base), code);
    const { target } = model;
    const words = target.kind === 'extension' && inWords(target.use) ? TARGET_WORDS : 0;
    const size = roundUp(RECORD_WORDS + length + words);
    const rule = this.#room(size);
    const { ints } = this;
    for (let i = rule; i < rule + RECORD_WORDS; i++) ints[i] = 0;
    ints[rule + NEXT] = -1;
    ints[rule + ACTION] = length === 0 ? 0 : HAS_TESTS;
    ints[rule + ARGUMENT] = rule + RECORD_WORDS + length; // of its words, if it has any
    const index = this.#freeModels.pop() ?? this.#models.length;
    ints[rule + MODEL] = index;
    this.#models[index] = model;
    if (COLD_WORDS * (index + 1) > this.#cold.length) this.#cold = growInt32(this.#cold, COLD_WORDS * (index + 1));
    this.#cold[COLD_WORDS * index] = base;
    this.#cold[COLD_WORDS * index + 1] = size;
    for (let i = 0; i < length; i++) ints[rule + RECORD_WORDS + i] = code[i]!;
    return rule;
  }

  /** Binds the rule's stateful extensions now: who comes first settles what a name's shared state is. */
  bindStateful(rule: number): void {
    let place = this.#base(rule);
    if (place === -1) return;
    for (const use of this.lowering.called(this.model(rule))) {
      if (!ownsPlace(use)) continue;
      if (isStateful(use)) this.#bind(use, place);
      place++;
    }
  }

  /** Gives back all that the rule holds. */
  remove(rule: number): void {
    const model = this.model(rule);
    const index = this.ints[rule + MODEL]!;
    const base = this.#cold[COLD_WORDS * index]!;
    if (base !== -1) this.#freePlaces(base, ownCount(this.lowering.called(model)));
    const { target } = model;
    if (target.kind === 'extension' && inWords(target.use) && this.action(rule) === DO_EXTENSION) {
      this.#freePlaces(this.argument(rule), 1);
    }
    this.#models[index] = undefined;
    this.#freeModels.push(index);
    pushFree(this.#freeRecords, this.#cold[COLD_WORDS * index + 1]!, rule);
  }

  #freePlaces(base: number, count: number): void {
    this.#functions.fill(undefined, base, base + count);
    pushFree(this.#freeFunctions, count, base);
  }

  /** The head of the chain with this number, which has no rules yet. */
  addHead(chain: number): number {
    const head = this.#room(HEAD_WORDS);
    this.ints[head] = -1;
    this.ints[head + 1] = chain;
    return head;
  }

  removeHead(head: number): void {
    pushFree(this.#freeRecords, HEAD_WORDS, head);
  }

  /** First rule of the chain, -1 if there is none, or HASHED. */
  start(head: number): number {
    return this.ints[head]!;
  }
  /** Head of the chain that the rule leads to; 0: none. */
  jumpHead(rule: number): number {
    const action = this.action(rule);
    return action === DO_JUMP || action === DO_GOTO ? this.argument(rule) : 0;
  }

  /**
   * Reads ahead: what lies behind the head is asked of memory at once, not line by line as the walk gets there. The chain
   * and, as a load lays them out, those that it jumps to.
   */
  fetch(head: number): void {
    const { ints } = this;
    let words = ints[head + LINE]! ^ ints[head + 2 * LINE]! ^ ints[head + 3 * LINE]!;
    words ^= ints[head + 4 * LINE]! ^ ints[head + 5 * LINE]! ^ ints[head + 6 * LINE]!;
    // Kept, so that the compiler does not leave the reads out.
    this.#fetched[0] = words;
  }
  setStart(head: number, start: number): void {
    this.ints[head] = start;
  }

  /** Number of the chain that a jump leads to. */
  chainOf(head: number): number {
    return this.ints[head + 1]!;
  }

  #room(size: number): number {
    const free = this.#freeRecords.get(size)?.pop();
    if (free !== undefined) return free;
    const at = this.#used;
    this.#used += size;
    if (this.#used + BEHIND_HEAD > this.ints.length) this.#resize(Math.ceil(this.#used / 2) * 3 + BEHIND_HEAD);
    return at;
  }

  /** Before a load: makes room for about so many rules. */
  reserve(ruleCount: number): void {
    this.#resize(this.#used + ruleCount * TYPICAL_WORDS + SPARE_WORDS);
    this.#cold = new Int32Array(COLD_WORDS * (ruleCount + 16));
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
    return ((this.ints[rule + ACTION]! >> 8) & 255) - 1;
  }
  setLevel(rule: number, level: number): void {
    this.ints[rule + ACTION] = (this.ints[rule + ACTION]! & ~0xff00) | ((level + 1) << 8);
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

  /** Notes what the rule, whose target is an extension, runs. */
  setTarget(rule: number, use: TargetUse): void {
    if (inWords(use)) this.setAction(rule, DO_UNREAD, this.argument(rule));
    else this.setAction(rule, DO_EXTENSION, this.#places(this.model(rule), this.#base(rule)).at(-1)!);
  }

  /** The target of a rule that no packet has met before: its words, or a function if they cannot hold it. */
  #readTarget(rule: number): void {
    const { target } = this.model(rule);
    invariant(target.kind === 'extension', 'a target in words is an extension');
    const { ext, value } = target.use;
    const words = ext.words!(value, this.env.family);
    if (words === undefined || this.#wordTargets.length > MOST_WORD_TARGETS) {
      this.setAction(rule, DO_EXTENSION, this.#reserveFunctions(1));
      return;
    }
    let number = this.#wordTargetOf.get(ext);
    if (number === undefined) {
      number = this.#wordTargets.push(ext.bindWords!(this.env)) - 1;
      this.#wordTargetOf.set(ext, number);
    }
    const at = this.argument(rule);
    this.ints[at] = words[0];
    this.ints[at + 1] = words[1];
    this.setAction(rule, DO_WORDS, at);
    this.ints[rule + ACTION]! |= number << 24;
  }

  /** Runs the rule's target, an extension. */
  runTarget(rule: number, packet: Packet): number {
    if (this.action(rule) === DO_UNREAD) this.#readTarget(rule);
    if (this.action(rule) === DO_EXTENSION) return this.#targetFunction(rule)(packet);
    const { ints } = this;
    const at = ints[rule + ARGUMENT]!;
    return this.#wordTargets[ints[rule + ACTION]! >>> 24]!(packet, ints[at]!, ints[at + 1]!);
  }

  #base(rule: number): number {
    return this.#cold[COLD_WORDS * this.ints[rule + MODEL]!]!;
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
    return called.map((use) => (isShared(use) ? this.#sharedPlace(use) : ownsPlace(use) ? own++ : -1));
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
    const place = this.#places(this.model(rule), this.#base(rule))[ordinal]!;
    return this.matchFunction(rule, ordinal, place, isStateful(use));
  }

  #targetFunction(rule: number): TargetFn {
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
    if ((words[rule + ACTION]! & HAS_TESTS) === 0) return PASSED;
    let at = rule + RECORD_WORDS;
    for (;;) {
      const word = words[at]!;
      const slot = (word >> 8) & 255;
      switch (word & 255) {
        case OP_END:
          return PASSED;
        case OP_IS_SMALL:
          if (f[slot] !== word >>> 16) return FAILED;
          at += 1;
          break;
        case OP_IS:
          if ((f[slot]! | 0) !== words[at + 1]) return FAILED;
          at += 2;
          break;
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
    return this.ints.byteLength + this.#cold.byteLength + 8 * (this.#models.length + 2 * this.#functions.length);
  }
}

/** How many of them have a function of the rule's own. */
function ownCount(called: readonly (MatchUse | TargetUse)[]): number {
  let count = 0;
  for (const use of called) if (ownsPlace(use)) count++;
  return count;
}

function ownsPlace(use: MatchUse | TargetUse): boolean {
  return !isShared(use) && !('words' in use.ext);
}

function isShared(use: MatchUse | TargetUse): boolean {
  return use.ext.shares?.(use.value) === true;
}

function inWords(use: TargetUse): boolean {
  return use.ext.words !== undefined;
}

function roundUp(words: number): number {
  return words + (words & 1);
}

function pushFree(free: Map<number, number[]>, size: number, at: number): void {
  const list = free.get(size);
  if (list === undefined) free.set(size, [at]);
  else list.push(at);
}
