/** A router reduced to connection tracking and NAT: a packet in at PREROUTING, out at POSTROUTING, ranges instead of rules. */
import { VirtualClock } from '../../src/base/clock.js';
import { Rng } from '../../src/base/rng.js';
import type { NatRange } from '../../src/conntrack/conntrack.js';
import { ConntrackTable } from '../../src/conntrack/conntrack-table.js';
import { settingsFromSysctl } from '../../src/conntrack/settings.js';
import { T_DST, T_PORTS, T_SRC, TUPLE_WORDS, tupleFamily } from '../../src/conntrack/tuple.js';
import {
  type Hook,
  NF_ACCEPT,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_NAT_MANIP_DST,
  NF_NAT_MANIP_SRC,
  NF_NAT_RANGE_MAP_IPS,
  NF_NAT_RANGE_PROTO_OFFSET,
  NF_NAT_RANGE_PROTO_SPECIFIED,
} from '../../src/net/netfilter.js';
import { Field } from '../../src/wire/field.js';
import type { Packet } from '../../src/wire/packet.js';
import { ip4Text, parseAddress } from '../support/address.js';
import { craft, tcpBody, udpBody } from '../support/craft.js';

export interface RangeRepr {
  /** `a`, `a-b`, or nothing: the address stays. */
  readonly to?: string;
  readonly ports?: readonly [number, number];
  readonly base?: number;
  /** Further NF_NAT_RANGE_… bits. */
  readonly flags?: number;
}

function words(text: string): Uint32Array {
  const out = new Uint32Array(4);
  out.set(parseAddress(text));
  return out;
}

export function range(r: RangeRepr): NatRange {
  const [min = '', max = min] = r.to?.split('-') ?? [];
  let flags = r.flags ?? 0;
  if (r.to !== undefined) flags |= NF_NAT_RANGE_MAP_IPS;
  if (r.ports !== undefined) flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
  if (r.base !== undefined) flags |= NF_NAT_RANGE_PROTO_OFFSET;
  return {
    flags,
    minAddress: r.to === undefined ? new Uint32Array(4) : words(min),
    maxAddress: r.to === undefined ? new Uint32Array(4) : words(max),
    minPort: r.ports?.[0] ?? 0,
    maxPort: r.ports?.[1] ?? 0,
    basePort: r.base ?? 0,
  };
}

export interface Way {
  /** What the nat table's PREROUTING (OUTPUT) says of a first packet. */
  readonly dnat?: RangeRepr;
  /** What its POSTROUTING (INPUT) says. */
  readonly snat?: RangeRepr;
  /** The first hook is OUTPUT: a local process sends. */
  readonly fromLocal?: boolean;
  /** The last hook is INPUT: a local socket receives. */
  readonly toLocal?: boolean;
  /** Device by which the packet leaves. */
  readonly out?: number;
  /** SNAT is a MASQUERADE. */
  readonly masquerade?: boolean;
}

export class NatRouter {
  readonly clock = new VirtualClock();
  readonly ct: ConntrackTable;
  /** Hooks at which the nat table was asked, since the last call of `pass`. */
  asked: Hook[] = [];

  constructor(sysctl: Readonly<Record<string, number>> = {}) {
    this.clock.nowUs = 1_700_000_000_000_000;
    const entries = Object.entries(sysctl).map(
      ([name, value]) => [`net.netfilter.nf_conntrack_${name}`, String(value)] as const,
    );
    const settings = settingsFromSysctl(new Map(entries));
    this.ct = new ConntrackTable({ clock: this.clock, hz: 250, rng: new Rng(7), settings });
  }

  wait(seconds: number): void {
    this.clock.nowUs += seconds * 1_000_000;
  }

