/**
 * Runs the hooks: what stands at each is resolved once, when a rule set is loaded. Kernel: nf_hook_slow(), and around
 * the tables nf_conntrack_in(), nf_nat_inet_fn(), ipt_mangle_out(), nf_nat_ipv4_local_fn().
 */
import type { TupleView } from '../conntrack/conntrack.js';
import type { ConntrackTable } from '../conntrack/conntrack-table.js';
import type { BuildEngine, Engine } from '../engine/engine.js';
import type { BindEnv } from '../ext/extension.js';
import {
  type Direction,
  type Family,
  HOOK_COUNT,
  type Hook,
  IPS_DST_NAT,
  IPS_SRC_NAT,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
  NF_QUEUE,
  NF_STOLEN,
  type TableName,
} from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import type { Rule, RuleSet } from '../ruleset/model.js';
import { type RuleForm, SavedRule } from '../ruleset/saved-rule.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import type { DropReason } from './drop-reason.js';
import type { DropCause, HostEvents } from './event.js';
import { type HookStep, stepsInForce } from './hook-order.js';
import type { HostPacket } from './host-packet.js';
import type { Gatherer } from './reassembly.js';

/** What the runner needs of the pipeline. */
export interface HookPort {
  /** Takes a fragment; true: the packet is now the whole datagram. False: the packet is gone. */
  gather(packet: HostPacket, gatherer: Gatherer): boolean;
  /** Routes an own packet anew after its addresses, mark or TOS have changed; false: there is no way. */
  reroute(packet: HostPacket): boolean;
}

/** One family's rule set, as it is in force. */
interface Loaded {
  readonly engine: Engine;
  readonly steps: readonly (readonly HookStep[])[];
  readonly natWalks: readonly ((packet: Packet) => number)[];
  readonly tracking: boolean;
}

const SCTP_HEADER_SIZE = 12;
const NO_STEPS: readonly (readonly HookStep[])[] = Array.from({ length: HOOK_COUNT }, () => []);

export class HookRunner {
  /** Why the last packet that did not pass a hook was dropped, and by which table. */
  reason: DropReason = 'rule';
  readonly #cause: { table: TableName; decision: DropCause['decision'] };
  #hasCause = false;
  /** The step at hand went through its table's rules. */
  #walked = false;
  readonly #port: HookPort;
  readonly #tracker: ConntrackTable;
  readonly #events: HostEvents;
  readonly #loaded: (Loaded | undefined)[] = [];
  #steps4 = NO_STEPS;
  #steps6 = NO_STEPS;
  readonly #forward: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
  readonly #reverse: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };

  constructor(port: HookPort, tracker: ConntrackTable, events: HostEvents) {
    this.#port = port;
    this.#tracker = tracker;
    this.#events = events;
    this.#cause = { table: 'filter', decision: { chain: undefined, ruleIndex: -1 } };
  }

  /** What decided on the last dropped packet; undefined if no table did. Reused. */
  get cause(): DropCause | undefined {
    return this.#hasCause ? this.#cause : undefined;
  }

  engine(family: Family): Engine | undefined {
    return this.#loaded[family]?.engine;
  }

  /** True if connections of the family are tracked. */
  isTracking(family: Family): boolean {
    return this.#loaded[family]?.tracking ?? false;
  }

