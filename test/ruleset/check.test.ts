/** The kernel's checks at COMMIT. */
import { describe, expect, it } from 'vitest';
import { checkRuleSet, reachOf } from '../../src/ruleset/check.js';
import type { RuleSet } from '../../src/ruleset/model.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';

function load(table: string, lines: string, test = true): RuleSet {
  const { ruleSet, diagnostics, ok } = parseRuleSet(
    { name: 'test', text: `*${table}\n${lines}\nCOMMIT\n` },
    { family: 4, test },
  );
  expect(diagnostics.filter((d) => d.severity === 'error')).toEqual([]);
  expect(ok).toBe(true);
  return ruleSet;
}

const MASQ = '-A PREROUTING -p tcp -j MASQUERADE';
describe('checkRuleSet', () => {
  it.each([
    // name, table, lines, codes
    ['a loop', 'filter', ':a -\n:b -\n-A INPUT -j a\n-A a -j b\n-A b -j a', ['chain-loop']],
    ['a loop by goto', 'filter', ':a -\n-A INPUT -g a\n-A a -g a', ['chain-loop']],
    ['a loop that nobody reaches', 'filter', ':a -\n-A a -j a', []],
    ['a loop behind an unconditional verdict', 'filter', ':a -\n-A INPUT -j ACCEPT\n-A INPUT -j a\n-A a -j a', []],
    [
      'a loop behind a verdict with a bare + as interface',
      'filter',
      ':a -\n-A INPUT -i + -j ACCEPT\n-A INPUT -j a\n-A a -j a',
      ['chain-loop'],
    ],
    [
      'a loop behind a jump',
      'filter',
      ':a -\n:b -\n-A INPUT -j b\n-A INPUT -j a\n-A a -j a\n-A b -j ACCEPT',
      ['chain-loop'],
    ],
    ['the same chain twice is no loop', 'filter', ':a -\n-A INPUT -j a\n-A INPUT -j a\n-A OUTPUT -j a', []],
    ['MASQUERADE from PREROUTING', 'nat', MASQ, ['hook-not-allowed']],
    ['MASQUERADE behind an unconditional verdict', 'nat', `-A PREROUTING -j ACCEPT\n${MASQ}`, []],
    ['MASQUERADE in a chain that nobody calls', 'nat', ':a -\n-A a -j MASQUERADE', []],
    [
      'MASQUERADE in a chain called from PREROUTING',
      'nat',
      ':a -\n-A a -j MASQUERADE\n-A PREROUTING -j a',
      ['hook-not-allowed'],
    ],
    ['MASQUERADE in a chain called from POSTROUTING', 'nat', ':a -\n-A a -j MASQUERADE\n-A POSTROUTING -j a', []],
    ['MASQUERADE in filter', 'filter', ':a -\n-A a -j MASQUERADE', ['table-not-allowed']],
    ['tcp without its protocol', 'filter', '-A INPUT -m tcp --dport 80', ['needs-protocol']],
    ['tcp with its protocol inverted', 'filter', '-A INPUT ! -p tcp -m tcp', ['needs-protocol']],
    ['every rule at fault', 'nat', `${MASQ}\n${MASQ}`, ['hook-not-allowed', 'hook-not-allowed']],
  ])('%s', (_name, table, lines, codes) => {
    const found = checkRuleSet(load(table, lines));
    expect(found.map((d) => d.code)).toEqual(codes);
    for (const { span } of found) expect(span.source.text.slice(span.start, span.start + 3)).toBe('-A ');
  });

  it('is run at COMMIT', () => {
    const text = `*nat\n${MASQ}\nCOMMIT\n`;
    expect(parseRuleSet({ name: 'x', text }, { family: 4 }).ruleSet.tables).toEqual([]);
    expect(parseRuleSet({ name: 'x', text }, { family: 4, test: true }).ruleSet.tables).toHaveLength(1);
  });

  it('finds missing chains and jumps to built-in ones in rule sets made by a program', () => {
    const good = load('filter', ':a -\n-A INPUT -j a');
    const chains = new Map(good.tables[0]!.chains);
    chains.delete('a');
    const bad: RuleSet = { family: 4, tables: [{ name: 'filter', chains }] };
    expect(checkRuleSet(bad).map((d) => d.code)).toEqual(['missing-chain']);
  });
});

describe('reachOf', () => {
  it('goes as deep as there are chains, in linear time', () => {
    const count = 20_000;
    const lines: string[] = [];
    for (let i = 0; i < count; i++) lines.push(`:c${i} -`);
    lines.push('-A INPUT -j c0', '-A OUTPUT -j c0');
    for (let i = 0; i + 1 < count; i++) lines.push(`-A c${i} -j c${i + 1}`, `-A c${i} -j c${i + 1}`);
    const { chains, loop } = reachOf(load('filter', lines.join('\n')).tables[0]!);
    expect(loop).toBeUndefined();
    expect(chains.get(`c${count - 1}`)!.hooks).toBe((1 << 1) | (1 << 3));
  });
});
