/**
 * Reads what `conntrack -L` (plain or `-o extended`) and /proc/net/nf_conntrack print. A line that cannot be read is reported and
 * left out.
 */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source, Span } from '../base/source.js';
import { parseIp4 } from '../net/ip4.js';
import { parseIp6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { IPPROTO_DCCP, IPPROTO_GRE, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP } from '../net/protocol.js';
import { PROTOCOL_NAMES } from './print.js';
import { SCTP_STATE_NAMES } from './sctp-state.js';
import { TCP_STATE_NAMES } from './tcp-state.js';
import { T_DST, T_PORTS, T_PROTO, T_SRC, TUPLE_WORDS, tupleHasPorts } from './tuple.js';

/** One listed connection. */
export interface ListedEntry {
  readonly span: Span;
  readonly family: Family;
  readonly protocol: number;
  /** Remaining lifetime, whole seconds. */
  readonly seconds: number;
  /** Number of the TCP or SCTP state, 0 elsewhere. */
  readonly state: number;
  /** Both tuples with their zones. */
  readonly tuples: Uint32Array;
  readonly unreplied: boolean;
  readonly assured: boolean;
  readonly mark: number;
  /** Packets and bytes of original and reply direction; -1 if not listed. */
  readonly packets: readonly [number, number];
  readonly bytes: readonly [number, number];
}

interface ListedResult {
  readonly entries: readonly ListedEntry[];
  readonly diagnostics: readonly Diagnostic[];
}

const NAMES = new Set([...PROTOCOL_NAMES.values(), 'unknown']);
/** The tool's closing line, which some redirect into the file. */
const SUMMARY = /^conntrack v.* flow entries have been shown/;
const MAX_DIAGNOSTICS = 20;

/** Ends the reading of one line, from any depth; never leaves this file. */
class LineFault extends Error {}

/** Reads a whole listing; empty lines and the tool's summary are skipped. */
export function parseEntries(source: Source): ListedResult {
  const entries: ListedEntry[] = [];
  const diagnostics: Diagnostic[] = [];
  const { text } = source;
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf('\n', start);
    if (end === -1) end = text.length;
    const line = text.slice(start, end).trim();
    if (line !== '' && !SUMMARY.test(line)) {
      try {
        entries.push(parseEntry(line, { source, start, end }));
      } catch (fault) {
        if (!(fault instanceof LineFault)) throw fault;
        if (diagnostics.length < MAX_DIAGNOSTICS) {
          diagnostics.push({
            severity: 'warning',
            code: 'conntrack-entry',
            message: fault.message,
            span: { source, start, end },
            hint: 'the line is left out; lines are read as `conntrack -L -o extended` prints them',
          });
        }
      }
    }
    start = end + 1;
  }
  return { entries, diagnostics };
}

