/**
 * `npm run bench`: what a packet costs, for every contender and workload. `-- --bars`: only the promises, with exit 1
 * when one is missed. `-- --report DIR`: results.json and index.html there as well. `-- --quick`: shorter samples.
 * `-- --tables`: only what tables cost, the kernel's beside ours (with `--bars` both).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { compiledEngine } from '../src/engine/compiled/engine.js';
import { referenceEngine } from '../src/engine/reference/walk.js';
import { type Bar, isMet, measureBars } from './bars.js';
import { establishedCase, floorCase, parsingCase, pcapParserCase, pipelineCase, readingCase } from './contenders.js';
import { contest } from './kernel/contest.js';
import { kernelLacks } from './kernel/lab.js';
import type { Marginal } from './marginal.js';
import { type Case, measure } from './measure.js';
import { establish, Node, ruleSetOf } from './node.js';
import { writeReport } from './report.js';
import { blacklist, firewall, flood, servicesNew, servicesPast, type Workload } from './workloads.js';

export interface Row {
  readonly workload: string;
  readonly size: number;
  readonly rules: number;
  readonly contender: string;
  readonly medianNs: number;
  readonly minNs: number;
  readonly spreadNs: number;
  readonly samples: number;
  /** Of the same run and capture. */
  readonly floorNs: number;
}

const PACKETS = 20_000;
const CONNECTIONS = 1000;
/** The reference walks every rule: beyond this many it only shows that once more. */
const REFERENCE_RULES = 10_000;
/** Packets that the reference gets, so that a sample stays below a second. */
const REFERENCE_PACKETS = 500;

const args = process.argv.slice(2);
const has = (flag: string): boolean => args.includes(flag);
const reportFolder = has('--report') ? args[args.indexOf('--report') + 1] : undefined;
const seconds = has('--quick') ? 0.5 : 2;
const rows: Row[] = [];

const number = (value: number, digits = 1): string =>
  value.toLocaleString('en-US', { maximumFractionDigits: digits, minimumFractionDigits: digits });

function printRow(row: Row): void {
  const perSecond = 1e3 / row.medianNs;
  console.log(
    `  ${row.contender.padEnd(12)} ${number(row.medianNs).padStart(11)} ns ±${number(row.spreadNs).padStart(8)} ` +
      `${number(perSecond, 3).padStart(9)} M/s ${number(row.medianNs / row.floorNs).padStart(9)} × floor`,
  );
}

async function bench(workload: Workload, cases: readonly Case[]): Promise<void> {
  console.log(`\n${workload.name} (${workload.ruleCount.toLocaleString('en-US')} rules)`);
  const measured = await measure(workload.name, [floorCase(workload), ...cases], seconds);
  const floorNs = measured[0]!.medianNs;
  for (const { name, ...figures } of measured) {
    const row = {
      workload: workload.name,
      size: workload.size,
      rules: workload.ruleCount,
      contender: name,
      ...figures,
      floorNs,
    };
    rows.push(row);
    printRow(row);
  }
}

function engineCases(workload: Workload): Case[] {
  const ruleSet = ruleSetOf(workload);
  const cases = [pipelineCase('compiled', workload, ruleSet, compiledEngine)];
  if (workload.ruleCount <= REFERENCE_RULES) {
    cases.push(pipelineCase('reference', workload, ruleSet, referenceEngine, REFERENCE_PACKETS));
  }
  return cases;
}

async function benchEstablished(fresh: Workload): Promise<void> {
  const node = new Node(ruleSetOf(fresh), fresh.family, compiledEngine);
  const old = establish(node, fresh, CONNECTIONS, PACKETS);
  await bench(old, [establishedCase('compiled', old, node)]);
}

/** The parts of the way, and both engines, on the smallest table. */
async function benchFirst(): Promise<Workload> {
  const first = servicesNew(10, 2, 4, PACKETS);
  console.log('\nNanoseconds a packet: median, half the width of the middle half of the samples.');
  await bench(first, [readingCase(first), pcapParserCase(first), parsingCase(first), ...engineCases(first)]);
  return first;
}

