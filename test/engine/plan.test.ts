/** Which plan a chain gets, and that it says so. */
import { expect, it } from 'vitest';
import { type CompiledEngine, compiledEngine } from '../../src/engine/compiled/engine.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { fakeWorld } from '../support/fake-extension.js';

function engineOf(rules: readonly string[]): CompiledEngine {
  const text = ['*filter', ':INPUT ACCEPT', ':FORWARD ACCEPT', ':OUTPUT ACCEPT', ...rules, 'COMMIT', ''].join('\n');
  const { ruleSet, diagnostics } = parseRuleSet({ name: 'rules', text }, { family: 4, counters: false });
  expect(diagnostics).toEqual([]);
  return compiledEngine(ruleSet, fakeWorld(4, ['', 'eth0'], 1).env);
}

const many = (count: number, rule: (i: number) => string): string[] => Array.from({ length: count }, (_, i) => rule(i));
const host = (i: number): string => `10.0.${i >> 8}.${i & 255}/32`;

it.each([
  // rules                                                            plan      subtables  residual
  ['nothing', [], 'linear', 0, 0],
  ['a few', many(5, (i) => `-A FORWARD -s ${host(i)} -j DROP`), 'linear', 0, 0],
  ['one shape', many(500, (i) => `-A FORWARD -s ${host(i)} -j DROP`), 'hashed', 1, 0],
  [
    'one shape and something called',
    [...many(100, (i) => `-A FORWARD -s ${host(i)} -j DROP`), '-A FORWARD -m limit --limit 1/sec -j ACCEPT'],
    'hashed',
    1,
    1,
  ],
  [
    'prefixes of two lengths',
    many(400, (i) =>
      `-A FORWARD -s 10.${i >> 1}.0.0/${i & 1 ? 16 : 15} -j DROP`.replace(
        /\.(\d+)\.0\.0\/15/,
        (_, n) => `.${n & ~1}.0.0/15`,
      ),
    ),
    'hashed',
    2,
    0,
  ],
  ['nothing but calls', many(50, () => '-A FORWARD -m limit --limit 1/sec -j ACCEPT'), 'linear', 0, 0],
] as const)('%s', (_, rules, plan, subtables, residual) => {
  const report = engineOf(rules).planOf('filter', 'FORWARD');
  expect(report).toMatchObject({ chain: 'FORWARD', rules: rules.length, plan });
  expect(report.subtables).toHaveLength(subtables);
  expect(report.residual).toHaveLength(residual);
  expect(report.why).not.toBe('');
});

it('names the key and what is left', () => {
  const rules = many(50, (i) => `-A FORWARD -d ${host(i)} -p tcp -m tcp --dport 80 -m tcp ! --sport 1 -j DROP`);
  const report = engineOf([...rules, '-A FORWARD ! -i eth0 -m limit --limit 1/sec -j DROP']).planOf(
    'filter',
    'FORWARD',
  );
  expect(report.subtables[0]).toMatchObject({ rules: 50, keys: 50 });
  expect(report.subtables[0]!.key).toContain('Dst0/0xffffffff');
  expect(report.subtables[0]!.key).toContain('DstPort');
  expect(report.partlyHashed).toBe(50);
  expect(report.residual).toEqual([{ ruleIndex: 50, tests: ['InName is not one value', 'match limit'] }]);
});

it('a chain that grows gets another plan', () => {
  const engine = engineOf([':A -', '-A FORWARD -j A', '-A A -s 10.0.0.1/32 -j DROP']);
  const rule = engine.snapshot().tables[0]!.chains.get('A')!.rules[0]!;
  expect(engine.planOf('filter', 'A').plan).toBe('linear');
  for (let i = 0; i < 40; i++) {
    engine.apply([{ table: 'filter', changes: [{ kind: 'insert', chain: 'A', index: i, rule }] }]);
  }
  expect(engine.planOf('filter', 'A')).toMatchObject({ plan: 'hashed', rules: 41 });
});
