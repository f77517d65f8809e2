/** `-m conntrack`. Kernel: conntrack_mt(), net/netfilter/xt_conntrack.c, revision 3. */

import type { TupleView } from '../../conntrack/conntrack.js';
import {
  CT_STATE_DNAT,
  CT_STATE_ESTABLISHED,
  CT_STATE_INVALID,
  CT_STATE_NEW,
  CT_STATE_RELATED,
  CT_STATE_SNAT,
  CT_STATE_UNTRACKED,
} from '../../conntrack/state-bit.js';
import type { Words6 } from '../../net/ip6.js';
import { type Family, IPS_ASSURED, IPS_CONFIRMED, IPS_EXPECTED, IPS_SEEN_REPLY } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import { hostMask, printAddress, printMask } from '../address.js';
import type { FieldTest, MatchExt } from '../extension.js';
import { bang, type GivenOptions, printBits, type Range } from '../option.js';
import { loosePortRange } from '../port.js';

/** In the order in which they print; the first that begins with a given word is meant. */
const STATES: readonly (readonly [string, number])[] = [
  ['INVALID', CT_STATE_INVALID],
  ['NEW', CT_STATE_NEW],
  ['RELATED', CT_STATE_RELATED],
  ['ESTABLISHED', CT_STATE_ESTABLISHED],
  ['UNTRACKED', CT_STATE_UNTRACKED],
  ['SNAT', CT_STATE_SNAT],
  ['DNAT', CT_STATE_DNAT],
];
const STATUSES: readonly (readonly [string, number])[] = [
  ['NONE', 0],
  ['EXPECTED', IPS_EXPECTED],
  ['SEEN_REPLY', IPS_SEEN_REPLY],
  ['ASSURED', IPS_ASSURED],
  ['CONFIRMED', IPS_CONFIRMED],
];

const ADDRESS_OPTIONS = ['--ctorigsrc', '--ctorigdst', '--ctreplsrc', '--ctrepldst'] as const;
const PORT_OPTIONS = ['--ctorigsrcport', '--ctorigdstport', '--ctreplsrcport', '--ctrepldstport'] as const;

interface Inverted {
  readonly invert: boolean;
}
/** `side` 0–3: original source, original destination, reply source, reply destination. */
interface AddressPart extends Inverted {
  readonly side: number;
  readonly address: Words6;
  readonly mask: Words6;
}
interface PortPart extends Inverted, Range {
  readonly side: number;
}

export interface ConntrackMatch {
  readonly state: (Inverted & { readonly bits: number }) | undefined;
  readonly protocol: (Inverted & { readonly number: number }) | undefined;
  readonly addresses: readonly AddressPart[];
  readonly ports: readonly PortPart[];
  readonly status: (Inverted & { readonly bits: number }) | undefined;
  readonly expires: (Inverted & Range) | undefined;
  readonly direction: 0 | 1 | undefined;
}

/** `f[CtState] & bits` is not zero, xor `!`. */
export function lowerState(bits: number, invert: boolean): FieldTest {
  return { slot: Field.CtState, mask: bits, value: 0, invert: !invert };
}

function parseProtocol(given: GivenOptions): ConntrackMatch['protocol'] {
  const option = given.get('--ctproto');
  if (option === undefined) return undefined;
  const number = given.protocol(option);
  // 1.8.9 tests the wrong bit: an earlier `! --ctstatus` makes protocol 0 look like one that is inverted by `-p`.
  const status = given.get('--ctstatus');
  if (number === 0 && status?.invert === true && given.given.indexOf(status) < given.given.indexOf(option))
    given.fail(option, 'never-matches', 'conntrack: rule would never match protocol');
  return { number, invert: option.invert };
}

