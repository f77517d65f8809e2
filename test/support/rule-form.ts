/** Tables of rules as people write them and as iptables-save 1.8.9 prints them (recorded on Linux 6.18). */
import { describe, expect, it } from 'vitest';
import type { Family, TableName } from '../../src/net/netfilter.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRule } from '../../src/ruleset/print.js';

/** `[as written, as saved ('=': unchanged, '': refused), 'ok' or the codes of the errors]`. */
export type RuleForm = readonly [written: string, saved: string, result: string];

function load(family: Family, table: TableName, chain: string, rule: string): { saved: string; result: string } {
  const text = `*${table}\n-A ${chain} ${rule}\nCOMMIT\n`;
  const { ruleSet, diagnostics } = parseRuleSet({ name: 'test.rules', text }, { family });
  const codes = diagnostics.filter((d) => d.severity === 'error').map((d) => d.code);
  if (codes.length > 0) return { saved: '', result: codes.join(',') };
  const loaded = ruleSet.tables[0]!.chains.get(chain)!.rules[0]!;
  return { saved: printRule(chain, loaded, family).slice(`-A ${chain}`.length).trim(), result: 'ok' };
}

/** Each rule alone in `chain`: what loading says and how it is saved. */
export function testForms(family: Family, table: TableName, chain: string, forms: readonly RuleForm[]): void {
  describe(`IPv${family} ${table} ${chain}`, () => {
    it.each(forms)('%s', (written, saved, result) => {
      const expected = saved === '=' ? written : saved;
      expect(load(family, table, chain, written)).toEqual({ saved: expected, result });
    });
  });
}
