/** `-m multiport`: lists of ports. Kernel: multiport_mt(), net/netfilter/xt_multiport.c, revision 1. */
import { IPPROTO_DCCP, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE } from '../../net/protocol.js';
import { Field } from '../../wire/field.js';
import { L4_OK, L4_SHORT } from '../../wire/packet.js';
import type { MatchExt } from '../extension.js';
import { bang, type GivenOption, type GivenOptions, printRange, type Range } from '../option.js';
import { needsProtocol } from '../place.js';
import { parsePort } from '../port.js';

export interface MultiportMatch {
  readonly side: '--sports' | '--dports' | '--ports';
  readonly ranges: readonly Range[];
  readonly invert: boolean;
}

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [IPPROTO_TCP, 'tcp'],
  [IPPROTO_UDP, 'udp'],
  [IPPROTO_UDPLITE, 'udplite'],
  [IPPROTO_SCTP, 'sctp'],
  [IPPROTO_DCCP, 'dccp'],
]);
/** Places in the kernel's array; a range takes two. */
const SLOTS = 15;

/** Tool: parse_multi_ports_v1(). */
function parseList(given: GivenOptions, option: GivenOption): Range[] {
  const protocol = PROTOCOLS.get(option.protocol);
  if (protocol === undefined || option.protocolInverted) {
    given.fail(
      option,
      'needs-protocol',
      'multiport needs "-p tcp", "-p udp", "-p udplite", "-p sctp" or "-p dccp" before its option',
    );
    return [];
  }
  const one = (word: string): number => {
    const port = parsePort(word, protocol);
    if (port === undefined) given.fail(option, 'bad-port', `invalid port/service "${word}" specified`);
    return port ?? 0;
  };
  const ranges: Range[] = [];
  let slots = 0;
  for (const element of option.values[0]!.split(',')) {
    const colon = element.indexOf(':');
    const low = one(colon === -1 ? element : element.slice(0, colon));
    const high = colon === -1 ? low : one(element.slice(colon + 1));
    slots += colon === -1 ? 1 : 2;
    if (colon !== -1 && low >= high)
      given.fail(option, 'bad-range', `multiport: invalid port range "${element}": the first must be the smaller one`);
    ranges.push({ low, high });
  }
  if (slots > SLOTS) given.fail(option, 'too-many', `multiport: too many ports (at most ${SLOTS}, a range counts two)`);
  return ranges;
}

export const multiport: MatchExt<MultiportMatch> = {
  kind: 'multiport',
  families: [4, 6],
  options: [
    { name: '--sports', aliases: ['--source-ports'], invert: true },
    { name: '--dports', aliases: ['--destination-ports'], invert: true },
    { name: '--ports', invert: true },
  ],
  parse(given) {
    const option = given.exactlyOne('--sports', '--dports', '--ports');
    if (option === undefined) return { side: '--ports', ranges: [], invert: false };
    const name = option.spec.name;
    return {
      side: name === '--sports' || name === '--dports' ? name : '--ports',
      ranges: parseList(given, option),
      invert: option.invert,
    };
  },
  print: (m) => `${bang(m.invert)}${m.side} ${m.ranges.map(printRange).join(',')}`,
  check: (_m, place) => needsProtocol('multiport', place, ...PROTOCOLS.keys()),
  bind(m) {
    const lows = Uint16Array.from(m.ranges, (r) => r.low);
    const highs = Uint16Array.from(m.ranges, (r) => r.high);
    const holds = (port: number): boolean => {
      for (let i = 0; i < lows.length; i++) if (port >= lows[i]! && port <= highs[i]!) return true;
      return false;
    };
    return (packet) => {
      if (packet.l4State !== L4_OK) {
        if (packet.l4State !== L4_SHORT) return false;
        // Four bytes are enough here, whatever the protocol's whole header needs.
        if (packet.end - packet.l4Off < 4) {
          packet.hotdrop = true;
          return false;
        }
      }
      const src = packet.f[Field.SrcPort]!;
      const dst = packet.f[Field.DstPort]!;
      const hit = m.side === '--sports' ? holds(src) : m.side === '--dports' ? holds(dst) : holds(src) || holds(dst);
      return hit !== m.invert;
    };
  },
  lower(m) {
    if (m.side === '--ports') return undefined;
    const slot = m.side === '--sports' ? Field.SrcPort : Field.DstPort;
    const only = m.ranges[0];
    if (m.ranges.length > 1 || only === undefined) return [{ slot, anyOf: m.ranges, invert: m.invert }];
    if (only.low === only.high) return [{ slot, mask: 0xffff, value: only.low, invert: m.invert }];
    return [{ slot, low: only.low, high: only.high, invert: m.invert }];
  },
};
