/**
 * A change to a rule set as a value: what one `iptables-restore --noflush` does to a table. Engines take it in place;
 * `patched` says what it means on the model. Indices count from 0 and are those at the time of the change, so that
 * changes of one patch are read one after the other.
 */
import { invariant } from '../base/assert.js';
import type { TableName } from '../net/netfilter.js';
import type { Chain, Rule, RuleSet, Table } from './model.js';

export type Change =
  /** A new, empty user chain. */
  | { readonly kind: 'add-chain'; readonly chain: string }
  /** A user chain that no rule calls any more, with its rules. */
  | { readonly kind: 'remove-chain'; readonly chain: string }
  | { readonly kind: 'flush'; readonly chain: string }
  /** The rule stands at `index` afterwards; `index` equal to the number of rules appends. */
  | { readonly kind: 'insert'; readonly chain: string; readonly index: number; readonly rule: Rule }
  | { readonly kind: 'remove'; readonly chain: string; readonly index: number }
  | { readonly kind: 'replace'; readonly chain: string; readonly index: number; readonly rule: Rule }
  /** Policy of a base chain and the counters that it starts with. */
  | {
      readonly kind: 'policy';
      readonly chain: string;
      readonly policy: 'ACCEPT' | 'DROP' | 'QUEUE';
      readonly packets: bigint;
      readonly bytes: bigint;
    };

/** One table's part, committed as a whole. */
export interface TablePatch {
  readonly table: TableName;
  readonly changes: readonly Change[];
}
export type Patch = readonly TablePatch[];

/**
 * The rule set after the patch. Rules that stay keep their counters; policy counters of every base chain of a patched
 * table start at zero, unless a change sets them (specification 2.4 and 3.3, iptables 1.8.9).
 */
export function patched(ruleSet: RuleSet, patch: Patch): RuleSet {
  let { tables } = ruleSet;
  for (const part of patch) {
    invariant(
      tables.some((table) => table.name === part.table),
      `patch for table ${part.table}, which the rule set has not`,
    );
    tables = tables.map((table) => (table.name === part.table ? patchedTable(table, part.changes) : table));
  }
  return { family: ruleSet.family, tables };
}

function patchedTable(table: Table, changes: readonly Change[]): Table {
  const chains = new Map<string, Chain>();
  for (const chain of table.chains.values()) {
    chains.set(chain.name, chain.policy === undefined ? chain : { ...chain, packets: 0n, bytes: 0n });
  }
  for (const change of changes) applyChange(chains, change);
  return { name: table.name, chains: inSavedOrder(chains) };
}

function applyChange(chains: Map<string, Chain>, change: Change): void {
  const chain = chains.get(change.chain);
  if (change.kind === 'add-chain') {
    invariant(chain === undefined, `patch adds chain ${change.chain} twice`);
    chains.set(change.chain, { name: change.chain, policy: undefined, packets: 0n, bytes: 0n, rules: [] });
    return;
  }
  invariant(chain !== undefined, `patch for chain ${change.chain}, which does not exist`);
  switch (change.kind) {
    case 'remove-chain':
      chains.delete(change.chain);
      return;
    case 'flush':
      chains.set(chain.name, { ...chain, rules: [] });
      return;
    case 'insert':
      chains.set(chain.name, { ...chain, rules: chain.rules.toSpliced(change.index, 0, change.rule) });
      return;
    case 'remove':
      chains.set(chain.name, { ...chain, rules: chain.rules.toSpliced(change.index, 1) });
      return;
    case 'replace':
      chains.set(chain.name, { ...chain, rules: chain.rules.with(change.index, change.rule) });
      return;
    case 'policy':
      chains.set(chain.name, { ...chain, policy: change.policy, packets: change.packets, bytes: change.bytes });
  }
}

/** Base chains as they stand, then user chains by their bytes. */
export function inSavedOrder(chains: ReadonlyMap<string, Chain>): ReadonlyMap<string, Chain> {
  const all = [...chains.values()];
  const user = all.filter((chain) => chain.policy === undefined).sort((a, b) => (a.name < b.name ? -1 : 1));
  return new Map([...all.filter((chain) => chain.policy !== undefined), ...user].map((chain) => [chain.name, chain]));
}
