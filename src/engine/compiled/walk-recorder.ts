/**
 * Records which rules a packet's runs counted, so that a later packet that cannot fare otherwise need not walk again. A
 * recording is good for packets of the same direction of a connection that agree with the recorded one in every field
 * but Length, while the connection's status and mark stay: so it fails if a rule on the way looked at the length, called
 * a match or ran a target that is not steady (ExtensionBase.isSteady), or if the connection's mark changed. Repeats are summed up and reach the rules' own
 * counters only when somebody looks at them (`settle`).
 */
import type { Conntrack } from '../../conntrack/conntrack.js';
import { Field } from '../../wire/field.js';
import type { Packet } from '../../wire/packet.js';
import type { WalkMemo } from '../engine.js';
import type { DeviceNames } from './device-names.js';
import { isSteady, type Step } from './lower.js';
import type { CompiledChain, CompiledTable } from './table.js';

/** Rules of a chain that stand in a recording's way; a chain with more is never recorded. */
const MAX_UNSTEADY = 64;
/** Recordings kept; then all are forgotten. */
const MAX_WALKS = 65_536;

interface Counter {
  readonly table: CompiledTable;
  /** Rule, or -1: the policy of `base`. */
  readonly rule: number;
  readonly base: CompiledChain | undefined;
}

/** A rule whose outcome does not follow from steady fields, with what it tests. */
interface Unsteady {
  readonly rule: number;
  readonly steps: readonly Step[];
}

export class WalkRecorder implements WalkMemo {
  version = 0;
  /** The packet whose runs are recorded. */
  packet: Packet | undefined = undefined;
  #good = false;
  #key = '';
  /** Mark of the packet's connection when the first rule matched after it was known; -1: none has yet. */
  #ctMark = -1;
  #counters: Counter[] = [];
  readonly #byKey = new Map<string, number>();
  #walks: (readonly Counter[])[] = [];
  #packets: Float64Array = new Float64Array(64);
  #bytes: Float64Array = new Float64Array(64);
  #conntrack: Conntrack | undefined;
  #unsteady = new WeakMap<CompiledChain, readonly Unsteady[] | 'too many'>();

  begin(packet: Packet): void {
    this.packet = packet;
    this.#good = true;
    this.#key = '';
    this.#ctMark = -1;
    this.#counters = [];
  }

