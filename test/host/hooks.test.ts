/** Which chains see which packets (spec 1.3, 1.4, 1.5, 1.7), and REJECT (spec 8.1). */
import { describe, expect, it } from 'vitest';
import { ACK, icmpBody, ipBytes, RST, SYN, tcpBody, udpBody } from '../support/craft.js';
import { makeLab } from './lab.js';

const ALL_TABLES = (extra = ''): string => `
*raw
:PREROUTING ACCEPT
:OUTPUT ACCEPT
COMMIT
*mangle
:PREROUTING ACCEPT
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
${extra}
COMMIT
`;
const TRACKING = '-A FORWARD -m conntrack --ctstate INVALID -j DROP';
const udp = (src: string, dst: string, sport = 5000, dport = 53) =>
  ipBytes({ src, dst, protocol: 17, body: udpBody(sport, dport) });
const tcp = (src: string, dst: string, flags = SYN, sport = 5000, dport = 80) =>
  ipBytes({ src, dst, protocol: 6, body: tcpBody({ sport, dport, flags, seq: 100, ack: 7 }) });
const sorted = (lines: readonly string[]) => [...lines].sort();

describe('counters', () => {
  it('a rule that names a nfacct object proves that the object was there', () => {
    const lab = makeLab({
      rules: ALL_TABLES('-A FORWARD -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP'),
    });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    expect(lab.sent).toEqual([]);
    expect(lab.host.services.nfacct('ct_state_invalid_dropped_pkts')).toMatchObject({ packets: 1 });
  });

  it('a forwarded packet', () => {
    const lab = makeLab({ rules: ALL_TABLES(TRACKING) });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    expect(sorted(lab.counters())).toEqual([
      'filter FORWARD: 2',
      'mangle FORWARD: 2',
      'mangle POSTROUTING: 2',
      'mangle PREROUTING: 2',
      'nat POSTROUTING: 1',
      'nat PREROUTING: 1',
      'raw PREROUTING: 2',
    ]);
  });

  it('nat chains are not walked while nothing needs tracking', () => {
    const lab = makeLab({ rules: ALL_TABLES() });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    expect(lab.counters().filter((line) => line.startsWith('nat'))).toEqual([]);
  });

  it('loopback: one packet walks out and in, nat decides once', () => {
    const lab = makeLab({ rules: ALL_TABLES(TRACKING), options: { sockets: undefined as never } });
    lab.send(udp('127.0.0.1', '127.0.0.1', 5000, 53));
    // The datagram and its port unreachable, both over lo; the answer is RELATED and visits no nat chain.
    expect(sorted(lab.counters())).toEqual([
      'filter INPUT: 2',
      'filter OUTPUT: 2',
      'mangle INPUT: 2',
      'mangle OUTPUT: 2',
      'mangle POSTROUTING: 2',
      'mangle PREROUTING: 2',
      'nat OUTPUT: 1',
      'nat POSTROUTING: 1',
      'raw OUTPUT: 2',
      'raw PREROUTING: 2',
    ]);
    expect(lab.sent.map((f) => f.line)).toEqual([
      'lo 127.0.0.1 > 127.0.0.1 udp 5000>53 ttl 64 len 28',
      'lo 127.0.0.1 > 127.0.0.1 icmp 3/3 ttl 64 len 56',
    ]);
  });

  it('an own address on another device is reached over lo', () => {
    const lab = makeLab({ rules: ALL_TABLES(TRACKING) });
    lab.send(ipBytes({ src: '10.0.0.1', dst: '10.1.0.1', protocol: 1, body: icmpBody(8, 0, [0, 1, 0, 1]) }));
    expect(lab.sent.map((f) => f.line)).toEqual([
      'lo 10.0.0.1 > 10.1.0.1 icmp 8/0 ttl 64 len 28',
      'lo 10.1.0.1 > 10.0.0.1 icmp 0/0 ttl 64 len 28',
    ]);
    expect(lab.counters()).toContain('filter INPUT: 2');
  });
});

