import { describe, expect, it } from 'vitest';
import {
  IP_CT_RELATED,
  IP_CT_RELATED_REPLY,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
} from '../../src/net/netfilter.js';
import { CSUM_OWN, type Packet } from '../../src/wire/packet.js';
import {
  be16,
  be32,
  bytesOf,
  craft,
  icmpBody,
  ipBytes,
  packetOf,
  RST,
  SYN,
  tcpBody,
  udpBody,
} from '../support/craft.js';
import { A, B, Conversation, stateOf } from './conversation.js';

const udp = (src: string, dst: string, sport: number, dport: number, size = 4): Packet =>
  craft({ src, dst, protocol: 17, body: udpBody(sport, dport, new Uint8Array(size)) });
const icmp = (src: string, dst: string, type: number, id = 77): Packet =>
  craft({ src, dst, protocol: 1, body: icmpBody(type, 0, be16(id), be16(1), new Uint8Array(12)) });
const icmp6 = (src: string, dst: string, type: number): Packet =>
  craft({ src, dst, protocol: 58, body: icmpBody(type, 0, be16(77), be16(1), new Uint8Array(16)) });

describe('UDP', () => {
  it.each([
    // seconds to wait before a packet from A or B, then: state, entry
    [
      'request and quick answer',
      [
        [0, 'A', 'NEW', '30 unreplied'],
        [1, 'B', 'ESTABLISHED', '30'],
        [0, 'A', 'ESTABLISHED', '30'],
      ],
    ],
    [
      'exactly 2 s',
      [
        [0, 'A', 'NEW', '30 unreplied'],
        [2, 'B', 'ESTABLISHED', '30'],
        [0, 'A', 'ESTABLISHED', '30'],
      ],
    ],
    [
      'more than 2 s',
      [
        [0, 'A', 'NEW', '30 unreplied'],
        [1, 'B', 'ESTABLISHED', '30'],
        [1.1, 'A', 'ESTABLISHED', '120 assured'],
      ],
    ],
    [
      'the first answer is late',
      [
        [0, 'A', 'NEW', '30 unreplied'],
        [5, 'B', 'ESTABLISHED', '30'],
        [0, 'B', 'ESTABLISHED', '120 assured'],
      ],
    ],
    [
      'asked again',
      [
        [0, 'A', 'NEW', '30 unreplied'],
        [20, 'A', 'NEW', '30 unreplied'],
      ],
    ],
    [
      'expired at 30 s',
      [
        [0, 'A', 'NEW', '30 unreplied'],
        [30, 'B', 'NEW', '30 unreplied'],
      ],
    ],
  ] as const)('%s', (_, steps) => {
    const talk = new Conversation();
    for (const [wait, from, state, entry] of steps) {
      talk.wait(wait);
      expect([talk.udp(from === 'A'), talk.only]).toEqual([state, entry]);
    }
  });

  const header = (length: number, checksum: number, size: number): Uint8Array =>
    bytesOf(be16(5), be16(7), be16(length), be16(checksum), new Uint8Array(size));
  it.each([
    ['length beyond the packet', header(13, 0, 4), 'INVALID'],
    ['length below 8', header(7, 0, 4), 'INVALID'],
    ['length below the payload, no checksum', header(10, 0, 4), 'NEW'],
    ['wrong checksum', header(12, 0x1234, 4), 'INVALID'],
    ['cut header', bytesOf(be16(5), be16(7), be16(8)), 'INVALID'],
  ])('%s', (_, body, state) => {
    const talk = new Conversation();
    expect(talk.pass(craft({ src: A, dst: B, protocol: 17, body, rawChecksum: true }))).toBe(state);
  });

  it('UDP-Lite: only a checksum made with the number of UDP is right, and one is needed', () => {
    const lite = (checksum: number): Packet =>
      craft({
        src: A,
        dst: B,
        protocol: 136,
        body: bytesOf(be16(9000), be16(7), be16(0), be16(checksum), [97, 98, 99, 100]),
        rawChecksum: true,
      });
    // As a kernel was seen to judge this very packet: right would be 0x36f.
    expect([0x36f, 0x3e6, 0].map((checksum) => new Conversation().pass(lite(checksum)))).toEqual([
      'INVALID',
      'NEW',
      'INVALID',
    ]);
  });

  it('believes the checksums of own packets, at OUTPUT, and when told to', () => {
    const wrong = (): Packet => craft({ src: A, dst: B, protocol: 17, body: header(12, 0x1234, 4), rawChecksum: true });
    const talk = new Conversation();
    const atOutput = wrong();
    talk.ct.track(atOutput, NF_INET_LOCAL_OUT);
    expect(stateOf(atOutput)).toBe('NEW');
    const own = wrong();
    own.csum = CSUM_OWN;
    talk.ct.track(own, NF_INET_PRE_ROUTING);
    expect(stateOf(own)).toBe('NEW');
    expect(new Conversation({ checksum: 0 }).pass(wrong())).toBe('NEW');
  });

  it('an unconfirmed entry is invisible, and vanishes with its packet', () => {
    const talk = new Conversation();
    const first = udp(A, B, 5, 7);
    talk.ct.track(first, NF_INET_PRE_ROUTING);
    expect(talk.ct.expiresIn(first.ct)).toBe(0);
    const second = udp(B, A, 7, 5);
    talk.ct.track(second, NF_INET_PRE_ROUTING);
    expect([stateOf(first), stateOf(second), talk.ct.entries.count]).toEqual(['NEW', 'NEW', 2]);
    talk.ct.drop(second);
    expect([second.ct, talk.ct.entries.count]).toEqual([-1, 1]);
    expect(talk.ct.confirm(first)).toBe(NF_ACCEPT);
    expect(talk.only).toBe('30 unreplied');
  });
});

