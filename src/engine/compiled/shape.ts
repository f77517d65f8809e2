/**
 * Which of a rule's tests can be a hash key. A *shape* is the list of (slot, mask) that a key is made of; rules of the
 * same shape share a subtable. A rule's own tests are its finest shape; where few rules have that, coarser ones do:
 * a key of fewer bits, the rest of the tests left to the rule's program. Each *level* is one way to make shapes coarser.
 *
 * A range of ports becomes blocks of a power of two (1024:65535 is six), each a value under a mask: the rule stands in
 * several subtables and a packet meets it in at most one.
 */
import { Field } from '../../wire/field.js';
import type { Range, Step } from './lower.js';

/** How a level treats each kind of test. */
interface Level {
  readonly name: string;
  /** Prefix lengths of address words are rounded down to a multiple of this; 0: no test of that address is used. */
  readonly srcUnit: number;
  readonly dstUnit: number;
  /** Ranges are expanded. */
  readonly ranges: boolean;
  /** Tests of anything but addresses and protocol are used. */
  readonly others: boolean;
}

export const LEVELS: readonly Level[] = [
  { name: 'exact', srcUnit: 1, dstUnit: 1, ranges: true, others: true },
  { name: 'prefixes by 8', srcUnit: 8, dstUnit: 8, ranges: true, others: true },
  { name: 'prefixes by 8, no ranges', srcUnit: 8, dstUnit: 8, ranges: false, others: true },
  { name: 'prefixes by 16, no ranges', srcUnit: 16, dstUnit: 16, ranges: false, others: true },
  { name: 'addresses by 8', srcUnit: 8, dstUnit: 8, ranges: false, others: false },
  { name: 'destination by 8', srcUnit: 0, dstUnit: 8, ranges: false, others: true },
  { name: 'source by 8', srcUnit: 8, dstUnit: 0, ranges: false, others: true },
  { name: 'no addresses', srcUnit: 0, dstUnit: 0, ranges: true, others: true },
];

/** More blocks than this and a range stays a test. */
const MAX_BLOCKS = 32;

/** A list of slots and masks. Equal lists of one root are one object. */
export class Shape {
  readonly slots: readonly number[];
  readonly masks: readonly number[];
  readonly #longer: Shape[] = [];
  #last: Shape | undefined = undefined;

  constructor(slots: readonly number[], masks: readonly number[]) {
    this.slots = slots;
    this.masks = masks;
  }

  /** This shape and one slot more. */
  with(slot: number, mask: number): Shape {
    const last = this.#last;
    if (last?.ends(slot, mask)) return last;
    let shape = this.#longer.find((longer) => longer.ends(slot, mask));
    if (shape === undefined) {
      shape = new Shape([...this.slots, slot], [...this.masks, mask]);
      this.#longer.push(shape);
    }
    this.#last = shape;
    return shape;
  }

  private ends(slot: number, mask: number): boolean {
    const last = this.slots.length - 1;
    return this.slots[last] === slot && this.masks[last] === mask;
  }
}

export interface ShapedKey {
  readonly shape: Shape;
  /** A word for each slot; what stands behind them means nothing. */
  readonly key: readonly number[];
}

/** The first key, and the others of a rule with a range. */
export interface Placement extends ShapedKey {
  readonly level: number;
  readonly more: readonly ShapedKey[];
  /** What the key does not answer, in order. */
  readonly rest: readonly Step[];
}

const NO_MORE: readonly ShapedKey[] = [];
const NOTHING_LEFT: readonly Step[] = [];

/**
 * Keys of a rule at a level, or undefined if nothing of it can be a key there. Shapes grow from `root`.
 * Steps stand in the kernel's fixed order but for matches, whose order tells shapes apart; that costs a subtable.
 */
export function placementAt(steps: readonly Step[], level: number, root: Shape): Placement | undefined {
  const { srcUnit, dstUnit, ranges, others } = LEVELS[level]!;
  let shape = root;
  // As long as it can be: arrays that grow by push() take room for 17.
  const key = new Array<number>(steps.length);
  let count = 0;
  let rest = NOTHING_LEFT as Step[]; // replaced before the first push
  let blocks: readonly Block[] = [];
  let blockSlot = -1;
  let open = true;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i]!;
    // Behind a call nothing may be tested early: the call happens only if all before it passed, and may leave state.
    if (step.kind === 'call') open = false;
    if (open && step.kind === 'equal') {
      const { slot } = step;
      const mask = roundedMask(slot, step.mask, srcUnit, dstUnit, others);
      if (mask !== 0 && slot !== blockSlot && !shape.slots.includes(slot)) {
        shape = shape.with(slot, mask);
        key[count++] = step.value & mask;
        if (mask === step.mask) continue;
      }
    } else if (open && ranges && step.kind === 'ranges' && !step.invert && blockSlot === -1) {
      if (!shape.slots.includes(step.slot)) {
        const made = blocksOf(step.ranges);
        if (made !== undefined) {
          blocks = made;
          blockSlot = step.slot;
          continue;
        }
      }
    }
    if (rest === NOTHING_LEFT) rest = [];
    rest.push(step);
  }
  if (blockSlot === -1) return shape === root ? undefined : { shape, key, level, more: NO_MORE, rest };
  const keys = blocks.map(({ value, mask }): ShapedKey => {
    // A block of everything tests nothing.
    return mask === 0 ? { shape, key } : { shape: shape.with(blockSlot, mask), key: [...key.slice(0, count), value] };
  });
  if (keys.some((one) => one.shape === root)) return undefined;
  const [first, ...more] = keys;
  return { shape: first!.shape, key: first!.key, level, more, rest };
}

function roundedMask(slot: number, mask: number, srcUnit: number, dstUnit: number, others: boolean): number {
  if (slot <= Field.Src3) return roundedPrefix(mask, srcUnit);
  if (slot <= Field.Dst3) return roundedPrefix(mask, dstUnit);
  return others || slot === Field.Protocol ? mask : 0;
}

/** The leading ones of the mask, their number rounded down to a multiple of `unit`. */
function roundedPrefix(mask: number, unit: number): number {
  if (unit === 0) return 0;
  if (unit === 1) return mask;
  const bits = Math.floor(Math.clz32(~mask) / unit) * unit;
  return bits === 0 ? 0 : -1 << (32 - bits);
}

interface Block {
  readonly value: number;
  readonly mask: number;
}

/** The ranges as aligned blocks of powers of two, none overlapping; undefined if there are too many, or none. */
function blocksOf(ranges: readonly Range[]): readonly Block[] | undefined {
  const blocks: Block[] = [];
  for (const { low, high } of merged(ranges)) {
    let at = low;
    while (at <= high) {
      // The largest block that begins here and does not pass the end. Plain arithmetic: values reach 2^32.
      let size = 1;
      while (at % (size * 2) === 0 && at + size * 2 - 1 <= high && size < 0x1_0000_0000) size *= 2;
      blocks.push({ value: at | 0, mask: size === 0x1_0000_0000 ? 0 : -size | 0 });
      if (blocks.length > MAX_BLOCKS) return undefined;
      at += size;
    }
  }
  return blocks.length === 0 ? undefined : blocks;
}

function merged(ranges: readonly Range[]): Range[] {
  const sorted = ranges.filter(({ low, high }) => low <= high).sort((a, b) => a.low - b.low);
  const out: Range[] = [];
  for (const range of sorted) {
    const last = out.at(-1);
    if (last !== undefined && range.low <= last.high + 1) {
      out[out.length - 1] = { low: last.low, high: Math.max(last.high, range.high) };
    } else {
      out.push(range);
    }
  }
  return out;
}
