/**
 * What the kernel checks when a table is loaded (specification 2.3): loops, and whether matches and targets may stand
 * where packets can reach them. Source: mark_source_chains(), check_entry(), net/ipv4/netfilter/ip_tables.c.
 */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Span } from '../base/source.js';
import type { Refusal, RulePlace } from '../ext/extension.js';
import { type BaseChainName, type Family, HOOK_CHAINS, TABLE_HOOKS } from '../net/netfilter.js';
import type { Chain, Rule, RuleSet, Table } from './model.js';
import { printRule } from './print.js';
import { type RuleForm, SavedRule } from './saved-rule.js';

export function checkRuleSet(ruleSet: RuleSet): Diagnostic[] {
  return ruleSet.tables.flatMap((table) => checkTable(table, ruleSet.family));
}

/** A chain as the kernel's walk sees it. */
export interface ChainReach {
  readonly chain: Chain;
  /** Base chains from which it can be reached: bit h for the one at hook h. */
  readonly hooks: number;
  /** Rules that can be reached: what stands behind an unconditional verdict is not. */
  readonly walked: number;
}

export interface Reach {
  /** In the order of the table's chains. */
  readonly chains: ReadonlyMap<string, ChainReach>;
  /** A rule that jumps into a chain that the walk is in. */
  readonly loop: { readonly chain: Chain; readonly rule: Rule } | undefined;
}

/**
 * Refusals of one table. `toolOnly`: just what iptables itself refuses, as with `iptables-restore --test`.
 * Time is linear in the number of rules; chains may nest as deep as they like.
 */
export function checkTable(table: Table, family: Family, toolOnly = false): Diagnostic[] {
  const found: Diagnostic[] = [];
  const report = (rule: Rule, chain: string, refusal: Refusal): void => {
    const { code, message, hint } = refusal;
    const span = rule.span ?? spanOfPrinted(rule, chain, family);
    found.push({ severity: 'error', code, message, span, ...(hint === undefined ? {} : { hint }) });
  };
  const reach = reachOf(table);
  if (reach.loop !== undefined && !toolOnly) {
    const { chain, rule } = reach.loop;
    const to = rule.target.kind === 'jump' || rule.target.kind === 'goto' ? rule.target.chain : '';
    report(rule, chain.name, {
      code: 'chain-loop',
      message: `packets would loop: chain ${to} is on the way to this rule`,
      errno: 'ELOOP',
    });
  }
  const passed = new Map<RuleForm, number>();
  for (const { chain, hooks, walked } of reach.chains.values()) {
    const { rules } = chain;
    for (let index = 0; index < rules.length; index++) {
      const rule = rules[index]!;
      const refusal = checkRule(rule, table, reach, family, index < walked ? hooks : 0, toolOnly, passed);
      if (refusal !== undefined) report(rule, chain.name, refusal);
    }
  }
  return found;
}

/** `hooks`: from which the rule is reached. `passed`: bits of the hooks for which a form's matches are known to be good. */
function checkRule(
  rule: Rule,
  table: Table,
  reach: Reach,
  family: Family,
  hooks: number,
  toolOnly: boolean,
  passed: Map<RuleForm, number>,
): Refusal | undefined {
  const { target } = rule;
  if (target.kind === 'jump' || target.kind === 'goto') {
    const to = reach.chains.get(target.chain);
    if (to === undefined)
      return { code: 'missing-chain', message: `no chain "${target.chain}" in table ${table.name}` };
    if (to.chain.policy !== undefined)
      return { code: 'built-in-chain', message: `cannot jump to built-in chain ${target.chain}` };
  }
  // Rules of a form have the same matches but for values that no check looks at.
  const form =
    rule instanceof SavedRule && (target.kind !== 'extension' || rule.targetOwn === undefined) ? rule.form : undefined;
  if (form !== undefined && ((passed.get(form) ?? 0) & (1 << hooks)) !== 0) return undefined;
  const reachedFrom = HOOK_SETS[hooks]!;
  const { matches } = rule;
  let place: RulePlace | undefined;
  for (let i = 0; i <= matches.length; i++) {
    const use = i < matches.length ? matches[i]! : target.kind === 'extension' ? target.use : undefined;
    if (use?.ext.check === undefined) continue;
    place ??= placeOf(rule, table, family, reachedFrom);
    const refusal = use.ext.check(use.value, place);
    if (refusal !== undefined && !(toolOnly && refusal.errno !== undefined)) return refusal;
  }
  if (form !== undefined) passed.set(form, (passed.get(form) ?? 0) | (1 << hooks));
  return undefined;
}

