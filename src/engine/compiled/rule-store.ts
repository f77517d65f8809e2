/**
 * The rules of one table as parallel typed arrays, by rule number; numbers of removed rules are used again. Here too:
 * the arena of their programs and the functions that they call.
 *
 * `label` orders the rules of a chain: a rule put between two others gets a label between theirs, so that inserting
 * into a chain of 50,000 moves nothing. What remembers rules remembers numbers and compares labels.
 */
import { growFloat64, growInt8, growInt32, growUint8 } from '../../base/grow.js';
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

export class RuleStore {
  readonly env: BindEnv;
  readonly names: DeviceNames;
  label: Float64Array;
  /** Packets at 2 × rule, bytes behind them. */
  counters: Float64Array;
  /** The rule that follows in the chain, or -1. */
  next: Int32Array;
  action: Uint8Array;
  argument: Int32Array;
  /** Where the program begins that must pass; in a hashed chain without the tests that the key has answered. */
  program: Int32Array;
  /** First of the rule's places for functions. */
  functionBase: Int32Array;
  /** Level of its key in the chain's hashed plan, or -1: residual, or the chain is linear. */
  level: Int8Array;
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
    const capacity = expected + SPARE;
    this.env = env;
    this.names = names;
    this.label = new Float64Array(capacity);
    this.counters = new Float64Array(2 * capacity);
    this.next = new Int32Array(capacity);
    this.action = new Uint8Array(capacity);
    this.argument = new Int32Array(capacity);
    this.program = new Int32Array(capacity);
    this.functionBase = new Int32Array(capacity);
    this.level = new Int8Array(capacity);
    this.words = new Int32Array(capacity);
  }

  /** A number for a new rule, its counters at zero. */
  add(model: Rule): number {
    const reused = this.#freeRules.pop();
    const rule = reused ?? this.models.length;
    if (rule === this.next.length) this.#growRules();
    this.models[rule] = model;
    this.counters[2 * rule] = this.counters[2 * rule + 1] = 0;
    this.program[rule] = 0;
    this.functionBase[rule] = -1;
    this.level[rule] = -1;
    return rule;
  }

  /** Gives back all that the rule holds; `functionCount` as it was reserved. */
  remove(rule: number, functionCount: number): void {
    this.freeProgram(this.program[rule]!);
    if (functionCount > 0) {
      const base = this.functionBase[rule]!;
      this.#functions.fill(undefined, base, base + functionCount);
      pushFree(this.#freeFunctions, functionCount, base);
    }
    this.models[rule] = undefined;
    this.#freeRules.push(rule);
  }

  /** Stores a program and returns where it begins; the empty one is at 0. */
  storeProgram(code: readonly number[]): number {
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

  freeProgram(at: number): void {
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
    this.functionBase[rule] = base;
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
    const place = this.functionBase[rule]! + ordinal;
    const bound = this.#functions[place];
    if (bound === undefined || (stateful && this.#boundAt[place] !== this.change))
      return this.#bindMatch(rule, ordinal);
    return bound as MatchFn; // places below the target's hold matches
  }

  /** The rule's target, an extension. */
  targetFunction(rule: number): TargetFn {
    const place = this.argument[rule]!;
    const bound = this.#functions[place];
    if (bound === undefined || this.#boundAt[place]! < this.change) return this.#bindTarget(rule);
    return bound as TargetFn; // the place of the rule's target
  }

  #bindMatch(rule: number, ordinal: number): MatchFn {
    const place = this.functionBase[rule]! + ordinal;
    const opaque = this.models[rule]!.matches.filter((use) => loweredMatch(use, this.env.family) === undefined);
    const { ext, value } = opaque[ordinal]!;
    const bound = ext.bind(value, this.env);
    this.#functions[place] = bound;
    this.#boundAt[place] = this.change;
    return bound;
  }

  #bindTarget(rule: number): TargetFn {
    const place = this.argument[rule]!;
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
    let at = this.program[rule]!;
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
    const arrays = [
      this.label,
      this.counters,
      this.next,
      this.action,
      this.argument,
      this.program,
      this.functionBase,
      this.level,
      this.words,
      this.#boundAt,
    ];
    return arrays.reduce((sum, array) => sum + array.byteLength, 8 * (this.models.length + this.#functions.length));
  }

  #growRules(): void {
    const size = this.next.length + 1;
    this.label = growFloat64(this.label, size);
    this.counters = growFloat64(this.counters, 2 * size);
    this.next = growInt32(this.next, size);
    this.action = growUint8(this.action, size);
    this.argument = growInt32(this.argument, size);
    this.program = growInt32(this.program, size);
    this.functionBase = growInt32(this.functionBase, size);
    this.level = growInt8(this.level, size);
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
