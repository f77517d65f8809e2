/** The compiled engine does what the reference does: on random rule sets that overlap, packet by packet, patch by patch. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import type { BuildEngine, Engine, TraceSink } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import type { MatchUse } from '../../src/ext/extension.js';
import { type Family, type Hook, NF_INET_FORWARD } from '../../src/net/netfilter.js';
import type { AddressTest, Chain, Rule, RuleSet, RuleTarget } from '../../src/ruleset/model.js';
import type { Change } from '../../src/ruleset/patch.js';
import { Field } from '../../src/wire/field.js';
import { type L4State, Packet } from '../../src/wire/packet.js';
import {
  calledMatch,
  fakeWorld,
  fieldMatch,
  hotMatch,
  logTarget,
  markTarget,
  nthMatch,
  portList,
  portMatch,
  randomMatch,
  rejectTarget,
  returnTarget,
  traceTarget,
  wordTarget,
} from '../support/fake-extension.js';

const SEED = 20261;
const RUNS = 400;
const DEVICES = ['', 'eth0', 'eth1', 'veth17', 'lo'];
const PORTS = [0, 22, 53, 80, 1023, 1024, 8080, 65535];
/** Few addresses that share prefixes, so that rules overlap and packets meet them; top bits set and clear. */
const ADDRESSES = [0x0a000001, 0x0a000002, 0x0a0001ff, 0x0a640000, 0xc0a80101, 0xffffffff];
const USER_CHAINS = ['A', 'B', 'C', 'D'];

const bool = fc.boolean();
const port = fc.constantFrom(...PORTS);

function addressTest(family: Family): fc.Arbitrary<AddressTest> {
  const words = family === 4 ? 1 : 4;
  return fc
    .record({
      address: fc.constantFrom(...ADDRESSES),
      bits: fc.constantFrom(0, 8, 15, 16, 24, 31, 32, 32, 32),
      last: fc.constantFrom(0, 1),
      invert: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    })
    .map(({ address, bits, last, invert }) => {
      const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
      const full = words === 4 && bits === 32 ? 0xffffffff : 0;
      return {
        address: [(address & mask) >>> 0, 0, 0, full === 0 ? 0 : last],
        mask: [mask, full, full, full],
        invert,
      };
    });
}

const range = fc.tuple(port, port).map(([a, b]) => ({ low: Math.min(a, b), high: Math.max(a, b) }));

const matches: fc.Arbitrary<readonly MatchUse[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: port.chain((p) => bool.map((i) => portMatch(Field.DstPort, p, p, i))) },
    { weight: 2, arbitrary: range.map(({ low, high }) => portMatch(Field.DstPort, low, high, false)) },
    { weight: 1, arbitrary: range.map(({ low, high }) => portMatch(Field.SrcPort, low, high, true)) },
    {
      weight: 2,
      arbitrary: fc.array(range, { maxLength: 4 }).chain((r) => bool.map((i) => portList(Field.DstPort, r, i))),
    },
    { weight: 2, arbitrary: fc.nat(3).chain((v) => bool.map((i) => fieldMatch(Field.Mark, 3, v, i))) },
    { weight: 2, arbitrary: fc.tuple(fc.nat(99), fc.integer({ min: 1, max: 3 })).map(([id, n]) => calledMatch(id, n)) },
    { weight: 1, arbitrary: fc.tuple(fc.nat(99), fc.integer({ min: 1, max: 3 })).map(([id, n]) => nthMatch(id, n)) },
    { weight: 1, arbitrary: fc.constant(null).map(() => randomMatch()) },
    { weight: 1, arbitrary: fc.constantFrom(40, 41).map((n) => hotMatch(n)) },
  ),
  { maxLength: 2 },
);

function ruleTarget(chains: readonly string[]): fc.Arbitrary<RuleTarget> {
  const plain: fc.Arbitrary<RuleTarget>[] = [
    fc.constant({ kind: 'none' }),
    fc.constantFrom('ACCEPT', 'DROP', 'RETURN', 'QUEUE').map((verdict) => ({ kind: 'verdict', verdict }) as const),
    fc.nat(3).map((v) => ({ kind: 'extension', use: markTarget(v) })),
    fc.nat(3).map((v) => ({ kind: 'extension', use: wordTarget(v) })),
    fc.nat(99).map((id) => ({ kind: 'extension', use: logTarget(id) })),
    fc.constant(null).map(() => ({ kind: 'extension', use: returnTarget() })),
    fc.constant(null).map(() => ({ kind: 'extension', use: rejectTarget() })),
  ];
  const rare: fc.Arbitrary<RuleTarget> = fc.constant(null).map(() => ({ kind: 'extension', use: traceTarget() }));
  const jumps = chains.flatMap((chain): fc.Arbitrary<RuleTarget>[] => [
    fc.constant({ kind: 'jump', chain }),
    fc.constant({ kind: 'goto', chain }),
  ]);
  return fc.oneof(
    ...plain.map((arbitrary) => ({ weight: 4, arbitrary })),
    { weight: 1, arbitrary: rare },
    ...jumps.map((arbitrary) => ({ weight: 3, arbitrary })),
  );
}

