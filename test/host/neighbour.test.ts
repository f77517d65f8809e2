/**
 * Packets whose next hop has no known hardware address. The table says what Linux 6.18 did between three namespaces joined
 * by veth: a packet at a time, the neighbour absent or told later.
 */
import { describe, expect, it } from 'vitest';
import type { HostOptions } from '../../src/host/host.js';
import { icmpBody, ipBytes, udpBody } from '../support/craft.js';
import { asFragment4 } from '../support/fragment.js';
import { configOf, type Lab, type LabOptions, makeLab, words } from './lab.js';

const SECOND = 1_000_000;

const UNKNOWN = { assumeNeighbours: false } satisfies Partial<HostOptions>;
const CLIENT4 = '10.0.0.2';
const CLIENT6 = 'fd00:a::2';

const udp = (src: string, dst: string, mark = 0, size = 10) =>
  ipBytes({ src, dst, protocol: 17, body: udpBody(5000 + mark, 7, new Uint8Array(size)) });

/** A router that knows the clients on eth0 and nobody on eth1. */
function router(more: LabOptions = {}): Lab {
  const lab = makeLab({ ...more, options: { ...UNKNOWN, ...more.options } });
  lab.host.learnNeighbour(lab.host.deviceIndex('eth0'), 4, words(CLIENT4), 0x0200, 2);
  lab.host.learnNeighbour(lab.host.deviceIndex('eth0'), 6, words(CLIENT6), 0x0200, 2);
  return lab;
}

function pass(lab: Lab, us: number): void {
  lab.host.clock.advanceTo(lab.host.clock.nowUs + us);
  lab.host.runTimers();
}

const linesOf = (lab: Lab) => lab.sent.map((f) => f.line);

