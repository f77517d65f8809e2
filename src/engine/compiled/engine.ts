/**
 * The compiled engine: the same walk as the reference's, but a long chain is a few hash look-ups (hashed-plan.ts) and
 * a test is a compare of field words (program.ts). Packets that are traced, or whose transport header is broken,
 * missing or short (so that a match may drop them), take the exact walk, rule by rule.
 */
import { invariant } from '../../base/assert.js';
import { growInt32 } from '../../base/grow.js';
import type { BindEnv } from '../../ext/extension.js';
import {
  type Hook,
  NF_ACCEPT,
  NF_DROP,
  NF_QUEUE,
  type TableName,
  XT_CONTINUE,
  XT_RETURN,
} from '../../net/netfilter.js';
import type { Chain, RuleSet } from '../../ruleset/model.js';
import type { Patch } from '../../ruleset/patch.js';
import { Field } from '../../wire/field.js';
import { L4_OK, type Packet } from '../../wire/packet.js';
import { type Counted, withCounters } from '../counters.js';
import type { Decision, Engine, TraceSink } from '../engine.js';
import { ExactWalk, policyVerdict } from './exact-walk.js';
import { BROKEN_PACKET, FRAME_EFFECTS, NO_RULE } from './hashed-plan.js';
import { JumpStack } from './jump-stack.js';
import { type PlanReport, planReport } from './plan-report.js';
import {
  DO_ACCEPT,
  DO_DROP,
  DO_EXTENSION,
  DO_GOTO,
  DO_JUMP,
  DO_NONE,
  DO_QUEUE,
  DO_UNREAD,
  DO_WORDS,
  FAILED,
  HASHED,
  PASSED,
  type RuleStore,
} from './rule-store.js';
import { type CompiledChain, CompiledTable } from './table.js';
import { WalkRecorder } from './walk-recorder.js';

export interface CompiledEngine extends Engine {
  /** Which plan a chain got, why, and what in it is tested rule by rule. */
  planOf(table: TableName, chain: string): PlanReport;
}

/** Compiles a checked rule set with every base chain of its tables. */
export function compiledEngine(ruleSet: RuleSet, env: (table: TableName) => BindEnv): CompiledEngine {
  return new Compiled(ruleSet, env);
}

/** What decided, told only if somebody asks. */
class LazyDecision implements Decision {
  table: CompiledTable | undefined = undefined;
  chainNumber = -1;
  /** Rule number, or NO_RULE for the policy. */
  rule = NO_RULE;

  get chain(): Chain | undefined {
    const compiled = this.table?.chains[this.chainNumber];
    return compiled === undefined ? undefined : this.table?.modelOf(compiled);
  }

  get ruleIndex(): number {
    const compiled = this.table?.chains[this.chainNumber];
    if (this.rule === NO_RULE || compiled === undefined) return -1;
    return this.table?.indexOf(compiled, this.rule) ?? -1;
  }
}

class Compiled implements CompiledEngine {
  readonly tables: ReadonlySet<TableName>;
  readonly decision = new LazyDecision();
  readonly #family: RuleSet['family'];
  readonly #byName = new Map<TableName, CompiledTable>();
  /** The same by tableNumber. */
  readonly #byNumber: (CompiledTable | undefined)[] = [undefined, undefined, undefined, undefined, undefined];
  readonly #jumps = new JumpStack();
  readonly memo = new WalkRecorder();
  readonly #exact = new ExactWalk(this.#jumps, this.decision);
  #sink: TraceSink | undefined;
  /** Frames of hashed plans (hashed-plan.ts), one above the other, nested runs above those that caused them. */
  #frames: Int32Array = new Int32Array(256);
  #frameTop = 0;
  /** Counts target calls. While it stands still no field has changed, and the search of a frame may be gone on with. */
  #effects = 0;