const optional = <T>(arbitrary: fc.Arbitrary<T>, weight: number): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight, arbitrary }, { weight: 4, arbitrary: fc.constant(undefined) });

function rule(family: Family, chains: readonly string[]): fc.Arbitrary<Rule> {
  const device = fc.record({ name: fc.constantFrom('eth0', 'eth1', 'eth+', 'veth17', '+'), invert: bool });
  return fc.record({
    src: optional(addressTest(family), 2),
    dst: optional(addressTest(family), 6),
    inDevice: optional(device, 1),
    outDevice: optional(device, 1),
    protocol: optional(fc.record({ number: fc.constantFrom(6, 17), invert: bool }), 4),
    fragment: optional(bool, family === 4 ? 1 : 0),
    matches,
    target: ruleTarget(chains),
    packets: fc.constantFrom(0n, 5n),
    bytes: fc.constantFrom(0n, 700n),
    span: fc.constant(undefined),
  });
}

/** Chains that a chain may call: those behind it, so that there is no loop. */
const callable = (name: string): readonly string[] => USER_CHAINS.slice(USER_CHAINS.indexOf(name) + 1);

function chain(family: Family, name: string, policy: Chain['policy'], maxLength: number): fc.Arbitrary<Chain> {
  return fc
    .array(rule(family, callable(name)), { maxLength, size: 'max' })
    .map((rules) => ({ name, policy, packets: 0n, bytes: 0n, rules }));
}

function ruleSet(family: Family): fc.Arbitrary<RuleSet> {
  return fc
    .tuple(
      fc.constantFrom('ACCEPT' as const, 'DROP' as const),
      chain(family, 'FORWARD', 'ACCEPT', 40),
      ...USER_CHAINS.map((name) => chain(family, name, undefined, 25)),
    )
    .map(([policy, forward, ...user]) => {
      const empty = (name: string): Chain => ({ name, policy: 'ACCEPT', packets: 0n, bytes: 0n, rules: [] });
      const chains = [empty('INPUT'), { ...forward, policy }, empty('OUTPUT'), ...user];
      return { family, tables: [{ name: 'filter', chains: new Map(chains.map((c) => [c.name, c])) }] };
    });
}

interface TestPacket {
  readonly src: number;
  readonly dst: number;
  readonly last: number;
  readonly protocol: number;
  readonly sport: number;
  readonly dport: number;
  readonly length: number;
  readonly inDev: number;
  readonly outDev: number;
  readonly mark: number;
  readonly state: L4State;
}

const testPacket: fc.Arbitrary<TestPacket> = fc.record({
  src: fc.constantFrom(...ADDRESSES),
  dst: fc.constantFrom(...ADDRESSES),
  last: fc.constantFrom(0, 1),
  protocol: fc.constantFrom(6, 17, 1),
  sport: port,
  dport: port,
  length: fc.constantFrom(40, 41, 42, 1500),
  inDev: fc.nat(DEVICES.length - 1),
  outDev: fc.nat(DEVICES.length - 1),
  mark: fc.nat(3),
  state: fc.oneof(
    { weight: 12, arbitrary: fc.constant(0 as L4State) },
    { weight: 1, arbitrary: fc.constantFrom<L4State>(1, 2, 4) },
  ),
});

/** Bytes behind the fields, for lines of LOG and TRACE. */
const HEADER = new Uint8Array(80);

function fill(packet: Packet, family: Family, p: TestPacket, hook: Hook): void {
  packet.reset();
  packet.f.fill(0);
  packet.attach(HEADER, new DataView(HEADER.buffer));
  packet.family = family;
  packet.hook = hook;
  packet.l3Off = 0;
  packet.l3Size = family === 4 ? 20 : 40;
  packet.l4Off = packet.l3Size;
  packet.end = packet.wireEnd = 80;
  packet.l4State = family === 4 && p.state > 2 ? 0 : p.state;
  const { f } = packet;
  f[Field.Src0] = p.src;
  f[Field.Dst0] = p.dst;
  if (family === 6) f[Field.Src3] = f[Field.Dst3] = p.last;
  f[Field.Protocol] = p.protocol;
  f[Field.SrcPort] = p.sport;
  f[Field.DstPort] = p.dport;
  f[Field.Length] = p.length;
  f[Field.InDev] = p.inDev;
  f[Field.OutDev] = p.outDev;
  f[Field.Mark] = p.mark;
  f[Field.FragOff] = packet.l4State === 1 ? 8 : 0;
}

/** An engine with everything that can be seen of it. */
class Watched {
  readonly seen: unknown[] = [];
  readonly engine: Engine;
  readonly #family: Family;
  readonly #world;
  readonly #packet = new Packet();
  #depth = 0;