  end(): number {
    const { packet } = this;
    this.packet = undefined;
    if (!this.#good || packet === undefined) return -1;
    if (this.#ctMark !== -1 && this.#conntrack?.mark(packet.ct) !== this.#ctMark) return -1;
    let walk = this.#byKey.get(this.#key);
    if (walk === undefined) {
      if (this.#walks.length === MAX_WALKS) this.forget();
      walk = this.#walks.push(this.#counters) - 1;
      this.#byKey.set(this.#key, walk);
      if (walk >= this.#packets.length) this.#grow();
      this.#packets[walk] = this.#bytes[walk] = 0;
    }
    return walk;
  }

  /** Per packet: allocates nothing. */
  repeat(walk: number, bytes: number): void {
    this.#packets[walk]! += 1;
    this.#bytes[walk]! += bytes;
  }

  /** The recording is of no use. */
  spoil(): void {
    this.#good = false;
  }

  /** A rule of the chain has matched, the search having begun behind `after` (-1: at the chain's first rule). */
  matched(table: CompiledTable, chain: CompiledChain, after: number, rule: number, packet: Packet): void {
    if (!this.#good) return;
    if (this.#ctMark === -1 && packet.ct >= 0) {
      this.#conntrack = table.store.env.conntrack;
      this.#ctMark = table.store.env.conntrack.mark(packet.ct);
    }
    this.#passed(table, chain, after, rule, packet);
    this.#note(table, rule, undefined);
  }

  /** The rule's target is about to run. */
  runsTarget(table: CompiledTable, rule: number): void {
    const { target } = table.store.model(rule);
    if (target.kind !== 'extension' || !isSteady(target.use)) this.#good = false;
  }

  /** The search behind `after` has come to the chain's end. */
  ended(table: CompiledTable, chain: CompiledChain, after: number, packet: Packet): void {
    if (this.#good) this.#passed(table, chain, after, -1, packet);
  }

  policy(table: CompiledTable, base: CompiledChain): void {
    if (this.#good) this.#note(table, -1, base);
  }

  #note(table: CompiledTable, rule: number, base: CompiledChain | undefined): void {
    this.#key += base === undefined ? `${table.name} ${rule},` : `${table.name} ${base.name},`;
    this.#counters.push({ table, rule, base });
  }

  /** Looks for rules behind `after` up to `to` (-1: the end) whose outcome may be another next time. */
  #passed(table: CompiledTable, chain: CompiledChain, after: number, to: number, packet: Packet): void {
    const { store } = table;
    const unsteady = this.#unsteadyOf(table, chain);
    if (unsteady === 'too many') {
      this.#good = false;
      return;
    }
    const low = after === -1 ? Number.NEGATIVE_INFINITY : store.label(after);
    const high = to === -1 ? Number.POSITIVE_INFINITY : store.label(to);
    for (const { rule, steps } of unsteady) {
      const label = store.label(rule);
      if (label <= low || label > high) continue;
      if (reachesUnsteady(steps, packet.f, table.names)) {
        this.#good = false;
        return;
      }
    }
  }

  #unsteadyOf(table: CompiledTable, chain: CompiledChain): readonly Unsteady[] | 'too many' {
    let known = this.#unsteady.get(chain);
    if (known !== undefined) return known;
    const found: Unsteady[] = [];
    for (const rule of table.rulesOf(chain)) {
      const steps = table.store.lowering.steps(table.store.model(rule));
      if (steps.some(isUnsteady)) found.push({ rule, steps });
      if (found.length > MAX_UNSTEADY) break;
    }
    known = found.length > MAX_UNSTEADY ? 'too many' : found;
    this.#unsteady.set(chain, known);
    return known;
  }

  /** Brings the rules' own counters up to date. */
  settle(): void {
    for (let walk = 0; walk < this.#walks.length; walk++) {
      const packets = this.#packets[walk]!;
      if (packets === 0) continue;
      const bytes = this.#bytes[walk]!;
      this.#packets[walk] = this.#bytes[walk] = 0;
      for (const { table, rule, base } of this.#walks[walk]!) {
        if (base === undefined) {
          table.store.count(rule, packets, bytes);
        } else {
          base.packets += packets;
          base.bytes += bytes;
        }
      }
    }
  }

  /** Settles, and gives up every recording: rules are about to change, or somebody wants to see every walk. */
  forget(): void {
    this.settle();
    this.version++;
    this.#byKey.clear();
    this.#walks = [];
    this.#unsteady = new WeakMap();
    this.#good = false;
  }

  #grow(): void {
    const { length } = this.#packets;
    const packets = new Float64Array(2 * length);
    const bytes = new Float64Array(2 * length);
    packets.set(this.#packets);
    bytes.set(this.#bytes);
    this.#packets = packets;
    this.#bytes = bytes;
  }
}

function isUnsteady(step: Step): boolean {
  return step.kind === 'call' ? !step.steady : 'slot' in step && step.slot === Field.Length;
}

/** True if the tests in front of the first unsteady one all pass. */
function reachesUnsteady(steps: readonly Step[], f: Uint32Array, names: DeviceNames): boolean {
  for (const step of steps) {
    if (isUnsteady(step)) return true;
    if (!stepPasses(step, f, names)) return false;
  }
  return false;
}

function stepPasses(step: Step, f: Uint32Array, names: DeviceNames): boolean {
  switch (step.kind) {
    case 'equal':
    case 'unequal':
      return ((f[step.slot]! & step.mask) === step.value) === (step.kind === 'equal');
    case 'ranges': {
      const value = f[step.slot]!;
      return step.ranges.some(({ low, high }) => value >= low && value <= high) !== step.invert;
    }
    case 'not-address': {
      const { mask, address } = step.test;
      return !mask.every((word, i) => (f[step.slot + i]! & word) >>> 0 === address[i]! >>> 0);
    }
    case 'device':
      return names.fits(step.pattern, f[step.slot]!) !== step.invert;
    case 'call':
      // A steady one: what it says is not known here, and what stands behind it may be reached.
      return true;
    case 'never':
      return false;
  }
}
