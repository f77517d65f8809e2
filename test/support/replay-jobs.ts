/** Replays records as one job and as several, in this process, and gives all that a user can see of either. */
import { CaptureMerge, MERGE_END } from '../../src/capture/merge.js';
import { CaptureReader } from '../../src/capture/reader.js';
import type { CaptureRecord } from '../../src/capture/record.js';
import { printEntries } from '../../src/conntrack/print.js';
import type { BuildEngine } from '../../src/engine/engine.js';
import type { HostConfig } from '../../src/host/host-config.js';
import { Footprint } from '../../src/replay/footprint.js';
import { FrameSource } from '../../src/replay/frame-source.js';
import { type JobResult, ReplayJob } from '../../src/replay/job.js';
import { type JobPlan, JobSurvey } from '../../src/replay/job-survey.js';
import { mergeConnectionList, mergeTotals, type UnlistedConnection } from '../../src/replay/merge-jobs.js';
import { makeReplayHost } from '../../src/replay/replay-host.js';
import { ReplaySession, type SessionSinks } from '../../src/replay/session.js';
import { Spread, spanningRules } from '../../src/replay/spread.js';
import { emptyTotals } from '../../src/replay/totals.js';
import { printReplaySummary } from '../../src/report/replay-text.js';
import type { RuleSet } from '../../src/ruleset/model.js';
import { printRuleSet } from '../../src/ruleset/print.js';

export interface Setup {
  readonly config: HostConfig;
  readonly ruleSets: readonly RuleSet[];
  readonly buildEngine: BuildEngine;
  readonly seed: number;
  readonly assumeNeighbours: boolean;
  /** Name and bytes. */
  readonly captures: readonly (readonly [string, Uint8Array])[];
  readonly local?: boolean;
  /** Nobody asks for results of single packets: those of established connections may go the short way. */
  readonly framesOnly?: boolean;
}

export interface Seen {
  /** Frames, results and log lines in their order. */
  readonly items: readonly string[];
  readonly rules: readonly string[];
  readonly connections: string;
  readonly summary: string;
}

interface Item {
  readonly turn: number;
  readonly text: string;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function forEach(setup: Setup, visit: (capture: number, record: CaptureRecord) => void): void {
  const readers = setup.captures.map(([name, bytes]) => {
    const reader = new CaptureReader(name);
    reader.feed(new Uint8Array(bytes)); // a replay changes the bytes
    return reader;
  });
  const merge = new CaptureMerge(readers);
  for (let next = merge.next(); next !== MERGE_END; next = merge.next()) {
    if (next < 0) readers[merge.starved]!.end();
    else visit(next, merge.records[next]!);
  }
}

function make(setup: Setup, watch?: Footprint) {
  const made = makeReplayHost(setup.config, {
    ruleSet4: setup.ruleSets.find((r) => r.family === 4),
    ruleSet6: setup.ruleSets.find((r) => r.family === 6),
    buildEngine: setup.buildEngine,
    seed: setup.seed,
    assumeNeighbours: setup.assumeNeighbours,
    watch,
  });
  const source = new FrameSource(
    setup.config,
    setup.captures.map(([name]) => ({ name })),
    { inDevices: new Set(), local: setup.local === true },
  );
  const totals = emptyTotals();
  totals.captures.push(...setup.captures.map(([name]) => ({ name, device: '', records: 0 })));
  const items: Item[] = [];
  const unlisted: UnlistedConnection[] = [];
  const add = (text: string): void => {
    items.push({ turn: session.turn, text });
  };
  const sinks: SessionSinks = {
    packet: (result) => add(JSON.stringify(result)),
    frame: (frame, device, seconds, nanoseconds) =>
      add(
        `${device} ${seconds} ${nanoseconds} ${frame.originalEnd - frame.start} ${hex(frame.bytes.subarray(frame.start, frame.end))}`,
      ),
    log: (level, line) => add(`${level} ${line}`),
    unlisted: (original, translated) => unlisted.push({ turn: session.turn, original, translated }),
  };
  if (setup.framesOnly === true) delete sinks.packet;
  const session = new ReplaySession(made, source, totals, sinks, watch);
  return { made, source, totals, items, unlisted, session };
}

function seen(setup: Setup, totals: ReturnType<typeof emptyTotals>, items: readonly Item[], connections: string): Seen {
  return {
    items: items.map((item) => item.text),
    rules: totals.ruleSets.map((r) => printRuleSet(r, { counters: true })),
    connections,
    summary:
      printReplaySummary(totals, setup.ruleSets, { topRules: Number.POSITIVE_INFINITY }) +
      JSON.stringify(totals.agreement),
  };
}

export function replayAsOne(setup: Setup): Seen {
  const { made, totals, items, session } = make(setup);
  forEach(setup, (i, record) => session.survey(i, record));
  forEach(setup, (i, record) => session.replay(i, record));
  session.finish();
  return seen(setup, totals, items, printEntries(made.conntrack.entries));
}

export interface Spreading {
  readonly seen: Seen | undefined;
  /** Why one worker had to do it all. */
  readonly asOne: string | undefined;
  readonly runs: number;
  /** Records of each worker in the last run. */
  readonly shares: readonly number[];
}

export function replayAsJobs(setup: Setup, workerCount: number, tableSize = 262_144): Spreading {
  const [rule] = spanningRules(setup.ruleSets, setup.config.nfacct);
  if (rule !== undefined) return { seen: undefined, asOne: rule, runs: 0, shares: [] };
  const first = make({ ...setup, ruleSets: [] });
  const survey = new JobSurvey(first.made, first.source, true);
  forEach(setup, (i, record) => survey.visit(i, record));
  const spread = new Spread(survey, workerCount, tableSize);
  let judged = spread.begin();
  for (let runs = 1; ; runs++) {
    if (judged.kind !== 'again') return { seen: undefined, asOne: judged.kind, runs: runs - 1, shares: [] };
    const { plan } = judged;
    const done = Array.from({ length: workerCount }, (_, worker) => runJob(setup, plan, worker));
    const results = done.map((d) => d.result);
    judged = spread.judge(results.map((r) => r.footprint));
    if (judged.kind === 'as-one') return { seen: undefined, asOne: judged.reason, runs, shares: [] };
    if (judged.kind === 'again') continue;
    const unlisted = done.flatMap((d) => d.unlisted).sort((a, b) => a.turn - b.turn);
    const totals = mergeTotals(results, setup.ruleSets, unlisted);
    totals.assumptions.push(...first.source.assumptions);
    const items = done.flatMap((d) => d.items).sort((a, b) => a.turn - b.turn);
    return {
      seen: seen(setup, totals, items, mergeConnectionList(results)),
      asOne: undefined,
      runs,
      shares: results.map((r) => r.totals.records),
    };
  }
}

function runJob(
  setup: Setup,
  plan: JobPlan,
  worker: number,
): { result: JobResult; items: Item[]; unlisted: UnlistedConnection[] } {
  const footprint = new Footprint(plan.partCount, plan.seed);
  const { made, session, items, unlisted } = make(setup, footprint);
  footprint.attach(made.conntrack.entries);
  const job = new ReplayJob(plan, worker, made, session, footprint);
  forEach(setup, (i, record) => job.record(i, record));
  return { result: structuredClone(job.finish(setup.ruleSets, true)), items, unlisted };
}
