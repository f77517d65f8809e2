/** A node's own capture: what came in, what the host answered, what nothing explains. */
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
import { emptyTotals, type ReplayTotals } from '../../src/replay/totals.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { emitIp, sizeOf } from '../../src/wire/repr.js';

const IN = 1;
const OUT = 2;

/** `> ` came in, `< ` went out; `!` behind it: the transport checksum is left to the card. */
function capture(lines: readonly string[]): Uint8Array {
  const writer = new PcapngWriter();
  const eth0 = writer.addInterface('eth0', 101);
  lines.forEach((line, i) => {
    const { packet, diagnostics } = parsePacketText(line.slice(2).replace('!', ''));
    expect(diagnostics).toEqual([]);
    const bytes = new Uint8Array(sizeOf(packet!.ip));
    emitIp(packet!.ip, bytes, 0);
    if (line.endsWith('!')) leavePartial(bytes);
    writer.addPacket(eth0, 1000, i * 1_000_000, bytes, 0, bytes.length, bytes.length, line.startsWith('>') ? IN : OUT);
  });
  return writer.take();
}

/** What a host hands to a card that sums: only the pseudo header's sum is in a TCP header's checksum field. */
function leavePartial(bytes: Uint8Array): void {
  let sum = bytes[9]! + bytes.length - 20;
  for (let at = 12; at < 20; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes[36] = sum >>> 8;
  bytes[37] = sum & 255;
}

function replay(rules: string, lines: readonly string[]): { totals: ReplayTotals; results: PacketResult[] } {
  const parsed = parseRuleSet({ name: 'rules', text: rules }, { family: 4 });
  expect(parsed.diagnostics).toEqual([]);
  const { config } = makeDefaultHost({ devices: ['eth0'], addresses: ['eth0=192.0.2.1/24'], bare: new Set(['eth0']) });
  const made = makeReplayHost(config, {
    ruleSet4: parsed.ruleSet,
    buildEngine: referenceEngine,
    seed: 1,
    assumeNeighbours: true,
  });
  const source = new FrameSource(config, [{ name: 'a' }], { inDevices: new Set(), local: false });
  const totals = emptyTotals();
  totals.captures.push({ name: 'a', device: '', records: 0 });
  const results: PacketResult[] = [];
  const session = new ReplaySession(made, source, totals, { packet: (result) => results.push(result) });
  for (const record of captureRecords(capture(lines))) session.survey(0, record);
  for (const record of captureRecords(capture(lines))) session.replay(0, record);
  session.finish();
  return { totals, results };
}

const FILTER = '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n';
const REDIRECT =
  '*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\nCOMMIT\n';
const REJECT =
  '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 23 -j REJECT --reject-with tcp-reset\nCOMMIT\n';
const CLIENT = '192.0.2.9:4000';

describe('a capture with both directions', () => {
  it('a socket that was seen to answer answers by the capture, not by a reset of the stack', () => {
    const { totals } = replay(FILTER, [
      `> tcp ${CLIENT} > 192.0.2.1:80 syn`,
      `< tcp 192.0.2.1:80 > ${CLIENT} syn,ack ack=2 seq=7`,
      `> tcp ${CLIENT} > 192.0.2.1:80 ack seq=2 ack=8`,
    ]);
    expect(totals.agreement).toEqual({ exact: 1, loose: 0, own: 1, unexplained: 0, sentOnly: 0 });
    expect(totals.outcomes).toMatchObject({ delivered: 2, sent: 1 });
    expect(totals.answers).toBe(0);
  });

  it('a closed port answers by itself, and the capture confirms it', () => {
    const { totals, results } = replay(FILTER, [
      `> tcp ${CLIENT} > 192.0.2.1:81 syn`,
      `< tcp 192.0.2.1:81 > ${CLIENT} rst,ack seq=0 ack=2 win=0 df`,
    ]);
    expect(totals.answers).toBe(1);
    expect(results.map((r) => [r.role, r.outcome, r.reason])).toEqual([
      ['received', 'delivered', 'closed port'],
      ['confirms', undefined, undefined],
    ]);
  });

  it('what the host sends of a redirected connection is given back the port of its socket', () => {
    const { totals, results } = replay(REDIRECT, [
      `> tcp ${CLIENT} > 192.0.2.1:80 syn`,
      `< tcp 192.0.2.1:80 > ${CLIENT} syn,ack ack=2 seq=7`,
      `> tcp ${CLIENT} > 192.0.2.1:80 ack seq=2 ack=8`,
    ]);
    expect(totals.agreement).toMatchObject({ exact: 1, own: 1, unexplained: 0, sentOnly: 0 });
    expect(results[1]).toMatchObject({
      role: 'own',
      exact: true,
      ctstate: 'ESTABLISHED',
      translated: '192.0.2.1:8080',
    });
    expect(results[2]).toMatchObject({ outcome: 'delivered', ctstate: 'ESTABLISHED' });
  });

  it('a checksum left to the card is right', () => {
    const { totals, results } = replay(FILTER, [
      `> tcp ${CLIENT} > 192.0.2.1:80 syn!`,
      `< tcp 192.0.2.1:80 > ${CLIENT} syn,ack ack=2!`,
    ]);
    expect(results.map((r) => r.ctstate)).toEqual(['NEW', 'ESTABLISHED']);
    expect(totals.agreement).toMatchObject({ exact: 1, own: 1 });
  });

  it('a rejected packet says by which rule, and what was sent', () => {
    const { totals, results } = replay(REJECT, [`> tcp ${CLIENT} > 192.0.2.1:23 syn`]);
    expect(totals.outcomes.rejected).toBe(1);
    expect(results[0]).toMatchObject({
      outcome: 'rejected',
      decidedBy: { table: 'filter', chain: 'INPUT', ruleNumber: 1, line: 3 },
      sent: [{ device: 'eth0', origin: 'answer', packet: `tcp 192.0.2.1:23 > ${CLIENT} rst,ack` }],
    });
  });

  it('tells the frames that nothing explains from those that only the emulator sent', () => {
    const { totals, results } = replay(FILTER, [
      `> tcp ${CLIENT} > 192.0.2.1:81 syn`, // the reset is not in the capture
      '< udp 198.51.100.7:53 > 192.0.2.9:53', // not the host's address, and nobody asked for it
    ]);
    expect(totals.agreement).toMatchObject({ unexplained: 1, sentOnly: 1 });
    expect(results[1]?.role).toBe('unexplained');
  });

  it('counts a connection once, however often its first packet is repeated', () => {
    const { totals } = replay(FILTER, [
      `> udp ${CLIENT} > 198.51.100.1:53`,
      `> udp ${CLIENT} > 198.51.100.1:53`,
      '> udp 192.0.2.9:4001 > 198.51.100.1:53',
    ]);
    expect([...totals.connections.values()]).toEqual([
      { original: 'udp 192.0.2.9 > 198.51.100.1:53', translated: undefined, count: 2, firstTurn: 3 },
    ]);
  });
});