describe('REJECT', () => {
  const forward = (how: string) => ALL_TABLES(`-A FORWARD ${how}`);
  it.each([
    ['default', '-j REJECT', udp('10.0.0.2', '10.1.0.2'), '10.0.0.1 > 10.0.0.2 icmp 3/3 ttl 64 len 56'],
    [
      'admin prohibited',
      '-j REJECT --reject-with icmp-admin-prohibited',
      udp('10.0.0.2', '10.1.0.2'),
      '10.0.0.1 > 10.0.0.2 icmp 3/13 ttl 64 len 56',
    ],
    [
      'reset of a SYN',
      '-p tcp -j REJECT --reject-with tcp-reset',
      tcp('10.0.0.2', '10.1.0.2'),
      '10.1.0.2 > 10.0.0.2 tcp 80>5000 flags 20 ttl 64 len 40',
    ],
    [
      'reset of an ACK',
      '-p tcp -j REJECT --reject-with tcp-reset',
      tcp('10.0.0.2', '10.1.0.2', ACK),
      '10.1.0.2 > 10.0.0.2 tcp 80>5000 flags 4 ttl 64 len 40',
    ],
    ['no reset of a reset', '-p tcp -j REJECT --reject-with tcp-reset', tcp('10.0.0.2', '10.1.0.2', RST), undefined],
    [
      'an ICMP error',
      '-j REJECT',
      ipBytes({ src: '10.0.0.2', dst: '10.1.0.2', protocol: 1, body: icmpBody(3, 1, new Uint8Array(32)) }),
      undefined,
    ],
    [
      'ICMP of an unknown type',
      '-j REJECT',
      ipBytes({ src: '10.0.0.2', dst: '10.1.0.2', protocol: 1, body: icmpBody(19, 0, new Uint8Array(32)) }),
      undefined,
    ],
    [
      'GRE, whose payload is not summed',
      '-j REJECT',
      ipBytes({ src: '10.0.0.2', dst: '10.1.0.2', protocol: 47, body: Uint8Array.of(1, 2, 3, 4) }),
      '10.0.0.1 > 10.0.0.2 icmp 3/3 ttl 64 len 52',
    ],
    [
      'an unknown protocol, whose payload is',
      '-j REJECT',
      ipBytes({ src: '10.0.0.2', dst: '10.1.0.2', protocol: 99, body: Uint8Array.of(1, 2, 3, 4) }),
      undefined,
    ],
    [
      'an unknown protocol that sums up',
      '-j REJECT',
      ipBytes({ src: '10.0.0.2', dst: '10.1.0.2', protocol: 99, body: Uint8Array.of(0xff, 0xff) }),
      '10.0.0.1 > 10.0.0.2 icmp 3/3 ttl 64 len 50',
    ],
  ])('%s', (_name, how, ip, answer) => {
    const lab = makeLab({ rules: forward(how) });
    lab.receive('eth0', ip);
    expect(lab.sent.map((f) => f.line)).toEqual(answer === undefined ? [] : [`eth0 ${answer}`]);
    expect(lab.dropped).toEqual(['2: rule filter FORWARD 0']);
  });

  it('answers from the rejected address in INPUT, and from the way back in FORWARD', () => {
    const lab = makeLab({ rules: ALL_TABLES('-A INPUT -j REJECT') });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.1'));
    expect(lab.sent[0]!.line).toBe('eth0 10.1.0.1 > 10.0.0.2 icmp 3/3 ttl 64 len 56');
  });

  it('own ICMP that is rejected is just dropped', () => {
    const lab = makeLab({ rules: ALL_TABLES('-A OUTPUT -p icmp -j REJECT') });
    lab.receive('eth0', ipBytes({ src: '10.0.0.2', dst: '10.0.0.1', protocol: 1, body: icmpBody(8, 0, [0, 1, 0, 1]) }));
    expect(lab.sent).toEqual([]);
    expect(lab.dropped).toEqual(['3: rule filter OUTPUT 0']);
  });

  it('a reset that is rejected in OUTPUT tells the own address', () => {
    const lab = makeLab({ rules: ALL_TABLES('-A OUTPUT -p tcp -j REJECT') });
    lab.receive('eth0', tcp('10.0.0.2', '10.0.0.1'));
    expect(lab.sent.map((f) => f.line)).toEqual(['lo 10.0.0.1 > 10.0.0.1 icmp 3/3 ttl 64 len 68']);
  });

  it('a bad checksum gets no answer', () => {
    const lab = makeLab({ rules: forward('-j REJECT') });
    const ip = udp('10.0.0.2', '10.1.0.2');
    ip[27] ^= 0x55;
    lab.receive('eth0', ip);
    expect(lab.sent).toEqual([]);
  });
});

