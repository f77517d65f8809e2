/**
 * What loading a rule file costs, beside `iptables-legacy-restore` of the same file in a network namespace of its own
 * (as root): `npx tsx bench/parse.ts`. Contenders take turns, so that a busy machine is busy for all of them.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compiledEngine } from '../src/engine/compiled/engine.js';
import { printIp4 } from '../src/net/ip4.js';
import type { RuleSet } from '../src/ruleset/model.js';
import { parseRuleSet } from '../src/ruleset/parse.js';
import { printRuleSet } from '../src/ruleset/print.js';
import type { Bar } from './bars.js';
import { Node } from './node.js';
import { serviceRules } from './workloads.js';

const RULES = 50_000;
const ENDPOINTS = 2;
/** Rules of a service with its endpoints. */
const RULES_PER_SERVICE = 2 + 3 * ENDPOINTS;
const ROUNDS = 9;
const BAR = 0.5;

export interface RuleFile {
  readonly name: string;
  readonly text: string;
  readonly ruleCount: number;
}

export interface Cost {
  /** Milliseconds by the clock: fastest and median of the rounds. */
  readonly fastestMs: number;
  readonly medianMs: number;
  /** Median of the processor time, all threads: what the clock would say on an idle machine, or more. */
  readonly cpuMs: number;
}

export interface LoadCost {
  readonly file: RuleFile;
  readonly parse: Cost;
  readonly parseAndCompile: Cost;
  /** Undefined: not root, or no such tool. */
  readonly restore: Cost | undefined;
}

function parsed(text: string): RuleSet {
  const { ruleSet, ok, diagnostics } = parseRuleSet({ name: 'bench', text }, { family: 4 });
  if (!ok) throw new Error(`bug: ${diagnostics[0]?.message}`);
  return ruleSet;
}

/** Rules of a shape, each with an address and a port of its own. */
function flatRules(count: number): string {
  const rules = Array.from({ length: count }, (_, i) => {
    const address = printIp4(0x14000000 + i * 7919);
    return `-A FORWARD -s ${address}/32 -p tcp -m tcp --dport ${(i * 31) % 65536} -j DROP`;
  });
  return [
    '*filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ...rules,
    'COMMIT',
    '',
  ].join('\n');
}

/** Both files are as iptables-save prints them. */
export function ruleFiles(): RuleFile[] {
  const services = serviceRules(Math.floor(RULES / RULES_PER_SERVICE), ENDPOINTS, 4);
  return [
    { name: "kube-proxy's rules", text: services },
    { name: 'flat list', text: flatRules(RULES) },
  ].map(({ name, text }) => {
    const saved = printRuleSet(parsed(text));
    return { name, text: saved, ruleCount: saved.split('\n').filter((line) => line.startsWith('-A')).length };
  });
}

interface Sample {
  readonly ms: number;
  readonly cpuMs: number;
}

