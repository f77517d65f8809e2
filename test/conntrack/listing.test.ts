import { describe, expect, it } from 'vitest';
import { IPS_DST_NAT, IPS_SRC_NAT } from '../../src/net/netfilter.js';
import { ACK, be16, craft, icmpBody, RST, SYN, tcpBody, udpBody } from '../support/craft.js';
import { A, B, Conversation } from './conversation.js';

/** Lines as a kernel's table was listed. */
const LINES = [
  'ipv4     2 tcp      6 431999 ESTABLISHED src=10.1.0.2 dst=10.2.0.2 sport=1 dport=2 src=10.2.0.2 dst=10.1.0.2 sport=2 dport=1 [ASSURED] mark=5 use=1',
  'ipv4     2 udp      17 29 src=10.1.0.2 dst=10.2.0.2 sport=5 dport=7 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=7 dport=5 mark=0 zone=9 use=1',
  'ipv4     2 udp      17 29 src=10.1.0.2 dst=10.2.0.2 sport=5 dport=8 packets=1 bytes=32 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=8 dport=5 packets=0 bytes=0 mark=0 use=1',
  'ipv4     2 icmp     1 29 src=10.1.0.2 dst=10.2.0.2 type=8 code=0 id=77 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 type=0 code=0 id=77 mark=0 use=1',
  'ipv4     2 gre      47 29 src=10.1.0.2 dst=10.2.0.2 srckey=0x0 dstkey=0x0 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 srckey=0x0 dstkey=0x0 mark=0 use=1',
  'ipv4     2 unknown  99 599 src=10.1.0.2 dst=10.2.0.2 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 mark=0 use=1',
  'ipv4     2 dccp     33 599 src=127.0.0.1 dst=127.0.0.2 sport=0 dport=0 [UNREPLIED] src=127.0.0.2 dst=127.0.0.1 sport=0 dport=0 mark=0 use=1',
  'ipv4     2 udplite  136 29 src=127.0.0.1 dst=127.0.0.2 sport=1 dport=2 [UNREPLIED] src=127.0.0.2 dst=127.0.0.1 sport=2 dport=1 mark=0 use=1',
  'ipv4     2 sctp     132 209 ESTABLISHED src=10.1.0.2 dst=10.2.0.2 sport=1 dport=2 src=10.2.0.2 dst=10.1.0.2 sport=2 dport=1 [ASSURED] mark=0 use=1',
  'ipv6     10 icmpv6   58 29 src=fd00::1 dst=fd00::2 type=128 code=0 id=7 [UNREPLIED] src=fd00::2 dst=fd00::1 type=129 code=0 id=7 mark=4294967295 use=1',
  'ipv4     2 udp      17 10 src=10.1.0.2 dst=10.2.0.2 sport=6 dport=7 zone-orig=3 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=7 dport=6 mark=0 use=1',
  'ipv4     2 tcp      6 60 SYN_SENT2 src=10.1.0.2 dst=10.2.0.2 sport=4000 dport=80 src=10.9.0.9 dst=10.3.0.1 sport=8080 dport=4000 mark=0 use=1',
];
const TEXT = LINES.map((line) => `${line}\n`).join('');

it('what was read is printed again', () => {
  const talk = new Conversation();
  expect(talk.ct.preload({ name: 'conntrack', text: TEXT })).toEqual([]);
  expect(talk.ct.print()).toBe(TEXT);
  expect(talk.ct.print(6).split('\n')).toHaveLength(2);
  talk.wait(11);
  expect(talk.ct.print().split('\n')[1]).toContain('udp      17 18 src');
  expect(talk.ct.print()).not.toContain('zone-orig');
});

it('prints what was tracked', () => {
  const talk = new Conversation({ acct: 1 });
  talk.pass(craft({ src: A, dst: B, protocol: 17, body: udpBody(5, 8, new Uint8Array(4)) }));
  talk.pass(craft({ src: A, dst: B, protocol: 1, body: icmpBody(8, 0, be16(77), be16(1)) }));
  talk.pass(craft({ src: B, dst: A, protocol: 1, body: icmpBody(0, 0, be16(77), be16(1)) }));
  talk.tcp(true, { flags: SYN });
  talk.ct.setMark(talk.entries[2]!, 7);
  expect(talk.ct.print().split('\n')).toEqual([
    'ipv4     2 udp      17 30 src=10.1.0.2 dst=10.2.0.2 sport=5 dport=8 packets=1 bytes=32 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=8 dport=5 packets=0 bytes=0 mark=0 use=1',
    'ipv4     2 icmp     1 30 src=10.1.0.2 dst=10.2.0.2 type=8 code=0 id=77 packets=1 bytes=28 src=10.2.0.2 dst=10.1.0.2 type=0 code=0 id=77 packets=1 bytes=28 mark=0 use=1',
    'ipv4     2 tcp      6 120 SYN_SENT src=10.1.0.2 dst=10.2.0.2 sport=1000 dport=80 packets=1 bytes=40 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=80 dport=1000 packets=0 bytes=0 mark=7 use=1',
    '',
  ]);
});

