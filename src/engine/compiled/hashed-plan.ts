/**
 * The plan of a long chain: tuple space search with priorities. Subtables stand in the order of their lowest rule; a
 * packet looks them up one after the other until the best rule found is lower than anything a later one can hold.
 * Rules that no subtable holds (residuals) are tested in rule order between the candidates, and a table is looked up
 * only when every residual before its lowest rule has failed. So each rule's program runs when, and only when, the
 * kernel's loop would have got there, but for rules whose key says that they cannot match.
 *
 * State of one walk through the chain lies in a frame of the caller's array:
 *   [0] next residual, [1] subtables looked up, [2] which of these holds the best rule, or -1,
 *   [3] rule behind which the search began, or -1, [4] the caller's stamp, [5 + i] next entry of subtable i, or -1.
 */
import { growInt32 } from '../../base/grow.js';
import type { Packet } from '../../wire/packet.js';
import type { Step } from './lower.js';
import { encodeSteps } from './program.js';
import { FAILED, HOTDROP, type RuleStore } from './rule-store.js';
import { LEVELS, type Placement, placementAt } from './shape.js';
import { Subtable } from './subtable.js';

/** Offset of the caller's stamp: what it had counted of side effects when the search began. */
export const FRAME_EFFECTS = 4;
const FRAME_HEAD = 5;

/** Results of `next` besides rules. */
export const NO_RULE = -1;
export const BROKEN_PACKET = -2;

/** A look-up costs about as much as testing this many rules (bench: `plan-threshold`), so a smaller shape is not worth it. */
const MIN_SHAPE_RULES = 4;
const MAX_SUBTABLES = 48;

export class HashedPlan {
  readonly #store: RuleStore;
  /** By minLabel, ascending. */
  readonly subtables: Subtable[] = [];
  readonly #byShape = new Map<string, Subtable>();
  /** Rules in no subtable, in rule order. */
  #residual: Int32Array;
  residualCount = 0;
  /** Rule, and next entry of the same key in rule order, by entry. */
  #entryRule: Int32Array;
  #entryNext: Int32Array;
  #entryCount = 0;
  #freeEntry = -1;
  /** Rules inserted since the plan was made that found no subtable. */
  misfitCount = 0;
  readonly #code: number[] = [];

  /**
   * Makes the plan of a chain: `rules` in order, with their steps. Undefined if too few of them would be hashed.
   * Writes the rules' programs.
   */
  static build(
    store: RuleStore,
    rules: readonly number[],
    steps: readonly (readonly Step[])[],
  ): HashedPlan | undefined {
    const placed = chooseLevels(steps);
    const hashedCount = placed.reduce((sum, placement) => sum + (placement === undefined ? 0 : 1), 0);
    if (hashedCount < MIN_SHAPE_RULES) return undefined;
    return new HashedPlan(store, rules, steps, placed);
  }

  private constructor(
    store: RuleStore,
    rules: readonly number[],
    steps: readonly (readonly Step[])[],
    placed: readonly (Placed | undefined)[],
  ) {
    this.#store = store;
    const keyCounts = new Map<string, number>();
    let entryCount = 0;
    let residualCount = 0;
    for (const chosen of placed) {
      if (chosen === undefined) {
        residualCount++;
        continue;
      }
      for (const { shape } of chosen.placement.keys) keyCounts.set(shape, (keyCounts.get(shape) ?? 0) + 1);
      entryCount += chosen.placement.keys.length;
    }
    this.#residual = new Int32Array(residualCount);
    this.#entryRule = new Int32Array(entryCount);
    this.#entryNext = new Int32Array(entryCount);
    // Last rule first: each then goes to the front of its key's list.
    for (let i = rules.length - 1; i >= 0; i--) {
      const rule = rules[i]!;
      const chosen = placed[i];
      if (chosen === undefined) {
        this.#write(rule, -1, steps[i]!);
        continue;
      }
      this.#write(rule, chosen.level, chosen.placement.rest);
      for (const { shape, slots, masks, key } of chosen.placement.keys) {
        let subtable = this.#byShape.get(shape);
        if (subtable === undefined) {
          subtable = new Subtable(shape, slots, masks, keyCounts.get(shape)!);
          this.#byShape.set(shape, subtable);
          this.subtables.push(subtable);
        }
        this.#link(subtable, key, rule);
      }
    }
    for (let i = 0; i < rules.length; i++)
      if (placed[i] === undefined) this.#residual[this.residualCount++] = rules[i]!;
    this.#sortSubtables();
  }

  get frameSize(): number {
    return FRAME_HEAD + this.subtables.length;
  }

