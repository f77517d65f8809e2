import { describe, expect, it } from 'vitest';
import {
  CT_STATE_DNAT,
  CT_STATE_ESTABLISHED,
  CT_STATE_INVALID,
  CT_STATE_NEW,
  CT_STATE_UNTRACKED,
} from '../../src/conntrack/state-bit.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '../../src/net/protocol.js';
import type { Packet } from '../../src/wire/packet.js';
import {
  ACK,
  craft,
  FIN,
  icmpBody,
  ipBytes,
  type PacketRepr,
  packetOf,
  SYN,
  tcpBody,
  udpBody,
} from '../support/craft.js';
import { Bench, withFields } from '../support/extension-env.js';
import { asFragment4, asFragment6, shortened4 } from '../support/fragment.js';

const tcp4 = (sport: number, dport: number, flags = SYN, options: readonly number[] = []): PacketRepr => ({
  src: '10.0.0.1',
  dst: '10.0.0.2',
  protocol: IPPROTO_TCP,
  body: tcpBody({ sport, dport, flags, options }),
});
const udp4 = (sport: number, dport: number): PacketRepr => ({
  src: '10.0.0.1',
  dst: '10.0.0.2',
  protocol: IPPROTO_UDP,
  body: udpBody(sport, dport, new Uint8Array(8)),
});
const icmp4 = (type: number, code: number): PacketRepr => ({
  src: '10.0.0.1',
  dst: '10.0.0.2',
  protocol: IPPROTO_ICMP,
  body: icmpBody(type, code, [0, 1, 0, 1]),
});
const tcp6 = (sport: number, dport: number): PacketRepr => ({
  ...tcp4(sport, dport),
  src: '2001:db8::1',
  dst: '2001:db8::2',
});
const icmp6 = (type: number, code: number): PacketRepr => ({
  src: '2001:db8::1',
  dst: '2001:db8::2',
  protocol: IPPROTO_ICMPV6,
  body: icmpBody(type, code, [0, 1, 0, 1]),
});

type Case = readonly [rule: string, packet: () => Packet, result: 'yes' | 'no' | 'drop'];
const testCases = (family: 4 | 6, cases: readonly Case[], chain = 'FORWARD') =>
  it.each(cases)('%s %#', (rule, packet, result) => {
    expect(new Bench(family).bind(rule, chain).match(packet())).toBe(result);
  });

