/** Captures of a router that does not know its neighbours from the start: who tells them, and what waited meanwhile. */
import { describe, expect, it } from 'vitest';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { captureRecords } from '../../src/capture/reader.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import { FrameSource } from '../../src/replay/frame-source.js';
import type { PacketResult } from '../../src/replay/packet-result.js';
import { parsePacketText } from '../../src/replay/packet-text.js';
import { makeReplayHost } from '../../src/replay/replay-host.js';
import { ReplaySession } from '../../src/replay/session.js';
import { emptyTotals } from '../../src/replay/totals.js';
import { emitIp, sizeOf } from '../../src/wire/repr.js';
import { bytesOf } from '../support/craft.js';

const ROUTER = { eth0: [2, 0, 0, 0, 0, 0x10], eth1: [2, 0, 0, 0, 0, 0x11] } as const;
const CLIENT = [2, 0, 0, 0, 0, 0xc];
const SERVER = [2, 0, 0, 0, 0, 0x5e];

type Line = readonly [seconds: number, device: 'eth0' | 'eth1', way: '>' | '<', what: string];

/** The IP packet that a text describes. */
function ipOf(text: string): Uint8Array {
  const { packet, diagnostics } = parsePacketText(text);
  expect(diagnostics).toEqual([]);
  const bytes = new Uint8Array(sizeOf(packet!.ip));
  emitIp(packet!.ip, bytes, 0);
  return bytes;
}

function frameOf([, device, way, what]: Line): Uint8Array {
  const peer = device === 'eth0' ? CLIENT : SERVER;
  const [to, from] = way === '>' ? [ROUTER[device], peer] : [peer, ROUTER[device]];
  if (what.startsWith('arp')) {
    const [sender, target] = what.slice(4).split(' > ');
    const address = (text: string) => text.split('.').map(Number);
    const operation = [0, 1, 8, 0, 6, 4, 0, 2];
    return bytesOf(to, from, [8, 6], operation, from, address(sender!), to, address(target!));
  }
  return bytesOf(to, from, what.includes('fd00:') ? [0x86, 0xdd] : [8, 0], ipOf(what));
}

function replay(lines: readonly Line[]) {
  const writer = new PcapngWriter();
  const devices = { eth0: writer.addInterface('eth0', 1), eth1: writer.addInterface('eth1', 1) };
  for (const line of lines) {
    const [seconds, device, way] = line;
    const frame = frameOf(line);
    const nanoseconds = Math.round((seconds % 1) * 1e9);
    const direction = way === '>' ? 1 : 2;
    const whole = 1000 + Math.floor(seconds);
    writer.addPacket(devices[device], whole, nanoseconds, frame, 0, frame.length, frame.length, direction);
  }
  const capture = writer.take();
  const { config } = makeDefaultHost({
    devices: ['eth0', 'eth1'],
    addresses: ['eth0=10.0.0.1/24', 'eth1=10.1.0.1/24', 'eth0=fd00:a::1/64', 'eth1=fd00:b::1/64'],
    macs: new Map(Object.entries(ROUTER).map(([name, mac]) => [name, Uint8Array.from(mac)])),
  });
  const made = makeReplayHost(config, { buildEngine: referenceEngine, seed: 1, assumeNeighbours: false });
  const source = new FrameSource(config, [{ name: 'a' }], { inDevices: new Set(), local: false });
  const totals = emptyTotals();
  totals.captures.push({ name: 'a', device: '', records: 0 });
  const results: PacketResult[] = [];
  const session = new ReplaySession(made, source, totals, { packet: (result) => results.push(result) });
  for (const record of captureRecords(capture)) session.survey(0, record);
  for (const record of captureRecords(capture)) session.replay(0, record);
  session.finish();
  return { totals, results };
}

const ASKED = 'udp 10.0.0.2:4000 > 10.1.0.2:53 ttl=64';
const PASSED_ON = 'udp 10.0.0.2:4000 > 10.1.0.2:53 ttl=63';
const ASKED6 = 'udp [fd00:a::2]:4000 > [fd00:b::2]:53 ttl=64';
const PASSED_ON6 = 'udp [fd00:a::2]:4000 > [fd00:b::2]:53 ttl=63';

describe('a packet to a neighbour that is not known', () => {
  it.each([
    ['IPv4', ASKED, PASSED_ON],
    ['IPv6', ASKED6, PASSED_ON6],
  ])('%s: the frame that the node sent tells the neighbour, and is confirmed', (_family, asked, passedOn) => {
    const { totals, results } = replay([
      [0, 'eth0', '>', asked],
      [0.001, 'eth1', '<', passedOn],
    ]);
    expect(totals.outcomes).toMatchObject({ forwarded: 1, held: 0 });
    expect(totals.agreement).toMatchObject({ exact: 1, unexplained: 0, sentOnly: 0 });
    expect(results.map((r) => [r.role, r.outcome, r.reason])).toEqual([
      ['received', 'held', 'its next hop is not known yet'],
      ['confirms', undefined, undefined],
    ]);
  });

  it('an ARP answer tells the neighbour', () => {
    const { totals, results } = replay([
      [0, 'eth0', '>', ASKED],
      [0.5, 'eth1', '<', 'arp 10.1.0.1 > 10.1.0.2'],
      [0.6, 'eth1', '>', 'arp 10.1.0.2 > 10.1.0.1'],
      [0.7, 'eth1', '<', PASSED_ON],
    ]);
    expect(totals.outcomes).toMatchObject({ forwarded: 1, held: 0 });
    expect(totals.agreement).toMatchObject({ exact: 1, unexplained: 0, sentOnly: 0 });
    expect(totals.skipped.get('ARP')).toBe(2);
    expect(results.map((r) => [r.role, r.sent?.map((s) => s.device)])).toEqual([
      ['received', []],
      ['skipped', undefined],
      ['skipped', ['eth1']],
      ['confirms', undefined],
    ]);
  });

  it("the host's own packet goes where the capture shows it", () => {
    const { totals } = replay([[0, 'eth1', '<', 'udp 10.1.0.1:4000 > 10.1.0.2:53']]);
    expect(totals.outcomes).toMatchObject({ sent: 1, held: 0 });
    expect(totals.agreement).toMatchObject({ own: 1, exact: 1, sentOnly: 0 });
  });

  it('after three seconds its sender is told, as the capture shows', () => {
    const { totals, results } = replay([
      [0, 'eth0', '>', ASKED],
      [1, 'eth0', '>', ASKED],
      [4, 'eth0', '>', 'udp 10.0.0.2:4000 > 10.0.0.1:9'],
    ]);
    expect(totals.outcomes).toMatchObject({ dropped: 2, held: 0, delivered: 1 });
    expect([...totals.drops.values()].map((d) => [d.reason, d.count])).toEqual([['no neighbour', 2]]);
    expect(totals.answers).toBe(3);
    const timer = results.find((r) => r.role === 'timer');
    expect(timer?.reason).toBe('no neighbour');
    expect(timer?.sent?.map((s) => s.packet)).toHaveLength(2);
    expect(results.at(-1)).toMatchObject({ role: 'received', outcome: 'delivered' });
  });

  it('what still waits at the end is held', () => {
    const { totals } = replay([
      [0, 'eth0', '>', ASKED],
      [2.9, 'eth0', '>', ASKED],
    ]);
    expect(totals.outcomes).toMatchObject({ forwarded: 0, dropped: 0, held: 2 });
  });
});
