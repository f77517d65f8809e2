/** Forwarding, and what a router answers when it cannot (spec 1.2). */
import { describe, expect, it } from 'vitest';
import { icmpBody, ipBytes, SYN, tcpBody, udpBody } from '../support/craft.js';
import { makeLab } from './lab.js';

const udp = (src: string, dst: string, more: { ttl?: number; size?: number; tos?: number } = {}) =>
  ipBytes({
    src,
    dst,
    protocol: 17,
    body: udpBody(5000, 53, new Uint8Array(more.size ?? 4)),
    ttl: more.ttl ?? 64,
    tos: more.tos ?? 0,
  });

describe('forwarding', () => {
  it('decrements the TTL and rewrites the link header', () => {
    const lab = makeLab();
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    expect(lab.sent.map((f) => f.line)).toEqual(['eth1 10.0.0.2 > 10.1.0.2 udp 5000>53 ttl 63 len 32']);
    expect(lab.sent[0]!.mac).toBe('02000a010002' + '020000000012');
    expect(lab.dropped).toEqual([]);
  });

  it('sends to the hardware address that the neighbour was seen with', () => {
    const lab = makeLab();
    lab.receive('eth1', udp('10.1.0.2', '10.0.0.2'));
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    expect(lab.sent[1]!.mac).toBe('02ff00000003' + '020000000012');
  });

  const routes = [
    'unreachable 10.8.0.0/16',
    'prohibit 10.7.0.0/16',
    'blackhole 10.6.0.0/16',
    '10.5.0.0/16 via 10.1.0.9 eth1',
  ];
  it.each([
    // source      destination          TTL  answer (undefined: none)                          reason
    ['10.0.0.2', '10.9.9.9', 64, '10.0.0.1 > 10.0.0.2 icmp 3/0 ttl 64 len 60', 'routing: no route'],
    ['10.0.0.2', '10.8.0.1', 64, '10.0.0.1 > 10.0.0.2 icmp 3/1 ttl 64 len 60', 'routing: unreachable route'],
    ['10.0.0.2', '10.7.0.1', 64, '10.0.0.1 > 10.0.0.2 icmp 3/13 ttl 64 len 60', 'routing: prohibit route'],
    ['10.0.0.2', '10.6.0.1', 64, undefined, 'routing: blackhole route'],
    ['10.0.0.2', '10.1.0.2', 1, '10.0.0.1 > 10.0.0.2 icmp 11/0 ttl 64 len 60', 'forward: TTL exceeded'],
    ['10.0.0.1', '10.1.0.2', 64, undefined, 'routing: martian source'],
    ['127.0.0.5', '10.1.0.2', 64, undefined, 'routing: martian source'],
    ['224.0.0.5', '10.1.0.2', 64, undefined, 'routing: martian source'],
    ['255.255.255.255', '10.1.0.2', 64, undefined, 'routing: martian source'],
    ['0.0.0.0', '10.1.0.2', 64, undefined, 'routing: martian source'],
    ['10.0.0.2', '127.0.0.1', 64, undefined, 'routing: martian destination'],
    ['10.0.0.2', '0.0.0.0', 64, undefined, 'routing: martian destination'],
    ['10.0.0.2', '224.0.0.9', 64, undefined, 'routing: multicast group not joined'],
  ])('%s to %s, TTL %d: %s', (src, dst, ttl, answer, reason) => {
    const lab = makeLab({ routes });
    lab.receive('eth0', udp(src, dst, { ttl }));
    expect(lab.sent.map((f) => f.line)).toEqual(answer === undefined ? [] : [`eth0 ${answer}`]);
    expect(lab.dropped).toEqual([reason]);
  });

  it.each([
    ['10.0.0.255', 'a subnet broadcast address'],
    ['0.1.2.3', 'net 0'],
    ['240.1.2.3', 'class E'],
  ])('takes %s (%s) as a source', (src) => {
    const lab = makeLab();
    lab.receive('eth0', udp(src, '10.1.0.2'));
    expect(lab.sent).toHaveLength(1);
  });

  it.each(['10.0.0.255', '10.1.0.255', '255.255.255.255', '224.0.0.1'])('delivers to %s and does not answer', (dst) => {
    const lab = makeLab();
    lab.receive('eth0', udp('10.0.0.2', dst));
    expect(lab.delivered).toHaveLength(1);
    expect(lab.sent).toEqual([]);
  });

  it('never forwards a link-layer broadcast', () => {
    const lab = makeLab();
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'), { pktType: 1 });
    expect(lab.dropped).toEqual(['forward: link-layer broadcast is not forwarded']);
  });

  it('says so when a packet with DF is longer than the MTU', () => {
    const lab = makeLab({
      devices: [
        { name: 'lo', addresses: ['127.0.0.1/8'], kind: 'loopback' },
        { name: 'eth0', addresses: ['10.0.0.1/24'] },
        { name: 'eth1', addresses: ['10.1.0.1/24'], mtu: 1000 },
      ],
    });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2', { size: 1200, tos: 0x28 }));
    expect(lab.sent.map((f) => f.line)).toEqual(['eth0 10.0.0.1 > 10.0.0.2 icmp 3/4 ttl 64 len 576']);
    expect(new DataView(lab.sent[0]!.bytes.buffer, lab.sent[0]!.bytes.byteOffset).getUint16(26)).toBe(1000);
    expect(lab.sent[0]!.bytes[1]).toBe(0xc8);
  });

  it('cuts a packet without DF to the MTU of the way out', () => {
    const lab = makeLab({
      devices: [
        { name: 'eth0', addresses: ['10.0.0.1/24'], mtu: 9000 },
        { name: 'eth1', addresses: ['10.1.0.1/24'], mtu: 1000 },
      ],
    });
    const ip = udp('10.0.0.2', '10.1.0.2', { size: 2200 });
    const clear = Uint8Array.from(ip);
    clear[6] = 0;
    const view = new DataView(clear.buffer);
    view.setUint16(10, 0);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(10, ~sum & 0xffff);
    lab.receive('eth0', clear);
    expect(lab.sent.map((f) => f.line)).toEqual([
      'eth1 10.0.0.2 > 10.1.0.2 udp frag 0+ ttl 63 len 996',
      'eth1 10.0.0.2 > 10.1.0.2 udp frag 976+ ttl 63 len 996',
      'eth1 10.0.0.2 > 10.1.0.2 udp frag 1952 ttl 63 len 276',
    ]);
  });

  it('follows forwarding=0 of the incoming device', () => {
    const lab = makeLab({ sysctl: { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.eth0.forwarding': '0' } });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    lab.receive('eth0', udp('10.0.0.2', '10.9.0.2'));
    lab.receive('eth1', udp('10.1.0.2', '10.0.0.2'));
    expect(lab.dropped).toEqual(['routing: forwarding is off', 'routing: forwarding is off']);
    expect(lab.sent).toHaveLength(1);
  });
});

describe('local end', () => {
  it.each([
    [
      'closed UDP port',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 17, body: udpBody(5000, 53) }),
      '10.0.0.1 > 10.0.0.2 icmp 3/3 ttl 64 len 56',
    ],
    [
      'closed TCP port',
      ipBytes({ src: '10.0.0.2', dst: '10.1.0.1', protocol: 6, body: tcpBody({ sport: 5000, dport: 80, flags: SYN }) }),
      '10.1.0.1 > 10.0.0.2 tcp 80>5000 flags 20 ttl 64 len 40',
    ],
    [
      'echo request',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 1, body: icmpBody(8, 0, [1, 2, 3, 4, 5, 6, 7, 8]) }),
      '10.0.0.1 > 10.0.0.2 icmp 0/0 ttl 64 len 32',
    ],
    [
      'echo request with code 5',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 1, body: icmpBody(8, 5, [1, 2, 3, 4]) }),
      '10.0.0.1 > 10.0.0.2 icmp 0/5 ttl 64 len 28',
    ],
    [
      'time stamp request',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 1, body: icmpBody(13, 0, new Uint8Array(16)) }),
      '10.0.0.1 > 10.0.0.2 icmp 14/0 ttl 64 len 40',
    ],
    [
      'time stamp request, too short',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 1, body: icmpBody(13, 0, new Uint8Array(4)) }),
      undefined,
    ],
    [
      'echo reply',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 1, body: icmpBody(0, 0, [1, 2, 3, 4]) }),
      undefined,
    ],
    [
      'unknown protocol',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 99, body: new Uint8Array(8) }),
      '10.0.0.1 > 10.0.0.2 icmp 3/2 ttl 64 len 56',
    ],
    ['IGMP', ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 2, body: new Uint8Array(8) }), undefined],
    [
      'a reset',
      ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 6, body: tcpBody({ sport: 5, dport: 80, flags: 4 }) }),
      undefined,
    ],
    [
      'IPv6 echo',
      ipBytes({ src: 'fd00:a::2', dst: 'fd00:a::1', protocol: 58, body: icmpBody(128, 0, [1, 2, 3, 4]) }),
      'fd00:a::1 > fd00:a::2 icmp6 129/0 ttl 64 len 48',
    ],
    [
      'IPv6 closed UDP port',
      ipBytes({ src: 'fd00:a::2', dst: 'fd00:a::1', protocol: 17, body: udpBody(5000, 53) }),
      'fd00:a::1 > fd00:a::2 icmp6 1/4 ttl 64 len 96',
    ],
    [
      'IPv6 closed TCP port',
      ipBytes({ src: 'fd00:a::2', dst: 'fd00:a::1', protocol: 6, body: tcpBody({ sport: 5, dport: 80, flags: SYN }) }),
      'fd00:a::1 > fd00:a::2 tcp 80>5 flags 20 ttl 64 len 60',
    ],
    [
      'IPv6 unknown protocol',
      ipBytes({ src: 'fd00:a::2', dst: 'fd00:a::1', protocol: 99, body: new Uint8Array(8) }),
      'fd00:a::1 > fd00:a::2 icmp6 4/1 ttl 64 len 96',
    ],
    [
      'IPv6 echo to all nodes',
      ipBytes({ src: 'fe80::9', dst: 'ff02::1', protocol: 58, body: icmpBody(128, 0, [1, 2, 3, 4]) }),
      'fe80::1 > fe80::9 icmp6 129/0 ttl 64 len 48',
    ],
  ])('%s', (_name, ip, answer) => {
    const lab = makeLab();
    lab.receive('eth0', ip);
    expect(lab.sent.map((f) => f.line)).toEqual(answer === undefined ? [] : [`eth0 ${answer}`]);
    expect(lab.delivered).toHaveLength(1);
  });
});
