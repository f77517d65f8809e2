/** A self-contained page of the results: log–log charts of cost against table size, and the bars. */
import { writeFileSync } from 'node:fs';
import type { Bar } from './bars.js';
import type { Row } from './run.js';

export interface Results {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rows: readonly Row[];
  readonly bars: readonly (Bar & { readonly met: boolean })[];
}

const WIDTH = 640;
const HEIGHT = 360;
const LEFT = 70;
const BOTTOM = 40;
const COLOURS: Readonly<Record<string, string>> = {
  floor: '#888888',
  compiled: '#1f6feb',
  reference: '#d1582b',
  reading: '#6a8f3a',
  parsing: '#8250df',
};

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);

/** Rows whose workloads differ only in size make one chart: the name without its number. */
function familyOf(row: Row): string {
  return row.workload.replace(String(row.size), 'N');
}

function chart(title: string, rows: readonly Row[]): string {
  const sizes = rows.map((row) => row.size);
  const costs = rows.map((row) => row.medianNs);
  const low = Math.floor(Math.log10(Math.min(...costs)));
  const high = Math.ceil(Math.log10(Math.max(...costs)));
  const from = Math.log10(Math.min(...sizes));
  const to = Math.max(from + 1, Math.log10(Math.max(...sizes)));
  const x = (size: number): number => LEFT + ((Math.log10(size) - from) / (to - from)) * (WIDTH - LEFT - 90);
  const y = (ns: number): number => HEIGHT - BOTTOM - ((Math.log10(ns) - low) / (high - low)) * (HEIGHT - BOTTOM - 20);
  const parts: string[] = [];
  for (let power = low; power <= high; power++) {
    const at = y(10 ** power);
    parts.push(`<path d="M${LEFT} ${at}H${WIDTH - 90}" stroke="#ddd"/>`);
    parts.push(
      `<text x="${LEFT - 8}" y="${at + 4}" text-anchor="end">${(10 ** power).toLocaleString('en-US')} ns</text>`,
    );
  }
  for (const size of new Set(sizes)) {
    parts.push(
      `<text x="${x(size)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${size.toLocaleString('en-US')}</text>`,
    );
  }
  for (const name of new Set(rows.map((row) => row.contender))) {
    const line = rows.filter((row) => row.contender === name).sort((a, b) => a.size - b.size);
    const colour = COLOURS[name] ?? '#333333';
    const points = line.map((row) => `${x(row.size)} ${y(row.medianNs)}`);
    parts.push(`<path d="M${points.join('L')}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const row of line) {
      const tip = `${name}: ${row.medianNs.toFixed(1)} ns at ${row.size.toLocaleString('en-US')}`;
      parts.push(
        `<circle cx="${x(row.size)}" cy="${y(row.medianNs)}" r="4" fill="${colour}"><title>${tip}</title></circle>`,
      );
    }
    const last = line.at(-1)!;
    parts.push(`<text x="${x(last.size) + 8}" y="${y(last.medianNs) + 4}" fill="${colour}">${escapeHtml(name)}</text>`);
  }
  return `<h2>${escapeHtml(title)}</h2><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" role="img">${parts.join('')}</svg>`;
}

export function writeReport(file: string, results: Results): void {
  const families = new Map<string, Row[]>();
  for (const row of results.rows) families.set(familyOf(row), [...(families.get(familyOf(row)) ?? []), row]);
  const charts = [...families].map(([title, rows]) => chart(title, rows)).join('\n');
  const bars = results.bars
    .map(
      (bar) =>
        `<tr class="${bar.met ? 'met' : 'missed'}"><td>${bar.met ? 'met' : 'missed'}</td><td>${escapeHtml(bar.what)}</td>` +
        `<td>${bar.figure.toFixed(2)} ${bar.unit}</td><td>${bar.atLeast ? '≥' : '≤'} ${bar.bar} ${bar.unit}</td><td>${escapeHtml(bar.note)}</td></tr>`,
    )
    .join('\n');
  const machine = Object.entries(results.machine)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');
  writeFileSync(
    file,
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>chainwalk benchmarks</title>
<style>body{font:14px system-ui,sans-serif;margin:2rem auto;max-width:60rem}svg text{font-size:11px}td,th{padding:.2rem .6rem;text-align:left}
.missed td:first-child{color:#b00020}.met td:first-child{color:#1a7f37}</style>
<h1>chainwalk benchmarks</h1><p>${escapeHtml(machine)}. Cost of a packet, median; both axes logarithmic.</p>
<table><tr><th></th><th>bar</th><th>figure</th><th>bar at</th><th></th></tr>${bars}</table>
${charts}</html>\n`,
  );
}