describe('ICMP queries, GRE, others', () => {
  it.each([
    [8, 'NEW'],
    [13, 'NEW'],
    [15, 'NEW'],
    [17, 'NEW'],
    [0, 'INVALID'],
    [14, 'INVALID'],
    [9, 'INVALID'],
    [10, 'INVALID'],
    [18, 'INVALID'],
    [19, 'INVALID'],
    [42, 'INVALID'],
  ])('ICMP type %i begins: %s', (type, state) => {
    const talk = new Conversation();
    expect(talk.pass(icmp(A, B, type))).toBe(state);
    expect(talk.only).toBe(state === 'NEW' ? '30 unreplied' : 'none');
  });

  it('an echo is answered, and never assured', () => {
    const talk = new Conversation();
    expect(talk.pass(icmp(A, B, 8))).toBe('NEW');
    expect(talk.pass(icmp(A, B, 8))).toBe('NEW');
    expect(talk.pass(icmp(B, A, 0, 78))).toBe('INVALID');
    expect(talk.pass(icmp(B, A, 0))).toBe('ESTABLISHED');
    expect([talk.pass(icmp(A, B, 8)), talk.only]).toEqual(['ESTABLISHED', '30']);
  });

  it.each([
    [128, 'NEW'],
    [139, 'NEW'],
    [129, 'INVALID'],
    [144, 'INVALID'],
    [137, 'INVALID'],
    ...[130, 131, 132, 133, 134, 135, 136, 143].map((type) => [type, 'UNTRACKED'] as const),
  ] as const)('ICMPv6 type %i: %s', (type, state) => {
    expect(new Conversation().pass(icmp6('fd00::1', 'fd00::2', type))).toBe(state);
  });

  it('one connection per address pair of any other protocol', () => {
    const talk = new Conversation();
    const other = (src: string, dst: string, protocol: number): string =>
      talk.pass(craft({ src, dst, protocol, body: new Uint8Array(8) }));
    expect([other(A, B, 99), other(A, B, 99), other(B, A, 99), other(A, B, 99)]).toEqual([
      'NEW',
      'NEW',
      'ESTABLISHED',
      'ESTABLISHED',
    ]);
    expect(talk.only).toBe('600');
    expect(other(A, B, 47)).toBe('NEW');
    expect(other(B, A, 47)).toBe('ESTABLISHED');
    other(A, B, 47);
    expect(talk.entries.map((entry) => talk.ct.expiresIn(entry))).toEqual([600, 180]);
  });

  it('an IPv4 fragment with an offset has no transport header', () => {
    const bytes = ipBytes({ src: A, dst: B, protocol: 17, body: udpBody(5, 7) });
    bytes.set(be16(10), 6);
    bytes.set([0, 0], 10);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
    bytes.set(be16(~((sum & 0xffff) + (sum >>> 16)) & 0xffff), 10);
    expect(new Conversation().pass(packetOf(bytes))).toBe('INVALID');
  });

  it('looks behind an AH header, and finds nothing behind "no next header"', () => {
    const ah = bytesOf(17, 4, [0, 0], be32(1), be32(2), new Uint8Array(12), udpBody(5, 7));
    const talk = new Conversation();
    expect(talk.pass(craft({ src: 'fd00::1', dst: 'fd00::2', protocol: 51, body: ah }))).toBe('NEW');
    expect(talk.ct.protocol(talk.entries[0]!)).toBe(17);
    expect(talk.pass(craft({ src: 'fd00::1', dst: 'fd00::2', protocol: 59, body: new Uint8Array(0) }))).toBe('INVALID');
  });
});

