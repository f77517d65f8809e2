import { describe, expect, it } from 'vitest';
import { CT_STATE_NEW, CT_STATE_UNTRACKED } from '../../src/conntrack/state-bit.js';
import { checksumOf, sumBytes } from '../../src/net/checksum.js';
import { type Family, NF_ACCEPT, NF_DROP, type TableName, XT_CONTINUE } from '../../src/net/netfilter.js';
import { IPPROTO_TCP } from '../../src/net/protocol.js';
import type { Packet } from '../../src/wire/packet.js';
import { ACK, craft, ipBytes, packetOf, SYN, tcpBody } from '../support/craft.js';
import { Bench, withFields } from '../support/extension-env.js';
import { asFragment4, shortened4 } from '../support/fragment.js';

const tcp = (
  over: { flags?: number; options?: readonly number[]; payload?: Uint8Array; v6?: boolean; tos?: number } = {},
) =>
  ipBytes({
    src: over.v6 ? '2001:db8::1' : '10.0.0.1',
    dst: over.v6 ? '2001:db8::2' : '10.0.0.2',
    protocol: IPPROTO_TCP,
    ...(over.tos === undefined ? {} : { tos: over.tos }),
    body: tcpBody({
      sport: 1000,
      dport: 80,
      flags: over.flags ?? SYN,
      options: over.options ?? [],
      payload: over.payload ?? new Uint8Array(0),
    }),
  });

const CHAIN: Record<TableName, string> = {
  filter: 'FORWARD',
  nat: 'PREROUTING',
  raw: 'PREROUTING',
  mangle: 'FORWARD',
  security: 'FORWARD',
};

/** The header's and the segment's checksums hold. */
function sumsHold(p: Packet): boolean {
  const ip = p.family === 4 ? checksumOf(sumBytes(p.bytes, p.l3Off, p.l3Off + p.l3Size)) : 0;
  const addresses = p.family === 4 ? [12, 20] : [8, 40];
  let sum = sumBytes(p.bytes, p.l3Off + addresses[0]!, p.l3Off + addresses[1]!) + p.protocol + p.l4Length;
  sum = sumBytes(p.bytes, p.l4Off, p.end, sum);
  return ip === 0 && checksumOf(sum) === 0;
}

describe('marks', () => {
  it.each([
    ['MARK --set-mark 1', 0xff, 1],
    ['MARK --set-mark 1/0xf', 0xff, 0xf1],
    ['MARK --set-xmark 1/0xf', 0xff, 0xf1],
    ['MARK --or-mark 0x80000000', 0xff, 0x800000ff],
    ['MARK --xor-mark 0xf0', 0xff, 0x0f],
    ['MARK --and-mark 0x81', 0xff, 0x81],
  ])('%s', (target, before, after) => {
    const packet = withFields(craft({ src: '1.1.1.1', dst: '2.2.2.2', protocol: 99, body: new Uint8Array(4) }), {
      Mark: before,
    });
    expect(new Bench(4, 'mangle').bind(`-j ${target}`).target(packet)).toBe(XT_CONTINUE);
    expect(packet.mark).toBe(after);
  });

  it.each([
    // target                                                  mark  ct    mark   ct
    ['--set-mark 0x5', 1, 0xf0, 1, 5],
    ['--set-mark 0x5/0xf', 1, 0xff, 1, 0xf5],
    ['--set-xmark 0x1/0xff --left-shift-mark 4', 0, 0xff00, 0, 0xff010],
    ['--set-mark 0x80000000 --right-shift-mark 31', 0, 0, 0, 1],
    ['--save-mark', 0xabcd, 1, 0xabcd, 0xabcd],
    ['--save-mark --nfmask 0xff --ctmask 0xff00', 0xabcd, 0x1234, 0xabcd, 0x34 ^ 0xcd],
    ['--save-mark --mask 0xff --left-shift-mark 8', 0xabcd, 0x1234, 0xabcd, 0x1200 ^ 0xcd00],
    ['--restore-mark', 7, 0xdead, 0xdead, 0xdead],
    ['--restore-mark --mask 0xff', 0x700, 0xdead, 0x7ad, 0xdead],
    ['--restore-mark --ctmask 0xff00 --right-shift-mark 8', 0, 0xdead, 0xde, 0xdead],
  ])('CONNMARK %s', (options, mark, ctMark, markAfter, ctMarkAfter) => {
    const bench = new Bench(4, 'mangle');
    bench.conntrack.connection.mark = ctMark;
    const packet = withFields(packetOf(tcp()), { Mark: mark });
    packet.ct = 0;
    expect(bench.bind(`-j CONNMARK ${options}`).target(packet)).toBe(XT_CONTINUE);
    expect([packet.mark, bench.conntrack.connection.mark]).toEqual([markAfter, ctMarkAfter]);
  });
  it('CONNMARK without a connection does nothing', () => {
    const bench = new Bench(4, 'mangle');
    const packet = withFields(packetOf(tcp()), { Mark: 5 });
    bench.bind('-j CONNMARK --save-mark').target(packet);
    expect(bench.conntrack.connection.mark).toBe(0);
  });
});

