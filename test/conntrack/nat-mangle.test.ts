/** Rewriting, judged by building the expected packet from nothing with all checksums anew. */
import { describe, expect, it } from 'vitest';
import { checksumOf, fold, sumBytes } from '../../src/net/checksum.js';
import { CSUM_PARTIAL, type Packet } from '../../src/wire/packet.js';
import { CHECKSUM_RIGHT, pseudoHeaderSum, transportChecksumState } from '../../src/wire/transport-checksum.js';
import {
  ACK,
  be16,
  be32,
  bytesOf,
  craft,
  icmpBody,
  ipBytes,
  packetOf,
  SYN,
  tcpBody,
  udpBody,
} from '../support/craft.js';
import { NatRouter, type Way } from './nat-router.js';

/** Client, address that it talks to, where that is sent, what the server sees as client. */
interface Places {
  readonly client: string;
  readonly virtual: string;
  readonly server: string;
  readonly outside: string;
  readonly router: string;
}
const V4: Places = {
  client: '10.1.0.2',
  virtual: '192.0.2.99',
  server: '10.2.0.2',
  outside: '10.2.0.1',
  router: '10.2.7.7',
};
const V6: Places = {
  client: 'fd00:1::2',
  virtual: 'fd00:99::ffff:1',
  server: 'fd00:2::2',
  outside: 'fd00:2::1',
  router: 'fd00:7::7',
};

const PAYLOAD = Uint8Array.from({ length: 41 }, (_, i) => (i * 37) & 255);
const TCP = 6;
const UDP = 17;
const UDPLITE = 136;
const SCTP = 132;
const ICMP = 1;
const ICMPV6 = 58;
const GRE = 47;

const udpliteBody = (sport: number, dport: number): Uint8Array =>
  bytesOf(be16(sport), be16(dport), be16(0), be16(0), PAYLOAD);
const tcpOf = (sport: number, dport: number, flags = SYN): Uint8Array =>
  tcpBody({ sport, dport, flags, seq: 7, options: [2, 4, 5, 180], payload: PAYLOAD });
const udpOf = (sport: number, dport: number): Uint8Array => udpBody(sport, dport, PAYLOAD);

/** Protocols with ports: body by source and destination port. */
const PORTED: readonly (readonly [string, number, (sport: number, dport: number) => Uint8Array])[] = [
  ['TCP', TCP, tcpOf],
  ['UDP', UDP, udpOf],
  ['UDP-Lite', UDPLITE, udpliteBody],
  [
    'SCTP',
    SCTP,
    (s, d) => bytesOf(be16(s), be16(d), be32(0), be32(0), [1, 0, 0, 20], be32(9), PAYLOAD.subarray(0, 12)),
  ],
];

/** DNAT to the server's port 8080 and SNAT to the outside address and port 4000. */
const both = (at: Places): Way => ({
  dnat: { to: at.server, ports: [8080, 8080] },
  snat: { to: at.outside, ports: [4000, 4000] },
});

function expectBytes(packet: Packet, expected: Uint8Array): void {
  expect(Buffer.from(packet.bytes).toString('hex')).toBe(Buffer.from(expected).toString('hex'));
  // The decoded fields follow the bytes.
  expect([...packet.f.subarray(0, 8)]).toEqual([...packetOf(expected).f.subarray(0, 8)]);
  expect([packet.srcPort, packet.dstPort]).toEqual([packetOf(expected).srcPort, packetOf(expected).dstPort]);
}