describe('tcp', () => {
  testCases(4, [
    ['-p tcp --dport 80', () => craft(tcp4(1024, 80)), 'yes'],
    ['-p tcp --dport 80', () => craft(tcp4(80, 81)), 'no'],
    ['-p tcp ! --dport 80', () => craft(tcp4(1024, 81)), 'yes'],
    ['-p tcp --sport 1000:2000', () => craft(tcp4(2000, 1)), 'yes'],
    ['-p tcp --sport 1000:2000', () => craft(tcp4(2001, 1)), 'no'],
    // The range is stored with its `!`, though it does not print: never true.
    ['-p tcp ! --sport :', () => craft(tcp4(1, 1)), 'no'],
    ['-p tcp --syn', () => craft(tcp4(1, 1, SYN)), 'yes'],
    ['-p tcp --syn', () => craft(tcp4(1, 1, SYN | ACK)), 'no'],
    ['-p tcp ! --syn', () => craft(tcp4(1, 1, SYN | ACK)), 'yes'],
    ['-p tcp --syn', () => craft(tcp4(1, 1, SYN | 0xc0)), 'yes'],
    ['-p tcp --tcp-flags ALL NONE', () => craft(tcp4(1, 1, 0)), 'yes'],
    ['-p tcp --tcp-flags SYN,FIN SYN,FIN', () => craft(tcp4(1, 1, SYN | FIN)), 'yes'],
    ['-p tcp --tcp-flags NONE SYN', () => craft(tcp4(1, 1, SYN)), 'no'],
    ['-p tcp --tcp-option 2', () => craft(tcp4(1, 1, SYN, [1, 2, 4, 5, 180])), 'yes'],
    ['-p tcp ! --tcp-option 2', () => craft(tcp4(1, 1, SYN, [1, 2, 4, 5, 180])), 'no'],
    ['-p tcp --tcp-option 3', () => craft(tcp4(1, 1, SYN, [2, 4, 5, 180])), 'no'],
    // A length of 0 counts as 1, and kind 0 does not end the walk.
    ['-p tcp --tcp-option 8', () => craft(tcp4(1, 1, SYN, [5, 0, 8, 2])), 'yes'],
    ['-p tcp --tcp-option 8', () => craft(tcp4(1, 1, SYN, [0, 0, 8, 2])), 'yes'],
    ['-p tcp --tcp-option 8', () => craft(tcp4(1, 1)), 'no'],
    ['-p tcp ! --tcp-option 8', () => craft(tcp4(1, 1)), 'yes'],
    ['-p tcp --tcp-option 8', () => packetOf(shortened4(ipBytes(tcp4(1, 1, SYN, [1, 1, 1, 8])), 42)), 'drop'],
    ['-p tcp --dport 1', () => packetOf(shortened4(ipBytes(tcp4(1, 1)), 39)), 'drop'],
    ['-p tcp -m tcp', () => packetOf(shortened4(ipBytes(tcp4(1, 1)), 39)), 'drop'],
    ['-p tcp -m tcp', () => packetOf(asFragment4(ipBytes(tcp4(1, 1)), 0, true)), 'yes'],
    ['-p tcp -m tcp', () => packetOf(asFragment4(ipBytes(tcp4(1, 1)), 1, true)), 'drop'],
    ['-p tcp -m tcp', () => packetOf(asFragment4(ipBytes(tcp4(1, 1)), 2, false)), 'no'],
    ['-p tcp ! --dport 1', () => packetOf(asFragment4(ipBytes(tcp4(1, 1)), 2, false)), 'no'],
  ]);
  testCases(6, [
    ['-p tcp --dport 80', () => craft(tcp6(1, 80)), 'yes'],
    // IPv6 compares the offset in bytes: no hotdrop at 8.
    ['-p tcp -m tcp', () => packetOf(asFragment6(ipBytes(tcp6(1, 80)), 8, true)), 'no'],
    ['-p tcp --dport 80', () => packetOf(asFragment6(ipBytes(tcp6(1, 80)), 0, true)), 'yes'],
  ]);
});

