/**
 * The rules of a chain that no subtable holds, in rule order, behind a filter: for each of a few fields the values are
 * cut into segments, and a segment has one bit a rule: it may match there. The AND of a packet's segments leaves the
 * rules worth testing (Lakshman and Stiliadis' bit vectors, with segments instead of exact intervals, so that a rule
 * costs SEGMENTS / 8 bytes a field and not as many as there are rules).
 *
 * A rule inserted later stands in a short list of its own until the plan is made anew; a removed one loses its bit.
 *
 * State of a walk in the caller's frame: [0] word that is being looked at, [1] its bits left, [2] next of the late
 * ones, [3 + i] row of field i.
 */
import { growInt32 } from '../../base/grow.js';
import { Field } from '../../wire/field.js';
import type { Step } from './lower.js';
import type { RuleStore } from './rule-store.js';

/** Segments of a field. */
const SEGMENTS = 64;
const MAX_FIELDS = 5;
/** Fewer rules than this are tested faster than filtered (bench: `plan-threshold`). */
const MIN_FILTERED = 16;
/** Fields that a filter may look at: those whose values have an order in which rules name ranges. */
const FILTER_SLOTS: readonly number[] = [
  Field.Dst0,
  Field.Src0,
  Field.DstPort,
  Field.Protocol,
  Field.Dst3,
  Field.Src3,
  Field.Dst1,
  Field.Src1,
  Field.SrcPort,
  Field.InName,
  Field.OutName,
  Field.Icmp,
];

const FRAME_ROWS = 3;
/** Words of a walk's state. */
export const RESIDUAL_FRAME = FRAME_ROWS + MAX_FIELDS;

const MAX_VALUE = 0xffffffff;

interface Span {
  readonly low: number;
  readonly high: number;
}

interface FilterField {
  readonly slot: number;
  /** First value of each segment, ascending; the first is 0. */
  readonly bounds: Float64Array;
  /** Rows of bits, one a segment. */
  readonly rows: Int32Array;
}

export class ResidualList {
  readonly #store: RuleStore;
  /** In rule order. The place of a removed rule repeats a neighbour, so that labels stay sorted; its bit is gone. */
  readonly #rules: Int32Array;
  #size: number;
  readonly #wordCount: number;
  readonly fields: readonly FilterField[];
  /** Bits of rules that are there. */
  readonly #alive: Int32Array;
  /** Inserted since, in rule order. */
  #late: Int32Array = new Int32Array(0);
  lateCount = 0;
  count: number;
  /** No rule in here has a lower label; Infinity: there is none. It may lie below the lowest after removals. */
  firstLabel: number;

  constructor(store: RuleStore, rules: readonly number[], steps: readonly (readonly Step[])[]) {
    this.#store = store;
    this.#rules = Int32Array.from(rules);
    this.count = rules.length;
    this.firstLabel = rules.length === 0 ? Infinity : store.label(rules[0]!);
    this.#size = rules.length;
    this.#wordCount = (rules.length + 31) >> 5;
    this.#alive = new Int32Array(this.#wordCount);
    for (let i = 0; i < rules.length; i++) this.#alive[i >> 5]! |= 1 << (i & 31);
    this.fields = rules.length < MIN_FILTERED ? [] : filterFields(steps, this.#wordCount);
  }

  /** Begins in front of all rules with labels above `label`. `f`: the packet's fields. */
  start(frames: Int32Array, frame: number, label: number, f: Uint32Array): void {
    for (let i = 0; i < this.fields.length; i++) {
      const { slot, bounds } = this.fields[i]!;
      const value = f[slot]!;
      let low = 0;
      let high = bounds.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (bounds[middle]! <= value) low = middle;
        else high = middle - 1;
      }
      frames[frame + FRAME_ROWS + i] = low * this.#wordCount;
    }
    const at = label < 0 ? 0 : this.#upTo(this.#rules, this.#size, label);
    frames[frame] = at >> 5;
    frames[frame + 1] = at >> 5 < this.#wordCount ? this.#bits(frames, frame, at >> 5) & (-1 << (at & 31)) : 0;
    frames[frame + 2] = label < 0 ? 0 : this.#upTo(this.#late, this.lateCount, label);
  }