  /** Puts a rule set in force, instead of the one before. Undefined: no tables. */
  load(family: Family, ruleSet: RuleSet | undefined, build: BuildEngine, env: (table: TableName) => BindEnv): void {
    let steps = NO_STEPS;
    if (ruleSet === undefined) this.#loaded[family] = undefined;
    else {
      const { tracking, reassembly } = needsOf(ruleSet);
      const engine = build(ruleSet, env);
      const force = { tables: engine.tables, tracking, reassembly };
      const hooks = NO_STEPS.map((_, hook) => hook as Hook); // Indices of a list of HOOK_COUNT entries.
      steps = hooks.map((hook) => stepsInForce(hook, force));
      const natWalks = hooks.map((hook) => (packet: Packet) => this.#table(engine, 'nat', hook, packet));
      this.#loaded[family] = { engine, steps, natWalks, tracking };
    }
    if (family === 4) this.#steps4 = steps;
    else this.#steps6 = steps;
  }

  /**
   * Returns NF_ACCEPT; NF_DROP (see `reason` and `cause`); or NF_STOLEN: the packet is no longer the caller's.
   * The packet's InDev and OutDev are the caller's to set. Per packet: allocates nothing.
   */
  run(p: HostPacket, hook: Hook): number {
    p.hook = hook;
    const steps = (p.family === 4 ? this.#steps4 : this.#steps6)[hook]!;
    const trace = this.#events.step;
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i]!;
      if (trace !== undefined) this.#events.step!(p, hook, step.kind, step.table, undefined, false);
      this.#walked = false;
      const verdict = this.#step(p, hook, step);
      if (verdict === NF_STOLEN) return NF_STOLEN;
      if (trace !== undefined) this.#events.step!(p, hook, step.kind, step.table, verdict, this.#walked);
      p.hook = hook;
      if (verdict !== NF_ACCEPT) return NF_DROP;
    }
    return NF_ACCEPT;
  }