describe('udp, icmp, multiport', () => {
  testCases(4, [
    ['-p udp --dport 53', () => craft(udp4(5, 53)), 'yes'],
    ['-p udp --sport 9:8', () => craft(udp4(9, 53)), 'no'],
    ['-p udp ! --sport 9:8', () => craft(udp4(9, 53)), 'yes'],
    ['-p udp -m udp', () => packetOf(shortened4(ipBytes(udp4(5, 53)), 27)), 'drop'],
    ['-p udp -m udp', () => packetOf(asFragment4(ipBytes(udp4(5, 53)), 1, false)), 'no'],
    ['-p icmp --icmp-type 8', () => craft(icmp4(8, 0)), 'yes'],
    ['-p icmp --icmp-type 8', () => craft(icmp4(8, 3)), 'yes'],
    ['-p icmp --icmp-type 8/0', () => craft(icmp4(8, 3)), 'no'],
    ['-p icmp ! --icmp-type 8/0', () => craft(icmp4(8, 3)), 'yes'],
    ['-p icmp --icmp-type any', () => craft(icmp4(5, 3)), 'yes'],
    ['-p icmp ! --icmp-type any', () => craft(icmp4(5, 3)), 'no'],
    ['-p icmp --icmp-type 255/3', () => craft(icmp4(5, 1)), 'yes'],
    ['-p icmp --icmp-type any', () => packetOf(shortened4(ipBytes(icmp4(8, 0)), 27)), 'drop'],
    ['-p icmp --icmp-type any', () => packetOf(asFragment4(ipBytes(icmp4(8, 0)), 1, false)), 'no'],
    ['-p tcp -m multiport --dports 80,443', () => craft(tcp4(1, 443)), 'yes'],
    ['-p tcp -m multiport --dports 80,443', () => craft(tcp4(443, 1)), 'no'],
    ['-p tcp -m multiport --ports 80,443', () => craft(tcp4(443, 1)), 'yes'],
    ['-p tcp -m multiport ! --ports 80,443', () => craft(tcp4(443, 1)), 'no'],
    ['-p tcp -m multiport --sports 1:5,9', () => craft(tcp4(3, 1)), 'yes'],
    ['-p tcp -m multiport ! --sports 1:5,9', () => craft(tcp4(6, 1)), 'yes'],
    ['-p tcp -m multiport --sports 1:5', () => craft(tcp4(6, 1)), 'no'],
    ['-p tcp -m multiport ! --sports 7', () => craft(tcp4(7, 1)), 'no'],
    // Four bytes are enough; a later fragment never fits, even inverted.
    ['-p tcp -m multiport --dports 80', () => packetOf(shortened4(ipBytes(tcp4(1, 80)), 24)), 'yes'],
    ['-p tcp -m multiport --dports 80', () => packetOf(shortened4(ipBytes(tcp4(1, 80)), 23)), 'drop'],
    ['-p tcp -m multiport ! --dports 80', () => packetOf(asFragment4(ipBytes(tcp4(1, 80)), 1, false)), 'no'],
  ]);
  testCases(6, [
    ['-p ipv6-icmp --icmpv6-type 128', () => craft(icmp6(128, 0)), 'yes'],
    ['-p ipv6-icmp --icmpv6-type 255', () => craft(icmp6(128, 0)), 'no'],
    ['-p ipv6-icmp ! --icmpv6-type 1/3', () => craft(icmp6(1, 4)), 'yes'],
  ]);
});

