/**
 * Small extensions for tests of engines: one of each kind that an engine must tell apart. They leave marks in the
 * environment's log, so that two engines that call them in another order, or once too often, are found out.
 */

import { DEFAULT_HZ, VirtualClock } from '../../src/base/clock.js';
import { Rng } from '../../src/base/rng.js';
import type { Conntrack } from '../../src/conntrack/conntrack.js';
import type { BindEnv, HostServices, MatchExt, MatchUse, TargetExt, TargetUse } from '../../src/ext/extension.js';
import type { Family, TableName } from '../../src/net/netfilter.js';
import { NF_DROP, XT_CONTINUE, XT_RETURN } from '../../src/net/netfilter.js';
import { Field, type FieldSlot } from '../../src/wire/field.js';
import { L4_OK, L4_SHORT } from '../../src/wire/packet.js';

const both: readonly Family[] = [4, 6];
const base = { families: both, options: [], parse: () => ({}), print: () => '' };

function match<V>(ext: Pick<MatchExt<V>, 'kind' | 'bind'> & Partial<MatchExt<V>>, value: V): MatchUse {
  return { ext: { ...base, ...ext } as unknown as MatchExt, value };
}
function target<V>(ext: Pick<TargetExt<V>, 'kind' | 'bind'> & Partial<TargetExt<V>>, value: V): TargetUse {
  return { ext: { ...base, terminating: false, ...ext } as unknown as TargetExt, value };
}

/** Ports in a range, like the tcp match: fragments do not match, short headers drop the packet. */
export function portMatch(slot: FieldSlot, low: number, high: number, invert: boolean): MatchUse {
  return match(
    {
      kind: 'port',
      bind: (v) => (p) => {
        if (p.l4State === L4_SHORT) p.hotdrop = true;
        if (p.l4State !== L4_OK) return false;
        return (p.f[v.slot]! >= v.low && p.f[v.slot]! <= v.high) !== v.invert;
      },
      lower: (v) => (v.low === v.high ? [{ slot: v.slot, mask: 0xffff, value: v.low, invert: v.invert }] : [v]),
    },
    { slot, low, high, invert },
  );
}

/** Several ranges of ports, like multiport. */
export function portList(slot: FieldSlot, ranges: readonly { low: number; high: number }[], invert: boolean): MatchUse {
  return match(
    {
      kind: 'ports',
      bind: (v) => (p) => {
        if (p.l4State === L4_SHORT) p.hotdrop = true;
        if (p.l4State !== L4_OK) return false;
        return v.ranges.some(({ low, high }) => p.f[v.slot]! >= low && p.f[v.slot]! <= high) !== v.invert;
      },
      lower: (v) => [{ slot: v.slot, anyOf: v.ranges, invert: v.invert }],
    },
    { slot, ranges, invert },
  );
}

/** A field under a mask; lowered. */
export function fieldMatch(slot: FieldSlot, mask: number, value: number, invert: boolean): MatchUse {
  return match(
    {
      kind: 'field',
      bind: (v) => (p) => ((p.f[v.slot]! & v.mask) >>> 0 === v.value) !== v.invert,
      lower: (v) => [v],
    },
    { slot, mask, value, invert },
  );
}

/** Must be called; true if the packet's length is a multiple. Says so in the log. */
export function calledMatch(id: number, multiple: number): MatchUse {
  return match(
    {
      kind: 'called',
      bind: (v, env) => (p) => {
        env.host.log(7, `called ${v.id}`);
        return p.length % v.multiple === 0;
      },
    },
    { id, multiple },
  );
}

/** Every n-th call; its count lives in the rule. */
export function nthMatch(id: number, every: number): MatchUse {
  return match(
    {
      kind: 'nth',
      spansConnections: true,
      bind: (v, env) => {
        let count = 0;
        return () => {
          env.host.log(7, `nth ${v.id} ${count}`);
          return ++count % v.every === 0;
        };
      },
    },
    { id, every },
  );
}

