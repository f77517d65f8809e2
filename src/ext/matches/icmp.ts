/** `-m icmp --icmp-type`. Kernel: icmp_match(), net/netfilter/xt_tcpudp.c (ip_tables.c before 6.8). */
import { IPPROTO_ICMP } from '../../net/protocol.js';
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { ICMP4_NAMES, type IcmpTest, icmpFits, lowerIcmpTest, parseIcmpTest, printIcmpTest } from '../icmp-type.js';
import { needsProtocol } from '../place.js';
import { hasTransportHeader } from '../transport.js';

/** Type 255 stands for any type, whatever the code. */
const ANY_TYPE = 255;

export const icmp: MatchExt<IcmpTest> = {
  kind: 'icmp',
  families: [4],
  options: [{ name: '--icmp-type', invert: true }],
  parse(given) {
    const option = given.required('--icmp-type');
    if (option === undefined) return { type: ANY_TYPE, lowCode: 0, highCode: 255, invert: false };
    return parseIcmpTest(given, option, ICMP4_NAMES);
  },
  print: (m) => printIcmpTest('--icmp-type', m, m.type === ANY_TYPE ? 'any' : undefined),
  check: (_m, place) => needsProtocol('icmp', place, IPPROTO_ICMP),
  bind: (m) =>
    m.type === ANY_TYPE
      ? (packet) => hasTransportHeader(packet) && !m.invert
      : (packet) => hasTransportHeader(packet) && icmpFits(m, packet.f[Field.Icmp]!),
  lower: (m) =>
    m.type === ANY_TYPE
      ? m.invert
        ? [{ slot: Field.Icmp, low: 0, high: 0xffffffff, invert: true }]
        : []
      : lowerIcmpTest(m),
};