describe('addresses, marks and header fields', () => {
  const plain = (over: Partial<PacketRepr> = {}) => craft({ ...tcp4(1, 2), ...over });
  testCases(4, [
    ['-m mark --mark 0x80000001', () => withFields(plain(), { Mark: 0x80000001 }), 'yes'],
    ['-m mark --mark 0x80000000/0x80000000', () => withFields(plain(), { Mark: 0xffffffff }), 'yes'],
    ['-m mark --mark 5/3', () => withFields(plain(), { Mark: 5 }), 'no'],
    ['-m mark ! --mark 5/3', () => withFields(plain(), { Mark: 5 }), 'yes'],
    ['-m iprange --src-range 10.0.0.1-10.0.0.9', () => plain(), 'yes'],
    ['-m iprange --src-range 10.0.0.2-10.0.0.9', () => plain(), 'no'],
    ['-m iprange ! --src-range 10.0.0.2-10.0.0.9', () => plain(), 'yes'],
    ['-m iprange --dst-range 200.0.0.0-255.255.255.255', () => plain({ dst: '201.0.0.1' }), 'yes'],
    ['-m iprange --src-range 10.0.0.1 --dst-range 10.0.0.3', () => plain(), 'no'],
    ['-m length --length 40', () => plain(), 'yes'],
    ['-m length ! --length 41:', () => plain(), 'yes'],
    ['-m length --length :39', () => plain(), 'no'],
    ['-m ttl --ttl-eq 64', () => plain(), 'yes'],
    ['-m ttl ! --ttl-eq 64', () => plain(), 'no'],
    ['-m ttl --ttl-lt 64', () => plain(), 'no'],
    ['-m ttl --ttl-lt 65', () => plain(), 'yes'],
    ['-m ttl --ttl-lt 0', () => plain({ ttl: 0 }), 'no'],
    ['-m ttl --ttl-gt 63', () => plain(), 'yes'],
    ['-m ttl --ttl-gt 64', () => plain(), 'no'],
    ['-m tos --tos 0x10/0x3f', () => plain({ tos: 0xd0 }), 'yes'],
    ['-m tos --tos 0x10', () => plain({ tos: 0xd0 }), 'no'],
    ['-m tos ! --tos 0x10', () => plain({ tos: 0xd0 }), 'yes'],
    ['-m dscp --dscp 46', () => plain({ tos: 0xbb }), 'yes'],
    ['-m dscp ! --dscp 46', () => plain({ tos: 0xbb }), 'no'],
    ['-m pkttype --pkt-type unicast', () => plain(), 'yes'],
    ['-m pkttype --pkt-type broadcast', () => withFields(plain(), { PktType: 1 }), 'yes'],
    ['-m pkttype ! --pkt-type otherhost', () => withFields(plain(), { PktType: 3 }), 'no'],
    ['-m pkttype --pkt-type broadcast', () => withFields(plain(), { PktType: 5 }), 'yes'],
    ['-m pkttype --pkt-type multicast', () => withFields(plain({ dst: '224.0.0.1' }), { PktType: 5 }), 'yes'],
    ['-m comment --comment x', () => plain(), 'yes'],
    ['-m physdev --physdev-is-in', () => plain(), 'no'],
    ['-m physdev ! --physdev-is-in ! --physdev-is-bridged', () => plain(), 'yes'],
    ['-m physdev ! --physdev-is-in --physdev-in eth0', () => plain(), 'no'],
    ['-m mac --mac-source 00:11:22:33:44:55', () => plain(), 'no'],
    ['-m mac ! --mac-source 00:11:22:33:44:55', () => plain(), 'no'],
  ]);
  testCases(6, [
    ['-m iprange --src-range 2001:db8::1-2001:db8::9', () => craft(tcp6(1, 2)), 'yes'],
    ['-m iprange --src-range 2001:db8::2-2001:db8::9', () => craft(tcp6(1, 2)), 'no'],
    ['-m iprange ! --src-range 2001:db8::-2001:db9::', () => craft(tcp6(1, 2)), 'no'],
    ['-m iprange --dst-range ::-2001:db8::1:0:0', () => craft(tcp6(1, 2)), 'yes'],
    ['-m hl --hl-eq 64', () => craft(tcp6(1, 2)), 'yes'],
    ['-m length --length 60', () => craft(tcp6(1, 2)), 'yes'],
    ['-m pkttype --pkt-type multicast', () => withFields(craft(tcp6(1, 2)), { PktType: 5 }), 'yes'],
  ]);

  it.each([
    ['-m mac --mac-source 02:00:00:00:00:01', 'yes'],
    ['-m mac --mac-source 02:00:00:00:00:02', 'no'],
    ['-m mac ! --mac-source 02:00:00:00:00:02', 'yes'],
  ])('%s on Ethernet', (rule, result) => {
    const ip = ipBytes(tcp4(1, 2));
    const frame = Uint8Array.from([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, ...ip]);
    const packet = craft(tcp4(1, 2));
    packet.attach(frame, new DataView(frame.buffer));
    packet.parse4(14, frame.length, frame.length);
    packet.macOff = 0;
    expect(new Bench().bind(rule).match(packet)).toBe(result);
  });
});

describe('addrtype', () => {
  const LOCAL = 2;
  it.each([
    ['--dst-type LOCAL', 'yes'],
    ['! --dst-type LOCAL', 'no'],
    ['--src-type LOCAL', 'no'],
    ['--src-type UNICAST,LOCAL ! --dst-type UNICAST', 'yes'],
    // The address belongs to device 1; seen from device 2 it is UNICAST.
    ['--dst-type LOCAL --limit-iface-in', 'yes'],
    ['--dst-type LOCAL --limit-iface-out', 'no'],
  ])('%s', (options, result) => {
    const bench = new Bench();
    bench.host.addressTypes.set(`${0x0a000002} 0`, LOCAL).set(`${0x0a000002} 1`, LOCAL);
    const packet = withFields(craft(tcp4(1, 2)), { InDev: 1, OutDev: 2 });
    expect(bench.bind(`-m addrtype ${options}`).match(packet)).toBe(result);
  });
});

