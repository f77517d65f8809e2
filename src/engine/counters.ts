/**
 * Counters as engines keep them: what the rule set was loaded with is a 64-bit base and never touched; what the engine
 * itself has seen is a plain number beside it (exact to 2^53). A snapshot adds the two.
 */
import type { Chain, Rule, RuleSet, Table } from '../ruleset/model.js';
import { changedRule } from '../ruleset/saved-rule.js';

/** Packets and bytes seen since the load. */
export interface Counted {
  readonly packets: number;
  readonly bytes: number;
}

/** Reads the engine's own count of a rule, or of the chain's policy with index -1. */
export type ReadCount = (table: Table, chain: Chain, ruleIndex: number) => Counted;

/** The rule set with `counted` added. What has counted nothing keeps its identity. */
export function withCounters(ruleSet: RuleSet, counted: ReadCount): RuleSet {
  const tables = ruleSet.tables.map((table): Table => {
    const chains = new Map<string, Chain>();
    for (const chain of table.chains.values()) chains.set(chain.name, chainWithCounters(table, chain, counted));
    return { name: table.name, chains };
  });
  return { family: ruleSet.family, tables };
}

function chainWithCounters(table: Table, chain: Chain, counted: ReadCount): Chain {
  let changed = false;
  const rules = chain.rules.map((rule, index): Rule => {
    const { packets, bytes } = counted(table, chain, index);
    if (packets === 0 && bytes === 0) return rule;
    changed = true;
    return changedRule(rule, { packets: wrap64(rule.packets, packets), bytes: wrap64(rule.bytes, bytes) });
  });
  const policy = chain.policy === undefined ? NOTHING_COUNTED : counted(table, chain, -1);
  if (!changed && policy.packets === 0 && policy.bytes === 0) return chain;
  return {
    ...chain,
    packets: wrap64(chain.packets, policy.packets),
    bytes: wrap64(chain.bytes, policy.bytes),
    rules,
  };
}

export const NOTHING_COUNTED: Counted = { packets: 0, bytes: 0 };

/** The kernel's counters are u64 and wrap. */
function wrap64(base: bigint, more: number): bigint {
  return BigInt.asUintN(64, base + BigInt(more));
}
