/** Chain changes → a patch that engines apply in place: rule texts become rules. */
import { invariant } from '../../base/assert.js';
import type { Rule, RuleSet } from '../../ruleset/model.js';
import { parseRuleSet } from '../../ruleset/parse.js';
import type { Change, Patch } from '../../ruleset/patch.js';
import type { IpFamily } from '../address.js';
import type { ChainChange } from './patch.js';

const TABLES = ['filter', 'nat'] as const;

/** The rules a change brings, in order. */
function newRules(change: ChainChange): readonly string[] {
  if (change.kind === 'added') return change.rules;
  if (change.kind === 'removed') return [];
  return change.edits.filter((edit) => edit.op !== 'delete').map((edit) => edit.rule);
}

/**
 * The patch of a node for its engine. Rules of removed chains go first of all they hold, then the chains.
 * Rules that this build does not support (an extension of the text) are refused: the error names them.
 */
export function enginePatch(changes: readonly ChainChange[], family: IpFamily): Patch {
  return TABLES.map((table) => {
    const own = changes.filter((change) => change.table === table);
    const rules = parseRules(own, table, family);
    const patch: Change[] = [];
    for (const { chain, kind } of own) if (kind === 'added') patch.push({ kind: 'add-chain', chain });
    own.forEach((change, i) => {
      const { chain } = change;
      const parsed = rules[i]!;
      let next = 0;
      if (change.kind === 'added') {
        parsed.forEach((rule, index) => {
          patch.push({ kind: 'insert', chain, index, rule });
        });
      } else if (change.kind === 'changed') {
        for (const { op, index } of change.edits) {
          if (op === 'delete') patch.push({ kind: 'remove', chain, index });
          else patch.push({ kind: op, chain, index, rule: parsed[next++]! });
        }
      } else patch.push({ kind: 'flush', chain });
    });
    for (const { chain, kind } of own) if (kind === 'removed') patch.push({ kind: 'remove-chain', chain });
    return { table, changes: patch };
  }).filter((part) => part.changes.length > 0);
}

/** Parses the new rules of each change; all of a table in one text, so that they may jump to each other. */
function parseRules(changes: readonly ChainChange[], table: 'filter' | 'nat', family: IpFamily): (readonly Rule[])[] {
  const lines: string[] = [];
  const chains = new Set<string>();
  changes.forEach((change, i) => {
    chains.add(holder(i));
    for (const rule of newRules(change)) {
      const target = / -j (KUBE-\S+)$/.exec(` ${rule}`)?.[1];
      if (target !== undefined) chains.add(target);
      lines.push(`-A ${holder(i)} ${rule}`);
    }
  });
  if (lines.length === 0) return changes.map(() => []);
  const text = `*${table}\n${[...chains].map((chain) => `:${chain} - [0:0]\n`).join('')}${lines.join('\n')}\nCOMMIT\n`;
  const { ruleSet, diagnostics, ok } = parseRuleSet(
    { name: 'kube-proxy', text },
    { family: family === 'IPv6' ? 6 : 4, test: true },
  );
  if (!ok) throw new UnsupportedRule(diagnostics[0]!.message);
  return changes.map((_, i) => chainOf(ruleSet, table, holder(i)));
}

/** A chain for the new rules of the i-th change: a changed chain may be changed twice in one patch. */
function holder(i: number): string {
  return `PATCH-${i}`;
}

function chainOf(ruleSet: RuleSet, table: string, name: string): readonly Rule[] {
  const chain = ruleSet.tables.find((candidate) => candidate.name === table)?.chains.get(name);
  invariant(chain !== undefined, `the text of a patch lost chain ${name}`);
  return chain.rules;
}

/** A generated rule needs an extension that this build does not have. */
export class UnsupportedRule extends Error {}