export const conntrack: MatchExt<ConntrackMatch> = {
  kind: 'conntrack',
  families: [4, 6],
  options: [
    { name: '--ctstate', invert: true },
    { name: '--ctproto', invert: true },
    ...ADDRESS_OPTIONS.map((name) => ({ name, invert: true })),
    ...PORT_OPTIONS.map((name) => ({ name, invert: true })),
    { name: '--ctstatus', invert: true },
    { name: '--ctexpire', invert: true },
    { name: '--ctdir' },
  ],
  parse(given) {
    if (given.given.length === 0) given.fail(undefined, 'option-missing', 'conntrack: at least one option is required');
    const state = given.get('--ctstate');
    const status = given.get('--ctstatus');
    const expires = given.get('--ctexpire');
    const dir = given.get('--ctdir');
    const direction = dir?.values[0]?.toUpperCase();
    if (dir !== undefined && direction !== 'ORIGINAL' && direction !== 'REPLY')
      given.fail(dir, 'bad-word', `conntrack: bad value "${dir.values[0]}" for option "--ctdir"`, 'ORIGINAL or REPLY');
    return {
      state: state && { bits: given.wordBits(state, STATES), invert: state.invert },
      protocol: parseProtocol(given),
      addresses: ADDRESS_OPTIONS.flatMap((name, side) => {
        const option = given.get(name);
        return option === undefined ? [] : [{ side, ...hostMask(given, option), invert: option.invert }];
      }),
      ports: PORT_OPTIONS.flatMap((name, side) => {
        const option = given.get(name);
        return option === undefined ? [] : [{ side, ...loosePortRange(given, option), invert: option.invert }];
      }),
      status: status && { bits: given.wordBits(status, STATUSES), invert: status.invert },
      expires: expires && { ...given.range(expires, 0xffffffff), invert: expires.invert },
      direction: dir === undefined ? undefined : direction === 'REPLY' ? 1 : 0,
    };
  },
  print(m, family) {
    const parts: string[] = [];
    if (m.state) parts.push(`${bang(m.state.invert)}--ctstate ${printBits(m.state.bits, STATES)}`);
    if (m.protocol) parts.push(`${bang(m.protocol.invert)}--ctproto ${m.protocol.number}`);
    for (const a of m.addresses)
      parts.push(
        `${bang(a.invert)}${ADDRESS_OPTIONS[a.side]} ${printAddress(a.address, family)}${printMask(a.mask, family)}`,
      );
    for (const p of m.ports) {
      const range = p.high === 0 || p.low === p.high ? `${p.low}` : `${p.low}:${p.high}`;
      parts.push(`${bang(p.invert)}${PORT_OPTIONS[p.side]} ${range}`);
    }
    if (m.status)
      parts.push(
        `${bang(m.status.invert)}--ctstatus ${m.status.bits === 0 ? 'NONE' : printBits(m.status.bits, STATUSES)}`,
      );
    if (m.expires) {
      const { low, high } = m.expires;
      parts.push(`${bang(m.expires.invert)}--ctexpire ${low === high ? low : `${low}:${high}`}`);
    }
    if (m.direction !== undefined) parts.push(`--ctdir ${m.direction === 0 ? 'ORIGINAL' : 'REPLY'}`);
    return parts.join(' ');
  },
  needs: () => 'conntrack',
  isSteady: (m) => m.expires === undefined,
  bind(m, env) {
    const { state, protocol, status, expires, direction } = m;
    const views: readonly TupleView[] = [newTupleView(), newTupleView()];
    const needsTuples = m.addresses.length + m.ports.length > 0;
    return (packet) => {
      if (state !== undefined && ((packet.f[Field.CtState]! & state.bits) !== 0) === state.invert) return false;
      const { ct } = packet;
      // Between the target CT and conntrack a packet has its template: an entry of zeros that counts as confirmed.
      const template = ct === -1 && packet.hasTemplate && env.table === 'raw';
      if (ct === -1 && !template) return state !== undefined;
      if (direction !== undefined && packet.ctDir !== direction) return false;
      const number = template ? 0 : env.conntrack.protocol(ct);
      if (protocol !== undefined && (number === protocol.number) === protocol.invert) return false;
      if (needsTuples) {
        if (template) for (const view of views) clearTuple(view);
        else {
          env.conntrack.tuple(ct, 0, views[0]!);
          env.conntrack.tuple(ct, 1, views[1]!);
        }
        for (const a of m.addresses) if (addressFits(a, views[a.side >> 1]!, env.family) === a.invert) return false;
        for (const p of m.ports) {
          const view = views[p.side >> 1]!;
          const port = (p.side & 1) === 0 ? view.srcPort : view.dstPort;
          if ((port >= p.low && port <= p.high) === p.invert) return false;
        }
      }
      const bits = template ? IPS_CONFIRMED : env.conntrack.status(ct);
      if (status !== undefined && ((bits & status.bits) !== 0) === status.invert) return false;
      if (expires !== undefined) {
        const seconds = template ? 0 : env.conntrack.expiresIn(ct);
        if ((seconds >= expires.low && seconds <= expires.high) === expires.invert) return false;
      }
      return true;
    };
  },
  lower(m) {
    const plain =
      m.protocol === undefined &&
      m.addresses.length + m.ports.length === 0 &&
      m.status === undefined &&
      m.expires === undefined &&
      m.direction === undefined;
    return plain && m.state !== undefined ? [lowerState(m.state.bits, m.state.invert)] : undefined;
  },
};

/** A TupleView of its own, for what is bound once. */
function newTupleView(): TupleView {
  return { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
}

function clearTuple(view: TupleView): void {
  view.address.fill(0);
  view.srcPort = 0;
  view.dstPort = 0;
}

function addressFits(part: AddressPart, view: TupleView, family: Family): boolean {
  const first = (part.side & 1) << 2;
  const words = family === 4 ? 1 : 4;
  for (let i = 0; i < words; i++)
    if (((view.address[first + i]! ^ part.address[i]!) & part.mask[i]!) !== 0) return false;
  return true;
}
