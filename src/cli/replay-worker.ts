/** A worker thread of `replay --jobs`: replays its share of the records, as often as it is told to. */
import { parentPort, workerData } from 'node:worker_threads';
import { Footprint } from '../replay/footprint.js';
import { FrameSource } from '../replay/frame-source.js';
import { type JobResult, ReplayJob } from '../replay/job.js';
import type { JobPlan } from '../replay/job-survey.js';
import { makeReplayHost } from '../replay/replay-host.js';
import { ReplaySession, type SessionSinks } from '../replay/session.js';
import { emptyTotals } from '../replay/totals.js';
import { type CaptureArgument, forEachMerged } from './capture-input.js';
import {
  buildEngineOf,
  type HostInputOptions,
  type HostSources,
  makeHostInput,
  replayHostOptions,
} from './host-input.js';
import { ITEM_CONNECTION, ITEM_LOG, ITEM_RESULT, SpoolWriter } from './spool.js';

/** What every worker of a replay is told at its start; plain data. */
export interface WorkerSetup {
  readonly sources: HostSources;
  readonly options: HostInputOptions;
  readonly devices: readonly string[];
  readonly bare: ReadonlySet<string>;
  readonly captures: readonly CaptureArgument[];
  readonly inDevices: ReadonlySet<string>;
  readonly local: boolean;
  /** What somebody will read. */
  readonly wants: {
    readonly frames: boolean;
    readonly results: boolean;
    readonly log: boolean;
    readonly list: boolean;
  };
}

/** One run. */
export interface WorkerTask {
  readonly plan: JobPlan;
  readonly worker: number;
  /** File for what the run has to say. */
  readonly spool: string;
}

export type WorkerMessage =
  | { readonly kind: 'read'; readonly bytes: number; readonly records: number }
  | { readonly kind: 'done'; readonly result: JobResult };

/** Bytes read after which the main thread is told of it. */
const TELL_AT = 1 << 22;

const port = parentPort!;
const setup = workerData as WorkerSetup; // what startWorkers() hands over
const { captures, options, wants } = setup;
const input = makeHostInput(setup.sources, options, setup.devices, setup.bare, () => {});

async function run({ plan, worker, spool: path }: WorkerTask): Promise<void> {
  const footprint = new Footprint(plan.partCount, plan.seed);
  const made = makeReplayHost(input.config, {
    ...replayHostOptions(input, options, buildEngineOf(options)),
    watch: footprint,
  });
  footprint.attach(made.conntrack.entries);
  const spool = new SpoolWriter(path);
  const sinks: SessionSinks = {
    unlisted: (original, translated) =>
      spool.text(session.turn, ITEM_CONNECTION, translated === undefined ? original : `${original}\n${translated}`),
  };
  if (wants.frames)
    sinks.frame = (frame, _device, seconds, nanoseconds) => spool.frame(session.turn, frame, seconds, nanoseconds);
  if (wants.results) sinks.packet = (result) => spool.text(session.turn, ITEM_RESULT, JSON.stringify(result));
  if (wants.log) sinks.log = (_level, line) => spool.text(session.turn, ITEM_LOG, line);
  const source = new FrameSource(input.config, captures, { inDevices: setup.inDevices, local: setup.local });
  const totals = emptyTotals();
  totals.captures.push(...captures.map((c) => ({ name: c.name, device: c.device ?? '', records: 0 })));
  const session = new ReplaySession(made, source, totals, sinks, footprint);
  const job = new ReplayJob(plan, worker, made, session, footprint);
  let told = 0;
  await forEachMerged(
    captures,
    (i, record) => job.record(i, record),
    (bytes) => {
      if (bytes < told + TELL_AT) return;
      told = bytes;
      port.postMessage({ kind: 'read', bytes, records: session.number } satisfies WorkerMessage);
    },
  );
  const ruleSets = [input.ruleSet4, input.ruleSet6].filter((r) => r !== undefined);
  const result = job.finish(ruleSets, wants.list);
  spool.close();
  port.postMessage({ kind: 'done', result } satisfies WorkerMessage);
}

port.on('message', (task: WorkerTask) => {
  // An error in here ends the thread, and with it the command.
  void run(task);
});
