/** What a change does to the chains of one node: chains and rules added, removed, changed. */
import { align } from '../../base/align.js';
import type { PortBlock } from './block.js';

/** Rules as they follow `-A CHAIN `. An index counts from 0 in the chain as the edits before have left it. */
export type RuleEdit =
  | { readonly op: 'insert'; readonly index: number; readonly rule: string }
  | { readonly op: 'delete'; readonly index: number; readonly rule: string }
  | { readonly op: 'replace'; readonly index: number; readonly rule: string; readonly before: string };

export type ChainChange = { readonly table: 'filter' | 'nat'; readonly chain: string } & (
  | { readonly kind: 'added'; readonly rules: readonly string[] }
  | { readonly kind: 'removed'; readonly rules: readonly string[] }
  | { readonly kind: 'changed'; readonly edits: readonly RuleEdit[] }
);

/** Rules of a block by chain. Shared chains are those that hold other service ports' rules too. */
interface BlockChains {
  readonly own: ReadonlyMap<string, readonly string[]>;
  /** By `table chain`. */
  readonly shared: ReadonlyMap<string, readonly string[]>;
}

const EMPTY: BlockChains = { own: new Map(), shared: new Map() };
const NO_RULES: readonly string[] = [];

function addLines(into: Map<string, string[]>, prefix: string, text: string): void {
  if (text === '') return;
  for (const line of text.slice(0, -1).split('\n')) {
    const end = line.indexOf(' ', 3);
    const chain = prefix + line.slice(3, end);
    const rules = into.get(chain);
    if (rules === undefined) into.set(chain, [line.slice(end + 1)]);
    else rules.push(line.slice(end + 1));
  }
}

function chainsOf(block: PortBlock | undefined): BlockChains {
  if (block === undefined) return EMPTY;
  const own = new Map<string, string[]>();
  for (const chain of block.chains) own.set(chain, []);
  addLines(own, '', block.own);
  const shared = new Map<string, string[]>();
  addLines(shared, 'filter ', block.filter);
  addLines(shared, 'nat ', block.dispatch);
  return { own, shared };
}

/** A rule without what only says how likely it is: rules with one identity are one rule that changed. */
function identity(rule: string): string {
  return rule
    .replace(/ ?-m statistic --mode (?:random --probability \S+|nth --every \S+ --packet \S+)/, '')
    .trimStart();
}

/** Edits that make `after` of `before`, in order of application; `base` is added to each index. */
export function editRules(before: readonly string[], after: readonly string[], base = 0): RuleEdit[] {
  const { partner, kept } = align(before.map(identity), after.map(identity));
  const edits: RuleEdit[] = [];
  let old = 0;
  for (let j = 0; j < after.length; j++) {
    const rule = after[j]!;
    const index = base + j;
    if (kept[j] === 0) {
      edits.push({ op: 'insert', index, rule });
      continue;
    }
    for (; old < partner[j]!; old++) edits.push({ op: 'delete', index, rule: before[old]! });
    if (before[old] !== rule) edits.push({ op: 'replace', index, rule, before: before[old]! });
    old++;
  }
  for (; old < before.length; old++) edits.push({ op: 'delete', index: base + after.length, rule: before[old]! });
  return edits;
}

export function applyEdits(rules: string[], edits: readonly RuleEdit[]): void {
  for (const edit of edits) {
    if (edit.op === 'insert') rules.splice(edit.index, 0, edit.rule);
    else if (edit.op === 'delete') rules.splice(edit.index, 1);
    else rules[edit.index] = edit.rule;
  }
}

/**
 * Changes between two states of one service port. `indexOf` says where its rules begin in a shared chain; it is asked
 * only for chains that change.
 */
export function diffBlocks(
  before: PortBlock | undefined,
  after: PortBlock | undefined,
  indexOf: (table: 'filter' | 'nat', chain: string) => number,
): ChainChange[] {
  const changes: ChainChange[] = [];
  const old = chainsOf(before);
  const now = chainsOf(after);
  for (const [chain, rules] of now.own) {
    const known = old.own.get(chain);
    if (known === undefined) changes.push({ table: 'nat', chain, kind: 'added', rules });
    else {
      const edits = editRules(known, rules);
      if (edits.length > 0) changes.push({ table: 'nat', chain, kind: 'changed', edits });
    }
  }
  for (const key of new Set([...old.shared.keys(), ...now.shared.keys()])) {
    const known = old.shared.get(key) ?? NO_RULES;
    const rules = now.shared.get(key) ?? NO_RULES;
    if (known.length === rules.length && known.every((rule, i) => rule === rules[i])) continue;
    const [table, chain] = key.split(' ') as ['filter' | 'nat', string]; // addLines() made it so
    changes.push({ table, chain, kind: 'changed', edits: editRules(known, rules, indexOf(table, chain)) });
  }
  // Last, when nothing jumps to them any more.
  for (const [chain, rules] of old.own) {
    if (!now.own.has(chain)) changes.push({ table: 'nat', chain, kind: 'removed', rules });
  }
  return changes;
}
