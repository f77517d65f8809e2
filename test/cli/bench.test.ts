import { afterAll, describe, expect, it } from 'vitest';
import { type BenchResult, printBench } from '../../src/report/bench-text.js';
import { BuiltCommand } from '../support/built-command.js';

const command = new BuiltCommand();
afterAll(() => command.remove());

const BUNDLE = 'rules/router/router';
const LAN = 'pcaps/router/router/lan0.pcap';

describe('chainwalk bench', () => {
  it('measures floor, both engines, and a host without the rules', () => {
    const { status, stdout, stderr } = command.run(['bench', BUNDLE, LAN, '--seconds', '0.1', '--json']);
    expect([status, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout) as BenchResult;
    expect(result).toMatchObject({ rules: 29, packets: 83, passedOver: { 'sent by the host': 81 } });
    expect(result.contenders.map(({ name }) => name)).toEqual(['floor', 'compiled', 'without rules', 'reference']);
    for (const { medianNs, rounds, packets } of result.contenders) {
      expect(medianNs).toBeGreaterThan(0);
      expect(rounds).toBeGreaterThanOrEqual(5);
      expect(packets).toBe(83);
    }
    const floor = result.contenders[0]!.medianNs;
    for (const { medianNs } of result.contenders.slice(1)) expect(medianNs).toBeGreaterThan(floor);
    expect(Number.isFinite(result.marginal.compiled.medianNs)).toBe(true);
  });

  it.each([
    [['bench', BUNDLE, '/dev/null'], 'no packet of the captures came in'],
    [['bench', BUNDLE, LAN, '--packets', '0'], 'a number above 0'],
    [['bench', '-', '-'], 'not both'],
    [['bench', BUNDLE], "missing required argument 'captures'"],
  ])('%j is refused', (args, says) => {
    const { status, stderr } = command.run(args);
    expect([status, stderr]).toEqual([2, expect.stringContaining(says)]);
  });

  it('has help with an example', () => {
    expect(command.run(['bench', '--help']).stdout).toMatch(/Example:\n {2}chainwalk bench /);
  });
});

it('the table stands in columns', () => {
  const figure = { medianNs: 1234.5, spreadNs: 10 };
  const text = printBench({
    ...{ rules: 80_023, packets: 20_000, passedOver: { ARP: 3 } },
    contenders: [
      { name: 'floor', packets: 20_000, rounds: 9, medianNs: 10, spreadNs: 0.5 },
      { name: 'compiled', packets: 20_000, rounds: 9, ...figure },
      { name: 'reference', packets: 500, rounds: 9, medianNs: 40_000, spreadNs: 1000 },
    ],
    marginal: { compiled: { medianNs: 400, spreadNs: 20 }, reference: { medianNs: 39_000, spreadNs: 900 } },
  });
  expect(text.split('\n').slice(0, 7)).toEqual([
    '80,023 rules, 20,000 packets that came in (passed over: 3 ARP)',
    '',
    'contender          ns a packet           ±      packets/s     × floor',
    'floor                     10.0         0.5    100,000,000         1.0',
    'compiled               1,234.5        10.0        810,045       123.5',
    'reference             40,000.0     1,000.0         25,000     4,000.0   (first 500 packets)',
    '',
  ]);
  expect(text).toContain('The rules add 400.0 ns ± 20.0 to a packet; walked rule by rule, 39,000.0 ns ± 900.0.');
});
