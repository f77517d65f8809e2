/**
 * Differential fuzz of the rule-file reader against iptables-legacy-restore and -save, in a network namespace of its own:
 * random files, valid and mutated, must be accepted or refused alike and print alike. By hand, as root:
 *
 *   npx tsx test/kernel/ruleset-fuzz.ts [--cases N] [--seed N] [--ipv6] [--verbose]
 */
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { Rng } from '../../src/base/rng.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { COMMANDS, COMMANDS_AFTER, FILES, RULES, RULES_6 } from '../ruleset/accept-case.js';
import { randomRuleFile } from '../support/rule-file.js';

export interface Difference {
  readonly text: string;
  readonly counters: boolean;
  readonly ours: string;
  readonly real: string;
}

interface Outcome {
  readonly accepted: boolean;
  /** Saved tables if accepted, the message if not. */
  readonly text: string;
}

function ours(text: string, family: 4 | 6, counters: boolean): Outcome {
  const result = parseRuleSet({ name: 'fuzz', text }, { family, counters });
  if (result.ok) return { accepted: true, text: printRuleSet(result.ruleSet, { counters: true }) };
  return { accepted: false, text: result.diagnostics.map(renderDiagnostic).join('\n') };
}

function real(namespace: string, text: string, family: 4 | 6, counters: boolean, tables: readonly string[]): Outcome {
  const tool = family === 4 ? 'iptables-legacy' : 'ip6tables-legacy';
  const run = (args: string[], input?: string) =>
    spawnSync('ip', ['netns', 'exec', namespace, ...args], {
      encoding: 'utf8',
      timeout: 20_000,
      ...(input === undefined ? {} : { input }),
    });
  const done = run([`${tool}-restore`, ...(counters ? ['-c'] : [])], text);
  if (done.status !== 0) return { accepted: false, text: done.stderr };
  let saved = '';
  for (const table of tables) saved += run([`${tool}-save`, '-c', '-t', table]).stdout.replace(/^#.*\n/gm, '');
  return { accepted: true, text: saved };
}

/** Sets every table back to what a fresh namespace has. */
const PRISTINE = [
  ['raw', 'PREROUTING', 'OUTPUT'],
  ['mangle', 'PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  ['nat', 'PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  ['filter', 'INPUT', 'FORWARD', 'OUTPUT'],
]
  .map(([table, ...chains]) => `*${table}\n${chains.map((chain) => `:${chain} ACCEPT\n`).join('')}COMMIT\n`)
  .join('');

/** The files of the unit tests' tables. */
function tableCases(family: 4 | 6): string[] {
  const wrap = (lines: string): string => `*filter\n:aa - [0:0]\n:bb - [0:0]\n${lines}\nCOMMIT\n`;
  if (family === 6) return RULES_6.map(([written]) => wrap(written));
  return [
    ...RULES.map(([written]) => wrap(written)),
    ...COMMANDS.map(([written]) => wrap(COMMANDS_AFTER + written)),
    ...FILES.map(([, text]) => text),
  ];
}

/** Runs the tests' tables and `cases` random files; gives the differences found. */
export function fuzzRuleFiles(cases: number, seed: number, family: 4 | 6, verbose = false): Difference[] {
  const namespace = `cwrs-fuzz-${process.pid}`;
  const rng = new Rng(seed);
  const found: Difference[] = [];
  let accepted = 0;
  const tryFile = (text: string, counters: boolean): void => {
    const tables = [...new Set([...text.matchAll(/^\*\s*(raw|mangle|nat|filter)\b/gm)].map((m) => m[1]!))];
    const a = ours(text, family, counters);
    const b = real(namespace, text, family, counters, tables);
    if (b.accepted) accepted++;
    // A refused file may have committed its first table.
    if (b.accepted || text.indexOf('COMMIT') !== text.lastIndexOf('COMMIT'))
      real(namespace, PRISTINE, family, false, []);
    if (isFine(a, b)) return;
    found.push({ text, counters, ours: a.text, real: b.text });
    if (verbose) process.stdout.write(`==== counters ${counters}\n${text}---- ours\n${a.text}\n---- real\n${b.text}\n`);
  };
  spawnSync('ip', ['netns', 'add', namespace]);
  try {
    for (const text of tableCases(family)) tryFile(text, false);
    for (let i = 0; i < cases; i++) tryFile(randomRuleFile(rng, family), rng.below(2) === 0);
  } finally {
    spawnSync('ip', ['netns', 'delete', namespace]);
  }
  if (verbose) process.stdout.write(`${accepted} files accepted, ${found.length} differences\n`);
  return found;
}

function isFine(a: Outcome, b: Outcome): boolean {
  if (a.accepted) return b.accepted && a.text === b.text;
  if (!b.accepted) return true;
  // -h and -V end the real program with success, and nothing loaded; we say so as an error. What we refuse by name is
  // refused on purpose.
  return a.text.includes('[ends-program]') || a.text.includes('[unsupported-extension]');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const value = (name: string, otherwise: number): number => {
    const at = process.argv.indexOf(name);
    return at === -1 ? otherwise : Number(process.argv[at + 1]);
  };
  const family = process.argv.includes('--ipv6') ? 6 : 4;
  const found = fuzzRuleFiles(value('--cases', 500), value('--seed', 1), family, true);
  process.exitCode = found.length === 0 ? 0 : 1;
}
