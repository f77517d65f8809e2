/** A table as the reference walks it: each rule with its matches and target bound, jumps resolved to chains. */
import { invariant } from '../../base/assert.js';
import type { BindEnv, MatchFn, TargetFn } from '../../ext/extension.js';
import type { Chain, Rule, Table } from '../../ruleset/model.js';

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
  chain: Chain;
  rules: BoundRule[];
  /** Of the policy. */
  packets: number;
  bytes: number;
}

export interface BoundTable {
  readonly name: Table['name'];
  readonly env: BindEnv;
  readonly chains: Map<string, BoundChain>;
}

export function bindTable(table: Table, env: BindEnv): BoundTable {
  const chains = new Map<string, BoundChain>();
  for (const chain of table.chains.values()) chains.set(chain.name, bindChain(chain, env));
  return { name: table.name, env, chains };
}

export function bindChain(chain: Chain, env: BindEnv): BoundChain {
  return { chain, rules: chain.rules.map((rule) => bindRule(rule, env)), packets: 0, bytes: 0 };
}

export function bindRule(rule: Rule, env: BindEnv): BoundRule {
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
