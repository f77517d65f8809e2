import { expect, it } from 'vitest';
import { type CompiledEngine, compiledEngine } from '../../src/engine/compiled/engine.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import { Host } from '../../src/host/host.js';
import { printPlans } from '../../src/report/plan-text.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';

it('tells hashed chains with their subtables and residual rules, and linear ones by their reason', () => {
  const block = Array.from({ length: 40 }, (_, i) => `-A INPUT -s 10.0.0.${i}/32 -j DROP`);
  const text = `*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n${block.join('\n')}\n-A INPUT -m statistic --mode nth --every 2 --packet 0 -j DROP\nCOMMIT\n`;
  const { ruleSet, ok } = parseRuleSet({ name: 'rules', text }, { family: 4 });
  expect(ok).toBe(true);
  let engine: CompiledEngine | undefined;
  new Host(makeDefaultHost({ devices: ['eth0'] }).config, {
    ruleSet4: ruleSet,
    buildEngine: (rules, env) => {
      engine = compiledEngine(rules, env);
      return engine;
    },
    seed: 1,
  });
  const plans = [...ruleSet.tables[0]!.chains.keys()].map((chain) => engine!.planOf('filter', chain));
  const lines = printPlans([{ table: 'filter', plans }]).split('\n');
  expect(lines[0]).toBe('table filter');
  expect(lines[1]).toMatch(/^ {2}INPUT: hashed, 40 of 41 rules are found through 1 subtable \([\d,]+ bytes\)$/);
  expect(lines[2]).toBe('    subtable Src0/0xffffffff: 40 rules, 40 keys');
  expect(lines[3]).toBe('    residual: rule 41 (match statistic)');
  expect(lines[4]).toBe('  linear, the chain is empty: FORWARD (0), OUTPUT (0)');
});
