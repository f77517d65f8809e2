/** What the compiler did with a chain, for people (`check --plan`). */
import { Field } from '../../wire/field.js';
import type { Step } from './lower.js';
import { placementAt, Shape } from './shape.js';
import type { CompiledChain, CompiledTable } from './table.js';

export interface SubtableReport {
  /** What the key is made of, e.g. `Dst0/0xffffffff Protocol/0xff DstPort/0xffff`. */
  readonly key: string;
  readonly rules: number;
  readonly keys: number;
}

export interface ResidualReport {
  /** Rule in the chain from 0. */
  readonly ruleIndex: number;
  /** The tests that no key holds, in order. */
  readonly tests: readonly string[];
}

export interface PlanReport {
  readonly chain: string;
  readonly rules: number;
  readonly plan: 'linear' | 'hashed';
  /** One sentence. */
  readonly why: string;
  readonly subtables: readonly SubtableReport[];
  /** Rules in no subtable (every rule of a linear chain is in none, and none is listed). */
  readonly residual: readonly ResidualReport[];
  /** Fields whose segments decide which of the residual rules are tested; empty: all are. */
  readonly filter: readonly string[];
  /** Hashed rules that have tests left besides their key. */
  readonly partlyHashed: number;
  /** Bytes of the chain's own tables. */
  readonly planBytes: number;
}

const FIELD_NAMES = new Map<number, string>(Object.entries(Field).map(([name, slot]) => [slot, name]));

export function planReport(table: CompiledTable, chain: CompiledChain): PlanReport {
  const { plan } = chain;
  const head = { chain: chain.name, rules: chain.count };
  if (plan === undefined) {
    return {
      ...head,
      plan: 'linear',
      why: whyLinear(table, chain),
      subtables: [],
      residual: [],
      filter: [],
      partlyHashed: 0,
      planBytes: 0,
    };
  }
  const { store } = table;
  const residual = plan.residualRules().map((rule): ResidualReport => {
    const steps = store.lowering.steps(store.model(rule));
    return { ruleIndex: table.indexOf(chain, rule), tests: steps.map(describe) };
  });
  const hashed = chain.count - residual.length;
  const root = new Shape([], []);
  const isPartly = (rule: number): boolean =>
    store.level(rule) >= 0 &&
    placementAt(store.lowering.steps(store.model(rule)), store.level(rule), root)!.rest.length > 0;
  const partlyHashed = table.rulesOf(chain).filter(isPartly).length;
  return {
    ...head,
    plan: 'hashed',
    why: `${hashed} of ${chain.count} rules are found through ${plan.subtables.length} subtable${plan.subtables.length === 1 ? '' : 's'}`,
    subtables: plan.subtables.map(({ slots, masks, ruleCount, heads }) => ({
      key: Array.from(slots, (slot, i) => `${fieldName(slot)}/0x${(masks[i]! >>> 0).toString(16)}`).join(' '),
      rules: ruleCount,
      keys: heads.count,
    })),
    residual,
    filter: plan.filterSlots.map(fieldName),
    partlyHashed,
    planBytes: plan.byteSize,
  };
}

function whyLinear(table: CompiledTable, chain: CompiledChain): string {
  if (chain.count === 0) return 'the chain is empty';
  const { store } = table;
  const root = new Shape([], []);
  const hashable = table
    .rulesOf(chain)
    .filter((rule) => placementAt(store.lowering.steps(store.model(rule)), 0, root) !== undefined);
  if (hashable.length === 0) return 'no rule tests a field for a value before a match that must be called';
  return chain.plannedCount <= table.linearMax
    ? `${chain.count} rules are tested faster than a look-up takes`
    : 'too few rules test the same fields';
}

function fieldName(slot: number): string {
  return FIELD_NAMES.get(slot) ?? `word ${slot}`;
}

function describe(step: Step): string {
  switch (step.kind) {
    case 'equal':
    case 'unequal':
      return `${fieldName(step.slot)} ${step.kind === 'equal' ? 'is' : 'is not'} one value`;
    case 'ranges':
      return `${fieldName(step.slot)} ${step.invert ? 'outside' : 'in'} ${step.ranges.length} range${step.ranges.length === 1 ? '' : 's'}`;
    case 'not-address':
      return `${fieldName(step.slot)} is not one prefix`;
    case 'device':
      return `${fieldName(step.slot)} ${step.invert ? 'does not fit' : 'fits'} a name pattern`;
    case 'call':
      return `match ${step.match}`;
    case 'never':
      return 'never';
  }
}
