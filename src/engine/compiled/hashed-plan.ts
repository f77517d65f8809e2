/**
 * The plan of a long chain: tuple space search with priorities. Subtables stand in the order of their lowest rule; a
 * packet looks them up one after the other until the best rule found is lower than anything a later one can hold.
 * Rules that no subtable holds (residuals) are tested in rule order between the candidates, and a table is looked up
 * only when every residual before its lowest rule has failed. So each rule's program runs when, and only when, the
 * kernel's loop would have got there, but for rules of which a key or a filter says that they cannot match.
 *
 * State of one walk through the chain lies in a frame of the caller's array:
 *   [0] subtables looked up, [1] which of these holds the best rule, or -1, [2] rule behind which the search began, or
 *   -1, [3] the caller's stamp, [4] 1 once the residuals have been begun, [5] candidate tested last, [6 …] state of the residuals,
 *   [FRAME_HEAD + i] next entry of subtable i, or -1.
 */
import { growInt32 } from '../../base/grow.js';
import type { Packet } from '../../wire/packet.js';
import type { Step } from './lower.js';
import { RESIDUAL_FRAME, ResidualList } from './residual-list.js';
import { FAILED, HOTDROP, type RuleStore } from './rule-store.js';
import { LEVELS, type Placement, placementAt, Shape, type ShapedKey } from './shape.js';
import { Subtable } from './subtable.js';

const FRAME_LOOKED = 0;
const FRAME_BEST = 1;
const FRAME_AFTER = 2;
/** The caller's stamp: what it had counted of side effects when the search began. */
export const FRAME_EFFECTS = 3;
const FRAME_BEGUN = 4;
/** A rule in several subtables may be met twice, where hashes of different keys agree; its tests must run once. */
const FRAME_LAST = 5;
const FRAME_RESIDUAL = 6;
const FRAME_HEAD = FRAME_RESIDUAL + RESIDUAL_FRAME;

/** Results of `next` besides rules. */
export const NO_RULE = -1;
export const BROKEN_PACKET = -2;

/** The first few shapes of a chain are worth a look-up from here on (about the cost of testing as many rules) … */
const MIN_SHAPE_RULES = 6;
const CHEAP_SHAPES = 3;
/** … later ones only when the filter of the residuals would have to carry this many rules more. */
const MIN_LATER_SHAPE_RULES = 96;
const MAX_SUBTABLES = 64;
const ENTRY_WORDS = 3;

export class HashedPlan {
  readonly #store: RuleStore;
  /** By minLabel, ascending. */
  readonly subtables: Subtable[] = [];
  readonly #byShape = new Map<Shape, Subtable>();
  /** The shape of no slots, from which all others grow. */
  readonly #root: Shape;
  readonly #residual: ResidualList;
  /** By ENTRY_WORDS × entry: rule; next entry of the same key in rule order; head of the chain that the rule jumps to, 0: none, or not known. */
  #entries: Int32Array;
  #entryCount = 0;
  #freeEntry = -1;
  /** Rules inserted since the plan was made that found no subtable. */
  misfitCount = 0;

  /**
   * Makes the plan of a chain: `rules` in order, with their steps. Undefined if it would spare no rule's test.
   */
  static build(
    store: RuleStore,
    rules: readonly number[],
    steps: readonly (readonly Step[])[],
  ): HashedPlan | undefined {
    const root = new Shape([], []);
    const plan = new HashedPlan(store, rules, steps, root, chooseLevels(steps, root));
    return plan.subtables.length === 0 && plan.filterSlots.length === 0 ? undefined : plan;
  }