describe('NAT', () => {
  const dnat = (rule: string) =>
    ALL_TABLES().replace(
      ':OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n*filter',
      `:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n${rule}\nCOMMIT\n*filter`,
    );

  it('DNAT decides before routing, the reply is translated back', () => {
    const lab = makeLab({ rules: dnat('-A PREROUTING -d 10.0.0.1/32 -p udp -j DNAT --to-destination 10.1.0.2:5353') });
    lab.receive('eth0', udp('10.0.0.2', '10.0.0.1'));
    lab.receive('eth1', udp('10.1.0.2', '10.0.0.2', 5353, 5000));
    expect(lab.sent.map((f) => f.line)).toEqual([
      'eth1 10.0.0.2 > 10.1.0.2 udp 5000>5353 ttl 63 len 28',
      'eth0 10.0.0.1 > 10.0.0.2 udp 53>5000 ttl 63 len 28',
    ]);
  });

  it('masquerade takes the address of the device that the packet leaves by', () => {
    const lab = makeLab({ rules: dnat('-A POSTROUTING -o eth1 -j MASQUERADE') });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    expect(lab.sent[0]!.line).toBe('eth1 10.1.0.1 > 10.1.0.2 udp 5000>53 ttl 63 len 28');
  });

  it('REDIRECT leads to the address of the incoming device', () => {
    const lab = makeLab({ rules: dnat('-A PREROUTING -p udp -j REDIRECT --to-ports 99') });
    lab.receive('eth0', udp('10.0.0.2', '10.1.0.2'));
    expect(lab.delivered).toEqual(['10.0.0.2 > 10.0.0.1 udp 5000>99 ttl 64 len 28']);
    // The port unreachable is translated back.
    expect(lab.sent[0]!.line).toBe('eth0 10.1.0.2 > 10.0.0.2 icmp 3/3 ttl 64 len 56');
  });

  it('DNAT in OUTPUT routes anew and keeps the source', () => {
    const lab = makeLab({ rules: dnat('-A OUTPUT -d 10.0.0.9/32 -p udp -j DNAT --to-destination 10.1.0.2') });
    lab.send(udp('10.0.0.1', '10.0.0.9'));
    expect(lab.sent.map((f) => f.line)).toEqual(['eth1 10.0.0.1 > 10.1.0.2 udp 5000>53 ttl 64 len 28']);
  });

  it('a mark of mangle OUTPUT routes anew by the routing rules, one of raw does not', () => {
    const rule = {
      family: 4,
      priority: 100,
      invert: false,
      mark: { value: 7, mask: 0xff },
      action: 'table',
      table: 100,
      suppressBits: -1,
    } as const;
    const plain = [0, 32766, 32767].map(
      (priority, i) =>
        ({
          family: 4,
          priority,
          invert: false,
          action: 'table',
          table: [255, 254, 253][i]!,
          suppressBits: -1,
        }) as const,
    );
    const route = {
      family: 4,
      table: 100,
      type: 1,
      address: [0, 0, 0, 0],
      bits: 0,
      tos: 0,
      metric: 0,
      scope: 0,
      nextHops: [{ device: 'eth1', onlink: false, dead: false }],
    } as const;
    for (const [table, device] of [
      ['mangle', 'eth1'],
      ['raw', 'eth0'],
    ] as const) {
      const rules = `*${table}\n:OUTPUT ACCEPT\n-A OUTPUT -j MARK --set-mark 7\nCOMMIT\n`;
      const base = makeLab({});
      const lab = makeLab({ rules, config: { rules: [...plain, rule], routes: [...base.host.config.routes, route] } });
      lab.send(udp('10.0.0.1', '10.0.0.9'));
      expect(lab.sent[0]!.line, table).toBe(`${device} 10.0.0.1 > 10.0.0.9 udp 5000>53 ttl 64 len 28`);
    }
  });
});