  #step(p: HostPacket, hook: Hook, step: HookStep): number {
    switch (step.kind) {
      case 'table':
        return this.#table(this.#loaded[p.family]!.engine, step.table!, hook, p);
      case 'reroute-table':
        return this.#mangleOutput(p, step.table!);
      case 'conntrack':
        return this.#conntrack(this.#track(p, hook));
      case 'nat':
        return this.#nat(p, hook);
      case 'confirm':
        return this.#conntrack(this.#tracker.confirm(p));
      case 'defrag':
        return this.#defrag(p, hook);
    }
  }

  #track(p: HostPacket, hook: Hook): number {
    // What comes back from lo has its entry already and is not judged.
    const received = hook === NF_INET_PRE_ROUTING && p.ct === -1 && !p.untracked;
    // The checksum of SCTP is judged over a header made contiguous (sctp_error()).
    if (received && p.reassembly > 0 && p.protocol === IPPROTO_SCTP) p.pull(SCTP_HEADER_SIZE);
    const verdict = this.#tracker.track(p, hook);
    if (received && p.ct !== -1 && isVerified(p.protocol) && this.#tracker.settings.checksum) p.noteVerified();
    return verdict;
  }

  #table(engine: Engine, table: TableName, hook: Hook, p: Packet): number {
    const verdict = engine.run(table, hook, p);
    // Behind the run: answers that it made have walked tables too.
    this.#walked = true;
    if (verdict === NF_ACCEPT) return NF_ACCEPT;
    this.#hasCause = true;
    this.#cause.table = table;
    this.#cause.decision.chain = engine.decision.chain;
    this.#cause.decision.ruleIndex = engine.decision.ruleIndex;
    this.reason =
      verdict === NF_QUEUE
        ? 'queued without a listener'
        : p.hotdrop
          ? 'hotdrop'
          : engine.decision.ruleIndex < 0
            ? 'policy'
            : 'rule';
    return NF_DROP;
  }

  #conntrack(verdict: number): number {
    if (verdict === NF_ACCEPT) return NF_ACCEPT;
    this.#refuse('conntrack');
    return NF_DROP;
  }

  #refuse(reason: DropReason): void {
    this.#hasCause = false;
    this.reason = reason;
  }

  #nat(p: HostPacket, hook: Hook): number {
    // A drop by the nat chain itself leaves its cause; one by the tracker says so.
    this.#refuse('conntrack');
    const verdict = this.#tracker.nat(p, hook, this.#loaded[p.family]!.natWalks[hook]!);
    if (verdict !== NF_ACCEPT) return NF_DROP;
    if (hook === NF_INET_LOCAL_OUT && p.ct !== -1 && this.#isRedirected(p) && !this.#port.reroute(p)) {
      this.#refuse('reroute failed');
      return NF_DROP;
    }
    return NF_ACCEPT;
  }

  /** Every own packet of a connection whose destination differs from the one that was dialled needs its own route. */
  #isRedirected(p: HostPacket): boolean {
    const tracker = this.#tracker;
    const direction = p.ctDir;
    if ((tracker.status(p.ct) & (direction === 0 ? IPS_DST_NAT : IPS_SRC_NAT)) === 0) return false;
    const { address: forward } = this.#forward;
    const { address: reverse } = this.#reverse;
    tracker.tuple(p.ct, direction, this.#forward);
    tracker.tuple(p.ct, (1 - direction) as Direction, this.#reverse);
    for (let i = 0; i < 4; i++) if (forward[4 + i] !== reverse[i]) return true;
    return false;
  }

  #mangleOutput(p: HostPacket, table: TableName): number {
    const { f, view, l3Off } = p;
    const { mark, tos } = p;
    const s0 = f[Field.Src0]!;
    const s1 = f[Field.Src1]!;
    const s2 = f[Field.Src2]!;
    const s3 = f[Field.Src3]!;
    const d0 = f[Field.Dst0]!;
    const d1 = f[Field.Dst1]!;
    const d2 = f[Field.Dst2]!;
    const d3 = f[Field.Dst3]!;
    const ttl = p.family === 6 ? f[Field.Ttl]! : 0;
    const label = p.family === 6 ? view.getUint32(l3Off) : 0;
    const verdict = this.#table(this.#loaded[p.family]!.engine, table, NF_INET_LOCAL_OUT, p);
    if (verdict !== NF_ACCEPT) return verdict;
    const same =
      mark === p.mark &&
      tos === p.tos &&
      s0 === f[Field.Src0]! &&
      d0 === f[Field.Dst0]! &&
      (p.family === 4 ||
        (s1 === f[Field.Src1]! &&
          s2 === f[Field.Src2]! &&
          s3 === f[Field.Src3]! &&
          d1 === f[Field.Dst1]! &&
          d2 === f[Field.Dst2]! &&
          d3 === f[Field.Dst3]! &&
          ttl === f[Field.Ttl]! &&
          label === p.view.getUint32(p.l3Off)));
    if (same || this.#port.reroute(p)) return NF_ACCEPT;
    this.#refuse('reroute failed');
    return NF_DROP;
  }

  #defrag(p: HostPacket, hook: Hook): number {
    if (p.ct !== -1 || p.untracked) return NF_ACCEPT;
    if (p.family === 4 ? !p.isFragment : p.fragmentHeaderOff < 0) return NF_ACCEPT;
    if (!this.#port.gather(p, hook === NF_INET_LOCAL_OUT ? 'conntrack-out' : 'conntrack-in')) return NF_STOLEN;
    if (p.reassembly >= 0) p.mayBeCut = true;
    return NF_ACCEPT;
  }
}

/** Protocols whose checksum conntrack judges over the whole packet. */
function isVerified(protocol: number): boolean {
  return (
    protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6
  );
}

/** What the rules of a set bring into being (spec 1.7). */
function needsOf(ruleSet: RuleSet): { tracking: boolean; reassembly: boolean } {
  let tracking = false;
  let reassembly = false;
  const note = (need: 'conntrack' | 'defrag' | undefined) => {
    tracking ||= need === 'conntrack';
    reassembly ||= need === 'defrag';
  };
  const seen = new Set<RuleForm>();
  const visit = (rule: Rule) => {
    if (rule instanceof SavedRule) {
      // What rules of a form have in common is looked at once.
      const known = seen.has(rule.form);
      if (known && rule.targetOwn?.kind !== 'extension') return;
      seen.add(rule.form);
      if (!known) for (const { ext, value } of rule.matches) note(ext.needs?.(value));
    } else {
      for (const { ext, value } of rule.matches) note(ext.needs?.(value));
    }
    if (rule.target.kind === 'extension') note(rule.target.use.ext.needs?.(rule.target.use.value));
  };
  for (const table of ruleSet.tables) for (const chain of table.chains.values()) chain.rules.forEach(visit);
  return { tracking, reassembly };
}
