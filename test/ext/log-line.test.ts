import { describe, expect, it } from 'vitest';
import { formatLogLine, LOG_IP_OPTIONS, LOG_MAC_DECODE, LOG_TRACE_FLAGS } from '../../src/ext/log-line.js';
import { NF_INET_POST_ROUTING, XT_CONTINUE } from '../../src/net/netfilter.js';
import {
  ACK,
  be16,
  bytesOf,
  craft,
  icmpBody,
  ipBytes,
  PSH,
  packetOf,
  SYN,
  tcpBody,
  udpBody,
} from '../support/craft.js';
import { Bench, FakeHost, withFields } from '../support/extension-env.js';
import { asFragment4, asFragment6, shortened4 } from '../support/fragment.js';

const host = new FakeHost();
const A = { src: '10.0.0.1', dst: '10.0.0.2' };
const A6 = { src: '2001:db8::1', dst: '2001:db8::2' };
const tcp = {
  protocol: 6,
  body: tcpBody({ sport: 1000, dport: 80, flags: SYN, seq: 7, ack: 9, options: [2, 4, 5, 180] }),
};
const head = 'SRC=10.0.0.1 DST=10.0.0.2 ';
const head6 = 'SRC=2001:0db8:0000:0000:0000:0000:0000:0001 DST=2001:0db8:0000:0000:0000:0000:0000:0002 ';

describe('IPv4', () => {
  const udp = ipBytes({ ...A, protocol: 17, id: 77, tos: 0xb8, body: udpBody(53, 5353, new Uint8Array(8)) });
  it.each([
    [
      'tcp',
      ipBytes({ ...A, ...tcp }),
      0,
      `${head}LEN=44 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=TCP SPT=1000 DPT=80 WINDOW=65535 RES=0x00 SYN URGP=0 `,
    ],
    [
      'tcp, everything',
      ipBytes({ ...A, ...tcp }),
      LOG_TRACE_FLAGS,
      `${head}LEN=44 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=TCP SPT=1000 DPT=80 SEQ=7 ACK=9 WINDOW=65535 RES=0x00 SYN URGP=0 OPT (020405B4) `,
    ],
    [
      'tcp flags',
      ipBytes({ ...A, protocol: 6, body: tcpBody({ sport: 1, dport: 2, flags: 0xc0 | ACK | PSH }) }),
      0,
      `${head}LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=TCP SPT=1 DPT=2 WINDOW=65535 RES=0x00 CWR ECE ACK PSH URGP=0 `,
    ],
    ['udp', udp, 0, `${head}LEN=36 TOS=0x18 PREC=0xA0 TTL=64 ID=77 DF PROTO=UDP SPT=53 DPT=5353 LEN=16 `],
    [
      'later fragment',
      asFragment4(udp, 3, true),
      0,
      `${head}LEN=36 TOS=0x18 PREC=0xA0 TTL=64 ID=77 MF FRAG:3 PROTO=UDP `,
    ],
    [
      'short',
      shortened4(udp, 27),
      0,
      `${head}LEN=27 TOS=0x18 PREC=0xA0 TTL=64 ID=77 DF PROTO=UDP INCOMPLETE [7 bytes] `,
    ],
    [
      'icmp echo',
      ipBytes({ ...A, protocol: 1, body: icmpBody(8, 0, be16(5), be16(6)) }),
      0,
      `${head}LEN=28 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=ICMP TYPE=8 CODE=0 ID=5 SEQ=6 `,
    ],
    [
      'icmp error',
      ipBytes({ ...A, protocol: 1, body: icmpBody(3, 4, be16(0), be16(1400), udp.slice(0, 28)) }),
      0,
      `${head}LEN=56 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=ICMP TYPE=3 CODE=4 [${head}LEN=36 TOS=0x18 PREC=0xA0 TTL=64 ID=77 DF PROTO=UDP SPT=53 DPT=5353 LEN=16 ] MTU=1400 `,
    ],
    [
      'redirect',
      ipBytes({ ...A, protocol: 1, body: icmpBody(5, 1, [10, 0, 0, 9], udp.slice(0, 28)) }),
      0,
      `${head}LEN=56 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=ICMP TYPE=5 CODE=1 GATEWAY=10.0.0.9 [${head}LEN=36 TOS=0x18 PREC=0xA0 TTL=64 ID=77 DF PROTO=UDP SPT=53 DPT=5353 LEN=16 ] `,
    ],
    [
      'short icmp error',
      ipBytes({ ...A, protocol: 1, body: icmpBody(3, 1, [0, 0, 0, 0], udp.slice(0, 10)) }),
      0,
      `${head}LEN=38 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=ICMP TYPE=3 CODE=1 INCOMPLETE [18 bytes] `,
    ],
    [
      'parameter problem',
      ipBytes({ ...A, protocol: 1, body: icmpBody(12, 0, [20, 0, 0, 0], udp.slice(0, 28)) }),
      0,
      `${head}LEN=56 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=ICMP TYPE=12 CODE=0 PARAMETER=20 `,
    ],
    [
      'esp',
      ipBytes({ ...A, protocol: 50, body: bytesOf([0, 0, 0x12, 0x34, 0, 0, 0, 1]) }),
      0,
      `${head}LEN=28 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=ESP SPI=0x1234 `,
    ],
    [
      'other',
      ipBytes({ ...A, protocol: 99, body: new Uint8Array(4) }),
      0,
      `${head}LEN=24 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=99 `,
    ],
  ])('%s', (_name, bytes, flags, line) => {
    expect(formatLogLine(packetOf(bytes), host, '', flags)).toBe(`IN= OUT= ${line}`);
  });
});

