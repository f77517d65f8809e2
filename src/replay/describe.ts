/** Packets and connections in words: `tcp 10.0.0.2:1234 > 10.20.0.3:80 syn`. */
import type { TupleView } from '../conntrack/conntrack.js';
import {
  CT_STATE_ESTABLISHED,
  CT_STATE_INVALID,
  CT_STATE_NEW,
  CT_STATE_RELATED,
  CT_STATE_UNTRACKED,
} from '../conntrack/state-bit.js';
import { printIp4 } from '../net/ip4.js';
import { printIp6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP } from '../net/protocol.js';
import { protocolName } from '../net/protocol-name.js';
import { Field } from '../wire/field.js';
import { hasPorts, L4_OK, type Packet } from '../wire/packet.js';

export function describeAddress(family: Family, words: ArrayLike<number>, at: number): string {
  return family === 4 ? printIp4(words[at]!) : printIp6(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
}

export function describeEndpoint(family: Family, words: ArrayLike<number>, at: number, port: number): string {
  const address = describeAddress(family, words, at);
  return family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

const FLAG_NAMES = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr'];

const ICMP_NAMES: Readonly<Record<number, string>> = {
  0: 'echo-reply',
  3: 'unreachable',
  5: 'redirect',
  8: 'echo-request',
  11: 'time-exceeded',
};
const ICMPV6_NAMES: Readonly<Record<number, string>> = {
  1: 'unreachable',
  2: 'packet-too-big',
  3: 'time-exceeded',
  128: 'echo-request',
  129: 'echo-reply',
  135: 'neighbour-solicitation',
  136: 'neighbour-advertisement',
};

export function describePacket(p: Packet): string {
  const { family, f } = p;
  const name = protocolName(p.protocol);
  if (f[Field.FragOff]! !== 0) {
    const ends = `${describeAddress(family, f, Field.Src0)} > ${describeAddress(family, f, Field.Dst0)}`;
    return `${name} ${ends} fragment offset ${f[Field.FragOff]}`;
  }
  if (hasPorts(p.protocol)) {
    const src = describeEndpoint(family, f, Field.Src0, p.srcPort);
    const dst = describeEndpoint(family, f, Field.Dst0, p.dstPort);
    if (p.protocol !== IPPROTO_TCP) return `${name} ${src} > ${dst}`;
    const flags = FLAG_NAMES.filter((_, bit) => ((f[Field.TcpFlags]! >> bit) & 1) === 1);
    return `${name} ${src} > ${dst} ${flags.join(',') || 'no flags'}`;
  }
  const ends = `${describeAddress(family, f, Field.Src0)} > ${describeAddress(family, f, Field.Dst0)}`;
  if ((p.protocol === IPPROTO_ICMP || p.protocol === IPPROTO_ICMPV6) && p.l4State === L4_OK) {
    const type = f[Field.Icmp]! >> 8;
    const code = f[Field.Icmp]! & 255;
    const named = (p.protocol === IPPROTO_ICMP ? ICMP_NAMES : ICMPV6_NAMES)[type] ?? `type ${type}`;
    return `${name} ${ends} ${named}${code === 0 ? '' : ` code ${code}`}`;
  }
  return `${name} ${ends}`;
}

/** One direction of a connection; `withSourcePort` false leaves the client's port out, to group by. */
export function describeTuple(family: Family, t: TupleView, withSourcePort = true): string {
  const name = protocolName(t.protocol);
  if (!hasPorts(t.protocol)) {
    return `${name} ${describeAddress(family, t.address, 0)} > ${describeAddress(family, t.address, 4)}`;
  }
  const src = withSourcePort
    ? describeEndpoint(family, t.address, 0, t.srcPort)
    : describeAddress(family, t.address, 0);
  return `${name} ${src} > ${describeEndpoint(family, t.address, 4, t.dstPort)}`;
}

export function describeCtState(bits: number): string {
  if ((bits & CT_STATE_UNTRACKED) !== 0) return 'UNTRACKED';
  if ((bits & CT_STATE_INVALID) !== 0) return 'INVALID';
  if ((bits & CT_STATE_ESTABLISHED) !== 0) return 'ESTABLISHED';
  if ((bits & CT_STATE_RELATED) !== 0) return 'RELATED';
  if ((bits & CT_STATE_NEW) !== 0) return 'NEW';
  return '';
}