  private constructor(
    store: RuleStore,
    rules: readonly number[],
    steps: readonly (readonly Step[])[],
    root: Shape,
    placed: readonly (Placement | undefined)[],
  ) {
    this.#store = store;
    this.#root = root;
    const keyCounts = new Map<Shape, number>();
    let entryCount = 0;
    for (const chosen of placed) {
      if (chosen === undefined) continue;
      count(keyCounts, chosen.shape);
      for (const { shape } of chosen.more) count(keyCounts, shape);
      entryCount += 1 + chosen.more.length;
    }
    this.#entries = new Int32Array(ENTRY_WORDS * entryCount);
    const left = rules.map((_, i) => i).filter((i) => placed[i] === undefined);
    this.#residual = new ResidualList(
      store,
      left.map((i) => rules[i]!),
      left.map((i) => steps[i]!),
    );
    // Last rule first: each then goes to the front of its key's list.
    for (let i = rules.length - 1; i >= 0; i--) {
      const rule = rules[i]!;
      const chosen = placed[i];
      if (chosen === undefined) continue;
      store.setLevel(rule, chosen.level);
      this.#linkFirst(chosen, keyCounts, rule);
      for (const key of chosen.more) this.#linkFirst(key, keyCounts, rule);
    }
    this.#sortSubtables();
  }

  get frameSize(): number {
    return FRAME_HEAD + this.subtables.length;
  }

  get residualCount(): number {
    return this.#residual.count;
  }

  /** Fields that residual rules are filtered by. */
  get filterSlots(): readonly number[] {
    return this.#residual.fields.map(({ slot }) => slot);
  }

  /** Begins a search at the first rule of the chain, or behind `after`. */
  start(frames: Int32Array, frame: number, after: number, stamp: number): void {
    frames[frame + FRAME_LOOKED] = 0;
    frames[frame + FRAME_BEST] = -1;
    frames[frame + FRAME_AFTER] = after;
    frames[frame + FRAME_EFFECTS] = stamp;
    frames[frame + FRAME_BEGUN] = 0;
    frames[frame + FRAME_LAST] = -1;
  }

  /** `start` at the chain's first rule, and `next`. */
  first(frames: Int32Array, frame: number, stamp: number, packet: Packet): number {
    this.start(frames, frame, NO_RULE, stamp);
    const { subtables } = this;
    // Of a single table everything is known after one look, which does not mind what stands before its first rule.
    if (subtables.length !== 1) return this.next(frames, frame, packet);
    const found = this.#lookUp(subtables[0]!, packet.f, NO_RULE);
    frames[frame + FRAME_LOOKED] = 1;
    frames[frame + FRAME_HEAD] = found;
    if (found === -1) return this.#residualMatch(frames, frame, Infinity, packet);
    frames[frame + FRAME_BEST] = 0;
    const head = this.#entries[ENTRY_WORDS * found + 2]!;
    if (head !== 0) this.#store.fetch(head);
    return this.next(frames, frame, packet);
  }

  /**
   * The next rule whose tests all pass, NO_RULE, or BROKEN_PACKET (`store.brokenAt` then has the rule). The fields that
   * keys are made of must be as they were at `start`. Per packet: allocates nothing.
   */
  next(frames: Int32Array, frame: number, packet: Packet): number {
    const store = this.#store;
    const { subtables } = this;
    const entries = this.#entries;
    let best = frames[frame + FRAME_BEST]!;
    for (;;) {
      const entry = best === -1 ? -1 : frames[frame + FRAME_HEAD + best]!;
      const bestLabel = entry === -1 ? Infinity : store.label(entries[ENTRY_WORDS * entry]!);
      const looked = frames[frame + FRAME_LOOKED]!;
      const unlooked = looked < subtables.length ? subtables[looked]!.minLabel : Infinity;
      const limit = unlooked < bestLabel ? unlooked : bestLabel;
      if (this.#residual.firstLabel < limit) {
        const rule = this.#residualMatch(frames, frame, limit, packet);
        if (rule !== NO_RULE) {
          frames[frame + FRAME_BEST] = best;
          return rule;
        }
      }
      if (unlooked < bestLabel) {
        const found = this.#lookUp(subtables[looked]!, packet.f, frames[frame + FRAME_AFTER]!);
        frames[frame + FRAME_HEAD + looked] = found;
        if (found !== -1 && entries[ENTRY_WORDS * found + 2] !== 0) store.fetch(entries[ENTRY_WORDS * found + 2]!);
        frames[frame + FRAME_LOOKED] = looked + 1;
        if (found !== -1 && store.label(entries[ENTRY_WORDS * found]!) < bestLabel) best = looked;
        continue;
      }
      if (entry === -1) {
        frames[frame + FRAME_BEST] = -1;
        return NO_RULE;
      }
      frames[frame + FRAME_HEAD + best] = entries[ENTRY_WORDS * entry + 1]!;
      best = this.#bestOf(frames, frame, looked);
      const rule = entries[ENTRY_WORDS * entry]!;
      if (rule === frames[frame + FRAME_LAST]) continue;
      frames[frame + FRAME_LAST] = rule;
      const result = store.passes(rule, packet);
      if (result !== FAILED) {
        frames[frame + FRAME_BEST] = best;
        if (entries[ENTRY_WORDS * entry + 2] === 0) entries[ENTRY_WORDS * entry + 2] = store.jumpHead(rule);
        return result === HOTDROP ? BROKEN_PACKET : rule;
      }
    }
  }

  /** The next residual with a label below `limit` that matches; NO_RULE; or BROKEN_PACKET. */
  #residualMatch(frames: Int32Array, frame: number, limit: number, packet: Packet): number {
    const residual = this.#residual;
    if (residual.count === 0) return NO_RULE;
    const store = this.#store;
    if (frames[frame + FRAME_BEGUN] === 0) {
      frames[frame + FRAME_BEGUN] = 1;
      const after = frames[frame + FRAME_AFTER]!;
      residual.start(frames, frame + FRAME_RESIDUAL, after === NO_RULE ? -1 : store.label(after), packet.f);
    }
    for (;;) {
      const rule = residual.next(frames, frame + FRAME_RESIDUAL, limit);
      if (rule === -1) return NO_RULE;
      const result = store.passes(rule, packet);
      if (result !== FAILED) return result === HOTDROP ? BROKEN_PACKET : rule;
    }
  }

  /** First entry for the packet's fields behind the rule `after`. */
  #lookUp(subtable: Subtable, f: Uint32Array, after: number): number {
    let entry = subtable.find(f);
    if (after !== NO_RULE) {
      const from = this.#store.label(after);
      while (entry !== -1 && this.#store.label(this.#entries[ENTRY_WORDS * entry]!) <= from)
        entry = this.#entries[ENTRY_WORDS * entry + 1]!;
    }
    return entry;
  }

  #bestOf(frames: Int32Array, frame: number, looked: number): number {
    let best = -1;
    let bestLabel = Infinity;
    for (let i = 0; i < looked; i++) {
      const entry = frames[frame + FRAME_HEAD + i]!;
      if (entry === -1) continue;
      const label = this.#store.label(this.#entries[ENTRY_WORDS * entry]!);
      if (label < bestLabel) {
        best = i;
        bestLabel = label;
      }
    }
    return best;
  }

  /** Takes a rule into the plan; its label is set. */
  insert(rule: number, steps: readonly Step[]): void {
    for (let level = 0; level < LEVELS.length; level++) {
      const placement = placementAt(steps, level, this.#root);
      if (placement === undefined || !everyShape(placement, (shape) => this.#byShape.has(shape))) continue;
      this.#store.setLevel(rule, level);
      let lowered = false;
      for (const { shape, key } of [placement, ...placement.more]) {
        const subtable = this.#byShape.get(shape)!;
        if (this.#store.label(rule) < subtable.minLabel) lowered = true;
        this.#link(subtable, key, rule);
      }
      if (lowered) this.#sortSubtables();
      return;
    }
    this.misfitCount++;
    this.#residual.insert(rule);
  }

  /** Takes a rule out. Its label and steps are those with which it came in. */
  remove(rule: number, steps: readonly Step[]): void {
    const level = this.#store.level(rule);
    if (level === -1) {
      this.#residual.remove(rule);
      return;
    }
    const placement = placementAt(steps, level, this.#root)!;
    for (const { shape, key } of [placement, ...placement.more]) this.#unlink(this.#byShape.get(shape)!, key, rule);
  }

  /** After labels were dealt anew in the same order. */
  relabelled(): void {
    this.#residual.relabelled();
    for (const subtable of this.subtables) {
      subtable.minLabel = Infinity;
      subtable.heads.forEach((entry) => {
        const label = this.#store.label(this.#entries[ENTRY_WORDS * entry]!);
        if (label < subtable.minLabel) subtable.minLabel = label;
      });
    }
    this.#sortSubtables();
  }

  /** Links a rule in front of all others. A new subtable has room for as many keys as its shape has. */
  #linkFirst({ shape, key: words }: ShapedKey, keyCounts: ReadonlyMap<Shape, number>, rule: number): void {
    let subtable = this.#byShape.get(shape);
    if (subtable === undefined) {
      subtable = new Subtable(shape, keyCounts.get(shape)!);
      this.#byShape.set(shape, subtable);
      this.subtables.push(subtable);
    }
    const entry = this.#newEntry(rule);
    this.#entries[ENTRY_WORDS * entry + 1] = subtable.heads.set(subtable.hashOf(words), entry);
    subtable.minLabel = this.#store.label(rule);
    subtable.ruleCount++;
  }

  #link(subtable: Subtable, words: readonly number[], rule: number): void {
    const label = this.#store.label(rule);
    const entry = this.#newEntry(rule);
    const entries = this.#entries;
    const hash = subtable.hashOf(words);
    let before = -1;
    let at = subtable.heads.find(hash);
    while (at !== -1 && this.#store.label(entries[ENTRY_WORDS * at]!) < label) {
      before = at;
      at = entries[ENTRY_WORDS * at + 1]!;
    }
    entries[ENTRY_WORDS * entry + 1] = at;
    if (before === -1) subtable.heads.set(hash, entry);
    else entries[ENTRY_WORDS * before + 1] = entry;
    if (label < subtable.minLabel) subtable.minLabel = label;
    subtable.ruleCount++;
  }

  #unlink(subtable: Subtable, words: readonly number[], rule: number): void {
    const entries = this.#entries;
    const hash = subtable.hashOf(words);
    let before = -1;
    let at = subtable.heads.find(hash);
    while (entries[ENTRY_WORDS * at] !== rule) {
      before = at;
      at = entries[ENTRY_WORDS * at + 1]!;
    }
    const after = entries[ENTRY_WORDS * at + 1]!;
    if (before !== -1) entries[ENTRY_WORDS * before + 1] = after;
    else if (after !== -1) subtable.heads.set(hash, after);
    else subtable.heads.delete(hash);
    subtable.ruleCount--;
    entries[ENTRY_WORDS * at + 1] = this.#freeEntry;
    this.#freeEntry = at;
  }

  #newEntry(rule: number): number {
    let entry = this.#freeEntry;
    if (entry !== -1) {
      this.#freeEntry = this.#entries[ENTRY_WORDS * entry + 1]!;
    } else {
      entry = this.#entryCount++;
      if (ENTRY_WORDS * (entry + 1) > this.#entries.length) {
        this.#entries = growInt32(this.#entries, ENTRY_WORDS * (entry + 8));
      }
    }
    this.#entries[ENTRY_WORDS * entry] = rule;
    this.#entries[ENTRY_WORDS * entry + 2] = 0;
    return entry;
  }

  #sortSubtables(): void {
    this.subtables.sort((a, b) => a.minLabel - b.minLabel);
  }

  /** The residual rules in order, for reports. */
  residualRules(): number[] {
    return this.#residual.list();
  }

  get byteSize(): number {
    const own = this.#residual.byteSize + this.#entries.byteLength;
    return this.subtables.reduce((sum, { heads }) => sum + heads.byteSize, own);
  }
}