  constructor(ruleSet: RuleSet, env: (table: TableName) => BindEnv) {
    this.#family = ruleSet.family;
    for (const table of ruleSet.tables) {
      const compiled = new CompiledTable(table, env(table.name));
      this.#byName.set(table.name, compiled);
      this.#byNumber[tableNumber(table.name)] = compiled;
    }
    this.tables = new Set(this.#byName.keys());
  }

  /** Per packet: allocates nothing. */
  run(tableName: TableName, hook: Hook, packet: Packet): number {
    const table = this.#byNumber[tableNumber(tableName)]!;
    const base = table.bases[hook]!;
    const bottom = this.#jumps.top;
    packet.hotdrop = false;
    const recorder = this.memo.packet === packet ? this.memo : undefined;
    if (packet.l4State !== L4_OK || packet.traced || this.#sink !== undefined) {
      recorder?.spoil();
      return this.#exactly(table, base, base, base.first, bottom, packet);
    }
    if (table.names.used) {
      packet.f[Field.InName] = table.names.numberOf(packet.f[Field.InDev]!);
      packet.f[Field.OutName] = table.names.numberOf(packet.f[Field.OutDev]!);
    }
    const frameBottom = this.#frameTop;
    const verdict = this.#walk(table, base, bottom, packet, recorder);
    this.#jumps.top = bottom;
    this.#frameTop = frameBottom;
    return verdict;
  }

  #walk(
    table: CompiledTable,
    base: CompiledChain,
    bottom: number,
    packet: Packet,
    recorder: WalkRecorder | undefined,
  ): number {
    const { store } = table;
    const jumps = this.#jumps;
    let chain = base.number;
    let frame = this.#frameOf(table, base.head);
    let rule = this.#enter(table, base.head, frame, packet);
    /** For the recorder: where the search that found `rule` began. */
    let after = NO_RULE;
    for (;;) {
      if (recorder !== undefined) {
        if (rule >= 0) recorder.matched(table, table.chains[chain]!, after, rule, packet);
        else recorder.ended(table, table.chains[chain]!, after, packet);
        after = rule;
      }
      if (rule < 0) {
        if (rule === BROKEN_PACKET) return this.#decide(table, chain, store.brokenAt, NF_DROP);
        if (jumps.top === bottom) {
          base.packets += 1;
          base.bytes += packet.f[Field.Length]!;
          recorder?.policy(table, base);
          return this.#decide(table, base.number, NO_RULE, policyVerdict(base));
        }
        jumps.pop();
        chain = jumps.chain;
        frame = jumps.frame;
        after = jumps.rule;
        rule = this.#after(table, chain, jumps.rule, frame, packet);
        continue;
      }
      store.count(rule, 1, packet.f[Field.Length]!);
      const action = store.action(rule);
      switch (action) {
        case DO_NONE:
          rule = this.#after(table, chain, rule, frame, packet);
          break;
        case DO_ACCEPT:
          return this.#decide(table, chain, rule, NF_ACCEPT);
        case DO_DROP:
          return this.#decide(table, chain, rule, NF_DROP);
        case DO_QUEUE:
          return this.#decide(table, chain, rule, NF_QUEUE);
        case DO_JUMP:
        case DO_GOTO: {
          if (action === DO_JUMP) jumps.push(chain, rule, frame);
          const head = store.argument(rule);
          chain = store.chainOf(head);
          frame = this.#frameOf(table, head);
          after = NO_RULE;
          rule = this.#enter(table, head, frame, packet);
          break;
        }
        case DO_EXTENSION:
        case DO_WORDS:
        case DO_UNREAD: {
          recorder?.runsTarget(table, rule);
          const verdict = store.runTarget(rule, packet);
          this.#effects++;
          if (verdict === XT_CONTINUE) {
            if (packet.traced) {
              return this.#exactly(table, base, table.chains[chain]!, store.next(rule), bottom, packet);
            }
            rule = this.#after(table, chain, rule, frame, packet);
          } else if (verdict === XT_RETURN) {
            rule = NO_RULE;
          } else {
            return this.#decide(table, chain, rule, verdict);
          }
          break;
        }
        default:
          // DO_RETURN. What stands behind it was not looked at, and nothing in front of it remains.
          rule = NO_RULE;
      }
    }
  }

