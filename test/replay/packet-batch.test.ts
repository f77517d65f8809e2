import { describe, expect, it } from 'vitest';
import { servicesNew } from '../../bench/workloads.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import type { InFrame } from '../../src/host/event.js';
import { PacketBatch } from '../../src/replay/packet-batch.js';
import { makeReplayHost } from '../../src/replay/replay-host.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';

const PACKETS = 50;
const ETHERNET_SIZE = 14;
const workload = servicesNew(10, 2, 4, PACKETS);

function makeBatch(): PacketBatch {
  const batch = new PacketBatch();
  workload.frames.forEach((bytes, i) => {
    const frame: InFrame = {
      ...{ bytes, view: new DataView(bytes.buffer), start: 0, l3Off: ETHERNET_SIZE, macOff: 0 },
      ...{ capturedEnd: bytes.length, originalEnd: bytes.length, family: 4, device: 2, pktType: 0, offloaded: false },
    };
    batch.add(frame, 1_700_000_000_000_000 + i);
  });
  return batch;
}

function makeHost() {
  const { config } = makeDefaultHost({
    devices: ['eth0', 'cni0'],
    addresses: ['eth0=192.168.0.1/16', 'cni0=10.0.0.1/9'],
  });
  const { ruleSet } = parseRuleSet({ name: 'rules', text: workload.rules }, { family: 4 });
  const made = makeReplayHost(config, {
    ruleSet4: ruleSet,
    buildEngine: compiledEngine,
    seed: 1,
    assumeNeighbours: true,
  });
  let sent = 0;
  made.connect({ sent: () => sent++ });
  return { host: made.host, sent: () => sent };
}

/** Packets that the service rules counted. */
function walked(host: ReturnType<typeof makeHost>['host']): bigint {
  const nat = host
    .engine(4)!
    .snapshot()
    .tables.find(({ name }) => name === 'nat')!;
  return nat.chains.get('KUBE-SERVICES')!.rules.reduce((sum, rule) => sum + rule.packets, 0n);
}

describe('a batch', () => {
  it('is the same in every run, and its connections are new ones', () => {
    const batch = makeBatch();
    const { host, sent } = makeHost();
    for (let run = 1; run <= 3; run++) {
      batch.run(host, PACKETS);
      expect(sent()).toBe(run * PACKETS);
      // Only first packets walk the nat table.
      expect(walked(host)).toBe(BigInt(run * PACKETS));
    }
  });

  it('runs in part', () => {
    const { host, sent } = makeHost();
    makeBatch().run(host, 7);
    expect(sent()).toBe(7);
  });

  it('has a floor that finds what was put in', () => {
    const found = makeBatch().floor(1000)();
    expect(found).toBeGreaterThanOrEqual(PACKETS);
    expect(found).toBeLessThanOrEqual(PACKETS + 1);
    const few = makeBatch().floor(1)();
    expect(few).toBeLessThan(PACKETS);
    expect(few).toBeGreaterThan(0);
  });
});