  /** Begins a search at the first rule of the chain, or behind `after`. */
  start(frames: Int32Array, frame: number, after: number, stamp: number): void {
    frames[frame] = after === NO_RULE ? 0 : this.#residualsUpTo(this.#store.label[after]!);
    frames[frame + 1] = 0;
    frames[frame + 2] = -1;
    frames[frame + 3] = after;
    frames[frame + FRAME_EFFECTS] = stamp;
  }

  /**
   * The next rule whose tests all pass, NO_RULE, or BROKEN_PACKET (the rule is then in `store.brokenAt`). The fields that keys
   * are made of must be as they were at `start`. Per packet: allocates nothing.
   */
  next(frames: Int32Array, frame: number, packet: Packet): number {
    const store = this.#store;
    const { label } = store;
    const { subtables } = this;
    const residual = this.#residual;
    const entryRule = this.#entryRule;
    let best = frames[frame + 2]!;
    for (;;) {
      const bestLabel = best === -1 ? Infinity : label[entryRule[frames[frame + FRAME_HEAD + best]!]!]!;
      const looked = frames[frame + 1]!;
      const unlooked = looked < subtables.length ? subtables[looked]!.minLabel : Infinity;
      const limit = Math.min(unlooked, bestLabel);
      for (let at = frames[frame]!; at < this.residualCount; at++) {
        const rule = residual[at]!;
        if (label[rule]! >= limit) break;
        frames[frame] = at + 1;
        const result = store.passes(rule, packet);
        if (result !== FAILED) {
          frames[frame + 2] = best;
          return result === HOTDROP ? BROKEN_PACKET : rule;
        }
      }
      if (unlooked < bestLabel) {
        const entry = this.#lookUp(subtables[looked]!, packet.f, frames[frame + 3]!);
        frames[frame + FRAME_HEAD + looked] = entry;
        frames[frame + 1] = looked + 1;
        if (entry !== -1 && label[entryRule[entry]!]! < bestLabel) best = looked;
        continue;
      }
      if (best === -1) {
        frames[frame + 2] = -1;
        return NO_RULE;
      }
      const entry = frames[frame + FRAME_HEAD + best]!;
      frames[frame + FRAME_HEAD + best] = this.#entryNext[entry]!;
      best = this.#bestOf(frames, frame, looked);
      const rule = entryRule[entry]!;
      const result = store.passes(rule, packet);
      if (result !== FAILED) {
        frames[frame + 2] = best;
        return result === HOTDROP ? BROKEN_PACKET : rule;
      }
    }
  }

