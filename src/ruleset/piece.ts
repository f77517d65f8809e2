/** Pieces of rule lines (`-m tcp --dport 80`) as canonical-rule.ts reads them: their options, and a cache of their values. */
import type { Source, Span } from '../base/source.js';
import type { OptionSpec } from '../ext/extension.js';
import type { GivenOption } from '../ext/option.js';

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