  /** Where the frame of the chain begins: at the top for a hashed plan. A linear chain has none: complement of the top. */
  #frameOf(table: CompiledTable, head: number): number {
    return table.store.start(head) === HASHED ? this.#frameTop : ~this.#frameTop;
  }

  /** First rule of the chain that matches; makes its frame. */
  #enter(table: CompiledTable, head: number, frame: number, packet: Packet): number {
    const { store } = table;
    if (frame < 0) {
      return firstMatch(store, store.start(head), packet);
    }
    const plan = table.plans[store.chainOf(head)]!;
    this.#frameTop += plan.frameSize;
    if (this.#frameTop > this.#frames.length) this.#frames = growInt32(this.#frames, this.#frameTop);
    return plan.first(this.#frames, frame, this.#effects, packet);
  }

  /** The next rule behind `rule` that matches; the chain's frame is the top one again. */
  #after(table: CompiledTable, chain: number, rule: number, frame: number, packet: Packet): number {
    const { store } = table;
    if (frame < 0) {
      this.#frameTop = ~frame;
      return firstMatch(store, store.next(rule), packet);
    }
    const plan = table.plans[chain]!;
    this.#frameTop = frame + plan.frameSize;
    if (this.#frames[frame + FRAME_EFFECTS] !== (this.#effects | 0)) {
      plan.start(this.#frames, frame, rule, this.#effects);
    }
    return plan.next(this.#frames, frame, packet);
  }

  #exactly(
    table: CompiledTable,
    base: CompiledChain,
    chain: CompiledChain,
    rule: number,
    bottom: number,
    packet: Packet,
  ): number {
    const verdict = this.#exact.run(table, base, chain, rule, bottom, packet, this.#sink);
    this.#jumps.top = bottom;
    return verdict;
  }

  #decide(table: CompiledTable, chain: number, rule: number, verdict: number): number {
    const { decision } = this;
    decision.table = table;
    decision.chainNumber = chain;
    decision.rule = rule;
    return verdict;
  }

  snapshot(): RuleSet {
    this.memo.settle();
    const tables = [...this.#byName.values()].map((table) => table.model());
    return withCounters({ family: this.#family, tables }, (table, chain, index) => {
      const compiled = this.#table(table.name);
      return compiled.counted(compiled.chain(chain.name), index);
    });
  }

  counted(tableName: TableName, chainName: string, ruleIndex: number): Counted {
    this.memo.settle();
    const table = this.#table(tableName);
    return table.counted(table.chain(chainName), ruleIndex);
  }

  apply(patch: Patch): void {
    this.memo.forget();
    for (const { table, changes } of patch) this.#table(table).apply(changes);
  }

  trace(sink: TraceSink | undefined): void {
    this.memo.forget();
    this.#sink = sink;
  }

  planOf(tableName: TableName, chainName: string): PlanReport {
    const table = this.#table(tableName);
    return planReport(table, table.chain(chainName));
  }

  #table(name: TableName): CompiledTable {
    const table = this.#byName.get(name);
    invariant(table !== undefined, `no table ${name}`);
    return table;
  }
}

/** For look-ups a packet: comparing constants is several times cheaper than a Map. */
function tableNumber(name: TableName): number {
  switch (name) {
    case 'nat':
      return 0;
    case 'filter':
      return 1;
    case 'mangle':
      return 2;
    case 'raw':
      return 3;
    case 'security':
      return 4;
  }
}

/** The first rule from `rule` on whose program passes, in a linear chain. Per packet: allocates nothing. */
function firstMatch(store: RuleStore, from: number, packet: Packet): number {
  for (let rule = from; rule !== -1; rule = store.next(rule)) {
    const result = store.passes(rule, packet);
    if (result === FAILED) continue;
    return result === PASSED ? rule : BROKEN_PACKET;
  }
  return NO_RULE;
}
