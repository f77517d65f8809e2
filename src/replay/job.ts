/**
 * One worker's share of a replay: its own records go through its own host, the others' only move time and teach hardware
 * addresses. What comes out is plain data that `mergeJobs` makes one result of.
 */
import type { CaptureRecord } from '../capture/record.js';
import { printEntry } from '../conntrack/print.js';
import type { RuleSet } from '../ruleset/model.js';
import type { Footprint, FootprintData } from './footprint.js';
import { type JobPlan, PASSED_OVER, workerOfRecord } from './job-survey.js';
import { REST } from './partition.js';
import type { ReplayHost } from './replay-host.js';
import type { ReplaySession } from './session.js';
import type { ReplayTotals } from './totals.js';

export interface JobResult {
  /** Without rule sets and assumptions. */
  readonly totals: ReplayTotals;
  readonly footprint: FootprintData;
  /** Packets and bytes that each rule and policy has counted, in the order of `countedPlaces`; one array a family. */
  readonly counted: readonly Float64Array[];
  /** Connections in the order they were made. */
  readonly connections: readonly ListedConnection[];
}

export interface ListedConnection {
  /** EntryTable.made: tells connections of all workers apart, and their order. */
  readonly made: number;
  /** Its line in the listing. */
  readonly line: string;
  /** Was there before the replay, and no record met it. */
  readonly untouched: boolean;
}

export class ReplayJob {
  readonly #plan: JobPlan;
  readonly #worker: number;
  readonly #made: ReplayHost;
  readonly #session: ReplaySession;
  readonly #footprint: Footprint;
  #teachAt = 0;

  /** The session is fresh, its host watched by the footprint. */
  constructor(plan: JobPlan, worker: number, made: ReplayHost, session: ReplaySession, footprint: Footprint) {
    this.#plan = plan;
    this.#worker = worker;
    this.#made = made;
    this.#session = session;
    this.#footprint = footprint;
    made.sockets.take(plan.sockets);
    if (plan.keepsLedger) session.keepLedger();
  }

  /** The next record, in the order of the survey. */
  record(capture: number, record: CaptureRecord): void {
    const { partOf, teaching } = this.#plan;
    const at = this.#session.number;
    const part = partOf[at]!;
    const teaches = teaching[this.#teachAt] === at + 1;
    if (teaches) this.#teachAt++;
    if (workerOfRecord(this.#plan, part) !== this.#worker) {
      this.#session.pass(capture, record, part !== PASSED_OVER, teaches);
      return;
    }
    this.#footprint.record = part === PASSED_OVER ? REST : part;
    this.#session.replay(capture, record);
  }

  /** `ruleSets`: as they were loaded. `lists`: the connections are wanted. `untilUs` as of ReplaySession.finish. */
  finish(ruleSets: readonly RuleSet[], lists: boolean, untilUs?: number): JobResult {
    const totals = this.#session.finish(untilUs);
    totals.ruleSets = [];
    totals.assumptions.length = 0;
    const footprint = this.#footprint.data();
    return {
      totals,
      footprint,
      counted: ruleSets.map((ruleSet) => this.#counted(ruleSet)),
      connections: lists ? this.#connections() : [],
    };
  }

  #counted(ruleSet: RuleSet): Float64Array {
    const engine = this.#made.host.engine(ruleSet.family)!;
    const out: number[] = [];
    forEachCounter(ruleSet, (table, chain, index) => {
      const { packets, bytes } = engine.counted(table, chain, index);
      out.push(packets, bytes);
    });
    return Float64Array.from(out);
  }

  #connections(): ListedConnection[] {
    const { entries } = this.#made.conntrack;
    const listed: ListedConnection[] = [];
    entries.forEach((entry) => {
      const untouched = this.#footprint.isUntouched(entry);
      if (untouched && this.#worker !== 0) return;
      listed.push({ made: entries.made[entry]!, line: printEntry(entries, entry), untouched });
    });
    return listed.sort((a, b) => a.made - b.made);
  }
}

/** Calls `visit` for every rule (index from 0) and every policy (-1) of the rule set, always in the same order. */
export function forEachCounter(
  ruleSet: RuleSet,
  visit: (table: RuleSet['tables'][number]['name'], chain: string, index: number) => void,
): void {
  for (const table of ruleSet.tables) {
    for (const chain of table.chains.values()) {
      if (chain.policy !== undefined) visit(table.name, chain.name, -1);
      const { length } = chain.rules;
      for (let i = 0; i < length; i++) visit(table.name, chain.name, i);
    }
  }
}