describe.each([
  ['IPv4', V4],
  ['IPv6', V6],
])('%s', (_family, at) => {
  describe.each(PORTED)('%s', (_name, protocol, body) => {
    // The kernel finds no UDP-Lite checksum right.
    const sysctl = protocol === UDPLITE ? { checksum: 0 } : {};
    const there = (src: string, dst: string, sport: number, dport: number) =>
      ({ src, dst, protocol, body: body(sport, dport) }) as const;

    it('source and destination change on the way there and are put back on the way back', () => {
      const router = new NatRouter(sysctl);
      const first = craft(there(at.client, at.virtual, 1234, 80));
      expect(router.pass(first, both(at))).toBe('passed');
      expectBytes(first, ipBytes(there(at.outside, at.server, 4000, 8080)));
      if (protocol === SCTP) return;
      const flags = protocol === TCP ? SYN | ACK : undefined;
      const answer = (src: string, dst: string, sport: number, dport: number) => {
        const body2 = flags === undefined ? body(sport, dport) : tcpBody({ sport, dport, flags, seq: 9, ack: 8 });
        return { src, dst, protocol, body: body2 };
      };
      const back = craft(answer(at.server, at.outside, 8080, 4000));
      expect(router.pass(back, both(at))).toBe('passed');
      expectBytes(back, ipBytes(answer(at.virtual, at.client, 80, 1234)));
      expect(router.asked).toEqual([]);
    });

    it('an ICMP error about it is translated, outside and inside', () => {
      const router = new NatRouter(sysctl);
      router.pass(craft(there(at.client, at.virtual, 1234, 80)), both(at));
      const whole = ipBytes(there(at.outside, at.server, 4000, 8080));
      const expectedWhole = ipBytes(there(at.client, at.virtual, 1234, 80));
      for (const from of [at.server, at.router]) {
        const error = craft(errorAbout(whole, from, at.outside));
        expect(router.pass(error, both(at))).toBe('passed');
        expectBytes(error, ipBytes(errorAbout(expectedWhole, at.virtual, at.client)));
        expect(transportChecksumState(error)).toBe(CHECKSUM_RIGHT);
        expect(router.asked).toEqual([]);
      }
    });

    it('so is one that quotes 8 bytes of transport header; fewer are dropped', () => {
      const router = new NatRouter(sysctl);
      router.pass(craft(there(at.client, at.virtual, 1234, 80)), both(at));
      const headers = at === V4 ? 20 : 40;
      const cut = (bytes: Uint8Array, size: number): Uint8Array => bytes.subarray(0, headers + size);
      const whole = ipBytes(there(at.outside, at.server, 4000, 8080));
      const error = craft(errorAbout(cut(whole, 8), at.router, at.outside));
      expect(router.pass(error, both(at))).toBe('passed');
      const quote = error.bytes.subarray(headers + 8);
      const expected = ipBytes(there(at.client, at.virtual, 1234, 80));
      expect(Buffer.from(quote).toString('hex')).toBe(Buffer.from(cut(expected, 8)).toString('hex'));
      expect(transportChecksumState(error)).toBe(CHECKSUM_RIGHT);
      for (const size of [4, 7]) {
        const short = craft(errorAbout(cut(whole, size), at.router, at.outside));
        expect(router.pass(short, both(at))).toBe('dropped by destination nat');
      }
    });
  });

  it('echo: the id changes', () => {
    const router = new NatRouter();
    const [protocol, request, answer] = at === V4 ? [ICMP, 8, 0] : [ICMPV6, 128, 129];
    const echo = (type: number, src: string, dst: string, id: number) =>
      ({ src, dst, protocol, body: icmpBody(type, 0, be16(id), be16(3), PAYLOAD) }) as const;
    // Somebody else has the id already.
    const other = at === V4 ? '10.1.0.3' : 'fd00:1::3';
    const way: Way = { dnat: { to: at.server }, snat: { to: at.outside } };
    router.ct.chooseOffset = () => 555;
    expect(router.pass(craft(echo(request, other, at.virtual, 77)), way)).toBe('passed');
    const packet = craft(echo(request, at.client, at.virtual, 77));
    expect(router.pass(packet, way)).toBe('passed');
    expectBytes(packet, ipBytes(echo(request, at.outside, at.server, 555)));
    const back = craft(echo(answer, at.server, at.outside, 555));
    expect(router.pass(back, way)).toBe('passed');
    expectBytes(back, ipBytes(echo(answer, at.virtual, at.client, 77)));
    const toOther = craft(echo(answer, at.server, at.outside, 77));
    router.pass(toOther, way);
    expectBytes(toOther, ipBytes(echo(answer, at.virtual, other, 77)));
    const error = craft(errorAbout(ipBytes(echo(request, at.outside, at.server, 555)), at.router, at.outside));
    expect(router.pass(error, way)).toBe('passed');
    expectBytes(error, ipBytes(errorAbout(ipBytes(echo(request, at.client, at.virtual, 77)), at.virtual, at.client)));
  });

  it('an error from the client about a reply goes out as the outside address', () => {
    const router = new NatRouter();
    const packet = (src: string, dst: string, sport: number, dport: number) =>
      ipBytes({ src, dst, protocol: UDP, body: udpOf(sport, dport) });
    router.pass(packetOf(packet(at.client, at.virtual, 1234, 80)), both(at));
    router.pass(packetOf(packet(at.server, at.outside, 8080, 4000)), both(at));
    const error = craft(errorAbout(packet(at.virtual, at.client, 80, 1234), at.client, at.virtual));
    expect(router.pass(error, both(at))).toBe('passed');
    expectBytes(error, ipBytes(errorAbout(packet(at.server, at.outside, 8080, 4000), at.outside, at.server)));
  });

  it('a UDP checksum of 0 stays, also in a quote', () => {
    const router = new NatRouter();
    const packet = (src: string, dst: string, sport: number, dport: number) =>
      ipBytes({ src, dst, protocol: UDP, body: udpOf(sport, dport), rawChecksum: true });
    const first = packetOf(packet(at.client, at.virtual, 1234, 80));
    router.pass(first, both(at));
    expectBytes(first, packet(at.outside, at.server, 4000, 8080));
    const error = craft(errorAbout(packet(at.outside, at.server, 4000, 8080), at.router, at.outside));
    router.pass(error, both(at));
    expectBytes(error, ipBytes(errorAbout(packet(at.client, at.virtual, 1234, 80), at.virtual, at.client)));
  });

  it('a UDP checksum that would become 0 is written as ffff', () => {
    const packet = (src: string, dst: string, sport: number, dport: number, word: number) =>
      ipBytes({ src, dst, protocol: UDP, body: udpBody(sport, dport, bytesOf(be16(word))) });
    const field = at === V4 ? 26 : 46;
    // The word for which the translated packet's sum is nothing.
    const probe = packet(at.outside, at.server, 4000, 8080, 0);
    const word = (probe[field]! << 8) | probe[field + 1]!;
    expect([...packet(at.outside, at.server, 4000, 8080, word).subarray(field, field + 2)]).toEqual([255, 255]);
    const router = new NatRouter();
    const first = packetOf(packet(at.client, at.virtual, 1234, 80, word));
    router.pass(first, both(at));
    expectBytes(first, packet(at.outside, at.server, 4000, 8080, word));
    // The same in a quote, the other way round.
    const back = packet(at.client, at.virtual, 1234, 80, 0);
    const backWord = (back[field]! << 8) | back[field + 1]!;
    const error = craft(errorAbout(packet(at.outside, at.server, 4000, 8080, backWord), at.router, at.outside));
    router.pass(error, both(at));
    expectBytes(error, ipBytes(errorAbout(packet(at.client, at.virtual, 1234, 80, backWord), at.virtual, at.client)));
  });

  it('the checksum of a quoted TCP header is left alone unless the whole header is there', () => {
    const headers = at === V4 ? 20 : 40;
    const packet = (src: string, dst: string, sport: number, dport: number) =>
      ipBytes({ src, dst, protocol: TCP, body: tcpOf(sport, dport) });
    for (const size of [18, 19, 20]) {
      const router = new NatRouter();
      router.pass(packetOf(packet(at.client, at.virtual, 1234, 80)), both(at));
      const quote = packet(at.outside, at.server, 4000, 8080).subarray(0, headers + size);
      const expected = packet(at.client, at.virtual, 1234, 80)
        .subarray(0, headers + size)
        .slice();
      if (size < 20) expected.set(quote.subarray(headers + 16, headers + 18), headers + 16);
      const error = craft(errorAbout(quote, at.router, at.outside));
      router.pass(error, both(at));
      expectBytes(error, ipBytes(errorAbout(expected, at.virtual, at.client)));
    }
  });

  it('a wrong checksum stays wrong by the same difference', () => {
    const field = (at === V4 ? 20 : 40) + 16;
    const bytes = ipBytes({ src: at.client, dst: at.virtual, protocol: TCP, body: tcpOf(1234, 80) });
    const wrong = (of: Uint8Array): Uint8Array => {
      const out = of.slice();
      const sum = fold(((out[field]! << 8) | out[field + 1]!) + 0x0105);
      out.set(be16(sum), field);
      return out;
    };
    const packet = packetOf(wrong(bytes));
    expect(new NatRouter({ checksum: 0 }).pass(packet, both(at))).toBe('passed');
    expectBytes(packet, wrong(ipBytes({ src: at.outside, dst: at.server, protocol: TCP, body: tcpOf(4000, 8080) })));
  });

  it('a checksum left to the card holds the new pseudo header', () => {
    const partial = (src: string, dst: string, sport: number, dport: number): Packet => {
      const body = udpOf(sport, dport);
      const bytes = ipBytes({ src, dst, protocol: UDP, body, rawChecksum: true });
      const packet = packetOf(bytes);
      packet.view.setUint16(packet.l4Off + 6, fold(pseudoHeaderSum(packet, UDP, body.length)));
      packet.csum = CSUM_PARTIAL;
      return packet;
    };
    const packet = partial(at.client, at.virtual, 1234, 80);
    expect(new NatRouter().pass(packet, { ...both(at), fromLocal: true })).toBe('passed');
    expectBytes(packet, partial(at.outside, at.server, 4000, 8080).bytes);
  });

  it('protocols without ports: the addresses alone, a checksum inside is left', () => {
    for (const protocol of [50, 99, 33]) {
      const packet = (src: string, dst: string) =>
        ipBytes({ src, dst, protocol, body: bytesOf(be16(1), be16(2), PAYLOAD), rawChecksum: true });
      const first = packetOf(packet(at.client, at.virtual));
      expect(new NatRouter().pass(first, both(at))).toBe('passed');
      expectBytes(first, packet(at.outside, at.server));
    }
  });

  it.each([
    ['plain', '0000080011223344', 'passed'],
    ['PPTP', '2001880b00000007', 'passed'],
    ['fewer than 8 bytes', '00000800112233', 'dropped by destination nat'],
    ['version 2', '00020800deadbeef', 'dropped by destination nat'],
  ])('GRE, %s: %s %s', (_name, hex, expected) => {
    const body = Uint8Array.from(Buffer.from(hex, 'hex'));
    const packet = craft({ src: at.client, dst: at.virtual, protocol: GRE, body });
    expect(new NatRouter().pass(packet, both(at))).toBe(expected);
    if (expected === 'passed') expectBytes(packet, ipBytes({ src: at.outside, dst: at.server, protocol: GRE, body }));
  });

  it('GRE version 2 passes where only the source changes', () => {
    const body = Uint8Array.of(0, 2, 8, 0, 1, 2, 3, 4);
    const packet = craft({ src: at.client, dst: at.server, protocol: GRE, body });
    expect(new NatRouter().pass(packet, { snat: { to: at.outside } })).toBe('passed');
    expectBytes(packet, ipBytes({ src: at.outside, dst: at.server, protocol: GRE, body }));
  });

  it('an error with a wrong checksum is dropped even where tracking lets it pass', () => {
    const router = new NatRouter({ checksum: 0 });
    const packet = (src: string, dst: string) => ipBytes({ src, dst, protocol: UDP, body: udpOf(1234, 80) });
    expect(router.pass(packetOf(packet(at.client, at.server)))).toBe('passed');
    const error = craft(errorAbout(packet(at.client, at.server), at.server, at.client));
    error.view.setUint16(error.l4Off + 2, error.view.getUint16(error.l4Off + 2) ^ 1);
    expect(router.pass(error)).toBe('dropped by destination nat');
  });
});