describe('ICMP errors', () => {
  const ROUTER = '10.9.9.9';
  /** An error from `from` to `to` that quotes the packet's header and `size` bytes of transport header. */
  const about = (packet: Uint8Array, from: string, to: string, size = 8, type = 3): Packet =>
    craft({ src: from, dst: to, protocol: 1, body: icmpBody(type, 1, [0, 0, 0, 0], packet.subarray(0, 20 + size)) });
  const request = ipBytes({ src: A, dst: B, protocol: 17, body: udpBody(5, 7) });
  const answer = ipBytes({ src: B, dst: A, protocol: 17, body: udpBody(7, 5) });

  const opened = (): Conversation => {
    const talk = new Conversation();
    talk.udp(true);
    return talk;
  };

  it.each([
    ['about the request, from a router', about(request, ROUTER, A), 'RELATED', 1],
    ['about the request, 4 bytes quoted', about(request, ROUTER, A, 4), 'RELATED', 1],
    ['3 bytes quoted', about(request, ROUTER, A, 3), 'INVALID', 0],
    ['about the answer', about(answer, ROUTER, B), 'RELATED', 0],
    ['to somebody else', about(request, ROUTER, '10.1.0.3'), 'INVALID', 0],
    ['time exceeded', about(request, ROUTER, A, 8, 11), 'RELATED', 1],
    ['redirect', about(request, ROUTER, A, 8, 5), 'RELATED', 1],
    [
      'about an unknown packet',
      about(ipBytes({ src: A, dst: B, protocol: 17, body: udpBody(5, 8) }), ROUTER, A),
      'INVALID',
      0,
    ],
  ])('%s', (_, error, state, direction) => {
    const talk = opened();
    talk.wait(10);
    expect(talk.pass(error)).toBe(state);
    expect(error.ctDir).toBe(direction);
    if (state === 'RELATED') expect(error.ctInfo).toBe(direction === 1 ? IP_CT_RELATED_REPLY : IP_CT_RELATED);
    // Neither refreshed nor replied.
    expect(talk.only).toBe('20 unreplied');
  });

  it('about an echo needs 8 bytes of it', () => {
    const talk = new Conversation();
    talk.pass(icmp(A, B, 8));
    const echo = ipBytes({ src: A, dst: B, protocol: 1, body: icmpBody(8, 0, be16(77), be16(1)) });
    expect(talk.pass(about(echo, ROUTER, A, 7))).toBe('INVALID');
    expect(talk.pass(about(echo, ROUTER, A, 8))).toBe('RELATED');
  });

  it('ICMPv6', () => {
    const talk = new Conversation();
    const inner = { src: 'fd00::1', dst: 'fd00::2', protocol: 17, body: udpBody(5, 7) };
    talk.pass(craft(inner));
    const error = (type: number): Packet =>
      craft({ src: 'fd00::9', dst: 'fd00::1', protocol: 58, body: icmpBody(type, 0, [0, 0, 0, 0], ipBytes(inner)) });
    expect([1, 2, 3, 4, 100, 127].map((type) => talk.pass(error(type)))).toEqual(new Array(6).fill('RELATED'));
  });
});

describe('zones', () => {
  const inZone = (packet: Packet, original: number, reply: number): Packet => {
    packet.hasTemplate = true;
    packet.templateZoneOriginal = original;
    packet.templateZoneReply = reply;
    return packet;
  };

  it('hold equal tuples apart', () => {
    const talk = new Conversation();
    expect(talk.pass(inZone(udp(A, B, 5, 7), 5, 5))).toBe('NEW');
    expect(talk.pass(udp(B, A, 7, 5))).toBe('NEW');
    expect(talk.pass(inZone(udp(B, A, 7, 5), 5, 5))).toBe('ESTABLISHED');
    expect(talk.entries.map((entry) => [talk.ct.zone(entry, 0), talk.ct.zone(entry, 1)])).toEqual([
      [5, 5],
      [0, 0],
    ]);
  });

  it('of the original direction only: the answer comes without', () => {
    const talk = new Conversation();
    expect(talk.pass(inZone(udp(A, B, 5, 7), 5, 0))).toBe('NEW');
    // Its reply tuple is taken, by a connection that began in another zone.
    expect(talk.pass(udp(A, B, 5, 7))).toBe('NEW, clash');
    expect(talk.entries).toHaveLength(1);
    expect(talk.pass(udp(B, A, 7, 5))).toBe('ESTABLISHED');
    expect(talk.pass(inZone(udp(A, B, 5, 7), 5, 0))).toBe('ESTABLISHED');
  });
});

