/** Gathering and cutting (spec 1.7, 9). What is expected here was seen on Linux 6.18. */
import { describe, expect, it } from 'vitest';
import { checksumOf, sumBytes } from '../../src/net/checksum.js';
import { be16, be32, bytesOf, icmpBody, ipBytes, udpBody } from '../support/craft.js';
import { type Lab, makeLab } from './lab.js';

const TRACKING = `*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
-A FORWARD -m conntrack --ctstate INVALID
COMMIT
`;
const payload = (size: number) => Uint8Array.from({ length: size }, (_, i) => i & 255);

interface Cut {
  readonly sizes: readonly number[];
  readonly tos?: readonly number[];
  readonly df?: readonly number[];
  readonly id?: number;
}

/** Cuts a whole IPv4 packet into pieces of the given payload sizes; each piece may have its own TOS, DF. */
function pieces4(whole: Uint8Array, cut: Cut): Uint8Array[] {
  const body = whole.subarray(20);
  let at = 0;
  return cut.sizes.map((size, i) => {
    const part = body.subarray(at, at + size);
    const more = at + size < body.length ? 0x2000 : 0;
    const piece = bytesOf(whole.subarray(0, 20), part);
    const frag = ((cut.df?.[i] ?? 0) << 14) | more | (at >> 3);
    piece[1] = cut.tos?.[i] ?? 0;
    piece.set(be16(20 + part.length), 2);
    piece.set(be16(cut.id ?? 7), 4);
    piece.set(be16(frag), 6);
    piece.set([0, 0], 10);
    piece.set(be16(checksumOf(sumBytes(piece, 0, 20))), 10);
    at += size;
    return piece;
  });
}

/** The same for IPv6, with a fragment header. */
function pieces6(whole: Uint8Array, sizes: readonly number[], id = 7): Uint8Array[] {
  const body = whole.subarray(40);
  let at = 0;
  return sizes.map((size) => {
    const part = body.subarray(at, at + size);
    const more = at + size < body.length ? 1 : 0;
    const piece = bytesOf(whole.subarray(0, 40), whole[6]!, 0, be16(at | more), be32(id), part);
    piece.set(be16(8 + part.length), 4);
    piece[6] = 44;
    at += size;
    return piece;
  });
}

const lines = (lab: Lab) => lab.sent.map((f) => f.line.replace('eth1 10.0.0.2 > 10.1.0.2 udp ', ''));
const big = ipBytes({ src: '10.0.0.2', dst: '10.1.0.2', protocol: 17, body: udpBody(5000, 53, payload(2048)) });

describe('IPv4, tracking on', () => {
  const run = (cut: Cut, order?: readonly number[], more: Partial<Parameters<typeof makeLab>[0]> = {}) => {
    const lab = makeLab({ rules: TRACKING, ...more });
    const pieces = pieces4(big, cut);
    for (const i of order ?? pieces.keys()) lab.receive('eth0', pieces[i]!);
    return lab;
  };

  it.each([
    ['in order', [1024, 1024, 8], [0, 1, 2]],
    ['backwards', [1024, 1024, 8], [2, 1, 0]],
    ['one piece twice', [800, 800, 456], [1, 1, 0, 2]],
  ])('%s: leaves as it was cut', (_name, sizes, order) => {
    const lab = run({ sizes }, order);
    let at = 0;
    const expected = sizes.map((size, i) => {
      const line = `frag ${at}${i < sizes.length - 1 ? '+' : ''} ttl 63 len ${20 + size}`;
      at += size;
      return line;
    });
    expect(lines(lab)).toEqual(expected);
    expect(lab.counters()).toContain('filter FORWARD: 1');
  });

  it.each([
    ['ECT and CE: CE', [1, 3], 2],
    ['not-ECT and CE: dropped', [0, 3], 0],
  ])('ECN of pieces, %s', (_name, tos, count) => {
    const lab = run({ sizes: [1200, 856], tos });
    expect(lab.sent).toHaveLength(count);
    for (const frame of lab.sent) expect(frame.bytes[1]! & 3).toBe(3);
  });

  it('an overlap throws the whole queue away', () => {
    const lab = makeLab({ rules: TRACKING });
    const [first, , last] = pieces4(big, { sizes: [800, 800, 456] });
    const [, shifted] = pieces4(big, { sizes: [792, 808, 456] });
    for (const piece of [first!, shifted!, last!]) lab.receive('eth0', piece);
    expect(lab.sent).toEqual([]);
    expect(lab.dropped).toEqual(['reassembly: fragments overlap']);
  });

  it('pieces with DF may not be cut smaller, pieces without may', () => {
    const devices = [
      { name: 'eth0', addresses: ['10.0.0.1/24'] },
      { name: 'eth1', addresses: ['10.1.0.1/24'], mtu: 1300 },
    ];
    const withDf = run({ sizes: [1480, 576], df: [1, 1] }, undefined, { devices });
    expect(withDf.sent.map((f) => f.line)).toEqual(['eth0 10.0.0.1 > 10.0.0.2 icmp 3/4 ttl 64 len 576']);
    const without = run({ sizes: [1480, 576] }, undefined, { devices });
    expect(lines(without)).toEqual(['frag 0+ ttl 63 len 1300', 'frag 1280 ttl 63 len 796']);
  });

  it('time is up: a host says so, a router does not', () => {
    for (const [dst, answer] of [
      ['10.0.0.1', 1],
      ['10.1.0.2', 0],
    ] as const) {
      const lab = makeLab({ rules: TRACKING });
      const whole = ipBytes({ src: '10.0.0.2', dst, protocol: 17, body: udpBody(1, 2, payload(800)) });
      lab.receive('eth0', pieces4(whole, { sizes: [400, 408] })[0]!);
      lab.host.clock.advanceTo(lab.host.clock.nowUs + 29_000_000);
      lab.host.runTimers();
      expect(lab.dropped).toEqual([]);
      lab.host.clock.advanceTo(lab.host.clock.nowUs + 2_000_000);
      lab.host.runTimers();
      expect(lab.sent.map((f) => f.line)).toEqual(
        answer === 0 ? [] : ['eth0 10.0.0.1 > 10.0.0.2 icmp 11/1 ttl 64 len 448'],
      );
      expect(lab.dropped).toEqual(['reassembly: fragments not completed in time']);
    }
  });
});