function timed(run: () => unknown): Sample {
  const cpu = process.cpuUsage();
  const from = performance.now();
  run();
  const ms = performance.now() - from;
  const { user, system } = process.cpuUsage(cpu);
  return { ms, cpuMs: (user + system) / 1000 };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function costOf(samples: readonly Sample[]): Cost {
  return {
    fastestMs: Math.min(...samples.map(({ ms }) => ms)),
    medianMs: median(samples.map(({ ms }) => ms)),
    cpuMs: median(samples.map(({ cpuMs }) => cpuMs)),
  };
}

/** The tool in a namespace of its own. */
class Restore {
  readonly #namespace = `cwp-${process.pid}`;
  readonly #folder = mkdtempSync(join(tmpdir(), 'chainwalk-bench-'));

  static isThere(): boolean {
    if (process.getuid?.() !== 0) return false;
    return ['iptables-legacy-restore', 'ip'].every((tool) => spawnSync(tool, ['-V']).status === 0);
  }

  constructor() {
    execFileSync('ip', ['netns', 'add', this.#namespace]);
  }

  /** A run that loads the file; the first one is looked at: the kernel must then have what we read. */
  prepare(file: RuleFile): () => Sample {
    const path = join(this.#folder, 'rules');
    writeFileSync(path, file.text);
    const inside = ['netns', 'exec', this.#namespace];
    const run = (): Sample => {
      const command = 'TIMEFORMAT="%R %U %S"; time "$@"';
      const args = ['-c', command, 'bash', 'ip', ...inside, 'iptables-legacy-restore', path];
      const { status, stderr } = spawnSync('bash', args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`iptables-legacy-restore: ${stderr}`);
      const [real, user, system] = stderr.trim().split(' ').map(Number);
      return { ms: real! * 1000, cpuMs: (user! + system!) * 1000 };
    };
    run();
    for (const { name } of parsed(file.text).tables) {
      const saved = execFileSync('ip', [...inside, 'iptables-legacy-save', '-t', name], {
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
      });
      if (!file.text.includes(saved.replace(/^#.*\n/gm, '')))
        throw new Error(`bug: ${file.name} is not what was loaded`);
    }
    return run;
  }

  remove(): void {
    execFileSync('ip', ['netns', 'del', this.#namespace]);
    rmSync(this.#folder, { recursive: true });
  }
}

/** Measures one file. The first round of ours, when nothing is optimized yet, does not count. */
function loadCost(file: RuleFile, restore: Restore | undefined): LoadCost {
  const run = restore?.prepare(file);
  const node = new Node(undefined, 4, compiledEngine);
  const parseOnly: Sample[] = [];
  const both: Sample[] = [];
  const theirs: Sample[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const parse = timed(() => parsed(file.text));
    const load = timed(() => node.host.load(4, parsed(file.text)));
    if (round > 0) {
      parseOnly.push(parse);
      both.push(load);
    }
    if (run !== undefined) theirs.push(run());
  }
  return {
    file,
    parse: costOf(parseOnly),
    parseAndCompile: costOf(both),
    restore: run === undefined ? undefined : costOf(theirs),
  };
}

export function measureLoading(): LoadCost[] {
  const restore = Restore.isThere() ? new Restore() : undefined;
  try {
    return ruleFiles().map((file) => loadCost(file, restore));
  } finally {
    restore?.remove();
  }
}

/** The bars of loading; none where there is nothing to compare with. */
export function loadBars(costs: readonly LoadCost[]): Bar[] {
  return costs.flatMap(({ file, parse, parseAndCompile, restore }) =>
    restore === undefined
      ? []
      : {
          what: `parse + compile / iptables-legacy-restore, ${file.ruleCount} rules, ${file.name}`,
          figure: parseAndCompile.fastestMs / restore.fastestMs,
          bar: BAR,
          unit: '×',
          atLeast: false,
          note:
            `${parseAndCompile.fastestMs.toFixed(0)} ms (parse ${parse.fastestMs.toFixed(0)}) against ${restore.fastestMs.toFixed(0)} ms; ` +
            `processor time ${parseAndCompile.cpuMs.toFixed(0)} ms against ${restore.cpuMs.toFixed(0)} ms`,
        },
  );
}

function row(name: string, cost: Cost, rules: number): string {
  const shown = (ms: number): string => `${ms.toFixed(0).padStart(7)} ms`;
  const perRule = `${((cost.fastestMs * 1000) / rules).toFixed(2).padStart(7)} µs`;
  return `  ${name.padEnd(26)}${shown(cost.fastestMs)}${shown(cost.medianMs)}${shown(cost.cpuMs)}${perRule}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const costs = measureLoading();
  for (const { file, parse, parseAndCompile, restore } of costs) {
    const size = `${(file.text.length / 1e6).toFixed(1)} MB`;
    console.log(
      `${file.name}: ${file.ruleCount} rules, ${size}\n  ${' '.repeat(26)}   fastest    median processor    a rule`,
    );
    console.log(row('parse', parse, file.ruleCount));
    console.log(row('parse + compile', parseAndCompile, file.ruleCount));
    if (restore !== undefined) console.log(row('iptables-legacy-restore', restore, file.ruleCount));
  }
  for (const { what, figure, bar, note } of loadBars(costs)) {
    const met = figure <= bar;
    if (!met) process.exitCode = 1;
    console.log(`${met ? 'ok    ' : 'MISSED'} ${what}: ${figure.toFixed(2)} (bar ${bar}); ${note}`);
  }
}
