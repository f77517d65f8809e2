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

export function checkRuleSet(ruleSet: RuleSet): Diagnostic[] {
  return ruleSet.tables.flatMap((table) => checkTable(table, ruleSet.family));
}

/** Base chains from which each chain can be reached, as bits by hook number, and where a chain's walk ends. */
export interface Reach {
  /** Bit h: reached from the base chain at hook h. A chain that is missing is reached from nowhere. */
  readonly hooks: ReadonlyMap<string, number>;
  /** Rules that can be reached: what stands behind an unconditional verdict is not. */
  readonly walked: ReadonlyMap<string, number>;
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
  for (const chain of table.chains.values()) {
    for (const rule of chain.rules) {
      const { target } = rule;
      if (target.kind !== 'jump' && target.kind !== 'goto') continue;
      const to = table.chains.get(target.chain);
      if (to === undefined)
        report(rule, chain.name, {
          code: 'missing-chain',
          message: `no chain "${target.chain}" in table ${table.name}`,
        });
      else if (to.policy !== undefined)
        report(rule, chain.name, { code: 'built-in-chain', message: `cannot jump to built-in chain ${to.name}` });
    }
  }
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
  for (const chain of table.chains.values()) {
    const hooks = reach.hooks.get(chain.name) ?? 0;
    const walked = reach.walked.get(chain.name) ?? 0;
    chain.rules.forEach((rule, index) => {
      let place: RulePlace | undefined;
      const { target } = rule;
      const uses = target.kind === 'extension' ? [...rule.matches, target.use] : rule.matches;
      for (const { ext, value } of uses) {
        if (ext.check === undefined) continue;
        place ??= placeOf(rule, table, family, HOOK_SETS[index < walked ? hooks : 0]!);
        const refusal = ext.check(value, place);
        if (refusal === undefined || (toolOnly && refusal.errno !== undefined)) continue;
        report(rule, chain.name, refusal);
        return;
      }
    });
  }
  return found;
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

/** A chain as the walk sees it. */
interface Node {
  readonly chain: Chain;
  readonly walked: number;
  /** Rules that jump or go to another chain, first of each. */
  readonly calls: readonly { readonly rule: Rule; readonly to: string }[];
  hooks: number;
  /** Hook of the walk that is inside this chain now, or -1. */
  inside: boolean;
  /** Next of `calls` to follow. */
  next: number;
}

export function reachOf(table: Table): Reach {
  const nodes = new Map<string, Node>();
  const nodeOf = (chain: Chain): Node => {
    let node = nodes.get(chain.name);
    if (node === undefined) {
      node = nodeFor(chain);
      nodes.set(chain.name, node);
    }
    return node;
  };
  let loop: Reach['loop'];
  for (const hook of TABLE_HOOKS[table.name]) {
    const base = table.chains.get(HOOK_CHAINS[hook]);
    if (base === undefined) continue;
    const bit = 1 << hook;
    const stack: Node[] = [nodeOf(base)];
    enter(stack[0]!, bit);
    while (stack.length > 0) {
      const node = stack[stack.length - 1]!;
      const call = node.calls[node.next++];
      if (call === undefined) {
        node.inside = false;
        stack.pop();
        continue;
      }
      const chain = table.chains.get(call.to);
      if (chain === undefined) continue;
      const to = nodeOf(chain);
      if (to.inside) loop ??= { chain: node.chain, rule: call.rule };
      else if ((to.hooks & bit) === 0) {
        enter(to, bit);
        stack.push(to);
      }
    }
  }
  const hooks = new Map<string, number>();
  const walked = new Map<string, number>();
  for (const [name, node] of nodes) {
    hooks.set(name, node.hooks);
    walked.set(name, node.walked);
  }
  return { hooks, walked, loop };
}

function enter(node: Node, bit: number): void {
  node.hooks |= bit;
  node.inside = true;
  node.next = 0;
}

function nodeFor(chain: Chain): Node {
  const calls = new Map<string, { rule: Rule; to: string }>();
  let walked = 0;
  for (const rule of chain.rules) {
    walked++;
    const { target } = rule;
    if (target.kind === 'jump' || target.kind === 'goto') {
      if (!calls.has(target.chain)) calls.set(target.chain, { rule, to: target.chain });
    } else if (target.kind === 'verdict' && isUnconditional(rule)) break;
  }
  return { chain, walked, calls: [...calls.values()], hooks: 0, inside: false, next: 0 };
}