describe('conntrack, state, connmark', () => {
  const STATUS_ASSURED = 4;
  const connection = {
    status: STATUS_ASSURED,
    mark: 0x12,
    protocol: 6,
    expires: 30,
    tuples: [
      { address: Uint32Array.of(0x0a000001, 0, 0, 0, 0x0a000002, 0, 0, 0), srcPort: 1000, dstPort: 80 },
      { address: Uint32Array.of(0x0a000003, 0, 0, 0, 0x0a000001, 0, 0, 0), srcPort: 8080, dstPort: 1000 },
    ],
  } as const;
  it.each([
    // rule                                    state                        ct  direction result
    ['-m conntrack --ctstate NEW', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack ! --ctstate NEW', CT_STATE_INVALID, -1, 0, 'yes'],
    ['-m conntrack --ctstate DNAT', CT_STATE_ESTABLISHED | CT_STATE_DNAT, 0, 0, 'yes'],
    ['-m conntrack --ctstate INVALID --ctproto 17', CT_STATE_INVALID, -1, 0, 'yes'],
    ['-m conntrack --ctproto 6', CT_STATE_INVALID, -1, 0, 'no'],
    ['-m conntrack ! --ctproto 6', CT_STATE_INVALID, -1, 0, 'no'],
    ['-m conntrack --ctproto 6', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack ! --ctproto 6', CT_STATE_NEW, 0, 0, 'no'],
    ['-m conntrack --ctdir ORIGINAL', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctdir ORIGINAL', CT_STATE_NEW, 0, 1, 'no'],
    ['-m conntrack --ctdir REPLY', CT_STATE_NEW, 0, 1, 'yes'],
    ['-m conntrack --ctorigdst 10.0.0.2', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctorigdst 10.0.0.99/24', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctreplsrc 10.0.0.3 --ctrepldst 10.0.0.1', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack ! --ctreplsrc 10.0.0.3', CT_STATE_NEW, 0, 0, 'no'],
    ['-m conntrack --ctorigsrcport 1000 --ctorigdstport 80:81', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctreplsrcport 8080 --ctrepldstport 999', CT_STATE_NEW, 0, 0, 'no'],
    ['-m conntrack ! --ctrepldstport 999:998', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctstatus ASSURED,CONFIRMED', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctstatus NONE', CT_STATE_NEW, 0, 0, 'no'],
    ['-m conntrack ! --ctstatus NONE', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctexpire 30', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m conntrack --ctexpire 31:', CT_STATE_NEW, 0, 0, 'no'],
    ['-m state --state ESTABLISHED', CT_STATE_ESTABLISHED, 0, 0, 'yes'],
    ['-m state --state UNTRACKED', CT_STATE_UNTRACKED, -1, 0, 'yes'],
    ['-m state ! --state INVALID', CT_STATE_UNTRACKED, -1, 0, 'yes'],
    ['-m connmark --mark 0x10/0xf0', CT_STATE_NEW, 0, 0, 'yes'],
    ['-m connmark ! --mark 0x10/0xf0', CT_STATE_NEW, 0, 0, 'no'],
    ['-m connmark ! --mark 0x99', CT_STATE_INVALID, -1, 0, 'no'],
  ] as const)('%s %#', (rule, state, ct, direction, result) => {
    const bench = new Bench();
    bench.conntrack.connection = { ...connection };
    const packet = withFields(craft(tcp4(1, 2)), { CtState: state });
    packet.ct = ct;
    packet.ctDir = direction;
    expect(bench.bind(rule).match(packet)).toBe(result);
  });
});

it('nfacct counts bytes and is true', () => {
  const bench = new Bench();
  expect(bench.bind('-m nfacct --nfacct-name acc').match(craft(tcp4(1, 2)))).toBe('yes');
  expect(bench.host.counted).toEqual([['acc', 40]]);
});