describe('TTL, TOS, DSCP', () => {
  it.each([
    ['TTL --ttl-set 5', 64, 5],
    ['TTL --ttl-inc 250', 64, 255],
    ['TTL --ttl-dec 65', 64, 0],
    ['TTL --ttl-dec 1', 64, 63],
  ])('%s', (target, before, after) => {
    const packet = craft({ src: '1.1.1.1', dst: '2.2.2.2', protocol: 99, ttl: before, body: new Uint8Array(4) });
    expect(new Bench(4, 'mangle').bind(`-j ${target}`).target(packet)).toBe(XT_CONTINUE);
    expect([packet.ttl, packet.bytes[8]]).toEqual([after, after]);
    expect(checksumOf(sumBytes(packet.bytes, 0, 20))).toBe(0);
  });
  it('HL on IPv6', () => {
    const packet = packetOf(tcp({ v6: true }));
    new Bench(6, 'mangle').bind('-j HL --hl-set 9').target(packet);
    expect([packet.ttl, packet.bytes[7]]).toEqual([9, 9]);
  });
  it.each([
    ['TOS --set-tos 0x10', 0xff, 0x10],
    ['TOS --set-tos Minimize-Delay', 0xc7, 0xd0],
    ['TOS --and-tos 0x0f', 0xff, 0x0f],
    ['TOS --or-tos 0x02', 0x10, 0x12],
    ['TOS --xor-tos 0x03', 0x11, 0x12],
    ['DSCP --set-dscp-class EF', 0x03, 0xbb],
    ['DSCP --set-dscp 0', 0xbb, 0x03],
  ])('%s', (target, before, after) => {
    for (const v6 of [false, true]) {
      const packet = packetOf(tcp({ tos: before, v6 }));
      new Bench(v6 ? 6 : 4, 'mangle').bind(`-j ${target}`).target(packet);
      packet[v6 ? 'parse6' : 'parse4'](0, packet.bytes.length, packet.bytes.length);
      expect([packet.tos, sumsHold(packet)]).toEqual([after, true]);
    }
  });
});

describe('NOTRACK, CT, TRACE', () => {
  const run = (target: string, packet: Packet) => new Bench(4, 'raw').bind(`-j ${target}`, 'PREROUTING').target(packet);
  it.each(['NOTRACK', 'CT --notrack'])('%s exempts', (target) => {
    const packet = packetOf(tcp());
    expect(run(target, packet)).toBe(XT_CONTINUE);
    expect([packet.untracked, packet.f[21]]).toEqual([true, CT_STATE_UNTRACKED]);
  });
  it.each([
    ['CT --zone 5', 5, 5],
    ['CT --zone-orig 5', 5, 0],
    ['CT --zone-reply 5', 0, 5],
    ['CT', 0, 0],
  ])('%s', (target, original, reply) => {
    const packet = withFields(packetOf(tcp()), { Mark: 0x12345 });
    run(target, packet);
    expect([packet.hasTemplate, packet.templateZoneOriginal, packet.templateZoneReply]).toEqual([
      true,
      original,
      reply,
    ]);
    expect(packet.f[21]).toBe(CT_STATE_NEW);
  });
  it.each([
    ['CT --zone mark', 3],
    ['CT --zone-orig mark', 1],
    ['CT --zone-reply mark', 2],
  ])('%s leaves the mark to conntrack', (target, sides) => {
    const packet = withFields(packetOf(tcp()), { Mark: 0x12345 });
    run(target, packet);
    expect([packet.templateZoneFromMark, packet.templateZoneOriginal, packet.templateZoneReply]).toEqual([sides, 0, 0]);
  });
  it('the first decision stays', () => {
    const packet = packetOf(tcp());
    run('CT --zone 5', packet);
    run('NOTRACK', packet);
    run('CT --zone 6', packet);
    expect([packet.untracked, packet.templateZoneOriginal]).toEqual([false, 5]);
    const tracked = packetOf(tcp());
    tracked.ct = 3;
    run('NOTRACK', tracked);
    expect(tracked.untracked).toBe(false);
  });
  it('TRACE marks the packet', () => {
    const packet = packetOf(tcp());
    run('TRACE', packet);
    expect(packet.traced).toBe(true);
  });
});