describe('IPv4 only', () => {
  it('a redirect passes an untranslated connection and is dropped for a translated one', () => {
    const packet = (src: string) => ipBytes({ src, dst: V4.server, protocol: UDP, body: udpOf(1234, 80) });
    const redirect = (src: string, dst: string) =>
      craft({ src: V4.router, dst, protocol: ICMP, body: icmpBody(5, 1, [10, 2, 0, 9], packet(src)) });
    const plain = new NatRouter();
    plain.pass(packetOf(packet(V4.client)));
    expect(plain.pass(redirect(V4.client, V4.client))).toBe('passed');
    const translated = new NatRouter();
    translated.pass(packetOf(packet(V4.client)), { snat: { to: V4.outside } });
    expect(translated.pass(redirect(V4.outside, V4.outside))).toBe('dropped by destination nat');
  });

  it('options in the quoted header are stepped over', () => {
    const withOptions = (src: string, dst: string, sport: number, dport: number): Uint8Array => {
      const plain = ipBytes({ src, dst, protocol: UDP, body: udpOf(sport, dport) });
      const header = bytesOf(plain.subarray(0, 20), [1, 1, 1, 0, 1, 1, 1, 0]);
      header[0] = 0x47;
      header.set(be16(plain.length + 8), 2);
      header.set([0, 0], 10);
      header.set(be16(checksumOf(sumBytes(header, 0, 28))), 10);
      return bytesOf(header, plain.subarray(20));
    };
    const router = new NatRouter();
    router.pass(packetOf(withOptions(V4.client, V4.virtual, 1234, 80)), both(V4));
    const error = craft(errorAbout(withOptions(V4.outside, V4.server, 4000, 8080), V4.router, V4.outside));
    expect(router.pass(error, both(V4))).toBe('passed');
    expectBytes(error, ipBytes(errorAbout(withOptions(V4.client, V4.virtual, 1234, 80), V4.virtual, V4.client)));
  });

  it('a capture cut inside a quote: what is there is right, the checksum fits the missing rest', () => {
    const router = new NatRouter({ checksum: 0 });
    const packet = (src: string, dst: string, sport: number, dport: number) =>
      ipBytes({ src, dst, protocol: TCP, body: tcpOf(sport, dport) });
    router.pass(packetOf(packet(V4.client, V4.virtual, 1234, 80)), both(V4));
    const bytes = ipBytes(errorAbout(packet(V4.outside, V4.server, 4000, 8080), V4.router, V4.outside));
    const expected = ipBytes(errorAbout(packet(V4.client, V4.virtual, 1234, 80), V4.virtual, V4.client));
    const error = packetOf(bytes, bytes.length - 20);
    expect(router.pass(error, both(V4))).toBe('passed');
    expectBytes(error, expected);
  });

  it('timestamps carry an id, other queries are not tracked', () => {
    const router = new NatRouter();
    router.ct.chooseOffset = () => 9;
    const stamp = (src: string, id: number) =>
      ({
        src,
        dst: V4.server,
        protocol: ICMP,
        body: icmpBody(13, 0, be16(id), be16(1), be32(1), be32(0), be32(0)),
      }) as const;
    const way: Way = { snat: { to: V4.outside, ports: [0, 20] } };
    const packet = craft(stamp(V4.client, 30));
    router.pass(packet, way);
    expectBytes(packet, ipBytes(stamp(V4.outside, 9)));
  });
});