  /** First entry for the packet's fields behind the rule `after`. */
  #lookUp(subtable: Subtable, f: Uint32Array, after: number): number {
    let entry = subtable.find(f);
    if (after !== NO_RULE) {
      const { label } = this.#store;
      const from = label[after]!;
      while (entry !== -1 && label[this.#entryRule[entry]!]! <= from) entry = this.#entryNext[entry]!;
    }
    return entry;
  }

  #bestOf(frames: Int32Array, frame: number, looked: number): number {
    const { label } = this.#store;
    let best = -1;
    let bestLabel = Infinity;
    for (let i = 0; i < looked; i++) {
      const entry = frames[frame + FRAME_HEAD + i]!;
      if (entry === -1) continue;
      const at = label[this.#entryRule[entry]!]!;
      if (at < bestLabel) {
        best = i;
        bestLabel = at;
      }
    }
    return best;
  }

  /** Takes a rule into the plan; its label is set. */
  insert(rule: number, steps: readonly Step[]): void {
    for (let level = 0; level < LEVELS.length; level++) {
      const placement = placementAt(steps, level);
      if (placement === undefined || !placement.keys.every(({ shape }) => this.#byShape.has(shape))) continue;
      this.#write(rule, level, placement.rest);
      let lowered = false;
      for (const { shape, key } of placement.keys) {
        const subtable = this.#byShape.get(shape)!;
        if (this.#store.label[rule]! < subtable.minLabel) lowered = true;
        this.#link(subtable, key, rule);
      }
      if (lowered) this.#sortSubtables();
      return;
    }
    this.misfitCount++;
    this.#write(rule, -1, steps);
    const at = this.#residualsUpTo(this.#store.label[rule]!);
    if (this.residualCount === this.#residual.length)
      this.#residual = growInt32(this.#residual, this.residualCount + 8);
    this.#residual.copyWithin(at + 1, at, this.residualCount);
    this.#residual[at] = rule;
    this.residualCount++;
  }

  /** Takes a rule out. Its label and steps are those with which it came in. */
  remove(rule: number, steps: readonly Step[]): void {
    const level = this.#store.level[rule]!;
    if (level === -1) {
      const at = this.#residualsUpTo(this.#store.label[rule]!) - 1;
      this.#residual.copyWithin(at, at + 1, this.residualCount);
      this.residualCount--;
      return;
    }
    for (const { shape, key } of placementAt(steps, level)!.keys) this.#unlink(this.#byShape.get(shape)!, key, rule);
  }

  /** After labels were dealt anew in the same order. */
  relabelled(): void {
    for (const subtable of this.subtables) {
      subtable.minLabel = Infinity;
      subtable.heads.forEach((entry) => {
        const at = this.#store.label[this.#entryRule[entry]!]!;
        if (at < subtable.minLabel) subtable.minLabel = at;
      });
    }
    this.#sortSubtables();
  }

  #write(rule: number, level: number, rest: readonly Step[]): void {
    const store = this.#store;
    store.freeProgram(store.program[rule]!);
    encodeSteps(rest, this.#code);
    store.program[rule] = store.storeProgram(this.#code);
    store.level[rule] = level;
  }

  #link(subtable: Subtable, words: readonly number[], rule: number): void {
    const { label } = this.#store;
    const entry = this.#newEntry(rule);
    const { key } = subtable;
    for (let i = 0; i < key.length; i++) key[i] = words[i]!;
    let before = -1;
    let at = subtable.heads.find(key);
    while (at !== -1 && label[this.#entryRule[at]!]! < label[rule]!) {
      before = at;
      at = this.#entryNext[at]!;
    }
    this.#entryNext[entry] = at;
    if (before === -1) subtable.heads.set(key, entry);
    else this.#entryNext[before] = entry;
    if (label[rule]! < subtable.minLabel) subtable.minLabel = label[rule]!;
    subtable.ruleCount++;
  }

  #unlink(subtable: Subtable, words: readonly number[], rule: number): void {
    const { key } = subtable;
    for (let i = 0; i < key.length; i++) key[i] = words[i]!;
    let before = -1;
    let at = subtable.heads.find(key);
    while (this.#entryRule[at] !== rule) {
      before = at;
      at = this.#entryNext[at]!;
    }
    const after = this.#entryNext[at]!;
    if (before !== -1) this.#entryNext[before] = after;
    else if (after !== -1) subtable.heads.set(key, after);
    else subtable.heads.delete(key);
    subtable.ruleCount--;
    this.#entryNext[at] = this.#freeEntry;
    this.#freeEntry = at;
  }

  #newEntry(rule: number): number {
    let entry = this.#freeEntry;
    if (entry !== -1) {
      this.#freeEntry = this.#entryNext[entry]!;
    } else {
      entry = this.#entryCount++;
      if (entry === this.#entryRule.length) {
        this.#entryRule = growInt32(this.#entryRule, entry + 8);
        this.#entryNext = growInt32(this.#entryNext, entry + 8);
      }
    }
    this.#entryRule[entry] = rule;
    return entry;
  }

  /** How many residuals have a label of at most `at`. */
  #residualsUpTo(at: number): number {
    const { label } = this.#store;
    let low = 0;
    let high = this.residualCount;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (label[this.#residual[middle]!]! <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #sortSubtables(): void {
    this.subtables.sort((a, b) => a.minLabel - b.minLabel);
  }

  /** The residual rules in order, for reports. */
  residualRules(): Int32Array {
    return this.#residual.slice(0, this.residualCount);
  }

  get byteSize(): number {
    const own = this.#residual.byteLength + this.#entryRule.byteLength + this.#entryNext.byteLength;
    return this.subtables.reduce((sum, { heads }) => sum + heads.byteSize, own);
  }
}

interface Placed {
  readonly level: number;
  readonly placement: Placement;
}

/** For each rule the finest level at which its shapes are worth a subtable, or undefined. */
function chooseLevels(steps: readonly (readonly Step[])[]): (Placed | undefined)[] {
  const placed = new Array<Placed | undefined>(steps.length);
  const worth = new Set<string>();
  let open = steps.map((_, i) => i);
  for (let level = 0; level < LEVELS.length && open.length > 0; level++) {
    const placements = open.map((i) => placementAt(steps[i]!, level));
    const counts = new Map<string, number>();
    for (const placement of placements) {
      for (const { shape } of placement?.keys ?? []) counts.set(shape, (counts.get(shape) ?? 0) + 1);
    }
    const popular = [...counts].filter(([, count]) => count >= MIN_SHAPE_RULES).sort((a, b) => b[1] - a[1]);
    for (const [shape] of popular) if (worth.size < MAX_SUBTABLES) worth.add(shape);
    const left: number[] = [];
    open.forEach((rule, i) => {
      const placement = placements[i];
      if (placement?.keys.every(({ shape }) => worth.has(shape))) placed[rule] = { level, placement };
      else left.push(rule);
    });
    open = left;
  }
  return placed;
}