/** Draws from the environment's random numbers. */
export function randomMatch(): MatchUse {
  return match({ kind: 'random', spansConnections: true, bind: (_, env) => () => env.rng.below(2) === 0 }, {});
}

/** Drops packets of one length on the spot. */
export function hotMatch(length: number): MatchUse {
  return match(
    {
      kind: 'hot',
      bind: (v) => (p) => {
        if (p.length === v.length) p.hotdrop = true;
        return false;
      },
    },
    { length },
  );
}

export function markTarget(value: number): TargetUse {
  return target(
    {
      kind: 'MARK',
      bind: (v) => (p) => {
        p.mark = v.value;
        return XT_CONTINUE;
      },
    },
    { value },
  );
}
/** Sets the mark by way of two words, but for odd values: those need a function. */
export function wordTarget(value: number): TargetUse {
  return target(
    {
      kind: 'MARK',
      bind: (v) => (p) => {
        p.mark = v.value;
        return XT_CONTINUE;
      },
      words: (v) => (v.value % 2 === 0 ? [v.value, 0] : undefined),
      bindWords: () => (p, first) => {
        p.mark = first;
        return XT_CONTINUE;
      },
    },
    { value },
  );
}
export function logTarget(id: number): TargetUse {
  return target(
    {
      kind: 'LOG',
      bind: (v, env) => (p) => {
        env.host.log(6, `log ${v.id} ${p.mark}`);
        return XT_CONTINUE;
      },
    },
    { id },
  );
}
export function traceTarget(): TargetUse {
  return target(
    {
      kind: 'TRACE',
      bind: () => (p) => {
        p.traced = true;
        return XT_CONTINUE;
      },
    },
    {},
  );
}
export function returnTarget(): TargetUse {
  return target({ kind: 'BACK', bind: () => () => XT_RETURN }, {});
}
/** Drops, but runs `nested` first, as REJECT sends an answer through the same tables. */
export function rejectTarget(): TargetUse {
  return target(
    {
      kind: 'REJECT',
      terminating: true,
      bind: (_, env) => (p) => {
        env.host.reject(p, 'icmp-port-unreachable');
        return NF_DROP;
      },
    },
    {},
  );
}

export interface FakeWorld {
  readonly env: (table: TableName) => BindEnv;
  readonly log: string[];
  readonly clock: VirtualClock;
  /** What REJECT runs. */
  onReject: () => void;
}

/** An environment without host or connections: devices have the given names, by index. */
export function fakeWorld(family: Family, devices: readonly string[], seed: number): FakeWorld {
  const log: string[] = [];
  const clock = new VirtualClock();
  const rng = new Rng(seed);
  const never = (): never => {
    throw new Error('bug: the fake world has no such service');
  };
  const shared = new Map<string, object>();
  const world: FakeWorld = {
    log,
    clock,
    onReject: () => undefined,
    env: (table) => ({
      family,
      table,
      clock,
      hz: DEFAULT_HZ,
      rng,
      host,
      conntrack: new Proxy({} as Conntrack, { get: never }),
      shared: {
        get<T extends object>(key: string, create: () => T): T {
          const known = shared.get(key) ?? create();
          shared.set(key, known);
          return known as T; // the key names one kind of object
        },
      },
    }),
  };
  const host: HostServices = {
    deviceName: (index) => devices[index] ?? '',
    isEthernet: (index) => index !== 0 && devices[index] !== 'lo',
    log: (level, line) => log.push(`<${level}>${line}`),
    reject: () => world.onReject(),
    addressType: never,
    addressTypeMatches6: never,
    pathMtu: never,
    insertBytes: never,
    masqueradeAddress: never,
    redirectAddress: never,
    hasNfacct: never,
    countNfacct: never,
  };
  return world;
}

/** Fields that a test packet needs; everything else 0. */
export const TEST_FIELDS = [
  Field.Src0,
  Field.Dst0,
  Field.Protocol,
  Field.SrcPort,
  Field.DstPort,
  Field.Length,
  Field.InDev,
  Field.OutDev,
] as const;
