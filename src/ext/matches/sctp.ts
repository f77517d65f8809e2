/**
 * `-m sctp`: ports and chunks of SCTP. Kernel: sctp_mt(), match_packet(), net/netfilter/xt_sctp.c. The tool keeps flags under
 * the place of a type in its list of names, not its number: beyond SHUTDOWN_COMPLETE they are read, and lost.
 */
import { IPPROTO_SCTP } from '../../net/protocol.js';
import { Field } from '../../wire/field.js';
import type { Packet } from '../../wire/packet.js';
import type { MatchExt } from '../extension.js';
import { bang, type GivenOption, type GivenOptions } from '../option.js';
import { needsProtocol } from '../place.js';
import { lowerPortTest, type PortTest, portFits, portRange, portTest } from '../port.js';
import { hasTransportHeader } from '../transport.js';

const CHUNK_MODES = ['all', 'any', 'only'] as const;

/** Flags that a chunk of one type must have and must not have. */
interface ChunkFlags {
  readonly mask: number;
  readonly value: number;
}

export interface ChunkTest {
  readonly mode: (typeof CHUNK_MODES)[number];
  /** Types in ascending order, or every type. */
  readonly types: readonly number[] | 'ALL';
  readonly flags: ReadonlyMap<number, ChunkFlags>;
  readonly invert: boolean;
}

export interface SctpMatch {
  /** Undefined: not given (the full range is a test of its own, and prints). */
  readonly sport: PortTest | undefined;
  readonly dport: PortTest | undefined;
  readonly chunks: ChunkTest | undefined;
}

/** Letters of flags from bit 7 down; upper case: must be set, lower case: must be clear. */
const NO_FLAGS = '--------';
const DATA_FLAGS = '----IUBE';
const TCB_FLAGS = '-------T';
const CHUNK_NAMES: readonly (readonly [name: string, type: number, flags: string])[] = [
  ['DATA', 0, DATA_FLAGS],
  ['INIT', 1, NO_FLAGS],
  ['INIT_ACK', 2, NO_FLAGS],
  ['SACK', 3, NO_FLAGS],
  ['HEARTBEAT', 4, NO_FLAGS],
  ['HEARTBEAT_ACK', 5, NO_FLAGS],
  ['ABORT', 6, TCB_FLAGS],
  ['SHUTDOWN', 7, NO_FLAGS],
  ['SHUTDOWN_ACK', 8, NO_FLAGS],
  ['ERROR', 9, NO_FLAGS],
  ['COOKIE_ECHO', 10, NO_FLAGS],
  ['COOKIE_ACK', 11, NO_FLAGS],
  ['ECN_ECNE', 12, NO_FLAGS],
  ['ECN_CWR', 13, NO_FLAGS],
  ['SHUTDOWN_COMPLETE', 14, TCB_FLAGS],
  ['I_DATA', 64, DATA_FLAGS],
  ['ASCONF_ACK', 128, NO_FLAGS],
  ['RE_CONFIG', 130, NO_FLAGS],
  ['PAD', 132, NO_FLAGS],
  ['FORWARD_TSN', 192, NO_FLAGS],
  ['ASCONF', 193, NO_FLAGS],
  ['I_FORWARD_TSN', 194, NO_FLAGS],
];
const LAST_WITH_FLAGS = 14;
/** Kernel: XT_NUM_SCTP_FLAGS. */
const MOST_WITH_FLAGS = 4;
const SCTP_HEADER_SIZE = 12;
const CHUNK_HEADER_SIZE = 4;

function portOption(given: GivenOptions, name: string): PortTest | undefined {
  const option = given.get(name);
  return option && portTest(portRange(given, option, 'sctp'), option.invert);
}

function parseChunks(given: GivenOptions, option: GivenOption): ChunkTest {
  const { invert } = option;
  const [modeText, list] = option.values as readonly [string, string]; // args: 2
  const mode = CHUNK_MODES.find((known) => known === modeText.toLowerCase());
  if (mode === undefined) {
    given.fail(option, 'bad-word', `chunk types are matched by all, any or only, not "${modeText}"`);
  }
  const test = { mode: mode ?? 'any', invert, flags: new Map<number, ChunkFlags>() };
  const upper = list.toUpperCase();
  if (upper === 'ALL') return { ...test, types: 'ALL' };
  if (upper === 'NONE') return { ...test, types: [] };
  const types = new Set<number>();
  const flagged = new Set<number>();
  for (const word of list.split(',')) {
    if (word === '') continue;
    const colon = word.indexOf(':');
    const name = (colon === -1 ? word : word.slice(0, colon)).toUpperCase();
    const chunk = CHUNK_NAMES.find(([known]) => known === name);
    if (chunk === undefined) {
      given.fail(option, 'bad-word', `unknown SCTP chunk "${word}"`, CHUNK_NAMES.map(([known]) => known).join(', '));
      continue;
    }
    const [, type, letters] = chunk;
    types.add(type);
    for (const letter of colon === -1 ? '' : word.slice(colon + 1)) {
      const place = letters.indexOf(letter.toUpperCase());
      if (place === -1) {
        given.fail(option, 'bad-word', `chunk ${name} has no flag "${letter}"`);
        continue;
      }
      flagged.add(type);
      if (type > LAST_WITH_FLAGS) continue;
      const { mask, value } = test.flags.get(type) ?? { mask: 0, value: 0 };
      const bit = 0x80 >> place;
      const isSet = letter !== '-' && letter === letter.toUpperCase();
      test.flags.set(type, { mask: mask | bit, value: isSet ? value | bit : value });
    }
  }
  if (flagged.size > MOST_WITH_FLAGS) {
    given.fail(option, 'too-many', `flags of at most ${MOST_WITH_FLAGS} chunk types can be given`);
  }
  return { ...test, types: [...types].sort((a, b) => a - b) };
}