describe('IPv4, tracking off', () => {
  it('fragments are forwarded one by one', () => {
    const lab = makeLab({ rules: TRACKING.replace(/-A.*\n/, '') });
    for (const piece of pieces4(big, { sizes: [1024, 1024, 8] })) lab.receive('eth0', piece);
    expect(lab.sent).toHaveLength(3);
    expect(lab.counters()).toContain('filter FORWARD: 3');
  });

  it('a datagram for the host is whole at INPUT', () => {
    const lab = makeLab({ rules: TRACKING.replace(/-A.*\n/, '') });
    const whole = ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 1, body: icmpBody(8, 0, payload(2000)) });
    for (const piece of pieces4(whole, { sizes: [1480, 524] })) lab.receive('eth0', piece);
    expect(lab.counters()).toContain('filter INPUT: 1');
    expect(lab.sent.map((f) => f.line)).toEqual([
      'eth0 10.0.0.1 > 10.0.0.2 icmp frag 0+ ttl 64 len 1500',
      'eth0 10.0.0.1 > 10.0.0.2 icmp frag 1480 ttl 64 len 544',
    ]);
  });
});

describe('IPv6', () => {
  const big6 = ipBytes({ src: 'fd00:a::2', dst: 'fd00:b::2', protocol: 17, body: udpBody(5000, 53, payload(2048)) });

  it('gathered by conntrack, leaves in the same sizes under one new identification', () => {
    const lab = makeLab({ rules6: TRACKING });
    for (const piece of pieces6(big6, [1024, 1024, 8]).reverse()) lab.receive('eth0', piece);
    expect(lab.sent.map((f) => f.line.replace('eth1 fd00:a::2 > fd00:b::2 ', ''))).toEqual([
      'udp frag 0+ ttl 63 len 1072',
      'udp frag 1024+ ttl 63 len 1072',
      'udp frag 2048 ttl 63 len 56',
    ]);
    const ids = lab.sent.map((f) => new DataView(f.bytes.buffer, f.bytes.byteOffset).getUint32(44));
    expect(new Set(ids).size).toBe(1);
    expect(lab.counters(6)).toContain('filter FORWARD: 1');
  });

  it('a piece whose size is no multiple of eight passes conntrack ungathered', () => {
    const lab = makeLab({ rules6: TRACKING });
    lab.receive('eth0', pieces6(big6, [801, 1255])[0]!);
    expect(lab.sent).toHaveLength(1);
  });

  it('without tracking INPUT sees the pieces, the datagram is answered', () => {
    const lab = makeLab({ rules6: TRACKING.replace(/-A.*\n/, '') });
    const whole = ipBytes({ src: 'fd00:a::2', dst: 'fd00:a::1', protocol: 58, body: icmpBody(128, 0, payload(2000)) });
    for (const piece of pieces6(whole, [1200, 804])) lab.receive('eth0', piece);
    expect(lab.counters(6)).toContain('filter INPUT: 2');
    expect(lab.sent).toHaveLength(2);
  });
});