describe('NAT targets hand a range to conntrack', () => {
  const MAP_IPS = 1;
  const PROTO = 2;
  const RANDOM = 4;
  const PERSISTENT = 8;
  const RANDOM_FULLY = 16;
  const OFFSET = 32;
  const ip = (a: number) => [a, 0, 0, 0];
  const any = { minAddress: ip(0), maxAddress: ip(0), minPort: 0, maxPort: 0, basePort: 0 };
  it.each([
    // target                                             chain          hook  manip  range
    [
      'DNAT --to-destination 1.2.3.4',
      'PREROUTING',
      0,
      1,
      { flags: MAP_IPS, minAddress: ip(0x01020304), maxAddress: ip(0x01020304) },
    ],
    [
      'DNAT --to-destination 200.2.3.4:65535 --random',
      'PREROUTING',
      0,
      1,
      {
        flags: MAP_IPS | PROTO | RANDOM,
        minAddress: ip(0xc8020304),
        maxAddress: ip(0xc8020304),
        minPort: 65535,
        maxPort: 65535,
      },
    ],
    [
      'DNAT --to-destination 1.2.3.4-1.2.3.9 --persistent',
      'OUTPUT',
      3,
      1,
      { flags: MAP_IPS | PERSISTENT, minAddress: ip(0x01020304), maxAddress: ip(0x01020309) },
    ],
    [
      'DNAT --to-destination :80-90/8080 --random',
      'PREROUTING',
      0,
      1,
      { flags: PROTO | RANDOM | OFFSET, minPort: 80, maxPort: 90, basePort: 8080 },
    ],
    [
      'SNAT --to-source 1.2.3.4:1024-65535 --random-fully',
      'POSTROUTING',
      4,
      0,
      {
        flags: MAP_IPS | PROTO | RANDOM_FULLY,
        minAddress: ip(0x01020304),
        maxAddress: ip(0x01020304),
        minPort: 1024,
        maxPort: 65535,
      },
    ],
    [
      'SNAT --to-source 1.2.3.4',
      'INPUT',
      1,
      0,
      { flags: MAP_IPS, minAddress: ip(0x01020304), maxAddress: ip(0x01020304) },
    ],
    [
      'MASQUERADE --to-ports 5-6',
      'POSTROUTING',
      4,
      0,
      { flags: MAP_IPS | PROTO, minAddress: ip(0x0a000001), maxAddress: ip(0x0a000001), minPort: 5, maxPort: 6 },
    ],
    [
      'REDIRECT --to-ports 80',
      'PREROUTING',
      0,
      1,
      { flags: MAP_IPS | PROTO, minAddress: ip(0x0a000001), maxAddress: ip(0x0a000001), minPort: 80, maxPort: 80 },
    ],
    [
      'NETMAP --to 192.168.0.0/16',
      'PREROUTING',
      0,
      1,
      { flags: MAP_IPS, minAddress: ip(0xc0a80002), maxAddress: ip(0xc0a80002) },
    ],
    [
      'NETMAP --to 192.168.0.0/16',
      'POSTROUTING',
      4,
      0,
      { flags: MAP_IPS, minAddress: ip(0xc0a80001), maxAddress: ip(0xc0a80001) },
    ],
  ] as const)('%s in %s', (target, chain, hook, manip, range) => {
    const bench = new Bench(4, 'nat');
    bench.conntrack.connection.tuples = [{ address: Uint32Array.of(1, 0, 0, 0, 2, 0, 0, 0) }, {}];
    const packet = packetOf(tcp());
    packet.ct = 0;
    packet.hook = hook;
    const bound = bench.bind(`-p tcp -j ${target}`, chain);
    expect(bound.target(packet)).toBe(NF_ACCEPT);
    expect(bench.conntrack.nat).toEqual([{ range: { ...any, ...range }, manip, hook }]);
    if (bound.words === undefined) return;
    expect(bound.words(packet)).toBe(NF_ACCEPT);
    expect(bench.conntrack.nat[1]).toEqual(bench.conntrack.nat[0]);
  });
  it('no address to take: dropped', () => {
    for (const [target, chain] of [
      ['MASQUERADE', 'POSTROUTING'],
      ['REDIRECT', 'PREROUTING'],
    ] as const) {
      const bench = new Bench(4, 'nat');
      bench.conntrack.connection.tuples = [{ address: Uint32Array.of(1, 0, 0, 0, 2, 0, 0, 0) }, {}];
      bench.host.address = undefined;
      expect(bench.bind(`-j ${target}`, chain).target(packetOf(tcp()))).toBe(NF_DROP);
      expect(bench.conntrack.nat).toEqual([]);
    }
  });
  it('MASQUERADE leaves the source 0.0.0.0 alone', () => {
    const bench = new Bench(4, 'nat');
    expect(bench.bind('-j MASQUERADE', 'POSTROUTING').target(packetOf(tcp()))).toBe(NF_ACCEPT);
    expect(bench.conntrack.nat).toEqual([]);
  });
});