function count(counts: Map<Shape, number>, shape: Shape): void {
  counts.set(shape, (counts.get(shape) ?? 0) + 1);
}

function everyShape(placement: Placement, fits: (shape: Shape) => boolean): boolean {
  return fits(placement.shape) && placement.more.every(({ shape }) => fits(shape));
}

/** For each rule the finest level at which its shapes are worth a subtable, or undefined. */
function chooseLevels(steps: readonly (readonly Step[])[], root: Shape): (Placement | undefined)[] {
  const placed = new Array<Placement | undefined>(steps.length);
  const worth = new Set<Shape>();
  let open = steps.map((_, i) => i);
  for (let level = 0; level < LEVELS.length && open.length > 0; level++) {
    const placements = open.map((i) => placementAt(steps[i]!, level, root));
    const counts = new Map<Shape, number>();
    for (const placement of placements) {
      if (placement === undefined) continue;
      count(counts, placement.shape);
      for (const { shape } of placement.more) count(counts, shape);
    }
    for (const [shape, rules] of [...counts].sort((a, b) => b[1] - a[1])) {
      const enough = worth.size < CHEAP_SHAPES ? MIN_SHAPE_RULES : MIN_LATER_SHAPE_RULES;
      if (rules >= enough && worth.size < MAX_SUBTABLES) worth.add(shape);
    }
    const left: number[] = [];
    open.forEach((rule, i) => {
      const placement = placements[i];
      if (placement !== undefined && everyShape(placement, (shape) => worth.has(shape))) placed[rule] = placement;
      else left.push(rule);
    });
    open = left;
  }
  return placed;
}