/** Every set of base chains, by bits of hook numbers. */
const HOOK_SETS: readonly ReadonlySet<BaseChainName>[] = Array.from(
  { length: 1 << HOOK_CHAINS.length },
  (_, bits) => new Set(HOOK_CHAINS.filter((_name, hook) => ((bits >> hook) & 1) === 1)),
);

function placeOf(rule: Rule, table: Table, family: Family, reachedFrom: ReadonlySet<BaseChainName>): RulePlace {
  return {
    family,
    table: table.name,
    reachedFrom,
    protocol: rule.protocol?.number ?? 0,
    protocolInverted: rule.protocol?.invert ?? false,
    matches: rule.matches,
  };
}

function spanOfPrinted(rule: Rule, chain: string, family: Family): Span {
  const text = printRule(chain, rule, family);
  return { source: { name: 'rule', text }, start: 0, end: text.length };
}

/** True for a rule without any condition; a bare `+` as interface is one to the kernel (unconditional()). */
function isUnconditional(rule: Rule): boolean {
  if (rule instanceof SavedRule && rule.form.matches.length > 0) return false;
  return (
    rule.matches.length === 0 &&
    rule.src === undefined &&
    rule.dst === undefined &&
    rule.inDevice === undefined &&
    rule.outDevice === undefined &&
    rule.protocol === undefined &&
    rule.fragment === undefined
  );
}

interface Call {
  readonly rule: Rule;
  readonly to: Node;
}
const NO_CALLS: readonly Call[] = [];

interface Node extends ChainReach {
  hooks: number;
  /** Chains that it jumps or goes to, each once, with the first rule that does. */
  calls: readonly Call[];
  walked: number;
  /** The walk is inside this chain now. */
  inside: boolean;
  /** Next of `calls` to follow. */
  next: number;
  /** The chain whose `calls` took this one up last. */
  calledBy: Node | undefined;
}

/** Which rules packets can come to. Kernel: mark_source_chains(). */
export function reachOf(table: Table): Reach {
  const nodes = new Map<string, Node>();
  for (const chain of table.chains.values())
    nodes.set(chain.name, { chain, hooks: 0, calls: NO_CALLS, walked: 0, inside: false, next: 0, calledBy: undefined });
  for (const node of nodes.values()) collectCalls(node, nodes);
  let loop: Reach['loop'];
  const stack: Node[] = [];
  for (const hook of TABLE_HOOKS[table.name]) {
    const base = nodes.get(HOOK_CHAINS[hook]);
    if (base === undefined) continue;
    const bit = 1 << hook;
    enter(base, bit);
    stack.push(base);
    while (stack.length > 0) {
      const node = stack[stack.length - 1]!;
      const call = node.calls[node.next++];
      if (call === undefined) {
        node.inside = false;
        stack.pop();
      } else if (call.to.inside) loop ??= { chain: node.chain, rule: call.rule };
      else if ((call.to.hooks & bit) === 0) {
        enter(call.to, bit);
        stack.push(call.to);
      }
    }
  }
  return { chains: nodes, loop };
}

function enter(node: Node, bit: number): void {
  node.hooks |= bit;
  node.inside = true;
  node.next = 0;
}

function collectCalls(node: Node, nodes: ReadonlyMap<string, Node>): void {
  for (const rule of node.chain.rules) {
    node.walked++;
    const { target } = rule;
    if (target.kind === 'jump' || target.kind === 'goto') {
      const to = nodes.get(target.chain);
      if (to === undefined || to.calledBy === node) continue;
      to.calledBy = node;
      if (node.calls === NO_CALLS) node.calls = [{ rule, to }];
      else (node.calls as Call[]).push({ rule, to }); // its own array
    } else if (target.kind === 'verdict' && isUnconditional(rule)) return;
  }
}