  #nat(packet: Packet, hook: Hook, repr: RangeRepr | undefined, masquerade: boolean): boolean {
    packet.hook = hook;
    const manip = hook === NF_INET_PRE_ROUTING || hook === NF_INET_LOCAL_OUT ? NF_NAT_MANIP_DST : NF_NAT_MANIP_SRC;
    const verdict = this.ct.nat(packet, hook, (p) => {
      this.asked.push(hook);
      if (repr === undefined) return NF_ACCEPT;
      if (masquerade) this.ct.setMasqueradeDevice(p);
      return this.ct.setupNat(p, range(repr), manip, hook);
    });
    return verdict === NF_ACCEPT;
  }

  /** The whole way; `passed`, or where the packet ended. */
  pass(packet: Packet, way: Way = {}): string {
    this.asked = [];
    const first = way.fromLocal === true ? NF_INET_LOCAL_OUT : NF_INET_PRE_ROUTING;
    const last = way.toLocal === true ? NF_INET_LOCAL_IN : NF_INET_POST_ROUTING;
    if (this.ct.track(packet, first) !== NF_ACCEPT) return this.#end(packet, 'table full');
    if (!this.#nat(packet, first, way.dnat, false)) return this.#end(packet, 'dropped by destination nat');
    packet.f[Field.OutDev] = last === NF_INET_POST_ROUTING ? (way.out ?? 2) : 0;
    if (!this.#nat(packet, last, way.snat, way.masquerade === true)) {
      return this.#end(packet, 'dropped by source nat');
    }
    return this.ct.confirm(packet) === NF_ACCEPT ? 'passed' : this.#end(packet, 'clash');
  }

  #end(packet: Packet, where: string): string {
    this.ct.drop(packet);
    return where;
  }

  /** Both tuples of each connection, as `src:port>dst:port src:port>dst:port` (IPv4), sorted. */
  list(): string[] {
    const { entries } = this.ct;
    const lines: string[] = [];
    entries.forEach((entry) => {
      const text = [0, 1].map((direction) => tupleText(entries.tuples, (entry * 2 + direction) * TUPLE_WORDS));
      lines.push(text.join(' '));
    });
    return lines.sort();
  }
}

export function tupleText(tuples: Uint32Array, at: number): string {
  const address = (part: number): string =>
    tupleFamily(tuples, at) === 4
      ? ip4Text(tuples[at + part]!)
      : [0, 1, 2, 3].map((i) => tuples[at + part + i]!.toString(16)).join(':');
  const ports = tuples[at + T_PORTS]!;
  return `${address(T_SRC)}:${ports >>> 16}>${address(T_DST)}:${ports & 0xffff}`;
}

/** `10.1.0.2:5>10.2.0.2:7` (IPv6: `[fd00::1]:5>[fd00::2]:7`) taken apart. */
export function flow(text: string): {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
} {
  const match = /^\[?([^\]>]+?)\]?:(\d+)>\[?([^\]>]+?)\]?:(\d+)$/.exec(text);
  if (match === null) throw new Error(`bug: no flow: ${text}`);
  return { src: match[1]!, sport: Number(match[2]), dst: match[3]!, dport: Number(match[4]) };
}

/** A UDP packet of the flow. */
export function udp(text: string, size = 4): Packet {
  const { src, dst, sport, dport } = flow(text);
  return craft({ src, dst, protocol: 17, body: udpBody(sport, dport, new Uint8Array(size).fill(0x5a)) });
}

export function tcp(text: string, flags: number, seq = 0, ack = 0): Packet {
  const { src, dst, sport, dport } = flow(text);
  return craft({ src, dst, protocol: 6, body: tcpBody({ sport, dport, flags, seq, ack }) });
}

/** Addresses and ports of an IPv4 packet as its bytes say. */
export function shown(packet: Packet): string {
  const { view, l3Off, l4Off } = packet;
  const src = ip4Text(view.getUint32(l3Off + 12));
  const dst = ip4Text(view.getUint32(l3Off + 16));
  return `${src}:${view.getUint16(l4Off)}>${dst}:${view.getUint16(l4Off + 2)}`;
}
