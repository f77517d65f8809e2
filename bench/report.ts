/** A self-contained page of the results: charts of cost against table size, the bars, every figure in tables. */
import { writeFileSync } from 'node:fs';
import type { Bar } from './bars.js';
import { barChart, lineChart } from './chart.js';
import type { Marginal } from './marginal.js';
import type { Row } from './run.js';

export interface Results {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rows: readonly Row[];
  /** What tables cost, the kernel's beside ours. */
  readonly marginal: readonly Marginal[];
  readonly bars: readonly (Bar & { readonly met: boolean })[];
}

/** What charts need of a row of either kind. */
interface Figure {
  readonly workload: string;
  readonly size: number;
  readonly contender: string;
  readonly ns: number;
}

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);

/** Rows whose workloads differ only in size make one chart: the name without its number. */
const familyOf = ({ workload, size }: Figure): string => workload.replace(String(size), 'N');

const TITLES: readonly (readonly [RegExp, string])[] = [
  [/^services N × (\d+) IPv(\d) past$/, 'Packets for none of the Services ($1 endpoints each, IPv$2)'],
  [/^services N × (\d+) IPv(\d) new$/, 'First packets of connections to Services ($1 endpoints each, IPv$2)'],
  [/^services N × (\d+) IPv(\d) established$/, 'Established connections to Services ($1 endpoints each, IPv$2)'],
  [/^blacklist N$/, 'Blacklist of prefixes'],
  [/^firewall N$/, 'Firewall of irregular rules'],
];

function titleOf(family: string): string {
  const known = TITLES.find(([pattern]) => pattern.test(family));
  return known === undefined ? family : family.replace(known[0], known[1]);
}

const sizeNameOf = (family: string): string =>
  family.startsWith('services') ? 'Services' : family.startsWith('blacklist') ? 'prefixes' : 'rules';

/** One chart a family of workloads. */
export function charts(figures: readonly Figure[], subtitle: string): string[] {
  const families = new Map<string, Figure[]>();
  for (const f of figures) families.set(familyOf(f), [...(families.get(familyOf(f)) ?? []), f]);
  return [...families].map(([family, members]) => {
    const names = [...new Set(members.map((f) => f.contender))];
    const sizeName = sizeNameOf(family);
    if (new Set(members.map((f) => f.size)).size === 1) {
      const title = `${titleOf(family)}: ${members[0]!.size.toLocaleString('en-US')} ${sizeName}`;
      return barChart(title, subtitle, names.map((name) => members.find((f) => f.contender === name)!).map(column));
    }
    const lines = names.map((name) => {
      const own = members.filter((f) => f.contender === name).sort((a, b) => a.size - b.size);
      return { name, points: own.map((f): [number, number] => [f.size, f.ns]) };
    });
    return lineChart(titleOf(family), subtitle, sizeName, lines);
  });
}

const column = ({ contender, ns }: Figure): { name: string; ns: number } => ({ name: contender, ns });

const marginalFigures = (rows: readonly Marginal[]): Figure[] =>
  rows.map(({ workload, size, contender, marginalNs }) => ({ workload, size, contender, ns: marginalNs }));

const wholeFigures = (rows: readonly Row[]): Figure[] =>
  rows.map(({ workload, size, contender, medianNs }) => ({ workload, size, contender, ns: medianNs }));

const MARGINAL_NOTE = 'what the rule table adds to a packet: with it minus without; nanoseconds, processor time';
const WHOLE_NOTE = 'the whole way of a packet, median; nanoseconds';

const ns = (value: number): string =>
  value.toLocaleString('en-US', { maximumFractionDigits: value < 100 && value > -100 ? 1 : 0 });

function table(head: readonly string[], rows: readonly (readonly string[])[], classes: readonly string[] = []): string {
  const cells = (row: readonly string[], tag: string): string =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  const body = rows.map((row, i) => `<tr class="${classes[i] ?? ''}">${cells(row, 'td')}</tr>`).join('\n');
  return `<table><tr>${cells(head, 'th')}</tr>\n${body}</table>`;
}

const STYLE = `body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1b1b}
figure{margin:1.2rem 0;border:1px solid #ddd}figure svg{display:block;width:100%;height:auto}
table{border-collapse:collapse;font-size:13.5px}td,th{padding:.25rem .7rem;text-align:left;border-bottom:1px solid #eee}
.figures td:nth-child(n+4),.figures th:nth-child(n+4){text-align:right;font-variant-numeric:tabular-nums}
.missed td:first-child{color:#b00020;font-weight:600}.met td:first-child{color:#1a7f37;font-weight:600}`;

export function writeReport(file: string, { machine, rows, marginal, bars }: Results): void {
  const figure = (svg: string): string => `<figure>${svg}</figure>`;
  const about = Object.entries(machine).map(([key, value]) => `${key} ${value}`);
  const barRows = bars.map((bar) => [
    ...[bar.met ? 'met' : 'missed', bar.what, `${bar.figure.toFixed(2)} ${bar.unit}`],
    ...[`${bar.atLeast ? '≥' : '≤'} ${bar.bar} ${bar.unit}`, bar.note],
  ]);
  const marginalRows = marginal.map((m) => [
    ...[m.workload, m.rules.toLocaleString('en-US'), m.contender, ns(m.marginalNs), `± ${ns(m.spreadNs)}`],
    ...[ns(m.withNs), ns(m.withoutNs)],
  ]);
  const wholeRows = rows.map((r) => [
    ...[r.workload, r.rules.toLocaleString('en-US'), r.contender, ns(r.medianNs), `± ${ns(r.spreadNs)}`],
    (r.medianNs / r.floorNs).toFixed(1),
  ]);
  const sections = [
    '<h1>chainwalk benchmarks</h1>',
    `<p>${escapeHtml(about.join(', '))}. Both axes of a chart are logarithmic; <i>floor</i> is the cheapest loop that could do anything with a packet.</p>`,
    bars.length === 0
      ? ''
      : `<h2>Bars</h2>${table(
          ['', 'what', 'figure', 'bar', ''],
          barRows,
          bars.map((b) => (b.met ? 'met' : 'missed')),
        )}`,
    marginal.length === 0 ? '' : '<h2>What a table costs, beside the kernel</h2>',
    ...charts(marginalFigures(marginal), MARGINAL_NOTE).map(figure),
    rows.length === 0 ? '' : '<h2>What a packet costs</h2>',
    ...charts(wholeFigures(rows), WHOLE_NOTE).map(figure),
    '<h2>Figures</h2><div class="figures">',
    marginal.length === 0
      ? ''
      : table(['workload', 'rules', 'contender', 'table, ns', 'spread', 'with, ns', 'without, ns'], marginalRows),
    rows.length === 0
      ? ''
      : `<br>${table(['workload', 'rules', 'contender', 'ns a packet', 'spread', '× floor'], wholeRows)}`,
    '</div>',
  ];
  writeFileSync(
    file,
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>chainwalk benchmarks</title><style>${STYLE}</style>
${sections.join('\n')}</html>\n`,
  );
}