function printPorts(name: string, test: PortTest | undefined): string[] {
  if (test === undefined) return [];
  const ports = test.low === test.high ? `${test.low}` : `${test.low}:${test.high}`;
  return [`${bang(test.invert)}${name} ${ports}`];
}

function printChunks({ mode, types, flags, invert }: ChunkTest): string {
  const words = (types === 'ALL' ? [] : types).map((type) => {
    const [name, , letters] = CHUNK_NAMES.find(([, number]) => number === type)!;
    const { mask, value } = flags.get(type) ?? { mask: 0, value: 0 };
    const shown = [...letters].filter((_, place) => (mask & (0x80 >> place)) !== 0);
    if (shown.length === 0) return name;
    const cased = [...letters].map((letter, place) => {
      const bit = 0x80 >> place;
      if ((mask & bit) === 0) return '';
      return (value & bit) !== 0 ? letter : letter.toLowerCase();
    });
    return `${name}:${cased.join('')}`;
  });
  const list = types === 'ALL' ? 'ALL' : words.length === 0 ? 'NONE' : words.join(',');
  return `${bang(invert)}--chunk-types ${mode} ${list}`;
}

/** Walks the chunks; one that has no header, or length 0, ends the packet (hotdrop). Makes the test's function once. */
function chunkWalk({ mode, types, flags, invert }: ChunkTest): (packet: Packet) => boolean {
  const isListed = new Uint8Array(256).fill(types === 'ALL' ? 1 : 0);
  for (const type of types === 'ALL' ? [] : types) isListed[type] = 1;
  const masks = new Uint8Array(256);
  const values = new Uint8Array(256);
  for (const [type, { mask, value }] of flags) {
    masks[type] = mask;
    values[type] = value;
  }
  const listedCount = types === 'ALL' ? 256 : types.length;
  const seen = new Uint8Array(256);
  return (packet) => {
    const { bytes, end, wireEnd } = packet;
    if (mode === 'all') seen.fill(0);
    let missing = listedCount;
    let at = packet.l4Off + SCTP_HEADER_SIZE;
    do {
      const size = at + CHUNK_HEADER_SIZE > end ? 0 : (bytes[at + 2]! << 8) | bytes[at + 3]!;
      if (size === 0) {
        packet.hotdrop = true;
        return false;
      }
      const type = bytes[at]!;
      const fits = isListed[type] === 1 && (bytes[at + 1]! & masks[type]!) === values[type];
      if (mode === 'any' && fits) return !invert;
      if (mode === 'only' && !fits) return invert;
      if (mode === 'all' && fits && seen[type] === 0) {
        seen[type] = 1;
        missing--;
      }
      at += (size + 3) & ~3;
    } while (at < wireEnd);
    return (mode === 'only' || (mode === 'all' && missing === 0)) !== invert;
  };
}

export const sctp: MatchExt<SctpMatch> = {
  kind: 'sctp',
  families: [4, 6],
  options: [
    { name: '--sport', aliases: ['--source-port'], invert: true, plain: 'port' },
    { name: '--dport', aliases: ['--destination-port'], invert: true, plain: 'port' },
    { name: '--chunk-types', args: 2, invert: true },
  ],
  parse(given) {
    const chunks = given.get('--chunk-types');
    return {
      sport: portOption(given, '--sport'),
      dport: portOption(given, '--dport'),
      chunks: chunks && parseChunks(given, chunks),
    };
  },
  print(m) {
    const parts = [...printPorts('--sport', m.sport), ...printPorts('--dport', m.dport)];
    if (m.chunks !== undefined) parts.push(printChunks(m.chunks));
    return parts.join(' ');
  },
  check: (_m, place) => needsProtocol('sctp', place, IPPROTO_SCTP),
  bind(m) {
    const walk = m.chunks && chunkWalk(m.chunks);
    return (packet) =>
      hasTransportHeader(packet) &&
      (m.sport === undefined || portFits(m.sport, packet.f[Field.SrcPort]!)) &&
      (m.dport === undefined || portFits(m.dport, packet.f[Field.DstPort]!)) &&
      (walk === undefined || walk(packet));
  },
  lower(m) {
    if (m.chunks !== undefined) return undefined;
    return [
      ...(m.sport === undefined ? [] : lowerPortTest(Field.SrcPort, m.sport)),
      ...(m.dport === undefined ? [] : lowerPortTest(Field.DstPort, m.dport)),
    ];
  },
};
