/** What iptables-restore 1.8.9 accepts, refuses and saves. */
import { describe, expect, it } from 'vitest';
import type { Source } from '../../src/base/source.js';
import type { Family } from '../../src/net/netfilter.js';
import { type ParseOptions, parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { COMMANDS, COMMANDS_AFTER, FILES, RULES, RULES_6 } from './accept-case.js';

const source = (text: string): Source => ({ name: 'test.rules', text });

function codes(text: string, options: Partial<ParseOptions> = {}): string[] {
  const { diagnostics } = parseRuleSet(source(text), { family: 4, ...options });
  return diagnostics.filter((d) => d.severity === 'error').map((d) => d.code);
}

/** Rules of the saved table as they print, or the first error's code. */
function saved(written: string, family: Family = 4, table = 'filter'): string {
  const text = `*${table}\n:aa - [0:0]\n:bb - [0:0]\n${written}\nCOMMIT\n`;
  const { ruleSet, diagnostics, ok } = parseRuleSet(source(text), { family });
  if (!ok) return diagnostics.find((d) => d.severity === 'error')!.code;
  return printRuleSet(ruleSet)
    .split('\n')
    .filter((line) => line.startsWith('-A'))
    .join('\n');
}

describe('a rule', () => {
  it.each(RULES)('%s', (written, expected) => expect(saved(written)).toBe(expected === '=' ? written : expected));

  it.each(RULES_6)('IPv6: %s', (written, expected) =>
    expect(saved(written, 6)).toBe(expected === '=' ? written : expected));

  it('refuses DROP in nat', () => {
    expect(saved('-A INPUT -j DROP', 4, 'nat')).toBe('nat-drop');
    expect(saved('-P INPUT DROP', 4, 'nat')).toBe('nat-drop');
    expect(codes('*nat\n:INPUT DROP [0:0]\nCOMMIT\n')).toEqual([]);
  });
});

describe('commands', () => {
  it.each(COMMANDS)('%s', (written, expected) => expect(saved(COMMANDS_AFTER + written)).toBe(expected));
});

describe('a file', () => {
  it.each(FILES)('%s', (_name, text, expected) => expect(codes(text)).toEqual(expected));

  it('reads policy counters only where asked', () => {
    const text = '*filter\n:INPUT DROP [1:2]\n:OUTPUT ACCEPT\n[3:4] -A INPUT\n-A INPUT -c 5 6\nCOMMIT\n';
    const policy = (counters: boolean | 'if-present') =>
      printRuleSet(parseRuleSet(source(text), { family: 4, counters }).ruleSet, { counters: true });
    expect(policy('if-present')).toContain(':INPUT DROP [1:2]\n');
    expect(policy('if-present')).toContain('[3:4] -A INPUT\n[5:6] -A INPUT\n');
    expect(policy(false)).toContain(':INPUT DROP [0:0]\n');
    expect(policy(false)).toContain('[0:0] -A INPUT\n[5:6] -A INPUT\n');
    expect(codes(text, { counters: true })).toEqual(['bad-counters']);
    expect(codes('*filter\n[1:2] -A INPUT -c 3 4\nCOMMIT\n', { counters: true })).toEqual(['option-repeated']);
    expect(codes('*filter\n[1:2] -N x\nCOMMIT\n', { counters: true })).toEqual(['option-not-allowed']);
    expect(codes('*filter\n[1:2] -N x\nCOMMIT\n', { counters: false })).toEqual([]);
  });

  it('keeps tables committed before the first error', () => {
    const text = '*raw\n-A OUTPUT\nCOMMIT\n*filter\n-A nope\nCOMMIT\n*nat\nCOMMIT\n';
    const { ruleSet, ok } = parseRuleSet(source(text), { family: 4 });
    expect(ok).toBe(false);
    expect(ruleSet.tables.map((t) => t.name)).toEqual(['raw']);
  });

  it('puts each error at the word at fault', () => {
    const text = '*filter\n-A INPUT -p tcp -m tcp --dports 80,443 -j ACCEPT\nCOMMIT\n';
    const { diagnostics } = parseRuleSet(source(text), { family: 4 });
    expect(diagnostics).toHaveLength(1);
    const { span, hint } = diagnostics[0]!;
    expect(text.slice(span.start, span.end)).toBe('--dports');
    expect(hint).toBe('lists of ports need -m multiport');
  });

  it('stops after too many errors', () => {
    const text = `*filter\n${'-A nope\n'.repeat(5000)}COMMIT\n`;
    const { diagnostics } = parseRuleSet(source(text), { family: 4, maxErrors: 10 });
    expect(diagnostics).toHaveLength(11);
    expect(diagnostics[10]!.code).toBe('too-many-errors');
  });
});

describe('what was there before', () => {
  const load = (text: string, options: Partial<ParseOptions> = {}) =>
    parseRuleSet(source(text), { family: 4, counters: true, ...options });
  const old = load(
    '*filter\n:INPUT DROP [1:2]\n:FORWARD ACCEPT [3:4]\n:OUTPUT ACCEPT [0:0]\n:u - [0:0]\n[5:6] -A INPUT -j u\n[7:8] -A u\nCOMMIT\n',
  ).ruleSet;
  it('is flushed, but for policies', () => {
    const { ruleSet } = load('*filter\n-A OUTPUT\nCOMMIT\n', { base: old });
    expect(printRuleSet(ruleSet)).toBe(
      '*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT\nCOMMIT\n',
    );
  });
  it('stays with --noflush, but for chains declared again and policy counters', () => {
    const { ruleSet } = load('*filter\n:u - [0:0]\n-A u -j ACCEPT\nCOMMIT\n', { base: old, noflush: true });
    expect(printRuleSet(ruleSet, { counters: true })).toBe(
      '*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:u - [0:0]\n[5:6] -A INPUT -j u\n[0:0] -A u -j ACCEPT\nCOMMIT\n',
    );
    expect(ruleSet.tables[0]!.chains.get('INPUT')!.rules[0]).toBe(old.tables[0]!.chains.get('INPUT')!.rules[0]);
    expect(old.tables[0]!.chains.get('u')!.rules).toHaveLength(1);
  });
  it('-Z zeroes only what this file has not set', () => {
    const { ruleSet } = load('*filter\n-A u -c 9 9\n-Z\nCOMMIT\n', { base: old, noflush: true });
    expect(printRuleSet(ruleSet, { counters: true })).toContain('[0:0] -A INPUT -j u\n[0:0] -A u\n[9:9] -A u\n');
  });
  it('new tables go first, as the kernel lists them', () => {
    const { ruleSet } = load('*nat\nCOMMIT\n*raw\nCOMMIT\n', { base: old });
    expect(ruleSet.tables.map((t) => t.name)).toEqual(['raw', 'nat', 'filter']);
  });
});
