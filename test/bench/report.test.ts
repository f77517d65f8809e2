import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { printNs } from '../../bench/chart.js';
import { writeReport } from '../../bench/report.js';

const marginal = (['floor', 'compiled', 'iptables-legacy'] as const).flatMap((contender, i) =>
  [10, 10_000].map((size) => ({
    ...{ workload: `services ${size} × 2 IPv4 new`, size, rules: 8 * size, contender, rounds: 9 },
    ...{ withNs: 2000, withoutNs: 1000, marginalNs: 1000 * (i + 1), spreadNs: 10 },
  })),
);

it('the page holds its charts, with every contender by name, and asks for nothing from elsewhere', () => {
  const folder = mkdtempSync(join(tmpdir(), 'chainwalk-report-'));
  try {
    const file = join(folder, 'index.html');
    const bar = { what: 'a <bar>', figure: 99, bar: 100, unit: '×', atLeast: true, note: '', met: false };
    writeReport(file, { machine: { node: 'v20' }, rows: [], marginal, bars: [bar] });
    const page = readFileSync(file, 'utf8');
    expect(page.match(/<svg/g)).toHaveLength(1);
    for (const text of [
      'floor  1.0 µs',
      'chainwalk, compiled  2.0 µs',
      'iptables-legacy  3.0 µs',
      '10,000',
      'a &lt;bar&gt;',
    ]) {
      expect(page).toContain(text);
    }
    expect(page).not.toMatch(/(src|href)="http|<script/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it.each([
  [4.4, '4 ns'],
  [999, '999 ns'],
  [4321, '4.3 µs'],
  [43_210, '43 µs'],
  [1_400_000, '1.4 ms'],
])('%d ns is printed as %s', (ns, text) => expect(printNs(ns)).toBe(text));