const MASQUERADE = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p icmp
-A OUTPUT -p icmp -m conntrack --ctstate RELATED
COMMIT
`;

describe('a next hop that does not answer', () => {
  it.each([
    // what                      source     destination     by   answers, each after three seconds
    ['IPv4 forwarded', CLIENT4, '10.1.0.77', ['eth0 10.0.0.1 > 10.0.0.2 icmp 3/1 ttl 64 len 66']],
    ['IPv4 behind a gateway', CLIENT4, '10.9.0.1', ['eth0 10.0.0.1 > 10.0.0.2 icmp 3/1 ttl 64 len 66']],
    ['IPv6 forwarded', CLIENT6, 'fd00:b::77', ['eth0 fd00:a::1 > fd00:a::2 icmp6 1/3 ttl 64 len 106']],
    // The host tells itself, by lo.
    ['IPv4 own', '10.1.0.1', '10.1.0.77', ['lo 10.1.0.1 > 10.1.0.1 icmp 3/1 ttl 64 len 66']],
    ['IPv6 own', 'fd00:b::1', 'fd00:b::77', ['lo fd00:b::1 > fd00:b::1 icmp6 1/3 ttl 64 len 106']],
  ])('%s: the sender is told', (_what, src, dst, answers) => {
    const lab = router({ routes: ['10.9.0.0/24 via 10.1.0.222 eth1'] });
    const isOwn = src.endsWith('.1') || src.endsWith('::1');
    for (let i = 0; i < 3; i++) {
      if (isOwn) lab.send(udp(src, dst, i));
      else lab.receive('eth0', udp(src, dst, i));
      pass(lab, 400_000);
    }
    expect(linesOf(lab)).toEqual([]);
    pass(lab, 3 * SECOND - 1_200_001);
    expect(linesOf(lab)).toEqual([]);
    expect(lab.dropped).toEqual([]);
    pass(lab, 1);
    // All that waited are answered when the first has waited for three seconds.
    expect(linesOf(lab)).toEqual([...answers, ...answers, ...answers]);
    expect(lab.dropped.filter((d) => d.startsWith('send'))).toEqual(Array(3).fill('send: no neighbour'));
    expect(lab.delivered).toHaveLength(isOwn ? 3 : 0);
  });

  it('the answer is translated back', () => {
    const lab = router({ rules: MASQUERADE });
    lab.receive('eth0', udp(CLIENT4, '10.1.0.77'));
    pass(lab, 3 * SECOND);
    // From the address that the masqueraded packet came from: the error was made for the host itself.
    expect(linesOf(lab)).toEqual(['eth0 10.1.0.1 > 10.0.0.2 icmp 3/1 ttl 64 len 66']);
    const quoted = lab.sent[0]!.bytes.subarray(28);
    expect([...quoted.subarray(12, 22)]).toEqual([10, 0, 0, 2, 10, 1, 0, 77, 5000 >> 8, 5000 & 255]);
    expect(quoted[8]).toBe(63);
    expect(lab.counters()).toContain('filter OUTPUT 0: 1');
    expect(lab.counters()).not.toContain('filter INPUT 0: 1');
  });

  it('six errors at once, as ever', () => {
    const lab = router();
    for (let i = 0; i < 20; i++) lab.receive('eth0', udp(CLIENT4, '10.1.0.79', i));
    pass(lab, 3 * SECOND);
    expect(lab.sent).toHaveLength(6);
    expect(lab.dropped).toHaveLength(20);
  });

  it('nothing is told of errors', () => {
    const lab = router();
    const error = icmpBody(3, 1, 0, udp('10.1.0.77', CLIENT4));
    lab.receive('eth0', ipBytes({ src: CLIENT4, dst: '10.1.0.77', protocol: 1, body: error }));
    pass(lab, 3 * SECOND);
    expect(linesOf(lab)).toEqual([]);
    expect(lab.dropped).toEqual(['send: no neighbour']);
  });

  it('is asked anew by the next packet', () => {
    const lab = router();
    lab.receive('eth0', udp(CLIENT4, '10.1.0.200'));
    pass(lab, 4 * SECOND);
    lab.receive('eth0', udp(CLIENT4, '10.1.0.200', 1));
    pass(lab, 3 * SECOND - 1);
    expect(lab.sent).toHaveLength(1);
    pass(lab, 1);
    expect(lab.sent).toHaveLength(2);
  });

  it.each([
    ['3', '1000', 3_000_000],
    ['1', '1000', 1_000_000],
    ['3', '200', 600_000],
  ])('mcast_solicit %s, retrans_time_ms %s: %d µs', (count, interval, us) => {
    const sysctl = {
      'net.ipv4.neigh.default.mcast_solicit': '7',
      'net.ipv4.neigh.eth1.mcast_solicit': count,
      'net.ipv4.neigh.eth1.retrans_time_ms': interval,
    };
    const lab = router({ sysctl });
    lab.receive('eth0', udp(CLIENT4, '10.1.0.77'));
    pass(lab, us - 1);
    expect(lab.sent).toHaveLength(0);
    pass(lab, 1);
    expect(lab.sent).toHaveLength(1);
  });

  it('that is never asked drops at once', () => {
    const lab = router({ sysctl: { 'net.ipv4.neigh.default.mcast_solicit': '0' } });
    lab.receive('eth0', udp(CLIENT4, '10.1.0.77'));
    expect(lab.dropped).toEqual(['send: too many packets wait for a neighbour']);
  });

  it('IPv4 datagrams in pieces: one error, about the first piece', () => {
    const lab = router();
    lab.send(asFragment4(udp('10.1.0.1', '10.1.0.77', 0, 4000), 0, false));
    pass(lab, 3 * SECOND);
    expect(linesOf(lab)).toEqual(['lo 10.1.0.1 > 10.1.0.1 icmp 3/1 ttl 64 len 576']);
    // Total length and fragment word of the quoted header.
    expect([...lab.sent[0]!.bytes.subarray(30, 32)]).toEqual([1500 >> 8, 1500 & 255]);
    expect(lab.sent[0]!.bytes[34]! & 0x20).toBe(0x20);
  });

  it('IPv6 datagrams in pieces: an error for each', () => {
    const lab = router();
    lab.send(udp('fd00:b::1', 'fd00:b::77', 0, 4000));
    pass(lab, 3 * SECOND);
    expect(linesOf(lab)).toEqual(
      [1280, 1280, 1208].map((length) => `lo fd00:b::1 > fd00:b::1 icmp6 1/3 ttl 64 len ${length}`),
    );
  });
});

describe('a next hop that is told in time', () => {
  it.each([
    [4, CLIENT4, '10.1.0.77'],
    [6, CLIENT6, 'fd00:b::77'],
  ] as const)('IPv%d: what waited goes in order, before what told it is looked at', (family, src, dst) => {
    const lab = router();
    for (let i = 0; i < 4; i++) lab.receive('eth0', udp(src, dst, i));
    pass(lab, 1_500_000);
    expect(lab.sent).toEqual([]);
    lab.receive('eth1', udp(dst, src));
    const length = family === 4 ? 38 : 58;
    expect(linesOf(lab)).toEqual([
      ...[5000, 5001, 5002, 5003].map((port) => `eth1 ${src} > ${dst} udp ${port}>7 ttl 63 len ${length}`),
      `eth0 ${dst} > ${src} udp 5000>7 ttl 63 len ${length}`,
    ]);
    expect(lab.sent[0]!.mac.slice(0, 12)).toBe('02ff00000003');
    pass(lab, 10 * SECOND);
    expect(lab.sent).toHaveLength(5);
    expect(lab.dropped).toEqual([]);
  });

  it('a gateway, by a packet from beyond it', () => {
    const lab = router({ routes: ['10.9.0.0/24 via 10.1.0.222 eth1'] });
    lab.receive('eth0', udp(CLIENT4, '10.9.0.1'));
    lab.receive('eth1', udp('10.9.0.5', CLIENT4));
    expect(linesOf(lab)[0]).toBe('eth1 10.0.0.2 > 10.9.0.1 udp 5000>7 ttl 63 len 38');
  });

  it.each([
    // payload, packets of 600 that the kernel sent: the oldest make room for the newest
    [10, 256],
    [500, 166],
    [1400, 92],
  ])('of 600 packets of %d bytes %d are kept, the last', (size, kept) => {
    const lab = router();
    for (let i = 0; i < 600; i++) lab.receive('eth0', udp(CLIENT4, '10.1.0.77', i, size));
    expect(lab.dropped).toEqual(Array(600 - kept).fill('send: too many packets wait for a neighbour'));
    lab.host.learnNeighbour(lab.host.deviceIndex('eth1'), 4, words('10.1.0.77'), 0x0200, 7);
    expect(lab.sent).toHaveLength(kept);
    expect(linesOf(lab).at(-1)).toContain('udp 5599>7');
    expect(linesOf(lab)[0]).toContain(`udp ${5600 - kept}>7`);
  });

  it('other next hops wait on', () => {
    const lab = router();
    lab.receive('eth0', udp(CLIENT4, '10.1.0.77'));
    lab.receive('eth0', udp(CLIENT4, '10.1.0.78'));
    lab.receive('eth1', udp('10.1.0.78', CLIENT4));
    expect(lab.sent).toHaveLength(2);
    pass(lab, 3 * SECOND);
    expect(linesOf(lab)[2]).toBe('eth0 10.0.0.1 > 10.0.0.2 icmp 3/1 ttl 64 len 66');
  });

  it('by a frame that the host was seen to send', () => {
    const lab = router();
    const ip = udp('10.1.0.1', '10.1.0.77');
    const bytes = new Uint8Array(14 + ip.length);
    bytes.set([2, 0, 0, 0, 0, 0x77, 2, 0, 0, 0, 0, 0x12, 8, 0]);
    bytes.set(ip, 14);
    lab.receive('eth0', udp(CLIENT4, '10.1.0.77'));
    lab.host.learnFromSent({
      bytes,
      view: new DataView(bytes.buffer),
      start: 0,
      l3Off: 14,
      capturedEnd: bytes.length,
      originalEnd: bytes.length,
      family: 4,
      device: lab.host.deviceIndex('eth1'),
      macOff: 0,
      pktType: -1,
      offloaded: false,
    });
    expect(lab.sent.map((f) => [f.line, f.mac.slice(0, 12)])).toEqual([
      ['eth1 10.0.0.2 > 10.1.0.77 udp 5000>7 ttl 63 len 38', '020000000077'],
    ]);
  });

  it('no more neighbours are waited for than the table holds', () => {
    const lab = router({
      devices: [
        { name: 'lo', addresses: ['127.0.0.1/8'], kind: 'loopback', mtu: 65536 },
        { name: 'eth0', addresses: ['10.0.0.1/24'] },
        { name: 'eth1', addresses: ['10.1.0.1/16'] },
      ],
    });
    for (let i = 0; i < 1100; i++) lab.receive('eth0', udp(CLIENT4, `10.1.${1 + (i >> 8)}.${i & 255}`));
    expect(lab.dropped).toHaveLength(1100 - 1024);
  });
});

it.each([
  [4, CLIENT4, '10.1.0.77'],
  [6, CLIENT6, 'fd00:b::77'],
] as const)('IPv%d: a device without ARP sends to its own hardware address', (_family, src, dst) => {
  const base = configOf({});
  const devices = base.devices.map((d) => (d.name === 'eth1' ? { ...d, noArp: true } : d));
  const lab = router({ config: { devices } });
  lab.receive('eth0', udp(src, dst));
  expect(lab.sent.map((f) => [f.device, f.mac])).toEqual([['eth1', '020000000012020000000012']]);
});
