/** The kernel's contenders do the right thing on small workloads; needs root and the tools, is skipped without. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelLacks, Lab } from '../../bench/kernel/lab.js';
import { kernelPair } from '../../bench/kernel/pair.js';
import { KERNEL_TABLES } from '../../bench/kernel/table.js';
import { enginePair, measureMarginal, VERDICTS } from '../../bench/marginal.js';
import { Node, ruleSetOf } from '../../bench/node.js';
import { wrongVerdict } from '../../bench/verdict.js';
import { blacklist, firewall, servicesNew, servicesPast } from '../../bench/workloads.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';

const PACKETS = 400;
const workloads = [
  servicesNew(10, 2, 4, PACKETS),
  servicesNew(10, 10, 4, PACKETS),
  servicesPast(10, 2, 4, PACKETS),
  blacklist(100, PACKETS),
  firewall(50, PACKETS),
];

describe.each(workloads.map((w) => [w.name, w] as const))('%s', (_, workload) => {
  it('is carried rightly by both engines, which end every way when they are measured', async () => {
    const pairs = [
      enginePair('compiled', workload, compiledEngine, PACKETS),
      enginePair('reference', workload, referenceEngine, PACKETS),
    ];
    const rows = await measureMarginal(workload, pairs, 2);
    expect(rows.map(({ contender }) => contender)).toEqual(['compiled', 'reference']);
    for (const { withNs } of rows) expect(withNs).toBeGreaterThan(0);
  });

  it('tells a wrong verdict from a right one', () => {
    const node = new Node(ruleSetOf(workload), 4, compiledEngine);
    const sent: (Uint8Array | undefined)[] = workload.frames
      .slice(0, VERDICTS)
      .map((frame) => node.carry(frame, false)[0]);
    expect(wrongVerdict(workload, sent)).toBeUndefined();
    const index = sent.findIndex((frame) => frame !== undefined);
    expect(wrongVerdict(workload, sent.with(index, undefined))).toContain(`packet ${index + 1} went nowhere, not `);
    const moved = sent[index]!.slice();
    moved[33]! ^= 0x55;
    expect(wrongVerdict(workload, sent.with(index, moved))).toContain(`packet ${index + 1} went `);
  });
});

describe.skipIf(kernelLacks() !== undefined)('in the kernel', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.open();
  });
  afterAll(() => lab.close());

  const entrants = workloads.flatMap((workload) =>
    KERNEL_TABLES.filter((table) => table.refuses(workload) === undefined).map(
      (table) => [`${table.name}, ${workload.name}`, table, workload] as const,
    ),
  );
  it.each(entrants)('%s: right verdicts, and every packet comes to its end', async (_, table, workload) => {
    await lab.load(workload.capture);
    const pair = await kernelPair(lab, table, workload);
    await measureMarginal(workload, [pair], 2);
    pair.settle();
    pair.remove();
  });
});
