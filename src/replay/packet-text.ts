/**
 * A packet described in words, as people write it in a question:
 *
 *   tcp 10.0.0.2:1234 > 10.20.0.3:80 syn
 *   udp [2001:db8::2]:5353 > [2001:db8::1]:53 len=40 in=eth0
 *   icmp 10.0.0.2 > 10.0.0.1 echo-request ttl=1
 *   47 10.0.0.2 > 10.0.0.1            (any protocol by number)
 */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';
import { parseCNumber } from '../ext/option.js';
import { parseIp4 } from '../net/ip4.js';
import { parseIp6, type Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import type { IpRepr, TransportRepr } from '../wire/repr.js';

export interface DescribedPacket {
  readonly ip: IpRepr;
  /** Device that it comes in by, where the description says it. */
  readonly inDevice: string | undefined;
  /** Made by this host (`local`). */
  readonly isLocal: boolean;
  readonly mark: number;
}

const TCP_FLAGS: Readonly<Record<string, number>> = {
  fin: 1,
  syn: 2,
  rst: 4,
  psh: 8,
  ack: 16,
  urg: 32,
  ece: 64,
  cwr: 128,
};
const PROTOCOLS: Readonly<Record<string, number>> = {
  tcp: IPPROTO_TCP,
  udp: IPPROTO_UDP,
  icmp: IPPROTO_ICMP,
  icmpv6: IPPROTO_ICMPV6,
  sctp: 132,
  udplite: 136,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
};
const ICMP_WORDS: Readonly<Record<string, readonly [ip4: number, ip6: number]>> = {
  'echo-request': [8, 128],
  ping: [8, 128],
  'echo-reply': [0, 129],
  pong: [0, 129],
};
/** Name of a number, its largest value. */
const NUMBERS: Readonly<Record<string, number>> = {
  ttl: 255,
  tos: 255,
  id: 65535,
  len: 65000,
  seq: 0xffffffff,
  ack: 0xffffffff,
  win: 65535,
  mss: 65535,
  mark: 0xffffffff,
  type: 255,
  code: 255,
};

interface Word {
  readonly text: string;
  readonly start: number;
}

class Reader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #source: Source;
  constructor(source: Source) {
    this.#source = source;
  }
  fail(word: Word | undefined, code: string, message: string, hint: string): undefined {
    const start = word?.start ?? this.#source.text.length;
    const span = { source: this.#source, start, end: start + (word?.text.length ?? 1) };
    this.diagnostics.push({ severity: 'error', code, message, span, hint });
    return undefined;
  }
}

const EXAMPLE = 'like: tcp 10.0.0.2:1234 > 10.20.0.3:80 syn';

interface Endpoint {
  readonly family: Family;
  readonly address: Words6;
  readonly port: number | undefined;
}

function parseEndpoint(reader: Reader, word: Word | undefined): Endpoint | undefined {
  if (word === undefined) return reader.fail(word, 'missing-address', 'an address is missing', EXAMPLE);
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(word.text);
  const dotted = /^([0-9.]+)(?::(\d+))?$/.exec(word.text);
  const [address, portText] = bracketed?.slice(1) ?? dotted?.slice(1) ?? [word.text, undefined];
  const port = portText === undefined ? undefined : Number(portText);
  if (port !== undefined && port > 65535) {
    return reader.fail(word, 'bad-port', `port ${portText} is out of range`, 'ports are 0-65535');
  }
  const ip4 = bracketed === null ? parseIp4(address!) : undefined;
  if (ip4 !== undefined) return { family: 4, address: [ip4, 0, 0, 0], port };
  const ip6 = parseIp6(address!);
  if (ip6 !== undefined) return { family: 6, address: ip6, port };
  return reader.fail(
    word,
    'bad-address',
    `"${word.text}" is no address`,
    'IPv4 as 10.0.0.1:80, IPv6 as [2001:db8::1]:80',
  );
}

function mssOption(mss: number | undefined): Uint8Array {
  return mss === undefined ? new Uint8Array(0) : Uint8Array.of(2, 4, mss >>> 8, mss & 255);
}

/** Reads a description. Undefined with diagnostics if it is not one. */
export function parsePacketText(text: string): {
  packet: DescribedPacket | undefined;
  diagnostics: readonly Diagnostic[];
} {
  const reader = new Reader({ name: '<packet>', text });
  const words: Word[] = [...text.matchAll(/[^\s,]+/g)].map((m) => ({ text: m[0], start: m.index }));
  const packet = describe(reader, words);
  return { packet: reader.diagnostics.length === 0 ? packet : undefined, diagnostics: reader.diagnostics };
}

function describe(reader: Reader, words: readonly Word[]): DescribedPacket | undefined {
  const [protocolWord, srcWord, arrow, dstWord, ...rest] = words;
  if (protocolWord === undefined) return reader.fail(undefined, 'no-packet', 'the description is empty', EXAMPLE);
  const byName = PROTOCOLS[protocolWord.text.toLowerCase()];
  let protocol = byName ?? parseCNumber(protocolWord.text);
  if (protocol === undefined || protocol > 255) {
    return reader.fail(
      protocolWord,
      'unknown-protocol',
      `unknown protocol "${protocolWord.text}"`,
      `${Object.keys(PROTOCOLS).join(', ')}, or a number`,
    );
  }
  const src = parseEndpoint(reader, srcWord);
  if (arrow !== undefined && arrow.text !== '>')
    reader.fail(arrow, 'no-arrow', `">" expected, not "${arrow.text}"`, EXAMPLE);
  const dst = parseEndpoint(reader, dstWord);
  if (src === undefined || dst === undefined) return undefined;
  if (src.family !== dst.family) {
    return reader.fail(
      dstWord,
      'mixed-families',
      'source and destination are of different families',
      'both IPv4 or both IPv6',
    );
  }
  if (src.family === 6 && protocolWord.text.toLowerCase() === 'icmp') protocol = IPPROTO_ICMPV6;
  const numbers: Record<string, number> = {};
  const flagNames = new Set<string>();
  let icmpType: number | undefined;
  let inDevice: string | undefined;
  let isLocal = false;
  let dontFragment = false;
  for (const word of rest) {
    const lower = word.text.toLowerCase();
    const assigned = /^([a-z]+)=(.+)$/i.exec(word.text);
    if (assigned !== null && assigned[1]!.toLowerCase() === 'in') inDevice = assigned[2]!;
    else if (assigned !== null) {
      const name = assigned[1]!.toLowerCase();
      const limit = NUMBERS[name];
      const value = parseCNumber(assigned[2]!);
      if (limit === undefined)
        reader.fail(
          word,
          'unknown-word',
          `unknown word "${word.text}"`,
          `known: in, ${Object.keys(NUMBERS).join(', ')}`,
        );
      else if (value === undefined || value > limit)
        reader.fail(word, 'bad-number', `"${word.text}" is out of range`, `${name} is 0-${limit}`);
      else numbers[name] = value;
    } else if (lower in TCP_FLAGS && protocol === IPPROTO_TCP) flagNames.add(lower);
    else if (lower === 'syn+ack' || lower === 'synack') for (const name of ['syn', 'ack']) flagNames.add(name);
    else if (lower in ICMP_WORDS && (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6)) {
      icmpType = ICMP_WORDS[lower]![src.family === 4 ? 0 : 1];
    } else if (lower === 'local') isLocal = true;
    else if (lower === 'df') dontFragment = true;
    else
      reader.fail(
        word,
        'unknown-word',
        `unknown word "${word.text}"`,
        'TCP flags, echo-request, local, df, in=DEVICE, ttl=, tos=, mark=, len=, seq=, ack=, win=, mss=, id=, type=, code=',
      );
  }
  const transport = ((): TransportRepr => {
    const srcPort = src.port ?? 0;
    const dstPort = dst.port ?? 0;
    if (protocol === IPPROTO_TCP) {
      // A TCP packet without any flag word opens a connection: that is what people ask about.
      const named = flagNames.size === 0 ? ['syn'] : [...flagNames];
      const flags = named.reduce((sum, name) => sum | TCP_FLAGS[name]!, 0);
      const options = mssOption(numbers['mss']);
      return {
        kind: 'tcp',
        srcPort,
        dstPort,
        seq: numbers['seq'] ?? 1,
        ack: numbers['ack'] ?? 0,
        flags,
        window: numbers['win'] ?? 64240,
        options,
      };
    }
    if (protocol === IPPROTO_UDP) return { kind: 'udp', srcPort, dstPort };
    if (protocol === (src.family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
      const type = numbers['type'] ?? icmpType ?? (src.family === 4 ? 8 : 128);
      return { kind: 'icmp', type, code: numbers['code'] ?? 0, rest: (((numbers['id'] ?? 1) << 16) | 1) >>> 0 };
    }
    return { kind: 'raw', protocol };
  })();
  const needsHeader = transport.kind === 'raw' && [132, 136, 33].includes(protocol);
  const payload = new Uint8Array(numbers['len'] ?? (needsHeader ? 12 : transport.kind === 'icmp' ? 56 : 0));
  if (needsHeader && payload.length >= 4)
    payload.set([(src.port ?? 0) >>> 8, (src.port ?? 0) & 255, (dst.port ?? 0) >>> 8, (dst.port ?? 0) & 255]);
  const ip: IpRepr = {
    family: src.family,
    src: src.address,
    dst: dst.address,
    ttl: numbers['ttl'] ?? 64,
    tos: numbers['tos'] ?? 0,
    id: transport.kind === 'icmp' ? 0 : (numbers['id'] ?? 0),
    dontFragment,
    transport,
    payload,
  };
  return { ip, inDevice, isLocal, mark: numbers['mark'] ?? 0 };
}
