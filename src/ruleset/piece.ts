/** Pieces of rule lines (`-m tcp --dport 80`) as canonical-rule.ts reads them: their ends, their values, and a cache of these. */
import type { Source, Span } from '../base/source.js';
import type { MatchExt, OptionSpec, TargetExt } from '../ext/extension.js';
import { type GivenOption, GivenOptions } from '../ext/option.js';
import type { Family } from '../net/netfilter.js';
import { BY_NAME } from './base-option.js';
import { splitWords } from './words.js';

const TAB = 9;
const SPACE = 32;
const QUOTE = 34;
const DASH = 45;
const BACKSLASH = 92;
const [G, J, M] = [103, 106, 109] as const;

/** True if the blank at `at` ends a piece: another one begins behind it. */
export function endsPiece(text: string, at: number, end: number): boolean {
  if (text.charCodeAt(at + 1) !== DASH || at + 3 >= end || text.charCodeAt(at + 3) !== SPACE) return false;
  const letter = text.charCodeAt(at + 2);
  return letter === M || letter === J || letter === G;
}

export class PieceScan {
  readonly #text: string;
  /** Hash of the piece gone over last. */
  hash = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /**
   * End of the piece that begins with the `-m`, `-j` or `-g` at `at`: the blank before the next of them. A value that
   * looks like one (`--comment -m`) leaves its option without a value, so that the piece is refused; -1: not for us.
   */
  endOf(at: number, end: number): number {
    const text = this.#text;
    let hash = 0;
    let i = at + 3;
    while (i < end) {
      let code = text.charCodeAt(i);
      if (code === SPACE) {
        if (endsPiece(text, i, end)) break;
        i++;
      } else if (code === QUOTE) {
        i++;
        while (i < end) {
          code = text.charCodeAt(i);
          if (code === QUOTE) break;
          hash = (Math.imul(hash, 31) + code) | 0;
          i += code === BACKSLASH ? 2 : 1;
        }
        if (i >= end) return -1;
        i++;
      } else if (code === TAB) return -1;
      else {
        hash = (Math.imul(hash, 31) + code) | 0;
        i++;
      }
    }
    this.hash = hash;
    return Math.min(i, end);
  }
}

const NO_OPTIONS: GivenOption[] = [];
const NO_VALUES: readonly string[] = [];

/** `-m name …` or `-j NAME …` with options of that extension only, in full, and nothing to report; else null. */
export function readPiece<E extends MatchExt | TargetExt>(
  source: Source,
  at: number,
  end: number,
  key: number,
  family: Family,
  find: (name: string) => E | undefined,
): { readonly ext: E; readonly value: unknown } | null {
  const { values, starts, ends, fault } = splitWords(source.text, at, end);
  if (values.length < 2 || fault !== undefined) return null;
  const ext = find(values[1]!);
  if (ext === undefined) return null;
  let given: GivenOption[] = NO_OPTIONS;
  let invert = false;
  for (let i = 2; i < values.length; i++) {
    const word = values[i]!;
    if (word === '!' && !invert) {
      invert = true;
      continue;
    }
    const spec = BY_NAME.has(word) ? undefined : specOf(ext, word);
    if (spec === undefined || (invert && spec.invert !== true)) return null;
    if (spec.many !== true) for (const other of given) if (other.spec === spec) return null;
    const count = spec.args ?? 1;
    if (i + count >= values.length) return null;
    const first = values[i + 1];
    const second = values[i + 2];
    if (count === 2 && /^[-!]/.test(second!)) return null;
    const option = new PieceOption(
      source,
      spec,
      invert,
      count === 0 ? NO_VALUES : count === 1 ? [first!] : [first!, second!],
      key,
      starts[i]!,
      ends[i]!,
      starts[i + Math.min(count, 1)]!,
      ends[i + count]!,
    );
    if (given === NO_OPTIONS) given = [option];
    else given.push(option);
    invert = false;
    i += count;
  }
  if (invert) return null;
  let reported = false;
  const span = { source, start: starts[1]!, end: ends[1]! };
  const onReport = (): void => {
    reported = true;
  };
  const value = ext.parse(new GivenOptions(ext.kind, family, given, span, onReport));
  return reported ? null : { ext, value };
}

function specOf(ext: MatchExt | TargetExt, name: string): OptionSpec | undefined {
  for (const spec of ext.options) if (spec.name === name || spec.aliases?.includes(name) === true) return spec;
  return undefined;
}

/** An option of a piece; spans are made only if somebody asks for them. */
export class PieceOption implements GivenOption {
  readonly spec: OptionSpec;
  readonly invert: boolean;
  readonly values: readonly string[];
  readonly #source: Source;
  readonly #key: number;
  readonly #start: number;
  readonly #end: number;
  readonly #valueStart: number;
  readonly #valueEnd: number;

  constructor(
    source: Source,
    spec: OptionSpec,
    invert: boolean,
    values: readonly string[],
    key: number,
    start: number,
    end: number,
    valueStart: number,
    valueEnd: number,
  ) {
    this.#source = source;
    this.spec = spec;
    this.invert = invert;
    this.values = values;
    this.#key = key;
    this.#start = start;
    this.#end = end;
    this.#valueStart = valueStart;
    this.#valueEnd = valueEnd;
  }

  get span(): Span {
    return { source: this.#source, start: this.#start, end: this.#end };
  }

  get valueSpan(): Span {
    return { source: this.#source, start: this.#valueStart, end: this.#valueEnd };
  }

  get protocol(): number {
    return this.#key >> 1;
  }

  get protocolInverted(): boolean {
    return (this.#key & 1) === 1;
  }
}

/** Most slots of a piece cache; a power of two. */
const MAX_PIECE_SLOTS = 1 << 14;

/**
 * Values of pieces of the text seen lately, under the piece and the rule's protocol (what an option means may depend on
 * it). Each slot holds the piece met last: room is bounded, and a hit makes no string.
 */
export class PieceCache<V> {
  readonly #mask: number;
  readonly #pieces: (string | undefined)[];
  readonly #keys: Int32Array;
  readonly #values: (V | null | undefined)[];

  /** `textSize`: of the file; a small one needs few slots. */
  constructor(textSize: number) {
    let slots = 16;
    while (slots < MAX_PIECE_SLOTS && slots * 64 < textSize) slots *= 2;
    this.#mask = slots - 1;
    this.#pieces = new Array<undefined>(slots).fill(undefined);
    this.#keys = new Int32Array(slots);
    this.#values = new Array<undefined>(slots).fill(undefined);
  }

  /** Undefined: not there. Null: known not to be for the quick reader. */
  get(text: string, start: number, end: number, key: number, hash: number): V | null | undefined {
    const slot = this.#slot(hash, key);
    const piece = this.#pieces[slot];
    if (piece === undefined || piece.length !== end - start || this.#keys[slot] !== key) return undefined;
    return text.startsWith(piece, start) ? this.#values[slot] : undefined;
  }

  set(text: string, start: number, end: number, key: number, hash: number, value: V | null): void {
    const slot = this.#slot(hash, key);
    this.#pieces[slot] = text.slice(start, end);
    this.#keys[slot] = key;
    this.#values[slot] = value;
  }

  #slot(hash: number, key: number): number {
    const mixed = Math.imul(hash ^ key, 0x9e3779b1);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }
}
