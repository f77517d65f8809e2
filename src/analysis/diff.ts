/**
 * What differs between two rule sets, chain by chain and rule by rule: added, removed, moved, changed. Works on rules as
 * text in one spelling; knows nothing of who wrote them.
 */
import { align } from '../base/align.js';

/** Rules by table and chain, each as it follows `-A CHAIN `. */
export type RuleListing = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** Indices count from 0: `from` in the old chain, `to` in the new one. */
export type RuleDifference =
  | { readonly kind: 'kept'; readonly from: number; readonly to: number; readonly rule: string }
  | { readonly kind: 'added'; readonly to: number; readonly rule: string }
  | { readonly kind: 'removed'; readonly from: number; readonly rule: string }
  | { readonly kind: 'moved'; readonly from: number; readonly to: number; readonly rule: string }
  | {
      readonly kind: 'changed';
      readonly from: number;
      readonly to: number;
      readonly before: string;
      readonly rule: string;
      /** Only the part of packets that it takes is another (statistic match). */
      readonly shareOnly: boolean;
    };

export interface ChainDifference {
  readonly table: string;
  readonly chain: string;
  readonly kind: 'added' | 'removed' | 'changed';
  /** In the order of the new chain; removed rules stand where they were. */
  readonly rules: readonly RuleDifference[];
}

export interface RuleSetDifference {
  /** Chains that differ: by table, then changed, added, removed, each by name. */
  readonly chains: readonly ChainDifference[];
}

const STATISTIC = / ?-m statistic --mode \S+(?: --probability \S+| --every \S+(?: --packet \S+)?)/;

/** The rule without what only says how many packets it takes. */
function identity(rule: string): string {
  return rule.replace(STATISTIC, '').trimStart();
}

export function diffRuleSets(before: RuleListing, after: RuleListing): RuleSetDifference {
  const chains: ChainDifference[] = [];
  for (const table of new Set([...before.keys(), ...after.keys()])) {
    const old = before.get(table) ?? new Map<string, readonly string[]>();
    const now = after.get(table) ?? new Map<string, readonly string[]>();
    const names = [...new Set([...old.keys(), ...now.keys()])].sort();
    const found: Record<ChainDifference['kind'], ChainDifference[]> = { changed: [], added: [], removed: [] };
    for (const chain of names) {
      const oldRules = old.get(chain);
      const newRules = now.get(chain);
      const rules = diffRules(oldRules ?? [], newRules ?? []);
      const kind = oldRules === undefined ? 'added' : newRules === undefined ? 'removed' : 'changed';
      if (kind === 'changed' && rules.every((rule) => rule.kind === 'kept')) continue;
      found[kind].push({ table, chain, kind, rules });
    }
    chains.push(...found.changed, ...found.added, ...found.removed);
  }
  return { chains };
}

/** Aligns two chains. A rule that is gone and one that is new make a change if they are mostly the same words. */
export function diffRules(before: readonly string[], after: readonly string[]): RuleDifference[] {
  const { partner, kept } = align(before.map(identity), after.map(identity));
  const taken = new Uint8Array(before.length);
  for (const i of partner) if (i !== -1) taken[i] = 1;
  const rewritten = pairRewritten(before, after, partner, taken);
  const result: RuleDifference[] = [];
  let old = 0;
  const flushRemoved = (end: number): void => {
    for (; old < end; old++) {
      if (taken[old] === 0 && !rewritten.old.has(old)) result.push({ kind: 'removed', from: old, rule: before[old]! });
    }
  };
  after.forEach((rule, to) => {
    const from = partner[to]!;
    if (from === -1) {
      const source = rewritten.now.get(to);
      if (source === undefined) result.push({ kind: 'added', to, rule });
      else result.push({ kind: 'changed', from: source, to, before: before[source]!, rule, shareOnly: false });
      return;
    }
    if (kept[to] === 1) {
      flushRemoved(from);
      old = Math.max(old, from + 1);
    }
    if (before[from] !== rule) {
      result.push({ kind: 'changed', from, to, before: before[from]!, rule, shareOnly: true });
    } else result.push({ kind: kept[to] === 1 ? 'kept' : 'moved', from, to, rule });
  });
  flushRemoved(before.length);
  return result;
}

interface Rewritten {
  readonly old: ReadonlySet<number>;
  readonly now: ReadonlyMap<number, number>;
}

/** Of each rule at least this part of the words must be in the other. */
const LEAST_ALIKE = 0.6;
/** Pairs are looked for among at most this many rules of each side: it is a courtesy to the reader. */
const MAX_REWRITTEN = 300;

function pairRewritten(
  before: readonly string[],
  after: readonly string[],
  partner: Int32Array,
  taken: Uint8Array,
): Rewritten {
  const gone = before.map((_, i) => i).filter((i) => taken[i] === 0);
  const fresh = after.map((_, j) => j).filter((j) => partner[j] === -1);
  const old = new Set<number>();
  const now = new Map<number, number>();
  if (gone.length > MAX_REWRITTEN || fresh.length > MAX_REWRITTEN) return { old, now };
  const wordsOf = (rule: string): ReadonlySet<string> => new Set(rule.split(' '));
  const goneWords = gone.map((i) => wordsOf(before[i]!));
  for (const j of fresh) {
    const words = wordsOf(after[j]!);
    let best = -1;
    let bestPart = LEAST_ALIKE;
    gone.forEach((i, k) => {
      if (old.has(i)) return;
      const other = goneWords[k]!;
      let common = 0;
      for (const word of words) if (other.has(word)) common++;
      const part = common / Math.max(words.size, other.size);
      if (part > bestPart) {
        best = i;
        bestPart = part;
      }
    });
    if (best !== -1) {
      old.add(best);
      now.set(j, best);
    }
  }
  return { old, now };
}

/** How many rules of a chain, or of several, are not as they were. */
export interface DifferenceCounts {
  readonly chainsAdded: number;
  readonly chainsRemoved: number;
  /** Rules in chains that were there before and after. */
  readonly rulesAdded: number;
  readonly rulesRemoved: number;
  readonly rulesChanged: number;
  readonly rulesMoved: number;
}

export function countDifferences(chains: readonly ChainDifference[]): DifferenceCounts {
  const count = (kind: RuleDifference['kind']): number =>
    chains.reduce(
      (sum, chain) => sum + (chain.kind === 'changed' ? chain.rules.filter((rule) => rule.kind === kind).length : 0),
      0,
    );
  return {
    chainsAdded: chains.filter((chain) => chain.kind === 'added').length,
    chainsRemoved: chains.filter((chain) => chain.kind === 'removed').length,
    rulesAdded: count('added'),
    rulesRemoved: count('removed'),
    rulesChanged: count('changed'),
    rulesMoved: count('moved'),
  };
}

function some(count: number, what: string, verb: string): string[] {
  return count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'} ${verb}`];
}

/** `1 chain added, 2 rules changed`; empty if nothing differs. */
export function printCounts(counts: DifferenceCounts): string {
  return [
    ...some(counts.chainsAdded, 'chain', 'added'),
    ...some(counts.chainsRemoved, 'chain', 'removed'),
    ...some(counts.rulesAdded, 'rule', 'added'),
    ...some(counts.rulesRemoved, 'rule', 'removed'),
    ...some(counts.rulesChanged, 'rule', 'changed'),
    ...some(counts.rulesMoved, 'rule', 'moved'),
  ].join(', ');
}