describe('IPv6 only', () => {
  const way: Way = { dnat: { to: V6.server, ports: [8080, 8080] }, snat: { to: V6.outside, ports: [4000, 4000] } };
  /** Authentication header before the transport part; its checksum is as without. */
  const behindAh = (src: string, dst: string, protocol: number, body: Uint8Array): Uint8Array => {
    const plain = ipBytes({ src, dst, protocol, body });
    const ah = bytesOf([protocol, 4, 0, 0], be32(1), be32(2), be32(3), be32(4), be32(5));
    const out = bytesOf(plain.subarray(0, 40), ah, plain.subarray(40));
    out[6] = 51;
    out.set(be16(plain.length - 40 + ah.length), 4);
    return out;
  };

  it.each([
    ['TCP', TCP, tcpOf],
    ['UDP', UDP, udpOf],
  ] as const)('%s behind an authentication header', (_name, protocol, body) => {
    const packet = packetOf(behindAh(V6.client, V6.virtual, protocol, body(1234, 80)));
    expect(new NatRouter().pass(packet, way)).toBe('passed');
    expectBytes(packet, behindAh(V6.outside, V6.server, protocol, body(4000, 8080)));
  });

  it('echo behind an authentication header: the id changes', () => {
    const body = (id: number): Uint8Array => icmpBody(128, 0, be16(id), be16(3), PAYLOAD);
    const packet = packetOf(behindAh(V6.client, V6.server, ICMPV6, body(77)));
    expect(new NatRouter().pass(packet, { snat: { to: V6.outside, ports: [9, 9] } })).toBe('passed');
    expectBytes(packet, behindAh(V6.outside, V6.server, ICMPV6, body(9)));
  });

  it('an extension header before the transport part, outside and in a quote', () => {
    const withOptions = (src: string, dst: string, sport: number, dport: number): Uint8Array => {
      const plain = ipBytes({ src, dst, protocol: UDP, body: udpOf(sport, dport) });
      const out = bytesOf(plain.subarray(0, 40), [UDP, 0, 1, 4, 0, 0, 0, 0], plain.subarray(40));
      out[6] = 60;
      out.set(be16(plain.length - 40 + 8), 4);
      return out;
    };
    const router = new NatRouter();
    const packet = packetOf(withOptions(V6.client, V6.virtual, 1234, 80));
    expect(router.pass(packet, way)).toBe('passed');
    expectBytes(packet, withOptions(V6.outside, V6.server, 4000, 8080));
    const error = craft(errorAbout(withOptions(V6.outside, V6.server, 4000, 8080), V6.router, V6.outside));
    expect(router.pass(error, way)).toBe('passed');
    expectBytes(error, ipBytes(errorAbout(withOptions(V6.client, V6.virtual, 1234, 80), V6.virtual, V6.client)));
  });
});

/** Host unreachable, quoting the packet. */
function errorAbout(quote: Uint8Array, src: string, dst: string) {
  return src.includes(':')
    ? { src, dst, protocol: ICMPV6, body: icmpBody(1, 3, be32(0), quote) }
    : { src, dst, protocol: ICMP, body: icmpBody(3, 1, be32(0), quote) };
}
