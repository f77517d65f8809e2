/** IPv4 options and IPv6 extension headers at the stack (spec 1.9). What is expected here was seen on Linux 6.18. */
import { describe, expect, it } from 'vitest';
import { checksumOf, sumBytes } from '../../src/net/checksum.js';
import { be16, bytesOf, icmpBody, ipBytes, tcpBody, udpBody } from '../support/craft.js';
import { makeLab } from './lab.js';

/** An IPv4 packet with options put into its header. */
function withOptions(ip: Uint8Array, options: readonly number[]): Uint8Array {
  const padded = [...options];
  while (padded.length % 4 !== 0) padded.push(0);
  const out = bytesOf(ip.subarray(0, 20), padded, ip.subarray(20));
  out[0] = 0x45 + padded.length / 4;
  out.set(be16(out.length), 2);
  out.set([0, 0], 10);
  out.set(be16(checksumOf(sumBytes(out, 0, 20 + padded.length))), 10);
  return out;
}
const echo = (dst: string) => ipBytes({ src: '10.0.0.2', dst, protocol: 1, body: icmpBody(8, 0, [0, 1, 0, 1, 9, 9]) });
const RECORD = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
const optionsOf = (ip: Uint8Array) => [...ip.subarray(20, (ip[0]! & 15) * 4)];

describe('IPv4 options', () => {
  it('record route shows the address on the way out', () => {
    const lab = makeLab();
    lab.receive('eth0', withOptions(echo('10.1.0.2'), RECORD));
    expect(optionsOf(lab.sent[0]!.bytes)).toEqual([7, 11, 8, 10, 1, 0, 1, 0, 0, 0, 0, 0]);
    expect(checksumOf(sumBytes(lab.sent[0]!.bytes, 0, 32))).toBe(0);
  });

  it('an answer carries record route with one more entry', () => {
    const lab = makeLab();
    lab.receive('eth0', withOptions(echo('10.0.0.1'), RECORD));
    expect(optionsOf(lab.sent[0]!.bytes)).toEqual([7, 11, 12, 10, 0, 0, 1, 10, 0, 0, 1, 0]);
  });

  it.each([
    ['NOP and end', [1, 1, 1, 0], 'eth1', []],
    ['router alert', [148, 4, 0, 0], 'eth1', []],
    ['loose source route', [131, 7, 4, 10, 1, 0, 9], undefined, ['routing: source route']],
    ['longer than the header', [7, 20, 4, 0], 'eth0 icmp 12/0 at 20', ['routing: bad IPv4 option']],
    ['pointer too small', [7, 7, 2, 0, 0, 0, 0], 'eth0 icmp 12/0 at 22', ['routing: bad IPv4 option']],
    ['size too small', [130, 1, 0, 0], 'eth0 icmp 12/0 at 20', ['routing: bad IPv4 option']],
    ['time stamp overflow', [68, 8, 9, 0xf0, 0, 0, 0, 0], 'eth0 icmp 12/0 at 23', ['routing: bad IPv4 option']],
  ])('%s', (_name, options, sent, dropped) => {
    const lab = makeLab();
    lab.receive('eth0', withOptions(echo('10.1.0.2'), options));
    expect(lab.dropped).toEqual(dropped);
    if (sent === undefined) expect(lab.sent).toEqual([]);
    else if (!sent.includes('icmp')) expect(lab.sent.map((f) => f.device)).toEqual([sent]);
    else {
      expect(lab.sent[0]!.line).toContain('icmp 12/0');
      expect(`eth0 icmp 12/0 at ${lab.sent[0]!.bytes[24]}`).toBe(sent);
    }
  });

  it('time stamps get the time, prespecified ones only at the named host', () => {
    const stamp = (options: readonly number[]) => {
      const lab = makeLab();
      lab.receive('eth0', withOptions(echo('10.1.0.2'), options));
      return optionsOf(lab.sent[0]!.bytes);
    };
    expect(stamp([68, 8, 5, 0, 0, 0, 0, 0]).slice(0, 4)).toEqual([68, 8, 9, 0]);
    expect(stamp([68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0]).slice(0, 8)).toEqual([68, 12, 13, 1, 10, 0, 0, 1]);
    expect(stamp([68, 12, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0]).slice(0, 3)).toEqual([68, 12, 13]);
    expect(stamp([68, 12, 5, 3, 9, 0, 0, 1, 0, 0, 0, 0])).toEqual([68, 12, 5, 3, 9, 0, 0, 1, 0, 0, 0, 0]);
  });
});

