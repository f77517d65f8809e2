/** What DNAT, SNAT, MASQUERADE and REDIRECT share: ranges of addresses and ports, their text, their checks (spec 7.5). */
import type { NatRange } from '../conntrack/conntrack.js';
import type { Words6 } from '../net/ip6.js';
import {
  type BaseChainName,
  type Family,
  type ManipType,
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
  NF_NAT_MANIP_DST,
  NF_NAT_MANIP_SRC,
  NF_NAT_RANGE_MAP_IPS,
  NF_NAT_RANGE_PERSISTENT,
  NF_NAT_RANGE_PROTO_OFFSET,
  NF_NAT_RANGE_PROTO_RANDOM,
  NF_NAT_RANGE_PROTO_RANDOM_FULLY,
  NF_NAT_RANGE_PROTO_SPECIFIED,
} from '../net/netfilter.js';
import { IPPROTO_DCCP, IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import { servicePort } from '../net/service.js';
import type { Packet } from '../wire/packet.js';
import { failAddress, parsePton, printAddress, ZERO_WORDS } from './address.js';
import type { OptionSpec, Refusal, RulePlace } from './extension.js';
import { type GivenOption, type GivenOptions, parseCNumber } from './option.js';
import { onlyHooks, onlyTables } from './place.js';

/** A NAT target's value: a range that the kernel would be given. */
export interface NatTarget extends NatRange {
  readonly minAddress: Words6;
  readonly maxAddress: Words6;
}

const EMPTY: NatTarget = {
  flags: 0,
  minAddress: ZERO_WORDS,
  maxAddress: ZERO_WORDS,
  minPort: 0,
  maxPort: 0,
  basePort: 0,
};

const FLAG_OPTIONS: readonly (readonly [string, number])[] = [
  ['--random', NF_NAT_RANGE_PROTO_RANDOM],
  ['--random-fully', NF_NAT_RANGE_PROTO_RANDOM_FULLY],
  ['--persistent', NF_NAT_RANGE_PERSISTENT],
];

/** Options of a NAT target: where to, then its flags. */
export function natOptions(to: OptionSpec, ...flags: readonly string[]): readonly OptionSpec[] {
  return [to, ...flags.map((name) => ({ name, args: 0 as const }))];
}

/** True if the rule's protocol, as far as it stands before the option, may carry ports (even inverted; IPv6 too: 1). */
function mayHavePorts(option: GivenOption): boolean {
  return [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP, IPPROTO_ICMP].includes(option.protocol);
}

type Ports = Pick<NatRange, 'flags' | 'minPort' | 'maxPort' | 'basePort'>;
const NO_PORTS: Ports = { flags: 0, minPort: 0, maxPort: 0, basePort: 0 };

/** What becomes of a base (`/base`): it is kept (DNAT), read and lost (SNAT: the flag stays), or refused. */
export type BaseUse = 'kept' | 'lost' | 'refused';

/** `p[-q][/base]`. */
function parsePorts(given: GivenOptions, option: GivenOption, text: string, use: BaseUse): Ports {
  const bad = (code: string, message: string): Ports => {
    given.fail(option, code, message);
    return NO_PORTS;
  };
  if (!mayHavePorts(option))
    return bad('needs-protocol', 'need TCP, UDP, SCTP or DCCP with port specification (-p before the option)');
  const flags = NF_NAT_RANGE_PROTO_SPECIFIED;
  const named = servicePort(text, undefined);
  if (named !== undefined) return { flags, minPort: named, maxPort: named, basePort: 0 };
  const slash = text.indexOf('/');
  const range = slash === -1 ? text : text.slice(0, slash);
  const base = slash === -1 ? undefined : text.slice(slash + 1);
  const [first, last, ...rest] = range.split('-');
  const port = (word: string | undefined): number | undefined => {
    const value = word === undefined ? undefined : parseCNumber(word);
    return value !== undefined && value <= 65535 ? value : undefined;
  };
  const minPort = port(first);
  const maxPort = last === undefined ? minPort : port(last);
  if (minPort === undefined || maxPort === undefined || rest.length > 0)
    return bad('bad-port', `port "${text}" not valid`);
  if (maxPort < minPort) return bad('bad-range', `port range "${last}" funky`);
  if (base === undefined) return { flags, minPort, maxPort, basePort: 0 };
  if (use === 'refused' || last === undefined) return bad('bad-port', `garbage after port value: "/${base}"`);
  // Nothing checks what follows the number.
  const number = /^\s*\+?(0[xX][0-9a-fA-F]+|\d+)/.exec(base)?.[0];
  const basePort = port(number) ?? servicePort(base, undefined);
  if (basePort === undefined || basePort === 0) return bad('bad-port', `port "${base}" not valid`);
  // SNAT's rule has no room for the base (revision 1), but keeps the flag.
  return { flags: flags | NF_NAT_RANGE_PROTO_OFFSET, minPort, maxPort, basePort: use === 'kept' ? basePort : 0 };
}

/** `[a[-b]][:p[-q][/base]]`. Tool: parse_to(), libxt_NAT.c. */
export function parseTo(given: GivenOptions, name: string, use: BaseUse): NatTarget {
  const option = given.required(name);
  if (option === undefined) return EMPTY;
  const text = option.values[0]!;
  const { family } = given;
  let addresses = text;
  let colon: number;
  const bracket = text.indexOf('[');
  if (bracket === -1) {
    colon = text.indexOf(':');
    // More than one colon and no brackets: a bare IPv6 address.
    if (colon !== -1 && text.indexOf(':', colon + 1) !== -1) colon = -1;
    if (colon !== -1) addresses = text.slice(0, colon);
  } else {
    const close = text.indexOf(']', bracket);
    if (close === -1 || family === 4) {
      given.fail(option, 'bad-address', `invalid address format "${text}"`);
      return EMPTY;
    }
    addresses = text.slice(bracket + 1, close);
    colon = text.indexOf(':', close + 1);
  }
  const ports = colon === -1 ? NO_PORTS : parsePorts(given, option, text.slice(colon + 1), use);
  const flags = ports.flags | flagBits(given);
  // The tool takes a colon in third place for that of `[]:p`, whatever stands before it.
  if (colon === 0 || colon === 2) return { ...EMPTY, ...ports, flags };
  const dash = addresses.indexOf('-');
  const one = (word: string): Words6 => {
    const words = parsePton(word, family);
    if (words === undefined) failAddress(given, option, word);
    return words ?? ZERO_WORDS;
  };
  const minAddress = one(dash === -1 ? addresses : addresses.slice(0, dash));
  const maxAddress = dash === -1 ? minAddress : one(addresses.slice(dash + 1));
  // Spelled out: a spread here gives every value a hidden class of its own.
  const { minPort, maxPort, basePort } = ports;
  return { flags: flags | NF_NAT_RANGE_MAP_IPS, minAddress, maxAddress, minPort, maxPort, basePort };
}

/** `--to-ports p[-q]`, or no ports. */
export function parseToPorts(given: GivenOptions, use: BaseUse): NatTarget {
  const option = given.get('--to-ports');
  const ports = option === undefined ? NO_PORTS : parsePorts(given, option, option.values[0]!, use);
  return { ...EMPTY, ...ports, flags: ports.flags | flagBits(given) };
}

function flagBits(given: GivenOptions): number {
  return FLAG_OPTIONS.reduce((bits, [name, bit]) => (given.has(name) ? bits | bit : bits), 0);
}

function printPorts(t: NatTarget): string {
  if ((t.flags & NF_NAT_RANGE_PROTO_SPECIFIED) === 0) return '';
  const range = t.maxPort === t.minPort ? `${t.minPort}` : `${t.minPort}-${t.maxPort}`;
  return t.flags & NF_NAT_RANGE_PROTO_OFFSET ? `${range}/${t.basePort}` : range;
}

function printFlags(t: NatTarget): string {
  return FLAG_OPTIONS.filter(([, bit]) => (t.flags & bit) !== 0)
    .map(([name]) => ` ${name}`)
    .join('');
}

/** `--to-destination …` or `--to-source …` with its flags. */
export function printTo(name: string, t: NatTarget, family: Family): string {
  const ports = printPorts(t);
  let addresses = '';
  if (t.flags & NF_NAT_RANGE_MAP_IPS) {
    addresses = printAddress(t.minAddress, family);
    if (t.maxAddress.some((word, i) => word !== t.minAddress[i])) addresses += `-${printAddress(t.maxAddress, family)}`;
    if (family === 6 && ports !== '') addresses = `[${addresses}]`;
  }
  return `${name} ${addresses}${ports === '' ? '' : `:${ports}`}${printFlags(t)}`;
}

/** `--to-ports …` with flags. */
export function printToPorts(t: NatTarget): string {
  const ports = printPorts(t);
  return `${ports === '' ? '' : `--to-ports ${ports}`}${printFlags(t)}`.trim();
}

/** Refuses other tables than nat and other hooks than those given. */
export function checkNat(kind: string, place: RulePlace, ...hooks: readonly BaseChainName[]): Refusal | undefined {
  return onlyTables(kind, place, 'nat') ?? onlyHooks(kind, place, ...hooks);
}

/** The side that NAT changes at the packet's hook. */
export function manipAt(packet: Packet): ManipType {
  return packet.hook === NF_INET_PRE_ROUTING || packet.hook === NF_INET_LOCAL_OUT ? NF_NAT_MANIP_DST : NF_NAT_MANIP_SRC;
}

/** A range of one address, refilled for each packet. */
export interface ScratchRange extends NatRange {
  readonly minAddress: Uint32Array;
  readonly maxAddress: Uint32Array;
}

/** `target`'s flags and ports with one address to be filled in. */
export function scratchRange(target: NatRange): ScratchRange {
  const address = new Uint32Array(4);
  return { ...target, flags: target.flags | NF_NAT_RANGE_MAP_IPS, minAddress: address, maxAddress: address };
}
