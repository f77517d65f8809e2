/** A table as the reference walks it: each rule with its matches and target bound, jumps resolved to chains. */
import { invariant } from '../../base/assert.js';
import type { BindEnv, MatchFn, TargetFn } from '../../ext/extension.js';
import type { Chain, Rule, Table } from '../../ruleset/model.js';
import type { Change } from '../../ruleset/patch.js';

export interface BoundMatch {
  readonly kind: string;
  readonly match: MatchFn;
}

export interface BoundRule {
  readonly rule: Rule;
  readonly matches: readonly BoundMatch[];
  /** Of an extension target. */
  readonly run: TargetFn | undefined;
  packets: number;
  bytes: number;
}

export interface BoundChain {
  readonly chain: Chain;
  readonly rules: readonly BoundRule[];
  /** Of the policy. */
  packets: number;
  bytes: number;
}

export interface BoundTable {
  readonly name: Table['name'];
  readonly env: BindEnv;
  readonly chains: ReadonlyMap<string, BoundChain>;
}

export function bindTable(table: Table, env: BindEnv): BoundTable {
  const chains = new Map<string, BoundChain>();
  for (const chain of table.chains.values()) {
    const rules = chain.rules.map((rule) => bindRule(rule, env));
    chains.set(chain.name, { chain, rules, packets: 0, bytes: 0 });
  }
  return { name: table.name, env, chains };
}

/** The table after a change: everything bound anew, as the kernel replaces whole tables; rules that stay count on. */
export function rebindTable(table: Table, before: BoundTable, changes: readonly Change[]): BoundTable {
  const stayed = new Map<string, (BoundRule | undefined)[]>();
  for (const [name, chain] of before.chains) stayed.set(name, [...chain.rules]);
  for (const change of changes) {
    const rules = stayed.get(change.chain) ?? [];
    if (change.kind === 'add-chain' || change.kind === 'flush') stayed.set(change.chain, []);
    if (change.kind === 'remove-chain') stayed.delete(change.chain);
    if (change.kind === 'insert') rules.splice(change.index, 0, undefined);
    if (change.kind === 'remove') rules.splice(change.index, 1);
    if (change.kind === 'replace') rules[change.index] = undefined;
  }
  const after = bindTable(table, before.env);
  for (const [name, chain] of after.chains) {
    chain.rules.forEach((bound, index) => {
      const earlier = stayed.get(name)?.[index];
      bound.packets = earlier?.packets ?? 0;
      bound.bytes = earlier?.bytes ?? 0;
    });
  }
  return after;
}

function bindRule(rule: Rule, env: BindEnv): BoundRule {
  return {
    rule,
    matches: rule.matches.map(({ ext, value }) => ({ kind: ext.kind, match: ext.bind(value, env) })),
    run: rule.target.kind === 'extension' ? rule.target.use.ext.bind(rule.target.use.value, env) : undefined,
    packets: 0,
    bytes: 0,
  };
}

export function chainOf(table: BoundTable, name: string): BoundChain {
  const chain = table.chains.get(name);
  invariant(chain !== undefined, `table ${table.name} has no chain ${name}`);
  return chain;
}
