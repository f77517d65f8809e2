/**
 * The walk of the compiled engine for packets that need every rule looked at: traced ones, and those whose transport
 * header is broken, missing or short (a match may then drop the packet, whatever its other tests say). Same rules,
 * counters and state as the fast walk, in the reference's manner; it can take over from it between two rules.
 */
import type { MatchFn, MatchUse } from '../../ext/extension.js';
import { NF_ACCEPT, NF_DROP, NF_QUEUE, XT_CONTINUE, XT_RETURN } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import type { Packet } from '../../wire/packet.js';
import type { TraceSink } from '../engine.js';
import { failedHeaderTest } from '../reference/header-test.js';
import { logTrace, traceEndPrefix, tracePrefix } from '../trace-line.js';
import type { JumpStack } from './jump-stack.js';
import { loweredMatch } from './lower.js';
import { DO_ACCEPT, DO_DROP, DO_EXTENSION, DO_GOTO, DO_JUMP, DO_NONE, DO_QUEUE } from './rule-store.js';
import type { CompiledChain, CompiledTable } from './table.js';

/** Where a walk ended. */
export interface Decided {
  table: CompiledTable | undefined;
  chainNumber: number;
  rule: number;
}

const ACTION_VERDICTS: Readonly<Record<number, number>> = {
  [DO_ACCEPT]: NF_ACCEPT,
  [DO_DROP]: NF_DROP,
  [DO_QUEUE]: NF_QUEUE,
};

export class ExactWalk {
  readonly #jumps: JumpStack;
  readonly #decided: Decided;
  /** Matches that have no state and are compiled elsewhere, bound for this walk alone. */
  readonly #bound = new WeakMap<MatchUse, MatchFn>();

  constructor(jumps: JumpStack, decided: Decided) {
    this.#jumps = jumps;
    this.#decided = decided;
  }

  /** Walks on from `rule` of `chain` (-1: its end); jumps above `bottom` are this run's. Returns the verdict. */
  run(
    table: CompiledTable,
    base: CompiledChain,
    from: CompiledChain,
    rule: number,
    bottom: number,
    packet: Packet,
    sink: TraceSink | undefined,
  ): number {
    const { store, name } = table;
    const { env } = store;
    const jumps = this.#jumps;
    const inName = env.host.deviceName(packet.f[Field.InDev]!);
    const outName = env.host.deviceName(packet.f[Field.OutDev]!);
    let chain = from;
    let at = rule;
    for (;;) {
      let verdict: number;
      if (at === -1) {
        if (chain !== base && packet.traced) logTrace(env, traceEndPrefix(name, table.modelOf(chain)), packet);
        verdict = XT_RETURN;
      } else {
        const failed = this.#failedTest(table, at, packet, inName, outName);
        if (packet.hotdrop) {
          sink?.hotdrop(name, table.modelOf(chain), table.indexOf(chain, at), packet);
          return this.#decide(table, chain, at, NF_DROP);
        }
        if (failed !== undefined) {
          sink?.failed(name, table.modelOf(chain), table.indexOf(chain, at), failed, packet);
          at = store.next(at);
          continue;
        }
        store.count(at, 1, packet.length);
        if (packet.traced) logTrace(env, tracePrefix(name, table.modelOf(chain), table.indexOf(chain, at)), packet);
        sink?.matched(name, table.modelOf(chain), table.indexOf(chain, at), packet);

        const action = store.action(at);
        if (action === DO_NONE) {
          at = store.next(at);
          continue;
        }
        if (action === DO_JUMP || action === DO_GOTO) {
          if (action === DO_JUMP) jumps.push(chain.number, at, -1);
          chain = table.chains[store.chainOf(store.argument(at))]!;
          at = chain.first;
          continue;
        }
        verdict = action >= DO_EXTENSION ? store.runTarget(at, packet) : (ACTION_VERDICTS[action] ?? XT_RETURN);
        sink?.target(name, table.modelOf(chain), table.indexOf(chain, at), verdict, packet);
        if (verdict === XT_CONTINUE) {
          at = store.next(at);
          continue;
        }
        if (verdict !== XT_RETURN) return this.#decide(table, chain, at, verdict);
      }

      if (jumps.top === bottom) return this.#policy(table, base, packet, sink);
      jumps.pop();
      chain = table.chains[jumps.chain]!;
      at = store.next(jumps.rule);
      sink?.returned(name, table.modelOf(chain));
    }
  }

  #failedTest(table: CompiledTable, rule: number, packet: Packet, inName: string, outName: string): string | undefined {
    const { store } = table;
    const model = store.model(rule);
    const header = failedHeaderTest(model, packet, inName, outName);
    if (header !== undefined) return header;
    let ordinal = 0;
    for (const use of model.matches) {
      let match = this.#bound.get(use);
      if (match === undefined) {
        if (loweredMatch(use, store.env.family) === undefined) {
          match = store.matchFunctionOf(rule, ordinal++);
        } else {
          match = use.ext.bind(use.value, store.env);
          this.#bound.set(use, match);
        }
      }
      const matched = match(packet);
      if (packet.hotdrop || !matched) return use.ext.kind;
    }
    return undefined;
  }

  #policy(table: CompiledTable, base: CompiledChain, packet: Packet, sink: TraceSink | undefined): number {
    base.packets += 1;
    base.bytes += packet.length;
    if (packet.traced) logTrace(table.store.env, traceEndPrefix(table.name, table.modelOf(base)), packet);
    const verdict = policyVerdict(base);
    sink?.policy(table.name, table.modelOf(base), verdict, packet);
    return this.#decide(table, base, -1, verdict);
  }

  #decide(table: CompiledTable, chain: CompiledChain, rule: number, verdict: number): number {
    this.#decided.table = table;
    this.#decided.chainNumber = chain.number;
    this.#decided.rule = rule;
    return verdict;
  }
}

export function policyVerdict(base: CompiledChain): number {
  return base.policy === 'ACCEPT' ? NF_ACCEPT : base.policy === 'DROP' ? NF_DROP : NF_QUEUE;
}