describe('preload', () => {
  const load = (text: string): Conversation => {
    const talk = new Conversation();
    talk.ct.preload({ name: 'conntrack', text });
    return talk;
  };

  it('other forms of a line', () => {
    const plain = LINES[0]!.slice('ipv4     2 '.length);
    const proc = LINES[0]!.replace('use=1', 'zone=0 use=2');
    const withId = `${LINES[3]} id=123456`;
    for (const [text, line] of [
      [plain, LINES[0]],
      [proc, LINES[0]],
      [withId, LINES[3]],
    ] as const) {
      expect(load(text).ct.print()).toBe(`${line}\n`);
    }
  });

  it('a connection goes on, with whatever numbers', () => {
    const talk = load(LINES[0]!);
    const segment = (fromA: boolean, seq: number, flags: number): string =>
      talk.pass(
        craft({
          src: fromA ? A : B,
          dst: fromA ? B : A,
          protocol: 6,
          body: tcpBody({ sport: fromA ? 1 : 2, dport: fromA ? 2 : 1, flags, seq, ack: 900_000_000 }),
        }),
      );
    expect([segment(true, 4_000_000_000, ACK), segment(false, 7, ACK), segment(true, 4_000_900_000, ACK)]).toEqual(
      new Array(3).fill('ESTABLISHED'),
    );
    expect(segment(false, 8, RST)).toBe('INVALID');
    expect(segment(true, 5, SYN)).toBe('ESTABLISHED');
  });

  it('finds translated connections', () => {
    const talk = load(LINES[11]!);
    const entry = talk.entries[0]!;
    expect(talk.ct.status(entry) & (IPS_SRC_NAT | IPS_DST_NAT)).toBe(IPS_SRC_NAT | IPS_DST_NAT);
    expect(load(LINES[3]!.replace('type=0 code=0 id=77', 'type=0 code=0 id=78')).ct.status(0) & IPS_SRC_NAT).toBe(
      IPS_SRC_NAT,
    );
    expect(load(LINES[3]!).ct.status(0) & (IPS_SRC_NAT | IPS_DST_NAT)).toBe(0);
  });

  it('lives from the first packet on where the clock had not been started', () => {
    const talk = new Conversation({}, 0);
    talk.ct.preload({ name: 'conntrack', text: `${LINES[1]}\n` });
    talk.clock.advanceTo(1_700_000_000_000_000);
    expect(talk.ct.print()).toBe(`${LINES[1]}\n`);
    talk.wait(10);
    expect(talk.ct.print()).toContain('udp      17 19 src');
  });

  it('a capture may begin at 0', () => {
    const talk = new Conversation({}, 0);
    talk.udp(true);
    talk.wait(10);
    expect(talk.only).toBe('20 unreplied');
  });

  it.each([
    ['tcp 6 1 NONSENSE src=1.2.3.4 dst=1.2.3.5 sport=1 dport=2 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=1', /NONSENSE/],
    ['what is this', /"what"/],
    ['udp 17 30 src=1.2.3.4 dst=1.2.3.999 sport=1 dport=2 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=1', /1\.2\.3\.999/],
    ['udp 17 30 src=1.2.3.4 dst=1.2.3.5 sport=1 dport=2', /src= is missing/],
    ['udp 17 30 src=1.2.3.4 dst=1.2.3.5 sport=1 dport=70000 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=1', /70000/],
    [`${LINES[0]}\n${LINES[0]}`, /same tuple/],
  ])('%s', (text, message) => {
    const talk = new Conversation();
    const [diagnostic, ...more] = talk.ct.preload({ name: 'conntrack', text: `${text}\n${LINES[1]}\n` });
    expect(diagnostic?.message).toMatch(message);
    expect(more).toEqual([]);
    expect(talk.ct.print()).toContain(LINES[1]);
  });
});
