/** Writes docs/fidelity.md from what the suite counted. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ALLOWANCES } from './allowance.js';
import type { Evidence } from './evidence.js';
import { KNOWN_DIFFERENCES } from './known-difference.js';
import type { SuiteOptions } from './suite.js';

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly unstable: number;
  readonly rate: number;
}

const FILE = fileURLToPath(new URL('../../docs/fidelity.md', import.meta.url));
const STORE = fileURLToPath(new URL('fidelity.json', import.meta.url));

/** What a run leaves behind for the page: the last one of each kind stands in it. */
interface StoredRun {
  readonly command: string;
  readonly seed: number;
  readonly date: string;
  readonly kernel: string;
  readonly iptables: string;
  readonly engines: readonly string[];
  readonly passed: number;
  readonly failed: number;
  readonly unstable: number;
  readonly rate: number;
  readonly packets: number;
  readonly frames: number;
  readonly refused: number;
  readonly freeChoices: number;
  readonly cases: Readonly<Record<string, number>>;
  readonly parts: Readonly<Record<string, { cases: number; hit: number }>>;
  readonly features: Readonly<Record<string, number>>;
}

type Kind = 'traffic' | 'selfCheck' | 'wrong';

function readStore(): Partial<Record<Kind, StoredRun>> {
  try {
    return JSON.parse(readFileSync(STORE, 'utf8')) as Partial<Record<Kind, StoredRun>>;
  } catch {
    return {};
  }
}

function commandOf(options: SuiteOptions, kind: Kind): string {
  const family = options.families.length === 1 ? ` --family ${options.families[0]}` : '';
  const mode = kind === 'selfCheck' ? ' --self-check' : kind === 'wrong' ? ' --wrong' : '';
  return `npm run test:kernel -- --cases ${options.cases} --seed ${options.seed} --jobs ${options.jobs}${family}${mode}`;
}

export function writeEvidence(evidence: Evidence, options: SuiteOptions, totals: Totals): void {
  const kind: Kind = options.selfCheck ? 'selfCheck' : options.wrong ? 'wrong' : 'traffic';
  const run: StoredRun = {
    command: commandOf(options, kind),
    seed: options.seed,
    date: new Date().toISOString().slice(0, 10),
    kernel: release(),
    iptables: execFileSync('iptables-legacy', ['--version'], { encoding: 'utf8' }).trim(),
    engines: options.engines,
    ...totals,
    rate: Number(totals.rate.toFixed(1)),
    packets: evidence.packets,
    frames: evidence.frames,
    refused: evidence.refused,
    freeChoices: evidence.selfCheckFreeChoices,
    cases: { IPv4: evidence.cases[4], IPv6: evidence.cases[6] },
    parts: Object.fromEntries(evidence.parts),
    features: Object.fromEntries([...evidence.features].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  const store = { ...readStore(), [kind]: run };
  writeFileSync(STORE, `${JSON.stringify(store, undefined, 1)}\n`);
  mkdirSync(fileURLToPath(new URL('../../docs', import.meta.url)), { recursive: true });
  writeFileSync(FILE, page(store));
}

function runText(title: string, run: StoredRun): string[] {
  return [
    `## ${title}`,
    '',
    '```',
    run.command,
    '```',
    '',
    `On ${run.date}, Linux ${run.kernel}, ${run.iptables}${run.engines.length > 0 ? `, engines: ${run.engines.join(', ')}` : ''}: ` +
      `**${run.passed} cases agreed, ${run.failed} did not** (IPv4 ${run.cases.IPv4}, IPv6 ${run.cases.IPv6}); ` +
      `${run.packets} packets put in, ${run.frames} frames came out; ${run.refused} rule sets refused by both; ` +
      `${run.rate} cases a second${run.unstable > 0 ? `; ${run.unstable} cases did not come out the same when tried again and were not counted` : ''}.`,
    '',
  ];
}

function page(store: Partial<Record<Kind, StoredRun>>): string {
  const lines = [
    '# How far chainwalk agrees with Linux',
    '',
    'Written by the kernel suite (`test/kernel`, `npm run test:kernel -- --evidence`); not edited by hand. Each case is a',
    'generated rule set and generated traffic, given to Linux (legacy iptables in a network namespace) and to chainwalk.',
    'Compared are: every frame that leaves, per link and in order, every byte; counters of every rule and policy; every',
    'line as `iptables-save -c` prints it; every connection with state, tuples, flags, mark, zone and remaining seconds;',
    'log lines; refusals.',
    '',
  ];
  const { traffic, selfCheck, wrong } = store;
  if (traffic !== undefined) {
    lines.push(...runText('Rule sets under traffic', traffic));
    lines.push(
      'Cases that agreed, by what stood in their rules (`in rules`) and by what a packet met and matched (`matched`).',
      'Every option that chainwalk supports is listed, plain and negated. Some can not match here, on Linux no more than in',
      'chainwalk: the host has no bridge (`physdev`), and `! --set` of `recent` is never true.',
      '',
    );
    lines.push('| part of a rule | in rules | matched |', '| --- | ---: | ---: |');
    for (const [name, count] of Object.entries(traffic.parts)) {
      lines.push(`| \`${name}\` | ${count.cases} | ${count.hit} |`);
    }
    lines.push(
      '',
      'What the cases showed in their packets, frames, connections:',
      '',
      '| seen | cases |',
      '| --- | ---: |',
    );
    for (const [name, count] of Object.entries(traffic.features)) lines.push(`| ${name} | ${count} |`);
    lines.push('');
  }
  if (wrong !== undefined) lines.push(...runText('Rule files with mistakes', wrong));
  if (selfCheck !== undefined) {
    lines.push(...runText('The kernel against itself', selfCheck));
    lines.push(
      `The same packets twice through Linux. In ${selfCheck.freeChoices} cases it differed from itself, in all of them by a port search with a random start.`,
      '',
    );
  }
  lines.push('## Allowances', '', 'Where the comparison accepts more than equality:', '');
  lines.push('| name | what | why |', '| --- | --- | --- |');
  for (const a of ALLOWANCES) lines.push(`| ${a.name} | ${a.what} | ${a.reason} |`);
  lines.push('', '## Known differences', '');
  if (KNOWN_DIFFERENCES.length === 0) lines.push('None.');
  for (const d of KNOWN_DIFFERENCES) lines.push(`- **${d.name}**: ${d.what} (${d.test})`);
  lines.push(
    '',
    'Differences that the suite found and that were mended are kept as recorded cases in `test/regression`; they run',
    'without a kernel in `npm test`.',
    '',
  );
  return lines.join('\n');
}
