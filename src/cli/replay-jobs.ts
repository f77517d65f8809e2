/**
 * `replay --jobs`: one look at the captures deals the packets out, worker threads replay their shares, and what they have to
 * say is put together once it is proven to be what one job would have said. Where it is not, one job does it.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { FrameSource } from '../replay/frame-source.js';
import type { JobResult } from '../replay/job.js';
import { type JobPlan, JobSurvey } from '../replay/job-survey.js';
import { mergeConnectionList, mergeTotals, type UnlistedConnection } from '../replay/merge-jobs.js';
import { makeReplayHost } from '../replay/replay-host.js';
import { Spread } from '../replay/spread.js';
import type { ReplayTotals } from '../replay/totals.js';
import type { RuleSet } from '../ruleset/model.js';
import { forEachMerged } from './capture-input.js';
import { buildEngineOf, type HostInput, replayHostOptions } from './host-input.js';
import { printDiagnostics, printMessage, printResult } from './output.js';
import { type Progress, startProgress } from './progress.js';
import type { FrameWriter } from './replay-output.js';
import type { WorkerMessage, WorkerSetup, WorkerTask } from './replay-worker.js';
import { ITEM_CONNECTION, ITEM_FRAME, ITEM_LOG, mergeSpools, SpoolReader } from './spool.js';

/** Text of results that may wait before it is written. */
const PRINT_AT = 1 << 16;

export interface SpreadReplay {
  readonly setup: WorkerSetup;
  readonly input: HostInput;
  readonly jobs: number;
  readonly writer: FrameWriter | undefined;
  /** The same by one job. */
  readonly asOne: () => Promise<Replayed>;
}

export interface Replayed {
  readonly totals: ReplayTotals;
  readonly connections: () => string;
  readonly faults: readonly string[];
}

export async function replayAsJobs(replay: SpreadReplay): Promise<Replayed> {
  const { setup, input, jobs } = replay;
  const folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
  // They read the rules while the captures are looked at.
  const workers = new Workers(setup, jobs, folder);
  try {
    const size = setup.captures.reduce((sum, c) => sum + statSync(c.path).size, 0);
    const progress = startProgress(2 * size);
    const made = makeReplayHost(input.config, {
      ...replayHostOptions(input, setup.options, buildEngineOf(setup.options)),
      ruleSet4: undefined,
      ruleSet6: undefined,
    });
    const ruleSets = [input.ruleSet4, input.ruleSet6].filter((r): r is RuleSet => r !== undefined);
    const direction = { inDevices: setup.inDevices, local: setup.local };
    const source = new FrameSource(input.config, setup.captures, direction);
    const survey = new JobSurvey(made, source, translates(ruleSets));
    const faults = await forEachMerged(
      setup.captures,
      (i, record) => survey.visit(i, record),
      (bytes) => progress.update(bytes, survey.recordCount),
    );
    const spread = new Spread(survey, jobs, made.conntrack.settings.max);
    let results: readonly JobResult[] = [];
    let judged = spread.begin();
    while (judged.kind === 'again') {
      results = await workers.run(shared(judged.plan), progress, size);
      judged = spread.judge(results.map((r) => r.footprint));
    }
    progress.stop();
    if (judged.kind === 'as-one') {
      printMessage(`note: --jobs ${jobs} ran as one job: ${judged.reason}`);
      return await replay.asOne();
    }
    printDiagnostics(made.host.diagnostics);
    const totals = mergeTotals(results, ruleSets, publish(workers.spools, replay));
    totals.assumptions.push(...input.assumed, ...source.assumptions);
    return { totals, connections: () => mergeConnectionList(results), faults };
  } finally {
    await workers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Addresses may be rewritten. */
const translates = (ruleSets: readonly RuleSet[]): boolean =>
  ruleSets.some(({ tables }) => tables.some((table) => table.name === 'nat'));

/** The plan in memory that all threads see. */
function shared(plan: JobPlan): JobPlan {
  const partOf = new Uint32Array(new SharedArrayBuffer(plan.partOf.byteLength));
  partOf.set(plan.partOf);
  const workerOf = new Uint8Array(new SharedArrayBuffer(plan.workerOf.byteLength));
  workerOf.set(plan.workerOf);
  return { ...plan, partOf, workerOf };
}

/** Writes and prints what the workers have said, in order; yields what is left to be counted. */
function* publish(
  paths: readonly string[],
  { input, writer }: SpreadReplay,
): Generator<UnlistedConnection, void, undefined> {
  const spools = paths.map((path) => new SpoolReader(path));
  let text = '';
  for (const item of mergeSpools(spools)) {
    if (item.kind === ITEM_FRAME) {
      const device = input.config.devices[(item.frameDevice >>> 1) - 1]?.name ?? '';
      const { frameSeconds, frameNanoseconds, bytes, frameOff, frameSize, frameWireSize } = item;
      const hasEthernet = (item.frameDevice & 1) === 1;
      writer?.add(device, hasEthernet, frameSeconds, frameNanoseconds, bytes, frameOff, frameSize, frameWireSize);
    } else if (item.kind === ITEM_LOG) printMessage(item.text);
    else if (item.kind === ITEM_CONNECTION) {
      const [original = '', translated] = item.text.split('\n');
      yield { turn: item.turn, original, translated };
    } else {
      text += `${item.text}\n`;
      if (text.length >= PRINT_AT) {
        printResult(text);
        text = '';
      }
    }
  }
  printResult(text);
  for (const spool of spools) spool.close();
}

function startWorker(setup: WorkerSetup): Worker {
  const here = import.meta.url;
  if (!here.endsWith('.ts')) return new Worker(new URL('./replay-worker.js', here), { workerData: setup });
  // Run from source by tsx, whose loader a thread does not inherit.
  const tsx = import.meta.resolve('tsx/esm/api');
  const file = new URL('./replay-worker.ts', here).href;
  const code = `import(${JSON.stringify(tsx)}).then(({ register }) => { register(); return import(${JSON.stringify(file)}); })`;
  return new Worker(code, { eval: true, workerData: setup });
}

class Workers {
  /** What each worker has said in its last run. */
  readonly spools: readonly string[];
  readonly #threads: readonly Worker[];

  constructor(setup: WorkerSetup, count: number, folder: string) {
    this.spools = Array.from({ length: count }, (_, i) => join(folder, `job-${i}`));
    this.#threads = this.spools.map(() => startWorker(setup));
  }

  /** All run their shares of the plan. An error in one of them is thrown. */
  async run(plan: JobPlan, progress: Progress, size: number): Promise<JobResult[]> {
    const read = this.#threads.map(() => 0);
    return Promise.all(
      this.#threads.map(
        (thread, worker) =>
          new Promise<JobResult>((resolve, reject) => {
            const onExit = (): void => reject(new Error('bug: a worker has ended too early'));
            const onMessage = (message: WorkerMessage): void => {
              if (message.kind === 'read') {
                read[worker] = message.bytes;
                progress.update(size + Math.min(...read), message.records);
                return;
              }
              thread.off('error', reject).off('exit', onExit).off('message', onMessage);
              resolve(message.result);
            };
            thread.on('error', reject).on('exit', onExit).on('message', onMessage);
            thread.postMessage({ plan, worker, spool: this.spools[worker]! } satisfies WorkerTask);
          }),
      ),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }
}
