/** The results of workers that have replayed parts of one replay → the result of one job. */
import { withCounters } from '../engine/counters.js';
import type { RuleSet } from '../ruleset/model.js';
import { forEachCounter, type JobResult } from './job.js';
import { MAX_LISTED_CONNECTIONS } from './session.js';
import { type DropReason, emptyTotals, type NewConnection, OUTCOMES, type ReplayTotals } from './totals.js';

/** A new connection that its worker did not list, as SessionSinks.unlisted told it. */
export interface UnlistedConnection {
  readonly turn: number;
  readonly original: string;
  readonly translated: string | undefined;
}

/**
 * Totals over all workers; `loaded`: the rule sets as each worker has loaded them, `unlisted`: in the order of their turns.
 * Assumptions are the caller's.
 */
export function mergeTotals(
  jobs: readonly JobResult[],
  loaded: readonly RuleSet[],
  unlisted: Iterable<UnlistedConnection>,
): ReplayTotals {
  const totals = emptyTotals();
  const { agreement } = totals;
  const all = jobs.map((job) => job.totals);
  totals.captures.push(...all[0]!.captures.map((capture) => ({ ...capture, records: 0 })));
  for (const own of all) {
    totals.records += own.records;
    totals.replayed += own.replayed;
    totals.firstUs = own.firstUs;
    totals.lastUs = own.lastUs;
    for (const outcome of OUTCOMES) totals.outcomes[outcome] += own.outcomes[outcome];
    for (const [reason, count] of own.skipped) totals.skipped.set(reason, (totals.skipped.get(reason) ?? 0) + count);
    agreement.exact += own.agreement.exact;
    agreement.loose += own.agreement.loose;
    agreement.own += own.agreement.own;
    agreement.unexplained += own.agreement.unexplained;
    agreement.sentOnly += own.agreement.sentOnly;
    totals.cut += own.cut;
    totals.framesSent += own.framesSent;
    totals.answers += own.answers;
    own.captures.forEach((capture, i) => {
      totals.captures[i]!.records += capture.records;
    });
  }
  mergeDrops(all, totals.drops);
  mergeConnections(all, unlisted, totals);
  totals.ruleSets = loaded.map((ruleSet, i) =>
    mergeCounters(
      ruleSet,
      jobs.map((job) => job.counted[i]!),
    ),
  );
  return totals;
}

/** In the order in which each happened first. */
function mergeDrops(all: readonly ReplayTotals[], drops: Map<string, DropReason>): void {
  const listed = all.flatMap((own) => [...own.drops]).sort(([, a], [, b]) => a.firstTurn - b.firstTurn);
  for (const [key, drop] of listed) {
    const known = drops.get(key);
    if (known === undefined) drops.set(key, { ...drop });
    else known.count += drop.count;
  }
}

/** The kinds that came first are listed, as many as a session lists. */
function mergeConnections(
  all: readonly ReplayTotals[],
  unlisted: Iterable<UnlistedConnection>,
  totals: ReplayTotals,
): void {
  const { connections } = totals;
  const take = (connection: NewConnection): void => {
    const key = `${connection.original} ${connection.translated ?? ''}`;
    const known = connections.get(key);
    if (known !== undefined) known.count += connection.count;
    else if (connections.size < MAX_LISTED_CONNECTIONS) connections.set(key, { ...connection });
    else totals.unlistedConnections += connection.count;
  };
  const listed = all.flatMap((own) => [...own.connections.values()]).sort((a, b) => a.firstTurn - b.firstTurn);
  let next = 0;
  for (const { turn, original, translated } of unlisted) {
    while (next < listed.length && listed[next]!.firstTurn <= turn) take(listed[next++]!);
    take({ original, translated, count: 1, firstTurn: turn });
  }
  while (next < listed.length) take(listed[next++]!);
}

function mergeCounters(ruleSet: RuleSet, counted: readonly Float64Array[]): RuleSet {
  const index = new Map<string, number>();
  let count = 0;
  forEachCounter(ruleSet, (table, chain, rule) => {
    // Rules of a chain follow each other, behind its policy: its first place tells the others.
    if (rule <= 0 && !index.has(`${table} ${chain}`)) index.set(`${table} ${chain}`, count - rule);
    count += 1;
  });
  const sum = counted[0]!.slice();
  for (const more of counted.slice(1)) for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + more[i]!;
  return withCounters(ruleSet, (table, chain, rule) => {
    const at = (index.get(`${table.name} ${chain.name}`)! + rule) * 2;
    return { packets: sum[at]!, bytes: sum[at + 1]! };
  });
}

/** The listing of connections as one host would print it. */
export function mergeConnectionList(jobs: readonly JobResult[]): string {
  const claimed = new Set(jobs.flatMap((job) => [...job.footprint.claimed]));
  const listed = jobs.flatMap((job) => job.connections.filter((c) => !(c.untouched && claimed.has(c.made))));
  return listed
    .sort((a, b) => a.made - b.made)
    .map(({ line }) => `${line}\n`)
    .join('');
}
