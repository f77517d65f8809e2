/** Connections of a host as `conntrack -L -o extended` prints them. */

import type { TupleView } from '../../src/conntrack/conntrack.js';
import type { ConntrackTable } from '../../src/conntrack/conntrack-table.js';
import { TUPLE_WORDS, tupleFamily } from '../../src/conntrack/tuple.js';
import { printIp4 } from '../../src/net/ip4.js';
import { printIp6 } from '../../src/net/ip6.js';
import { type Direction, IPS_ASSURED, IPS_SEEN_REPLY } from '../../src/net/netfilter.js';

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  47: 'gre',
  58: 'icmpv6',
  132: 'sctp',
  136: 'udplite',
};
const TCP_STATES = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
];

export function connectionsText(conntrack: ConntrackTable): string {
  const lines: string[] = [];
  const { entries } = conntrack;
  entries.forEach((ct) => {
    const family = tupleFamily(entries.tuples, ct * 2 * TUPLE_WORDS);
    const protocol = conntrack.protocol(ct);
    const status = conntrack.status(ct);
    const words = [
      family === 4 ? 'ipv4     2' : 'ipv6     10',
      (PROTOCOLS[protocol] ?? 'unknown').padEnd(8),
      String(protocol),
      String(conntrack.expiresIn(ct)),
    ];
    if (protocol === 6) words.push(TCP_STATES[entries.state[ct]!]!);
    const zones = [conntrack.zone(ct, 0), conntrack.zone(ct, 1)] as const;
    for (const direction of [0, 1] as const) {
      words.push(tupleText(conntrack, ct, direction, family, protocol));
      if (zones[0] !== zones[1] && zones[direction] !== 0) {
        words.push(`${direction === 0 ? 'zone-orig' : 'zone-reply'}=${zones[direction]}`);
      }
      if (direction === 0 && (status & IPS_SEEN_REPLY) === 0) words.push('[UNREPLIED]');
    }
    if ((status & IPS_ASSURED) !== 0) words.push('[ASSURED]');
    words.push(`mark=${conntrack.mark(ct)}`);
    if (zones[0] === zones[1] && zones[0] !== 0) words.push(`zone=${zones[0]}`);
    lines.push(`${words.join(' ')} use=1`);
  });
  return lines.join('\n');
}

function tupleText(
  conntrack: ConntrackTable,
  ct: number,
  direction: Direction,
  family: 4 | 6,
  protocol: number,
): string {
  const t: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
  conntrack.tuple(ct, direction, t);
  const a = t.address;
  const address = (at: number) =>
    family === 4 ? printIp4(a[at]!) : printIp6(a[at]!, a[at + 1]!, a[at + 2]!, a[at + 3]!);
  const ends = `src=${address(0)} dst=${address(4)}`;
  if (protocol === 1 || protocol === 58)
    return `${ends} type=${t.dstPort >>> 8} code=${t.dstPort & 255} id=${t.srcPort}`;
  if (protocol === 47) return `${ends} srckey=0x${t.srcPort.toString(16)} dstkey=0x${t.dstPort.toString(16)}`;
  return PROTOCOLS[protocol] === undefined ? ends : `${ends} sport=${t.srcPort} dport=${t.dstPort}`;
}
