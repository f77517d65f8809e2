/**
 * Spreads a replay over workers and tells whether what they did is what one would have done. A run is a guess that the parts
 * are apart; it counts only if the footprints show that they were. Where they were not, those that have met are joined and
 * all is run again.
 */

import { positionOf } from '../base/source.js';
import type { MatchUse, TargetUse } from '../ext/extension.js';
import type { NfacctConfig } from '../host/host-config.js';
import type { Rule, RuleSet } from '../ruleset/model.js';
import { type FootprintData, joinFootprints } from './footprint.js';
import type { JobPlan, JobSurvey } from './job-survey.js';

/** Runs after which several workers cost more than one. */
const MOST_RUNS = 3;

export type Judgement =
  /** The run stands. */
  | { readonly kind: 'apart' }
  | { readonly kind: 'again'; readonly plan: JobPlan }
  /** One worker must do it all, for this reason. */
  | { readonly kind: 'as-one'; readonly reason: string };

export class Spread {
  readonly #survey: JobSurvey;
  readonly #workerCount: number;
  readonly #tableSize: number;
  #plan: JobPlan | undefined;
  #runs = 0;

  /** `tableSize`: entries that the connection table holds at most; 0: no limit. */
  constructor(survey: JobSurvey, workerCount: number, tableSize: number) {
    this.#survey = survey;
    this.#workerCount = workerCount;
    this.#tableSize = tableSize;
  }

  /** The first plan, after the survey. */
  begin(): Judgement {
    this.#survey.partition.settleGuesses();
    return this.#next();
  }

  /** What a run by the last plan has come to. */
  judge(footprints: readonly FootprintData[]): Judgement {
    const { workerOf } = this.#plan!;
    for (const { obstacle } of footprints) if (obstacle !== undefined) return { kind: 'as-one', reason: obstacle };
    const haveMet = joinFootprints(footprints, this.#survey.partition.parts, (part) => workerOf[part]!);
    if (haveMet) {
      if (++this.#runs < MOST_RUNS) return this.#next();
      return { kind: 'as-one', reason: 'connections met that had seemed apart, again and again' };
    }
    if (mayFill(footprints, this.#tableSize))
      return { kind: 'as-one', reason: `the connection table may get full (nf_conntrack_max is ${this.#tableSize})` };
    return { kind: 'apart' };
  }

  #next(): Judgement {
    this.#plan = this.#survey.plan(this.#workerCount);
    if (this.#plan === undefined) return { kind: 'as-one', reason: 'nearly all packets belong together' };
    return { kind: 'again', plan: this.#plan };
  }
}

/**
 * Whether one table could have got full. It had at most as many entries as all tables together at their fullest; those that
 * had expired but not been looked at are counted until the full table is swept, once a second: what is made in one more
 * second (which lies in two of the clock's) may come on top.
 */
function mayFill(footprints: readonly FootprintData[], tableSize: number): boolean {
  if (tableSize === 0) return false;
  const most = footprints.reduce((sum, f) => sum + f.peakCount + 2 * f.mostPerSecond, 0);
  return most >= tableSize;
}

/**
 * Rules whose state spans connections, one line of text each: with any of them, which packet came before which matters to
 * all. A nfacct object that has no quota only counts.
 */
export function spanningRules(
  ruleSets: readonly RuleSet[],
  nfacct: ReadonlyMap<string, NfacctConfig> | undefined,
): string[] {
  const found: string[] = [];
  const spans = ({ ext, value }: MatchUse | TargetUse): boolean => {
    if (ext.spansConnections !== true || ext.shares?.(value) === true) return false;
    const named = ext.requires?.(value) ?? [];
    return named.length === 0 || named.some((o) => o.kind !== 'nfacct' || nfacct?.get(o.name)?.quota !== undefined);
  };
  for (const ruleSet of ruleSets) {
    for (const table of ruleSet.tables) {
      for (const chain of table.chains.values()) {
        for (const rule of chain.rules) {
          for (const use of usesOf(rule)) if (spans(use)) found.push(`${placeOf(rule)}"${use.ext.kind}"`);
        }
      }
    }
  }
  return found;
}

function usesOf(rule: Rule): readonly (MatchUse | TargetUse)[] {
  const { target } = rule;
  return target.kind === 'extension' ? [...rule.matches, target.use] : rule.matches;
}

/** `file:line: `, where the rule has a place. */
function placeOf({ span }: Rule): string {
  return span === undefined ? '' : `${span.source.name}:${positionOf(span.source, span.start).line}: `;
}