  constructor(build: BuildEngine, set: RuleSet, traced: boolean) {
    this.#family = set.family;
    this.#world = fakeWorld(set.family, DEVICES, 7);
    this.engine = build(set, this.#world.env);
    this.#world.onReject = () => this.#nested();
    if (traced) this.engine.trace(this.#sink());
  }

  /** An answer of the host walks the same table while the outer walk waits. */
  #nested(): void {
    if (this.#depth > 2) return;
    this.#depth++;
    const answer = new Packet();
    const p = { src: ADDRESSES[4]!, dst: ADDRESSES[0]!, last: 0, protocol: 1, sport: 0, dport: 0, length: 42 };
    fill(answer, this.#family, { ...p, inDev: 0, outDev: 1, mark: this.#depth, state: 0 }, NF_INET_FORWARD);
    this.seen.push('nested', this.engine.run('filter', NF_INET_FORWARD, answer), answer.mark);
    this.#depth--;
  }

  run(p: TestPacket): void {
    fill(this.#packet, this.#family, p, NF_INET_FORWARD);
    const verdict = this.engine.run('filter', NF_INET_FORWARD, this.#packet);
    const { chain: decided, ruleIndex } = this.engine.decision;
    const fields = Array.from(this.#packet.f.subarray(0, Field.InName));
    this.seen.push({
      verdict,
      hotdrop: this.#packet.hotdrop,
      traced: this.#packet.traced,
      decided: decided?.name,
      ruleIndex,
      fields,
    });
    this.seen.push(...this.#world.log.splice(0));
  }

  counters(): unknown {
    return this.engine
      .snapshot()
      .tables.map((table) =>
        [...table.chains.values()].map((c) => [
          c.name,
          c.policy,
          c.packets,
          c.bytes,
          c.rules.map((r) => [r.packets, r.bytes]),
        ]),
      );
  }

  #sink(): TraceSink {
    const note =
      (event: string) =>
      (table: string, c: Chain, ...rest: unknown[]) =>
        void this.seen.push([event, table, c.name, ...rest.filter((x) => typeof x !== 'object')]);
    return {
      failed: note('failed'),
      matched: note('matched'),
      target: note('target'),
      returned: note('returned'),
      policy: note('policy'),
      hotdrop: note('hotdrop'),
    };
  }
}

interface Step {
  readonly packets: readonly TestPacket[];
  /** Draws for a patch of one chain, applied behind the packets. */
  readonly edits: readonly {
    readonly kind: 'insert' | 'remove' | 'replace' | 'flush';
    readonly at: number;
    readonly rule: Rule;
  }[];
  readonly chain: string;
}

function changesOf(set: RuleSet, step: Step): readonly Change[] {
  let count = set.tables[0]!.chains.get(step.chain)!.rules.length;
  const changes: Change[] = [];
  for (const { kind, at, rule: made } of step.edits) {
    if (kind === 'insert') changes.push({ kind, chain: step.chain, index: at % ++count, rule: made });
    else if (kind === 'flush') {
      if (at % 8 !== 0) continue;
      changes.push({ kind, chain: step.chain });
      count = 0;
    } else if (count > 0) {
      if (kind === 'remove') changes.push({ kind, chain: step.chain, index: at % count-- });
      else changes.push({ kind, chain: step.chain, index: at % count, rule: made });
    }
  }
  return changes;
}

describe.each([4, 6] as const)('family %i', (family) => {
  const packets = fc.array(testPacket, { minLength: 4, maxLength: 30 });

  it.each([
    ['in silence', false],
    ['with a trace', true],
  ])('compiled agrees with reference, %s', (_, traced) => {
    fc.assert(
      fc.property(ruleSet(family), packets, (set, list) => {
        const slow = new Watched(referenceEngine, set, traced);
        const fast = new Watched(compiledEngine, set, traced);
        for (const p of list) {
          slow.run(p);
          fast.run(p);
        }
        expect(fast.seen).toEqual(slow.seen);
        expect(fast.counters()).toEqual(slow.counters());
      }),
      { seed: SEED, numRuns: traced ? RUNS / 4 : RUNS },
    );
  });

  it('compiled agrees with reference through patches', () => {
    const step = fc.constantFrom('FORWARD', ...USER_CHAINS).chain((name) =>
      fc.record({
        chain: fc.constant(name),
        packets: fc.array(testPacket, { minLength: 1, maxLength: 8 }),
        edits: fc.array(
          fc.record({
            kind: fc.constantFrom('insert', 'insert', 'insert', 'remove', 'replace', 'flush'),
            at: fc.nat(200),
            rule: rule(family, callable(name)),
          }),
          { maxLength: 12 },
        ),
      }),
    );
    fc.assert(
      fc.property(ruleSet(family), fc.array(step, { minLength: 1, maxLength: 8 }), (set, steps) => {
        const slow = new Watched(referenceEngine, set, false);
        const fast = new Watched(compiledEngine, set, false);
        for (const s of steps) {
          for (const p of s.packets) {
            slow.run(p);
            fast.run(p);
          }
          const patch = [{ table: 'filter' as const, changes: changesOf(slow.engine.snapshot(), s) }];
          slow.engine.apply(patch);
          fast.engine.apply(patch);
          expect(fast.seen).toEqual(slow.seen);
          expect(fast.counters()).toEqual(slow.counters());
        }
      }),
      { seed: SEED, numRuns: RUNS / 2 },
    );
  });
});
