/** `-m icmp6 --icmpv6-type`. Kernel: icmp6_match(), net/ipv6/netfilter/ip6_tables.c. */
import { IPPROTO_ICMPV6 } from '../../net/protocol.js';
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { ICMP6_NAMES, type IcmpTest, icmpFits, lowerIcmpTest, parseIcmpTest, printIcmpTest } from '../icmp-type.js';
import { needsProtocol } from '../place.js';
import { hasTransportHeader } from '../transport.js';

export const icmp6: MatchExt<IcmpTest> = {
  kind: 'icmp6',
  aliases: ['icmpv6', 'ipv6-icmp'],
  families: [6],
  options: [{ name: '--icmpv6-type', invert: true }],
  parse(given) {
    const option = given.required('--icmpv6-type');
    if (option === undefined) return { type: 0, lowCode: 0, highCode: 255, invert: false };
    return parseIcmpTest(given, option, ICMP6_NAMES);
  },
  print: (m) => printIcmpTest('--icmpv6-type', m),
  check: (_m, place) => needsProtocol('icmp6', place, IPPROTO_ICMPV6),
  bind: (m) => (packet) => hasTransportHeader(packet) && icmpFits(m, packet.f[Field.Icmp]!),
  lower: lowerIcmpTest,
};
