/** `-m tcp`: ports, flags, options of TCP. Kernel: tcp_mt(), net/netfilter/xt_tcpudp.c. */
import { IPPROTO_TCP } from '../../net/protocol.js';
import { Field } from '../../wire/field.js';
import type { Packet } from '../../wire/packet.js';
import type { FieldTest, MatchExt } from '../extension.js';
import { bang, type GivenOption, type GivenOptions, parseCNumber } from '../option.js';
import { needsProtocol } from '../place.js';
import { lowerPortTest, NO_PORT_TEST, type PortTest, portFits, portRange, portTest, printPortTest } from '../port.js';
import { hasTcpHeader } from '../transport.js';

export interface TcpMatch {
  readonly sport: PortTest;
  readonly dport: PortTest;
  /** Option kind 1–255, 0 for no test. */
  readonly option: number;
  readonly optionInvert: boolean;
  readonly flagMask: number;
  readonly flagComp: number;
  readonly flagInvert: boolean;
}

const FLAGS: readonly (readonly [string, number])[] = [
  ['FIN', 1],
  ['SYN', 2],
  ['RST', 4],
  ['PSH', 8],
  ['ACK', 16],
  ['URG', 32],
];
export const TCP_SYN = 2;

/** Comma words of any case; empty ones are skipped (tool: strtok()). */
function parseFlags(given: GivenOptions, option: GivenOption, text: string): number {
  let bits = 0;
  for (const word of text.split(',')) {
    if (word === '') continue;
    const upper = word.toUpperCase();
    const bit = upper === 'ALL' ? 63 : upper === 'NONE' ? 0 : FLAGS.find(([name]) => name === upper)?.[1];
    if (bit === undefined) {
      given.fail(option, 'bad-word', `unknown TCP flag "${word}"`, 'FIN, SYN, RST, PSH, ACK, URG, ALL or NONE');
    }
    bits |= bit ?? 0;
  }
  return bits;
}

function printFlags(bits: number): string {
  if (bits === 0) return 'NONE';
  return FLAGS.filter(([, bit]) => (bits & bit) !== 0)
    .map(([name]) => name)
    .join(',');
}

/** Walks the option area [from, end) for `kind`; a length of 0 counts as 1, kind 0 does not end the walk. */
function hasOption(packet: Packet, kind: number, from: number, end: number): boolean {
  const bytes = packet.bytes;
  for (let at = from; at < end; ) {
    const here = bytes[at]!;
    if (here === kind) return true;
    at += here < 2 || at + 1 >= end ? 1 : bytes[at + 1]! || 1;
  }
  return false;
}

export const tcp: MatchExt<TcpMatch> = {
  kind: 'tcp',
  families: [4, 6],
  options: [
    { name: '--sport', aliases: ['--source-port'], invert: true, plain: 'port' },
    { name: '--dport', aliases: ['--destination-port'], invert: true, plain: 'port' },
    { name: '--syn', args: 0, invert: true },
    { name: '--tcp-flags', args: 2, invert: true },
    { name: '--tcp-option', invert: true },
  ],
  parse(given) {
    const sport = given.get('--sport');
    const dport = given.get('--dport');
    const option = given.get('--tcp-option');
    const syn = given.get('--syn');
    const flags = given.get('--tcp-flags');
    if (syn !== undefined && flags !== undefined)
      given.fail(flags, 'options-exclude', 'only one of "--syn" or "--tcp-flags" allowed');
    let kind = 0;
    if (option !== undefined) {
      kind = parseCNumber(option.values[0]!) ?? 0;
      if (kind < 1 || kind > 255) {
        given.fail(option, 'bad-number', `bad TCP option "${option.values[0]}"`);
        kind = 0;
      }
    }
    return {
      sport: sport ? portTest(portRange(given, sport, 'tcp'), sport.invert) : NO_PORT_TEST,
      dport: dport ? portTest(portRange(given, dport, 'tcp'), dport.invert) : NO_PORT_TEST,
      option: kind,
      optionInvert: option?.invert ?? false,
      flagMask: syn ? 0x17 : flags ? parseFlags(given, flags, flags.values[0]!) : 0,
      flagComp: syn ? TCP_SYN : flags ? parseFlags(given, flags, flags.values[1]!) : 0,
      flagInvert: (syn ?? flags)?.invert ?? false,
    };
  },
  print(m) {
    const parts = [...printPortTest('--sport', m.sport), ...printPortTest('--dport', m.dport)];
    if (m.option !== 0) parts.push(`${bang(m.optionInvert)}--tcp-option ${m.option}`);
    if (m.flagMask !== 0 || m.flagInvert)
      parts.push(`${bang(m.flagInvert)}--tcp-flags ${printFlags(m.flagMask)} ${printFlags(m.flagComp)}`);
    return parts.join(' ');
  },
  check: (_m, place) => needsProtocol('tcp', place, IPPROTO_TCP),
  bind: (m) => (packet) => {
    if (!hasTcpHeader(packet)) return false;
    const f = packet.f;
    if (!portFits(m.sport, f[Field.SrcPort]!) || !portFits(m.dport, f[Field.DstPort]!)) return false;
    if (((f[Field.TcpFlags]! & m.flagMask) === m.flagComp) === m.flagInvert) return false;
    if (m.option === 0) return true;
    const size = (packet.bytes[packet.l4Off + 12]! >> 4) << 2;
    if (size < 20) {
      packet.hotdrop = true;
      return false;
    }
    if (size === 20) return m.optionInvert;
    if (packet.l4Off + size > packet.end) {
      packet.hotdrop = true;
      return false;
    }
    return hasOption(packet, m.option, packet.l4Off + 20, packet.l4Off + size) !== m.optionInvert;
  },
  lower(m) {
    if (m.option !== 0) return undefined;
    const tests: FieldTest[] = [...lowerPortTest(Field.SrcPort, m.sport), ...lowerPortTest(Field.DstPort, m.dport)];
    if (m.flagMask !== 0 || m.flagComp !== 0 || m.flagInvert)
      tests.push({ slot: Field.TcpFlags, mask: m.flagMask, value: m.flagComp, invert: m.flagInvert });
    return tests;
  },
};
