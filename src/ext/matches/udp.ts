/** `-m udp`: ports of UDP. Kernel: udp_mt(), net/netfilter/xt_tcpudp.c. */
import { IPPROTO_UDP } from '../../net/protocol.js';
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { needsProtocol } from '../place.js';
import {
  loosePortRange,
  lowerPortTest,
  NO_PORT_TEST,
  type PortTest,
  portFits,
  portTest,
  printPortTest,
} from '../port.js';
import { hasTransportHeader } from '../transport.js';

export interface UdpMatch {
  readonly sport: PortTest;
  readonly dport: PortTest;
}

export const udp: MatchExt<UdpMatch> = {
  kind: 'udp',
  families: [4, 6],
  options: [
    { name: '--sport', aliases: ['--source-port'], invert: true, plain: 'port' },
    { name: '--dport', aliases: ['--destination-port'], invert: true, plain: 'port' },
  ],
  parse(given) {
    const sport = given.get('--sport');
    const dport = given.get('--dport');
    return {
      sport: sport ? portTest(loosePortRange(given, sport), sport.invert) : NO_PORT_TEST,
      dport: dport ? portTest(loosePortRange(given, dport), dport.invert) : NO_PORT_TEST,
    };
  },
  print: (m) => [...printPortTest('--sport', m.sport), ...printPortTest('--dport', m.dport)].join(' '),
  check: (_m, place) => needsProtocol('udp', place, IPPROTO_UDP),
  bind: (m) => (packet) =>
    hasTransportHeader(packet) &&
    portFits(m.sport, packet.f[Field.SrcPort]!) &&
    portFits(m.dport, packet.f[Field.DstPort]!),
  lower: (m) => [...lowerPortTest(Field.SrcPort, m.sport), ...lowerPortTest(Field.DstPort, m.dport)],
};
