/** The promises that can be measured on this side of the kernel, each with its figure. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CaptureReader } from '../src/capture/reader.js';
import { CaptureRecord } from '../src/capture/record.js';
import { CaptureFile } from '../src/cli/capture-file.js';
import { compiledEngine } from '../src/engine/compiled/engine.js';
import { establishedCase, floorCase, pipelineCase } from './contenders.js';
import { pcapOf } from './frame.js';
import { kernelBars } from './kernel/kernel-bars.js';
import { kernelLacks } from './kernel/lab.js';
import { measure } from './measure.js';
import { establish, Node, ruleSetOf } from './node.js';
import { loadBars, measureLoading } from './parse.js';
import { patchCase } from './patch-case.js';
import { servicesNew, type Workload } from './workloads.js';

export interface Bar {
  readonly what: string;
  /** What was measured, in `unit`. */
  readonly figure: number;
  readonly bar: number;
  readonly unit: string;
  /** False: smaller is better. */
  readonly atLeast: boolean;
  readonly note: string;
}

/** Undefined where this machine has not got what the bar compares with. */
type Measuring = () => Promise<Bar | undefined>;

const PACKETS = 20_000;
const CONNECTIONS = 1000;
const SECONDS = 4;
const MILLION = 1_000_000;

interface PathCost {
  readonly floorNs: number;
  readonly newNs: number;
  readonly establishedNs: number;
}

async function pathCost(services: number): Promise<PathCost> {
  const fresh = servicesNew(services, 2, 4, PACKETS);
  const ruleSet = ruleSetOf(fresh);
  const node = new Node(ruleSet, 4, compiledEngine);
  const old = establish(node, fresh, CONNECTIONS, PACKETS);
  const [floor, established] = await measure(
    old.name,
    [floorCase(old), establishedCase('compiled', old, node)],
    SECONDS,
  );
  const [first] = await measure(fresh.name, [pipelineCase('compiled', fresh, ruleSet, compiledEngine)], SECONDS);
  return { floorNs: floor!.medianNs, newNs: first!.medianNs, establishedNs: established!.medianNs };
}

function pathBars(): Measuring[] {
  const costs = new Map<number, Promise<PathCost>>();
  const cost = (services: number): Promise<PathCost> => {
    const known = costs.get(services) ?? pathCost(services);
    costs.set(services, known);
    return known;
  };
  const floorBar =
    (what: string, bar: number, of: (cost: PathCost) => number): Measuring =>
    async () => {
      const c = await cost(10_000);
      const note = `${of(c).toFixed(0)} ns, floor ${c.floorNs.toFixed(1)} ns`;
      return { what, figure: of(c) / c.floorNs, bar, unit: '× floor', atLeast: false, note };
    };
  const flatBar =
    (what: string, of: (cost: PathCost) => number): Measuring =>
    async () => {
      const few = of(await cost(10));
      const many = of(await cost(50_000));
      const note = `${few.toFixed(0)} ns → ${many.toFixed(0)} ns`;
      return { what, figure: many / few, bar: 3, unit: '×', atLeast: false, note };
    };
  return [
    floorBar('established packet, whole pipeline, 10,000 Services', 5, (c) => c.establishedNs),
    floorBar('first packet of a connection, 10,000 Services', 15, (c) => c.newNs),
    flatBar('established packet, 50,000 Services / 10 Services', (c) => c.establishedNs),
    flatBar('first packet, 50,000 Services / 10 Services', (c) => c.newNs),
  ];
}

async function patchBar(): Promise<Bar> {
  const workload = servicesNew(50_000, 1, 4, 1);
  const ruleSet = ruleSetOf(workload);
  const node = new Node(ruleSet, 4, compiledEngine);
  const [patch] = await measure('patch', [patchCase(node.host.engine(4)!, ruleSet)], SECONDS);
  return {
    what: 'one rule patched into a chain of 50,000',
    figure: patch!.medianNs / 1000,
    bar: 20,
    unit: 'µs',
    atLeast: false,
    note: `fastest ${(patch!.minNs / 1000).toFixed(1)} µs`,
  };
}

async function memoryBar(): Promise<Bar> {
  const script = new URL('./memory.ts', import.meta.url).pathname;
  const out = execFileSync(process.execPath, ['--expose-gc', '--import', 'tsx', script], { encoding: 'utf8' });
  const { rules, modelBytes, engineBytes } = JSON.parse(out) as {
    readonly rules: number;
    readonly modelBytes: number;
    readonly engineBytes: number;
  };
  return {
    what: 'memory of a compiled rule',
    figure: engineBytes / rules,
    bar: 200,
    unit: 'bytes',
    atLeast: false,
    note: `${rules} rules; the rule set as a value, kept beside it, ${(modelBytes / rules).toFixed(0)} bytes a rule`,
  };
}

/** Fastest of `times` runs, milliseconds. */
function fastest(times: number, run: () => unknown): number {
  let best = Infinity;
  for (let i = 0; i < times; i++) {
    const from = performance.now();
    run();
    best = Math.min(best, performance.now() - from);
  }
  return best;
}

async function inScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'chainwalk-bench-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function hasTool(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function readingBar(): Promise<Bar | undefined> {
  if (!hasTool('tcpdump', '--version')) return undefined;
  const { frames } = servicesNew(10, 2, 4, 1000);
  const capture = pcapOf(
    Array.from({ length: MILLION }, (_, i) => frames[i % frames.length]!),
    1_700_000_000_000_000,
    10,
  );
  return inScratch(async (folder) => {
    const file = join(folder, 'million.pcap');
    writeFileSync(file, capture);
    const record = new CaptureRecord();
    const drain = (reader: CaptureReader): number => {
      let count = 0;
      while (reader.next(record)) count++;
      return count;
    };
    let ours = Infinity;
    for (let i = 0; i < 5; i++) {
      const from = performance.now();
      const capture = new CaptureFile(file);
      let count = 0;
      do count += drain(capture.reader);
      while (await capture.more());
      ours = Math.min(ours, performance.now() - from);
      if (count !== MILLION) throw new Error(`bug: ${count} records read`);
    }
    const theirs = fastest(5, () => execFileSync('tcpdump', ['-r', file, '-w', '/dev/null'], { stdio: 'ignore' }));
    return {
      what: 'reading a million packets / tcpdump -r FILE -w /dev/null',
      figure: ours / theirs,
      bar: 1,
      unit: '×',
      atLeast: false,
      note: `${ours.toFixed(0)} ms against ${theirs.toFixed(0)} ms`,
    };
  });
}

/** Measures every bar that this machine can. */
export async function measureBars(each: (bar: Bar) => void): Promise<Bar[]> {
  const bars: Bar[] = [];
  for (const one of [...pathBars(), patchBar, memoryBar, readingBar]) {
    const bar = await one();
    if (bar === undefined) continue;
    bars.push(bar);
    each(bar);
  }
  for (const bar of loadBars(measureLoading())) {
    bars.push(bar);
    each(bar);
  }
  const lacks = kernelLacks();
  if (lacks !== undefined) console.log(`left out: bars beside the kernel's own tables (${lacks})`);
  else {
    for (const bar of await kernelBars()) {
      bars.push(bar);
      each(bar);
    }
  }
  return bars;
}

export function isMet({ figure, bar, atLeast }: Bar): boolean {
  return atLeast ? figure >= bar : figure <= bar;
}

export type { Workload };
