/** A benchmark is believed after every contender has done the right thing on its workload. */
import { describe, expect, it } from 'vitest';
import { floorCase, parsingCase, pcapParserCase, readingCase } from '../../bench/contenders.js';
import { establish, Node, ruleSetOf } from '../../bench/node.js';
import { blacklist, firewall, flood, servicesNew, type Workload } from '../../bench/workloads.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import type { BuildEngine } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';

const PACKETS = 200;
const ENGINES: readonly (readonly [string, BuildEngine])[] = [
  ['compiled', compiledEngine],
  ['reference', referenceEngine],
];

function verdicts(node: Node, workload: Workload): string[] {
  return workload.frames.map((frame, i) =>
    node.carry(frame, workload.fromPods[i] === 1).length === 1 ? 'forward' : 'drop',
  );
}

function counters(node: Node, family: 4 | 6): unknown {
  const { tables } = node.host.engine(family)!.snapshot();
  return tables.map((t) =>
    [...t.chains.values()].map((c) => [c.name, c.packets, c.bytes, c.rules.map((r) => [r.packets, r.bytes])]),
  );
}

const workloads = [
  servicesNew(10, 2, 4, PACKETS),
  servicesNew(100, 10, 4, PACKETS),
  servicesNew(100, 2, 6, PACKETS),
  blacklist(1000, PACKETS),
  flood('at random', PACKETS),
  flood('in order', PACKETS),
];

describe.each(workloads.map((w) => [w.name, w] as const))('%s', (_, workload) => {
  it.each(ENGINES)('%s decides as the workload says', (_engine, build) => {
    const node = new Node(ruleSetOf(workload), workload.family, build);
    expect(verdicts(node, workload)).toEqual(workload.expected);
  });

  it('the floor, the reader and the packet view see every packet', () => {
    expect(readingCase(workload).run()).toBe(PACKETS);
    expect(pcapParserCase(workload).run()).toBe(PACKETS);
    expect(parsingCase(workload).run()).toBe(PACKETS);
    const known = floorCase(workload).run();
    if (workload.name.startsWith('services') && workload.family === 4) expect(known).toBe(PACKETS);
  });
});

it('both engines agree on the irregular firewall, counter by counter', () => {
  const workload = firewall(300, PACKETS);
  const ruleSet = ruleSetOf(workload);
  const [fast, slow] = ENGINES.map(([, build]) => new Node(ruleSet, 4, build));
  expect(verdicts(fast!, workload)).toEqual(verdicts(slow!, workload));
  expect(counters(fast!, 4)).toEqual(counters(slow!, 4));
});

it.each([4, 6] as const)('established connections are forwarded both ways, IPv%i', (family) => {
  const fresh = servicesNew(10, 2, family, PACKETS);
  const node = new Node(ruleSetOf(fresh), family, compiledEngine);
  const old = establish(node, fresh, 20, PACKETS);
  expect(verdicts(node, old)).toEqual(old.expected);
  expect(old.fromPods.reduce((a, b) => a + b, 0)).toBe(PACKETS / 2);
});