/** One line; throws LineFault. */
function parseEntry(line: string, span: Span): ListedEntry {
  const words = line.split(/\s+/);
  let at = 0;
  if (words[0] === 'ipv4' || words[0] === 'ipv6') at = 2;
  const name = words[at++] ?? '';
  if (!NAMES.has(name)) throw new LineFault(`"${name}" is no protocol of a conntrack listing`);
  const protocol = wholeNumber(words[at++], 255, 'protocol number');
  const seconds = wholeNumber(words[at++], 0xffff_ffff, 'lifetime');
  let state = 0;
  if (protocol === IPPROTO_TCP || protocol === IPPROTO_SCTP) {
    const names: readonly string[] = protocol === IPPROTO_TCP ? TCP_STATE_NAMES : SCTP_STATE_NAMES;
    const stateName = words[at++] ?? '';
    // Older tools call state 9 by its obsolete name.
    state = stateName === 'LISTEN' ? 9 : names.indexOf(stateName);
    if (state < 0 || state >= names.length) throw new LineFault(`"${stateName}" is no state of ${name}`);
  }
  const values: [Map<string, string>, Map<string, string>] = [new Map(), new Map()];
  const flags = new Set<string>();
  let direction: 0 | 1 = 0;
  for (const word of words.slice(at)) {
    if (word.startsWith('[')) {
      flags.add(word);
      continue;
    }
    const equals = word.indexOf('=');
    if (equals === -1) throw new LineFault(`"${word.slice(0, 40)}" is neither name=value nor a flag`);
    const key = word.slice(0, equals);
    if (key === 'src' && values[0].has('src')) direction = 1;
    // `-o id` prints an `id=` of its own behind everything: the tuple's comes first.
    if (!values[direction].has(key)) values[direction].set(key, word.slice(equals + 1));
  }
  const family: Family = (values[0].get('src') ?? '').includes(':') ? 6 : 4;
  const zone = optionalNumber(values, 'zone', 0xffff);
  const tuples = new Uint32Array(2 * TUPLE_WORDS);
  const zones = [
    optionalNumber(values, 'zone-orig', 0xffff) || zone,
    optionalNumber(values, 'zone-reply', 0xffff) || zone,
  ];
  for (let d = 0; d < 2; d++) {
    readTuple(values[d]!, family, protocol, tuples, d * TUPLE_WORDS);
    tuples[d * TUPLE_WORDS + T_PROTO] = ((zones[d]! << 16) | (family << 8) | protocol) >>> 0;
  }
  const counter = (d: 0 | 1, key: string): number =>
    values[d].has(key) ? wholeNumber(values[d].get(key), Number.MAX_SAFE_INTEGER, key) : -1;
  return {
    span,
    family,
    protocol,
    seconds,
    state,
    tuples,
    unreplied: flags.has('[UNREPLIED]'),
    assured: flags.has('[ASSURED]'),
    mark: optionalNumber(values, 'mark', 0xffff_ffff),
    packets: [counter(0, 'packets'), counter(1, 'packets')],
    bytes: [counter(0, 'bytes'), counter(1, 'bytes')],
  };
}

function wholeNumber(text: string | undefined, max: number, what: string): number {
  const value = text !== undefined && /^(\d{1,16}|0x[\da-f]{1,8})$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value <= max)) throw new LineFault(`${what} "${(text ?? '').slice(0, 40)}" is not a number up to ${max}`);
  return value;
}

function optionalNumber(values: readonly Map<string, string>[], key: string, max: number): number {
  const text = values[0]!.get(key) ?? values[1]!.get(key);
  return text === undefined ? 0 : wholeNumber(text, max, key);
}

function readTuple(
  values: ReadonlyMap<string, string>,
  family: Family,
  protocol: number,
  out: Uint32Array,
  at: number,
): void {
  for (const [key, off] of [['src', T_SRC] as const, ['dst', T_DST] as const]) {
    const text = values.get(key);
    if (text === undefined) throw new LineFault(`${key}= is missing in one direction`);
    const words = family === 4 ? parseIp4(text) : parseIp6(text);
    if (words === undefined) throw new LineFault(`"${text.slice(0, 60)}" is no IPv${family} address`);
    out.set(typeof words === 'number' ? [words] : words, at + off);
  }
  const need = (key: string, max: number): number => wholeNumber(values.get(key), max, key);
  if (tupleHasPorts(protocol)) {
    out[at + T_PORTS] = ((need('sport', 0xffff) << 16) | need('dport', 0xffff)) >>> 0;
  } else if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
    out[at + T_PORTS] = ((need('id', 0xffff) << 16) | (need('type', 255) << 8) | need('code', 255)) >>> 0;
  } else if (protocol === IPPROTO_GRE) {
    out[at + T_PORTS] = ((need('srckey', 0xffff) << 16) | need('dstkey', 0xffff)) >>> 0;
  } else if (protocol === IPPROTO_DCCP) {
    out[at + T_PORTS] = 0;
  }
}