async function benchAll(first: Workload): Promise<void> {
  for (const family of [4, 6] as const) {
    for (const endpoints of [2, 10]) {
      for (const services of [10, 100, 1000, 10_000, 50_000]) {
        // A million rules and more do not fit beside everything else in Node's default heap.
        if (services * endpoints > 100_000) continue;
        if (family === 6 && endpoints === 10) continue;
        const workload = servicesNew(services, endpoints, family, PACKETS);
        if (workload.name !== first.name) await bench(workload, engineCases(workload));
        await benchEstablished(workload);
      }
    }
  }
  for (const workload of [flood('at random', 16_384), flood('in order', 16_384)]) {
    await bench(workload, [pipelineCase('compiled', workload, ruleSetOf(workload), compiledEngine)]);
  }
  for (const workload of [blacklist(10_000, PACKETS), blacklist(100_000, PACKETS), firewall(1000, PACKETS)]) {
    await bench(workload, engineCases(workload));
  }
}

/** From here on a workload takes so long that one wants to know what it is at. */
const MANY_RULES = 100_000;
/** In turns: what a table costs is a small difference where it is cheap. */
const ROUNDS = has('--quick') ? 5 : 11;
const marginal: Marginal[] = [];

function* contested(): Generator<Workload> {
  const sizes = [10, 100, 1000, 10_000, 50_000];
  for (const services of sizes) yield servicesPast(services, 2, 4, PACKETS);
  for (const services of sizes) yield servicesNew(services, 2, 4, PACKETS);
  // Half a million rules and more: neither we nor the kernel have room for them twice.
  for (const services of sizes.slice(0, 4)) yield servicesNew(services, 10, 4, PACKETS);
  yield blacklist(10_000, PACKETS);
  yield blacklist(100_000, PACKETS);
  yield firewall(1000, PACKETS);
}

async function benchTables(): Promise<void> {
  const lacks = kernelLacks();
  console.log('\nWhat a table costs a packet: with it minus without, processor time, ± half of the middle half.');
  if (lacks !== undefined) console.log(`Without the kernel's own tables: ${lacks}.`);
  for (const workload of contested()) {
    console.log(`\n${workload.name} (${workload.ruleCount.toLocaleString('en-US')} rules)`);
    const say = workload.ruleCount < MANY_RULES ? undefined : (what: string) => console.error(`  … ${what}`);
    for (const row of await contest(workload, { rounds: ROUNDS, reference: true, ...(say && { say }) })) {
      marginal.push(row);
      console.log(
        `  ${row.contender.padEnd(16)} ${number(row.marginalNs).padStart(13)} ns ±${number(row.spreadNs).padStart(10)}   ` +
          `with ${number(row.withNs).padStart(13)}   without ${number(row.withoutNs).padStart(9)}`,
      );
    }
  }
}

function printBar(bar: Bar): void {
  const verdict = isMet(bar) ? 'met   ' : 'MISSED';
  const sign = bar.atLeast ? '≥' : '≤';
  console.log(
    `${verdict} ${bar.what}: ${number(bar.figure, 2)} ${bar.unit} (bar ${sign} ${bar.bar} ${bar.unit}; ${bar.note})`,
  );
}

const machine = {
  node: process.version,
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  kernel: release(),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
};
console.log(`Node ${machine.node}, ${machine.cores} × ${machine.cpu}`);
const all = !has('--bars') && !has('--tables');
const first = all ? await benchFirst() : undefined;
// Then tables: the largest need most of the heap for themselves.
if (all || has('--tables')) await benchTables();
if (first !== undefined) await benchAll(first);
let bars: Bar[] = [];
if (all || has('--bars')) {
  console.log('\nBars');
  bars = await measureBars(printBar);
}
if (reportFolder !== undefined) {
  mkdirSync(reportFolder, { recursive: true });
  const results = { machine, rows, marginal, bars: bars.map((bar) => ({ ...bar, met: isMet(bar) })) };
  writeFileSync(join(reportFolder, 'results.json'), `${JSON.stringify(results, undefined, 2)}\n`);
  writeReport(join(reportFolder, 'index.html'), results);
}
process.exitCode = bars.every(isMet) ? 0 : 1;