describe('limits', () => {
  it('a full table drops what would begin, and takes the rest', () => {
    const talk = new Conversation({ max: 2, buckets: 1 << 20 });
    expect([talk.pass(udp(A, B, 1, 7)), talk.pass(udp(A, B, 2, 7))]).toEqual(['NEW', 'NEW']);
    expect(talk.pass(udp(A, B, 3, 7))).toBe('dropped');
    expect(talk.pass(udp(B, A, 7, 1))).toBe('ESTABLISHED');
    talk.wait(31);
    expect(talk.pass(udp(A, B, 3, 7))).toBe('NEW');
  });

  it('makes room at the cost of what is not assured', () => {
    const talk = new Conversation({ max: 2, buckets: 1 });
    for (const [wait, fromA] of [
      [0, true],
      [1, false],
      [2, true],
    ] as const) {
      talk.wait(wait);
      talk.udp(fromA);
    }
    expect(talk.only).toBe('120 assured');
    expect([talk.pass(udp(A, B, 2, 7)), talk.pass(udp(A, B, 3, 7))]).toEqual(['NEW', 'NEW']);
    expect(talk.entries).toHaveLength(2);
    expect(talk.udp(true)).toBe('ESTABLISHED');
  });
});

describe('answers of the host', () => {
  it('carry the entry of their cause in the opposite direction, and confirm nothing', () => {
    const talk = new Conversation();
    const cause = udp(A, B, 5, 7);
    talk.ct.track(cause, NF_INET_PRE_ROUTING);
    const answer = icmp(B, A, 3);
    talk.ct.attach(answer, cause);
    talk.ct.track(answer, NF_INET_LOCAL_OUT);
    expect([stateOf(answer), answer.ct === cause.ct, answer.ctDir]).toEqual(['RELATED', true, 1]);
    expect(talk.ct.confirm(answer)).toBe(NF_ACCEPT);
    talk.ct.drop(answer);
    expect([talk.only, talk.ct.entries.count]).toEqual(['none', 1]);
    talk.ct.drop(cause);
    expect(talk.ct.entries.count).toBe(0);
  });

  it('a reset of REJECT closes a confirmed connection', () => {
    const talk = new Conversation();
    const syn = (): Packet => craft({ src: A, dst: B, protocol: 6, body: tcpBody({ sport: 1, dport: 2, flags: SYN }) });
    const first = syn();
    talk.ct.track(first, NF_INET_PRE_ROUTING);
    talk.ct.rejectedByReset(first);
    talk.ct.confirm(first);
    expect(talk.only).toBe('SYN_SENT 120 unreplied');
    const again = syn();
    talk.ct.track(again, NF_INET_PRE_ROUTING);
    talk.ct.rejectedByReset(again);
    expect(talk.only).toBe('CLOSE 10 unreplied');
  });

  it('an entry that its own packet deleted serves that packet to its end', () => {
    const talk = new Conversation();
    talk.tcp(true, { flags: SYN, seq: 5 });
    const reset = craft({
      src: B,
      dst: A,
      protocol: 6,
      body: tcpBody({ sport: 80, dport: 1000, flags: RST | 16, ack: 6 }),
    });
    expect(talk.pass(reset)).toBe('ESTABLISHED');
    expect([talk.only, reset.ct >= 0, talk.ct.protocol(reset.ct)]).toEqual(['none', true, 6]);
    talk.ct.drop(reset);
    expect(talk.ct.entries.count).toBe(0);
  });

  it('NOTRACK', () => {
    const talk = new Conversation();
    const packet = udp(A, B, 5, 7);
    talk.ct.untrack(packet);
    expect([talk.pass(packet), talk.only]).toEqual(['UNTRACKED', 'none']);
  });
});

it('a clash of tuples drops the packet and its entry', () => {
  const talk = new Conversation();
  const one = udp(A, B, 5, 7);
  const two = craft({ src: A, dst: B, protocol: 6, body: tcpBody({ sport: 5, dport: 7, flags: SYN }) });
  const three = craft({ src: A, dst: B, protocol: 6, body: tcpBody({ sport: 5, dport: 7, flags: SYN }) });
  for (const packet of [one, two, three]) talk.ct.track(packet, NF_INET_PRE_ROUTING);
  expect([one, two, three].map((packet) => talk.ct.confirm(packet))).toEqual([NF_ACCEPT, NF_ACCEPT, NF_DROP]);
  expect(talk.ct.entries.count).toBe(2);
});
