/** Recorded dumps print back as they are, date lines aside. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { detectFamily } from '../../src/ruleset/detect-family.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';

const dumps = readdirSync('rules', { recursive: true, encoding: 'utf8' }).filter((name) =>
  /\.rules$|ip6?tables-save/.test(name),
);

describe('recorded dumps', () => {
  it('are there', () => expect(dumps.length).toBeGreaterThan(3));
  it.each(dumps)('%s', (name) => {
    const source = { name, text: readFileSync(`rules/${name}`, 'utf8') };
    const { ruleSet, diagnostics } = parseRuleSet(source, { family: detectFamily(source).family });
    expect(diagnostics.map(renderDiagnostic)).toEqual([]);
    const printed = printRuleSet(ruleSet, { counters: /^\[\d+:\d+\] -A/m.test(source.text) });
    expect(printed).toBe(source.text.replaceAll(/^(#.*)?\n/gm, ''));
  });
});