it('names the AE bit of TCP and shows the other reserved bits', () => {
  const body = tcpBody({ sport: 1, dport: 2, flags: SYN });
  body[12] = 0x5f;
  expect(formatLogLine(packetOf(ipBytes({ ...A, protocol: 6, body })), host, '', 0)).toContain(
    'WINDOW=65535 RES=0x38 AE SYN URGP=0 ',
  );
});

describe('IPv6', () => {
  const udp = ipBytes({ ...A6, protocol: 17, tos: 0xb8, body: udpBody(53, 5353, new Uint8Array(8)) });
  const quote = `${head6}LEN=56 TC=184 HOPLIMIT=64 FLOWLBL=0 PROTO=UDP SPT=53 DPT=5353 LEN=16 `;
  it.each([
    ['udp', udp, 0, quote],
    [
      'tcp',
      ipBytes({ ...A6, ...tcp }),
      0,
      `${head6}LEN=64 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=TCP SPT=1000 DPT=80 WINDOW=65535 RES=0x00 SYN URGP=0 `,
    ],
    [
      'first fragment',
      asFragment6(udp, 0, true),
      0,
      `${head6}LEN=64 TC=184 HOPLIMIT=64 FLOWLBL=0 FRAG:0 INCOMPLETE ID:00001234 PROTO=UDP SPT=53 DPT=5353 LEN=16 `,
    ],
    [
      'later fragment',
      asFragment6(udp, 16, false),
      LOG_IP_OPTIONS,
      `${head6}LEN=64 TC=184 HOPLIMIT=64 FLOWLBL=0 OPT ( FRAG:16 ID:00001234 ) PROTO=UDP `,
    ],
    [
      'echo',
      ipBytes({ ...A6, protocol: 58, body: icmpBody(128, 0, be16(5), be16(6)) }),
      0,
      `${head6}LEN=48 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=ICMPv6 TYPE=128 CODE=0 ID=5 SEQ=6 `,
    ],
    [
      'too big',
      ipBytes({ ...A6, protocol: 58, body: icmpBody(2, 0, [0, 0, 5, 0], udp) }),
      0,
      `${head6}LEN=104 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=ICMPv6 TYPE=2 CODE=0 [${quote}] MTU=1280 `,
    ],
    [
      'parameter problem',
      ipBytes({ ...A6, protocol: 58, body: icmpBody(4, 1, [0, 0, 0, 6], udp) }),
      0,
      `${head6}LEN=104 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=ICMPv6 TYPE=4 CODE=1 POINTER=00000006 [${quote}] `,
    ],
  ])('%s', (_name, bytes, flags, line) => {
    expect(formatLogLine(packetOf(bytes), host, '', flags)).toBe(`IN= OUT= ${line}`);
  });
});

describe('devices, MAC, mark', () => {
  const framed = () => {
    const ip = ipBytes({ ...A, protocol: 99, body: new Uint8Array(4) });
    const frame = Uint8Array.from([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, ...ip]);
    const packet = craft({ ...A, protocol: 99, body: new Uint8Array(4) });
    packet.attach(frame, new DataView(frame.buffer));
    packet.parse4(14, frame.length, frame.length);
    packet.macOff = 0;
    return packet;
  };
  const ip = `${head}LEN=24 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=99 `;
  it.each([
    ['in', 1, 0, 0, 0, 'IN=eth0 OUT= MAC=02:00:00:00:00:09:02:00:00:00:00:01:08:00 '],
    [
      'decoded',
      1,
      0,
      0,
      LOG_MAC_DECODE,
      'IN=eth0 OUT= MACSRC=02:00:00:00:00:01 MACDST=02:00:00:00:00:09 MACPROTO=0800 ',
    ],
    ['forward', 1, 2, 2, 0, 'IN=eth0 OUT=eth1 MAC=02:00:00:00:00:09:02:00:00:00:00:01:08:00 '],
    ['postrouting', 1, 2, NF_INET_POST_ROUTING, 0, 'IN=eth0 OUT=eth1 MAC=02:00:00:00:00:09:02:00:00:00:00:01:08:00 '],
    ['output', 0, 2, 3, 0, 'IN= OUT=eth1 '],
  ] as const)('%s', (_name, inDev, outDev, hook, flags, start) => {
    const packet = withFields(framed(), { InDev: inDev, OutDev: outDev });
    packet.hook = hook;
    expect(formatLogLine(packet, host, 'P: ', flags)).toBe(`P: ${start}${ip}`);
  });
  it('lo has a header of zeros, a tunnel none', () => {
    const packet = withFields(craft({ ...A, protocol: 99, body: new Uint8Array(4) }), { InDev: 3, Mark: 0xab });
    expect(formatLogLine(packet, host, '', 0)).toBe(
      `IN=lo OUT= MAC=00:00:00:00:00:00:00:00:00:00:00:00:08:00 ${ip}MARK=0xab `,
    );
    expect(formatLogLine(withFields(packet, { InDev: 1, Mark: 0 }), host, '', 0)).toBe(`IN=eth0 OUT= MAC= ${ip}`);
  });
  it('LOG writes at its level and goes on', () => {
    const bench = new Bench();
    const packet = packetOf(ipBytes({ ...A, protocol: 99, body: new Uint8Array(4) }));
    expect(bench.bind('-j LOG --log-prefix "x: " --log-level info').target(packet)).toBe(XT_CONTINUE);
    expect(bench.host.lines).toEqual([`<6>x: IN= OUT= ${ip}`]);
  });
});
