/**
 * The reference engine: the kernel's traversal loop, written for reading. It is the definition of right for the
 * compiled engine, and what `--engine reference` runs.
 * Kernel: ipt_do_table(), net/ipv4/netfilter/ip_tables.c; ip6t_do_table() is the same loop.
 */
import { invariant } from '../../base/assert.js';
import type { BindEnv } from '../../ext/extension.js';
import {
  HOOK_CHAINS,
  type Hook,
  NF_ACCEPT,
  NF_DROP,
  NF_QUEUE,
  type TableName,
  XT_CONTINUE,
  XT_RETURN,
} from '../../net/netfilter.js';
import type { RuleSet } from '../../ruleset/model.js';
import { type Patch, patched } from '../../ruleset/patch.js';
import { Field } from '../../wire/field.js';
import type { Packet } from '../../wire/packet.js';
import { type Counted, withCounters } from '../counters.js';
import type { BuildEngine, Decision, Engine, TraceSink } from '../engine.js';
import { logTrace, traceEndPrefix, tracePrefix } from '../trace-line.js';
import { type BoundChain, type BoundRule, type BoundTable, bindTable, chainOf, rebindTable } from './bound-table.js';
import { failedHeaderTest } from './header-test.js';

const VERDICTS = { ACCEPT: NF_ACCEPT, DROP: NF_DROP, QUEUE: NF_QUEUE, RETURN: XT_RETURN } as const;

/** Binds and walks rules one by one. Needs a checked rule set with every base chain of its tables. */
export const referenceEngine: BuildEngine = (ruleSet, env) => new ReferenceEngine(ruleSet, env);

class ReferenceEngine implements Engine {
  readonly tables: ReadonlySet<TableName>;
  readonly decision: Decision = { chain: undefined, ruleIndex: -1 };
  #ruleSet: RuleSet;
  readonly #bound = new Map<TableName, BoundTable>();
  #sink: TraceSink | undefined;

  constructor(ruleSet: RuleSet, env: (table: TableName) => BindEnv) {
    this.#ruleSet = ruleSet;
    for (const table of ruleSet.tables) this.#bound.set(table.name, bindTable(table, env(table.name)));
    this.tables = new Set(this.#bound.keys());
  }

  run(tableName: TableName, hook: Hook, packet: Packet): number {
    const table = this.#table(tableName);
    const { host } = table.env;
    const inName = host.deviceName(packet.f[Field.InDev]!);
    const outName = host.deviceName(packet.f[Field.OutDev]!);
    const base = chainOf(table, HOOK_CHAINS[hook]);
    /** Where `-j` came from: the walk goes on behind these rules. */
    const stack: { readonly chain: BoundChain; readonly next: number }[] = [];
    let chain = base;
    let index = 0;
    packet.hotdrop = false;

    for (;;) {
      let verdict: number;
      if (index === chain.rules.length) {
        // To the kernel the end of a user chain is one more rule, RETURN. The end of the base chain is the policy.
        if (chain !== base && packet.traced) logTrace(table.env, traceEndPrefix(table.name, chain.chain), packet);
        verdict = XT_RETURN;
      } else {
        const bound = chain.rules[index]!;
        const { target } = bound.rule;
        const failed = this.#failedTest(bound, packet, inName, outName);
        if (packet.hotdrop) {
          this.#sink?.hotdrop(tableName, chain.chain, index, packet);
          return this.#decide(chain, index, NF_DROP);
        }
        if (failed !== undefined) {
          this.#sink?.failed(tableName, chain.chain, index, failed, packet);
          index++;
          continue;
        }
        bound.packets += 1;
        bound.bytes += packet.length;
        if (packet.traced) logTrace(table.env, tracePrefix(tableName, chain.chain, index), packet);
        this.#sink?.matched(tableName, chain.chain, index, packet);

        if (target.kind === 'none') {
          index++;
          continue;
        }
        if (target.kind === 'jump' || target.kind === 'goto') {
          if (target.kind === 'jump') stack.push({ chain, next: index + 1 });
          chain = chainOf(table, target.chain);
          index = 0;
          continue;
        }
        verdict = target.kind === 'verdict' ? VERDICTS[target.verdict] : bound.run!(packet);
        this.#sink?.target(tableName, chain.chain, index, verdict, packet);
        if (verdict === XT_CONTINUE) {
          index++;
          continue;
        }
        if (verdict !== XT_RETURN) return this.#decide(chain, index, verdict);
      }

      // XT_RETURN: behind the last jump, or with an empty stack the policy.
      const back = stack.pop();
      if (back === undefined) return this.#policy(table, base, packet);
      chain = back.chain;
      index = back.next;
      this.#sink?.returned(tableName, chain.chain);
    }
  }

  #failedTest(bound: BoundRule, packet: Packet, inName: string, outName: string): string | undefined {
    const header = failedHeaderTest(bound.rule, packet, inName, outName);
    if (header !== undefined) return header;
    for (const { kind, match } of bound.matches) {
      const matched = match(packet);
      if (packet.hotdrop || !matched) return kind;
    }
    return undefined;
  }

  #policy(table: BoundTable, base: BoundChain, packet: Packet): number {
    const { policy } = base.chain;
    invariant(policy !== undefined, `base chain ${base.chain.name} has no policy`);
    base.packets += 1;
    base.bytes += packet.length;
    if (packet.traced) logTrace(table.env, traceEndPrefix(table.name, base.chain), packet);
    const verdict = VERDICTS[policy];
    this.#sink?.policy(table.name, base.chain, verdict, packet);
    return this.#decide(base, -1, verdict);
  }

  #decide(chain: BoundChain, ruleIndex: number, verdict: number): number {
    this.decision.chain = chain.chain;
    this.decision.ruleIndex = ruleIndex;
    return verdict;
  }

  snapshot(): RuleSet {
    return withCounters(this.#ruleSet, (table, chain, index) => this.counted(table.name, chain.name, index));
  }

  counted(table: TableName, chainName: string, ruleIndex: number): Counted {
    const chain = chainOf(this.#table(table), chainName);
    const { packets, bytes } = ruleIndex === -1 ? chain : chain.rules[ruleIndex]!;
    return { packets, bytes };
  }

  apply(patch: Patch): void {
    this.#ruleSet = patched(this.#ruleSet, patch);
    for (const { table: name, changes } of patch) {
      const now = this.#ruleSet.tables.find((table) => table.name === name);
      this.#bound.set(name, rebindTable(now!, this.#table(name), changes));
    }
  }

  trace(sink: TraceSink | undefined): void {
    this.#sink = sink;
  }

  #table(name: TableName): BoundTable {
    const table = this.#bound.get(name);
    invariant(table !== undefined, `no table ${name}`);
    return table;
  }
}