  /** The next rule worth testing whose label is below `limit`, or -1. */
  next(frames: Int32Array, frame: number, limit: number): number {
    let word = frames[frame]!;
    let bits = frames[frame + 1]!;
    while (bits === 0 && word + 1 < this.#wordCount) bits = this.#bits(frames, frame, ++word);
    frames[frame] = word;
    frames[frame + 1] = bits;
    const lowest = bits & -bits;
    const rule = bits === 0 ? -1 : this.#rules[(word << 5) + 31 - Math.clz32(lowest)]!;
    if (frames[frame + 2]! < this.lateCount) {
      const late = this.#late[frames[frame + 2]!]!;
      if (rule === -1 || this.#store.label(late) < this.#store.label(rule)) {
        if (this.#store.label(late) >= limit) return -1;
        frames[frame + 2]!++;
        return late;
      }
    }
    if (rule === -1 || this.#store.label(rule) >= limit) return -1;
    frames[frame + 1] = bits ^ lowest;
    return rule;
  }

  #bits(frames: Int32Array, frame: number, word: number): number {
    let bits = this.#alive[word]!;
    const { fields } = this;
    for (let i = 0; i < fields.length; i++) bits &= fields[i]!.rows[frames[frame + FRAME_ROWS + i]! + word]!;
    return bits;
  }

  insert(rule: number): void {
    const at = this.#upTo(this.#late, this.lateCount, this.#store.label(rule));
    if (this.lateCount === this.#late.length) this.#late = growInt32(this.#late, this.lateCount + 8);
    this.#late.copyWithin(at + 1, at, this.lateCount);
    this.#late[at] = rule;
    this.lateCount++;
    this.count++;
    this.firstLabel = Math.min(this.firstLabel, this.#store.label(rule));
  }

  /** After labels were dealt anew in the same order. */
  relabelled(): void {
    const first = this.list()[0];
    this.firstLabel = first === undefined ? Infinity : this.#store.label(first);
  }

  remove(rule: number): void {
    this.count--;
    if (this.count === 0) this.firstLabel = Infinity;
    const label = this.#store.label(rule);
    const late = this.#upTo(this.#late, this.lateCount, label) - 1;
    if (late >= 0 && this.#late[late] === rule) {
      this.#late.copyWithin(late, late + 1, this.lateCount);
      this.lateCount--;
      return;
    }
    const rules = this.#rules;
    const to = this.#upTo(rules, this.#size, label);
    let from = to;
    while (from > 0 && rules[from - 1] === rule) {
      from--;
      this.#alive[from >> 5]! &= ~(1 << (from & 31));
    }
    if (from > 0) rules.fill(rules[from - 1]!, from, to);
    else if (to < this.#size) rules.fill(rules[to]!, from, to);
    else this.#size = 0;
  }

  /** How many of the rules have a label of at most `label`. */
  #upTo(rules: Int32Array, count: number, label: number): number {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#store.label(rules[middle]!) <= label) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Rules in rule order. */
  list(): number[] {
    const rules = Array.from(this.#rules).filter((_, i) => (this.#alive[i >> 5]! >> (i & 31)) & 1);
    rules.push(...this.#late.subarray(0, this.lateCount));
    return rules.sort((a, b) => this.#store.label(a) - this.#store.label(b));
  }

  get byteSize(): number {
    const own = this.#rules.byteLength + this.#alive.byteLength + this.#late.byteLength;
    return this.fields.reduce((sum, { bounds, rows }) => sum + bounds.byteLength + rows.byteLength, own);
  }
}

/** The fields that most rules test for an interval, cut into segments. */
function filterFields(steps: readonly (readonly Step[])[], wordCount: number): FilterField[] {
  const made: { readonly field: FilterField; readonly tested: number }[] = [];
  for (const slot of FILTER_SLOTS) {
    const spans = steps.map((list) => spansOf(list, slot));
    const tested = spans.reduce((sum, of) => sum + (of === undefined ? 0 : 1), 0);
    if (tested * MIN_TESTED_SHARE < steps.length) continue;
    const bounds = segmentBounds(spans);
    if (bounds.length > 1) made.push({ field: { slot, bounds, rows: fillRows(spans, bounds, wordCount) }, tested });
  }
  made.sort((a, b) => b.tested - a.tested);
  return made.slice(0, MAX_FIELDS).map(({ field }) => field);
}

/** One rule in this many must test a field, or it is not worth a row. */
const MIN_TESTED_SHARE = 8;

/**
 * Values of the slot for which the rule's first test of it can be true; undefined: all. Behind a call a failing test does not
 * spare the call, so only tests before it count.
 */
function spansOf(steps: readonly Step[], slot: number): readonly Span[] | undefined {
  for (const step of steps) {
    if (step.kind === 'call') return undefined;
    if (step.kind === 'equal' && step.slot === slot) {
      const rest = ~step.mask >>> 0;
      // A mask with holes names no interval.
      if ((rest & (rest + 1)) !== 0) continue;
      const low = step.value >>> 0;
      return [{ low, high: (low | rest) >>> 0 }];
    }
    if (step.kind === 'ranges' && step.slot === slot && !step.invert) {
      return step.ranges.filter(({ low, high }) => low <= high);
    }
  }
  return undefined;
}

/** Where segments begin: where the most intervals begin and end, evenly thinned out to SEGMENTS. */
function segmentBounds(spans: readonly (readonly Span[] | undefined)[]): Float64Array {
  const ends = new Set<number>([0]);
  for (const of of spans) {
    for (const { low, high } of of ?? []) {
      ends.add(low);
      if (high < MAX_VALUE) ends.add(high + 1);
    }
  }
  const sorted = Float64Array.from(ends).sort();
  if (sorted.length <= SEGMENTS) return sorted;
  return Float64Array.from({ length: SEGMENTS }, (_, i) => sorted[Math.floor((i * sorted.length) / SEGMENTS)]!);
}

function fillRows(
  spans: readonly (readonly Span[] | undefined)[],
  bounds: Float64Array,
  wordCount: number,
): Int32Array {
  const rows = new Int32Array(bounds.length * wordCount);
  spans.forEach((of, rule) => {
    const word = rule >> 5;
    const bit = 1 << (rule & 31);
    for (let segment = 0; segment < bounds.length; segment++) {
      const low = bounds[segment]!;
      const high = segment + 1 < bounds.length ? bounds[segment + 1]! - 1 : MAX_VALUE;
      if (of === undefined || of.some((span) => span.low <= high && span.high >= low)) {
        rows[segment * wordCount + word]! |= bit;
      }
    }
  });
  return rows;
}
