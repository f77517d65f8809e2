/**
 * The rules of one table as parallel typed arrays, by rule number; numbers of removed rules are used again. Here too:
 * the arena of their programs and the functions that they call.
 *
 * `label` orders the rules of a chain: a rule put between two others gets a label between theirs, so that inserting
 * into a chain of 50,000 moves nothing. What remembers rules remembers numbers and compares labels.
 */
import { growInt32 } from '../../base/grow.js';
import type { BindEnv, MatchFn, TargetFn } from '../../ext/extension.js';
import type { Rule } from '../../ruleset/model.js';
import type { Packet } from '../../wire/packet.js';
import type { DeviceNames } from './device-names.js';
import { loweredMatch } from './lower.js';
import {
  OP_CALL,
  OP_CALL_STATEFUL,
  OP_DEVICE,
  OP_END,
  OP_EQUAL,
  OP_NEVER,
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

/** Room left for rules and words that patches bring before the arrays must grow. */
const SPARE = 64;

/**
 * A rule's record: 48 bytes that lie together, since a packet that meets a rule reads most of it. Words of `ints` from
 * rule × INTS: next rule of the chain or -1, program that must pass (in a hashed chain without the tests that the key
 * has answered), action, argument of the action, first of the rule's places for functions, level of its key in the
 * chain's hashed plan (-1: none). Numbers of `floats` from rule × FLOATS, over the same bytes: packets, bytes, label.
 */
const INTS = 12;
const NEXT = 0;
const PROGRAM = 1;
const ACTION = 2;
const ARGUMENT = 3;
const FUNCTIONS = 4;
const LEVEL = 5;
const FLOATS = 6;
const PACKETS = 3;
const BYTES = 4;
const LABEL = 5;
const RECORD_SIZE = 48;

export class RuleStore {
  readonly env: BindEnv;
  readonly names: DeviceNames;
  ints: Int32Array;
  floats: Float64Array;
  readonly models: (Rule | undefined)[] = [];
  words: Int32Array;
  #wordCount = 1;
  /** Ends of freed programs and function runs, by size. */
  readonly #freeWords = new Map<number, number[]>();
  readonly #freeFunctions = new Map<number, number[]>();
  readonly #freeRules: number[] = [];
  readonly #functions: (MatchFn | TargetFn | undefined)[] = [];
  /** Table change at which a stateful function was bound. */
  #boundAt: Int32Array = new Int32Array(0);
  /** Counts the changes of the table. */
  change = 0;
  /** The rule at which the last HOTDROP happened. */
  brokenAt = -1;

  constructor(env: BindEnv, names: DeviceNames, expected: number) {
    const records = new ArrayBuffer((expected + SPARE) * RECORD_SIZE);
    this.env = env;
    this.names = names;
    this.ints = new Int32Array(records);
    this.floats = new Float64Array(records);
    this.words = new Int32Array(expected + SPARE);
  }

  /** A number for a new rule, its counters at zero. */
  add(model: Rule): number {
    const reused = this.#freeRules.pop();
    const rule = reused ?? this.models.length;
    if ((rule + 1) * INTS > this.ints.length) this.#growRecords();
    this.models[rule] = model;
    const at = rule * INTS;
    this.ints.fill(0, at, at + INTS);
    this.ints[at + NEXT] = this.ints[at + FUNCTIONS] = this.ints[at + LEVEL] = -1;
    return rule;
  }

  next(rule: number): number {
    return this.ints[rule * INTS + NEXT]!;
  }
  setNext(rule: number, next: number): void {
    this.ints[rule * INTS + NEXT] = next;
  }
  label(rule: number): number {
    return this.floats[rule * FLOATS + LABEL]!;
  }
  setLabel(rule: number, label: number): void {
    this.floats[rule * FLOATS + LABEL] = label;
  }
  action(rule: number): number {
    return this.ints[rule * INTS + ACTION]!;
  }
  argument(rule: number): number {
    return this.ints[rule * INTS + ARGUMENT]!;
  }
  setAction(rule: number, action: number, argument: number): void {
    this.ints[rule * INTS + ACTION] = action;
    this.ints[rule * INTS + ARGUMENT] = argument;
  }
  program(rule: number): number {
    return this.ints[rule * INTS + PROGRAM]!;
  }
  level(rule: number): number {
    return this.ints[rule * INTS + LEVEL]!;
  }
  functionBase(rule: number): number {
    return this.ints[rule * INTS + FUNCTIONS]!;
  }
  packets(rule: number): number {
    return this.floats[rule * FLOATS + PACKETS]!;
  }
  bytes(rule: number): number {
    return this.floats[rule * FLOATS + BYTES]!;
  }
  /** Counts one packet of `size` bytes. */
  count(rule: number, size: number): void {
    const at = rule * FLOATS;
    this.floats[at + PACKETS]! += 1;
    this.floats[at + BYTES]! += size;
  }

  /** Replaces the program of a rule and notes the level of its key. */
  setProgram(rule: number, code: readonly number[], level: number): void {
    this.#freeProgram(this.program(rule));
    this.ints[rule * INTS + PROGRAM] = this.#storeProgram(code);
    this.ints[rule * INTS + LEVEL] = level;
  }

  /** Gives back all that the rule holds; `functionCount` as it was reserved. */
  remove(rule: number, functionCount: number): void {
    this.#freeProgram(this.ints[rule * INTS + PROGRAM]!);
    if (functionCount > 0) {
      const base = this.ints[rule * INTS + FUNCTIONS]!;
      this.#functions.fill(undefined, base, base + functionCount);
      pushFree(this.#freeFunctions, functionCount, base);
    }
    this.models[rule] = undefined;
    this.#freeRules.push(rule);
  }

  /** Stores a program and returns where it begins; the empty one is at 0. */
  #storeProgram(code: readonly number[]): number {
    if (code.length === 0) return 0;
    let at = this.#freeWords.get(code.length)?.pop();
    if (at === undefined) {
      at = this.#wordCount;
      this.#wordCount += code.length;
      if (this.#wordCount > this.words.length) this.words = growInt32(this.words, this.#wordCount);
    }
    for (let i = 0; i < code.length; i++) this.words[at + i] = code[i]!;
    return at;
  }

  #freeProgram(at: number): void {
    if (at !== 0) pushFree(this.#freeWords, programSize(this.words, at), at);
  }

  /** Reserves `count` places for functions of a rule. They are bound when first called, but for stateful ones. */
  reserveFunctions(rule: number, count: number): void {
    let base = this.#freeFunctions.get(count)?.pop();
    if (base === undefined) {
      base = this.#functions.length;
      for (let i = 0; i < count; i++) this.#functions.push(undefined);
      if (this.#functions.length > this.#boundAt.length) {
        this.#boundAt = growInt32(this.#boundAt, this.#functions.length);
      }
    }
    this.ints[rule * INTS + FUNCTIONS] = base;
  }

  /** Binds the rule's stateful extensions now: who comes first settles what a name's shared state is. */
  bindStateful(rule: number): void {
    const { matches, target } = this.models[rule]!;
    let ordinal = 0;
    for (const use of matches) {
      if (loweredMatch(use, this.env.family) !== undefined) continue;
      if (use.ext.spansConnections === true) this.#bindMatch(rule, ordinal);
      ordinal++;
    }
    if (target.kind === 'extension' && target.use.ext.spansConnections === true) this.#bindTarget(rule);
  }

  /** The rule's match by ordinal among those that must be called. */
  matchFunction(rule: number, ordinal: number, stateful: boolean): MatchFn {
    const place = this.ints[rule * INTS + FUNCTIONS]! + ordinal;
    const bound = this.#functions[place];
    if (bound === undefined || (stateful && this.#boundAt[place] !== this.change))
      return this.#bindMatch(rule, ordinal);
    return bound as MatchFn; // places below the target's hold matches
  }

  /** The rule's target, an extension. */
  targetFunction(rule: number): TargetFn {
    const place = this.ints[rule * INTS + ARGUMENT]!;
    const bound = this.#functions[place];
    if (bound === undefined || (this.change !== 0 && this.#boundAt[place]! < this.change))
      return this.#bindTarget(rule);
    return bound as TargetFn; // the place of the rule's target
  }

  #bindMatch(rule: number, ordinal: number): MatchFn {
    const place = this.ints[rule * INTS + FUNCTIONS]! + ordinal;
    const opaque = this.models[rule]!.matches.filter((use) => loweredMatch(use, this.env.family) === undefined);
    const { ext, value } = opaque[ordinal]!;
    const bound = ext.bind(value, this.env);
    this.#functions[place] = bound;
    this.#boundAt[place] = this.change;
    return bound;
  }

  #bindTarget(rule: number): TargetFn {
    const place = this.ints[rule * INTS + ARGUMENT]!;
    const { target } = this.models[rule]!;
    if (target.kind !== 'extension') throw new Error('bug: bound target is no extension');
    const bound = target.use.ext.bind(target.use.value, this.env);
    this.#functions[place] = bound;
    // A target without state need never be bound again.
    this.#boundAt[place] = target.use.ext.spansConnections === true ? this.change : FOREVER;
    return bound;
  }

  /**
   * Runs the program of a rule. HOTDROP: a match found the packet broken.
   * Per packet: allocates nothing once the rule's functions are bound.
   */
  passes(rule: number, packet: Packet): number {
    const words = this.words;
    const f = packet.f;
    let at = this.ints[rule * INTS + PROGRAM]!;
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
          const match = this.matchFunction(rule, word >>> 16, (word & 255) === OP_CALL_STATEFUL);
          const matched = match(packet);
          if (packet.hotdrop) {
            this.brokenAt = rule;
            return HOTDROP;
          }
          if (!matched) return FAILED;
          at += 1;
          break;
        }
        default:
          return FAILED; // OP_NEVER
      }
    }
  }

  /** Bytes of the arrays that hold rules, programs and functions; closures of bound functions are not in it. */
  get byteSize(): number {
    const pointers = 8 * (this.models.length + this.#functions.length);
    return this.ints.byteLength + this.words.byteLength + this.#boundAt.byteLength + pointers;
  }

  #growRecords(): void {
    const before = this.ints;
    const records = new ArrayBuffer(Math.ceil(before.length / INTS / 2 + 1) * 3 * RECORD_SIZE);
    this.ints = new Int32Array(records);
    this.floats = new Float64Array(records);
    this.ints.set(before);
  }
}

const FOREVER = 0x7fffffff;

/** Size of the program at `at`, OP_END included. */
function programSize(words: Int32Array, at: number): number {
  let end = at;
  for (;;) {
    const word = words[end]!;
    switch (word & 255) {
      case OP_END:
        return end + 1 - at;
      case OP_EQUAL:
      case OP_UNEQUAL:
        end += 3;
        break;
      case OP_RANGES:
      case OP_NO_RANGES:
        end += 1 + ((word >>> 16) << 1);
        break;
      case OP_NOT_ADDRESS:
        end += 9;
        break;
      case OP_DEVICE:
      case OP_NOT_DEVICE:
        end += 2;
        break;
      case OP_CALL:
      case OP_CALL_STATEFUL:
      case OP_NEVER:
        end += 1;
        break;
      default:
        throw new Error(`bug: unknown op ${word & 255}`);
    }
  }
}

function pushFree(free: Map<number, number[]>, size: number, at: number): void {
  const list = free.get(size);
  if (list === undefined) free.set(size, [at]);
  else list.push(at);
}