it('REJECT answers and drops', () => {
  const bench = new Bench();
  expect(bench.bind('-j REJECT --reject-with host-unreach').target(packetOf(tcp()))).toBe(NF_DROP);
  expect(bench.host.rejects).toEqual(['icmp-host-unreachable']);
});

describe('TCPMSS', () => {
  const mssOf = (packet: Packet, at = 20) => packet.view.getUint16(packet.l4Off + at + 2);
  const run = (options: string, bytes: Uint8Array, family: Family = 4, mtu = 1500) => {
    const bench = new Bench(family, 'mangle');
    bench.host.mtu = mtu;
    const packet = packetOf(bytes);
    const verdict = bench.bind(`-p tcp --syn -j TCPMSS ${options}`, CHAIN.mangle).target(packet);
    return { packet, verdict };
  };
  const withMss = [2, 4, 5, 180]; // 1460
  it.each([
    ['--set-mss 1000', 1500, 1000],
    ['--set-mss 1460', 1500, 1460],
    ['--set-mss 1461', 1500, 1460],
    ['--clamp-mss-to-pmtu', 1400, 1360],
    ['--clamp-mss-to-pmtu', 9000, 1460],
  ])('%s with an MTU of %d: %d', (options, mtu, mss) => {
    const { packet, verdict } = run(options, tcp({ options: withMss }), 4, mtu);
    expect([verdict, mssOf(packet), sumsHold(packet)]).toEqual([XT_CONTINUE, mss, true]);
  });
  it('IPv6 takes 60 off', () => {
    const { packet } = run('--clamp-mss-to-pmtu', tcp({ options: withMss, v6: true }), 6, 1400);
    expect([mssOf(packet), sumsHold(packet)]).toEqual([1340, true]);
  });
  it.each([
    [4, '--set-mss 1460', 536],
    [4, '--set-mss 500', 500],
    [6, '--set-mss 1460', 1220],
  ] as const)('IPv%d without the option, %s: adds %d', (family, options, mss) => {
    const { packet, verdict } = run(options, tcp({ v6: family === 6, options: [1, 1, 4, 2] }), family);
    const size = family === 4 ? 48 : 68;
    expect([verdict, mssOf(packet), packet.length, packet.bytes.length]).toEqual([XT_CONTINUE, mss, size, size]);
    expect([...packet.bytes.subarray(packet.l4Off + 20)]).toEqual([2, 4, mss >> 8, mss & 255, 1, 1, 4, 2]);
    expect([packet.bytes[packet.l4Off + 12]! >> 4, sumsHold(packet)]).toEqual([7, true]);
    const again = packetOf(packet.bytes.slice());
    expect(again.length).toBe(size);
  });
  it('adds nothing to a segment with data, or to a full header', () => {
    expect(run('--set-mss 500', tcp({ payload: new Uint8Array(3) })).packet.length).toBe(43);
    expect(run('--set-mss 500', tcp({ options: new Array<number>(40).fill(1) })).packet.length).toBe(80);
  });
  it('at an odd offset writes the checksum that the kernel writes: a wrong one', () => {
    const bytes = tcp({ options: [1, 2, 4, 5, 180] });
    const { packet } = run('--set-mss 1000', bytes);
    expect([mssOf(packet, 21), sumsHold(packet)]).toEqual([1000, false]);
  });
  it('drops broken headers, passes later fragments', () => {
    expect(run('--set-mss 500', shortened4(tcp(), 39)).verdict).toBe(NF_DROP);
    expect(run('--set-mss 500', shortened4(tcp({ options: withMss }), 42)).verdict).toBe(NF_DROP);
    expect(run('--clamp-mss-to-pmtu', tcp(), 4, 40).verdict).toBe(NF_DROP);
    expect(run('--set-mss 500', asFragment4(tcp({ options: withMss, flags: SYN | ACK }), 2, false)).verdict).toBe(
      XT_CONTINUE,
    );
  });
});