describe('IPv6 extension headers', () => {
  /** Puts an extension header of 8 bytes between the IPv6 header and its payload. */
  const behind = (kind: number, options: readonly number[], ip: Uint8Array) => {
    const out = bytesOf(ip.subarray(0, 40), ip[6]!, 0, options, ip.subarray(40));
    out[6] = kind;
    out.set(be16(out.length - 40), 4);
    return out;
  };
  const echo6 = (dst: string) => ipBytes({ src: 'fd00:a::2', dst, protocol: 58, body: icmpBody(128, 0, [0, 1, 0, 1]) });
  it.each([
    ['hop-by-hop: padding', 0, [1, 4, 0, 0, 0, 0], 'fd00:b::2', 'forwarded'],
    ['hop-by-hop: router alert', 0, [5, 2, 0, 0, 1, 0], 'fd00:b::2', 'forwarded'],
    ['hop-by-hop: unknown, skip', 0, [0x3e, 4, 0, 0, 0, 0], 'fd00:b::2', 'forwarded'],
    ['hop-by-hop: unknown, discard', 0, [0x7e, 4, 0, 0, 0, 0], 'fd00:b::2', 'nothing'],
    ['hop-by-hop: unknown, report', 0, [0xbe, 4, 0, 0, 0, 0], 'fd00:b::2', '4/2 at 42'],
    ['hop-by-hop: padding with content', 0, [1, 4, 0, 0, 9, 0], 'fd00:b::2', 'nothing'],
    ['hop-by-hop: small jumbogram', 0, [0xc2, 4, 0, 0, 1, 0], 'fd00:b::2', '4/0 at 44'],
    ['hop-by-hop: jumbogram with a length', 0, [0xc2, 4, 0, 1, 0, 0], 'fd00:b::2', '4/0 at 42'],
    ['destination options on the way', 60, [0xbe, 4, 0, 0, 0, 0], 'fd00:b::2', 'forwarded'],
    ['destination options at the end', 60, [1, 4, 0, 0, 0, 0], 'fd00:a::1', '129/0'],
    ['destination options at the end, report', 60, [0xbe, 4, 0, 0, 0, 0], 'fd00:a::1', '4/2 at 42'],
    ['routing header with no segments left', 43, [0, 0, 0, 0, 0, 0], 'fd00:a::1', '129/0'],
    ['routing header with segments left', 43, [0, 1, 0, 0, 0, 0], 'fd00:a::1', '4/0 at 42'],
  ])('%s', (_name, kind, options, dst, outcome) => {
    const lab = makeLab();
    lab.receive('eth0', behind(kind, options, echo6(dst)));
    const frame = lab.sent[0];
    let seen = 'nothing';
    if (frame !== undefined && frame.device === 'eth1') seen = 'forwarded';
    else if (frame !== undefined) {
      const { bytes } = frame;
      seen = `${bytes[40]}/${bytes[41]}`;
      if (bytes[40] === 4) seen += ` at ${new DataView(bytes.buffer, bytes.byteOffset).getUint32(44)}`;
    }
    expect(seen).toBe(outcome);
  });

  it.each([
    ['fd00:a::', 'echo', 'fd00:a::1 > fd00:a::2 icmp6 129/0 ttl 64 len 48'],
    ['fd00:a::', 'udp', 'fd00:a:: > fd00:a::2 icmp6 1/4 ttl 64 len 96'],
    ['fd00:a::', 'tcp', undefined],
  ])('subnet-router anycast %s, %s', (dst, kind, answer) => {
    const base = makeLab();
    const anycast = {
      family: 6,
      table: 255,
      type: 4,
      address: [0xfd00000a, 0, 0, 0],
      bits: 128,
      tos: 0,
      metric: 0,
      scope: 254,
    } as const;
    const nextHops = [{ device: 'eth0', onlink: false, dead: false }];
    const lab = makeLab({ config: { routes: [{ ...anycast, nextHops }, ...base.host.config.routes] } });
    const ip = {
      echo: echo6(dst),
      udp: ipBytes({ src: 'fd00:a::2', dst, protocol: 17, body: udpBody(5, 6) }),
      tcp: ipBytes({ src: 'fd00:a::2', dst, protocol: 6, body: tcpBody({ sport: 5, dport: 6, flags: 2 }) }),
    }[kind]!;
    lab.receive('eth0', ip);
    expect(lab.sent.map((f) => f.line)).toEqual(answer === undefined ? [] : [`eth0 ${answer}`]);
  });
});
