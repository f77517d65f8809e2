/**
 * The recordings in pcaps/ are whole: the frames they hold, counted by direction, are as many as the kernel's own counters
 * of the mangle table say (every packet passes PREROUTING or OUTPUT, and what leaves passes POSTROUTING).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ETH_P_ARP, ETH_P_IP, LinkLayer, locatePacket } from '../../src/capture/link-type.js';
import { CaptureReader, captureRecords } from '../../src/capture/reader.js';

const ROOT = new URL('../..', import.meta.url).pathname;
const hosts = readdirSync(join(ROOT, 'pcaps'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap((entry) => readdirSync(join(ROOT, 'pcaps', entry.name)).map((host) => [entry.name, host] as const));

interface Count {
  in: number;
  out: number;
  passing: number;
}

/** Own hardware addresses of a host, as numbers. */
function ownAddresses(folder: string): Set<number> {
  const links = JSON.parse(readFileSync(join(folder, 'addr.json'), 'utf8')) as { address: string }[];
  return new Set(links.map((link) => Number.parseInt(link.address.replaceAll(':', ''), 16)));
}

function count(file: string, own: Set<number>): Count {
  const reader = new CaptureReader(file);
  const link = new LinkLayer();
  const total: Count = { in: 0, out: 0, passing: 0 };
  let last = 0;
  for (const record of captureRecords(readFileSync(file), reader)) {
    const { view, off } = record;
    expect(locatePacket(record.linkType, view, off, record.capturedSize, link)).toBeUndefined();
    expect(record.capturedSize).toBe(record.originalSize);
    expect(record.timeUs).toBeGreaterThanOrEqual(last);
    last = record.timeUs;
    expect(link.protocol).not.toBe(ETH_P_ARP);
    if (link.protocol !== ETH_P_IP) continue;
    // A datagram in fragments passes the hooks once.
    if ((view.getUint16(link.l3Off + 6) & 0x1fff) !== 0) continue;
    const macAt = (at: number): number => view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
    if (link.packetType === 4 || (link.macOff !== -1 && own.has(macAt(link.macOff + 6)))) total.out++;
    else if (link.packetType === 0 || (link.macOff !== -1 && own.has(macAt(link.macOff)))) total.in++;
    else total.passing++;
  }
  expect(reader.fault).toBeUndefined();
  return total;
}

/** Packets of the counters of the mangle table's base chains, rules included: `:CHAIN ACCEPT [packets:bytes]`. */
function manglePackets(saved: string, chain: string): number | undefined {
  const table = /\*mangle\n(.*?)COMMIT/s.exec(saved)?.[1];
  const policy = table === undefined ? undefined : new RegExp(`^:${chain} ACCEPT \\[(\\d+):`, 'm').exec(table)?.[1];
  return policy === undefined ? undefined : Number(policy);
}

describe.each(hosts)('%s, host %s', (scenario, host) => {
  const bundle = join(ROOT, 'rules', scenario, host);
  const captures = join(ROOT, 'pcaps', scenario, host);
  const own = ownAddresses(bundle);
  const files = readdirSync(captures);
  const sum = (names: string[]): Count => {
    const counts = names.map((name) => count(join(captures, name), own));
    return counts.reduce((a, b) => ({ in: a.in + b.in, out: a.out + b.out, passing: a.passing + b.passing }));
  };
  const saved = readFileSync(join(bundle, 'expected', 'iptables-save'), 'utf8');
  const single = sum(files.filter((name) => name !== 'any.pcap'));

  it('holds packets in both directions, and starts from counters of zero', () => {
    expect(single.in).toBeGreaterThan(20);
    expect(single.out).toBeGreaterThan(20);
    expect(readFileSync(join(bundle, 'iptables-save'), 'utf8')).not.toMatch(/\[[1-9]/);
    expect(readFileSync(join(bundle, 'conntrack'), 'utf8')).toBe('');
    for (const name of ['ip6tables-save', 'conntrack', 'conntrack6', 'time']) {
      expect(existsSync(join(bundle, 'expected', name)), name).toBe(true);
    }
  });

  it.runIf(manglePackets(saved, 'PREROUTING') !== undefined)('agrees with the kernel’s counters', () => {
    expect(single.in).toBe(manglePackets(saved, 'PREROUTING'));
    expect(single.out).toBe(manglePackets(saved, 'POSTROUTING'));
  });

  it.runIf(files.includes('any.pcap'))('shows the same on the cooked device', () => {
    const any = sum(['any.pcap']);
    expect([any.in, any.out]).toEqual([single.in, single.out]);
  });
});
