/** What people look at in a packet, and what differs between two looks, in words. */
import type { Family } from '../net/netfilter.js';
import { IPPROTO_TCP } from '../net/protocol.js';
import { describeAddress, describeEndpoint, describePacket } from '../replay/describe.js';
import { Field } from '../wire/field.js';
import { hasPorts, L4_OK, type Packet } from '../wire/packet.js';

const TCP_OPTION_MSS = 2;

/** A packet as it stood at one moment. */
export interface PacketLook {
  /** `tcp 10.0.0.2:1234 > 10.20.0.3:80 syn`. */
  readonly words: string;
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  readonly tos: number;
  readonly mark: number;
  /** IP length in bytes. */
  readonly length: number;
  /** TCP's option, or -1. */
  readonly mss: number;
  /** The connection's mark, or -1 without connection. */
  readonly connectionMark: number;
}

/** `connectionMark`: the connection's, -1 if the packet has none. */
export function lookAt(p: Packet, connectionMark: number): PacketLook {
  const { family, f } = p;
  const ports = hasPorts(p.protocol) && f[Field.FragOff] === 0;
  return {
    words: describePacket(p),
    source: endpoint(family, f, Field.Src0, ports ? p.srcPort : -1),
    destination: endpoint(family, f, Field.Dst0, ports ? p.dstPort : -1),
    ttl: p.ttl,
    tos: p.tos,
    mark: p.mark,
    length: p.length,
    mss: mssOf(p),
    connectionMark,
  };
}

const endpoint = (family: Family, words: ArrayLike<number>, at: number, port: number): string =>
  port < 0 ? describeAddress(family, words, at) : describeEndpoint(family, words, at, port);

const hex = (n: number): string => `0x${n.toString(16)}`;

/** `destination 10.20.0.2:80 → 10.10.0.1:80`, `mark 0x0 → 0x4000` …; empty if nothing that is looked at differs. */
export function describeChanges(before: PacketLook, after: PacketLook): string[] {
  const changes: string[] = [];
  const note = (name: string, was: string | number, is: string | number): void => {
    if (was !== is) changes.push(`${name} ${was} → ${is}`);
  };
  note('source', before.source, after.source);
  note('destination', before.destination, after.destination);
  note('mark', hex(before.mark), hex(after.mark));
  if (before.connectionMark >= 0 && after.connectionMark >= 0)
    note('connection mark', hex(before.connectionMark), hex(after.connectionMark));
  note('TTL', before.ttl, after.ttl);
  note('TOS', hex(before.tos), hex(after.tos));
  note('MSS', before.mss, after.mss);
  note('length', before.length, after.length);
  return changes;
}

/** The details that the words leave out: `ttl 64, 60 bytes, mark 0x1`. */
export function describeDetails(look: PacketLook): string {
  const parts = [`ttl ${look.ttl}`, `${look.length} bytes`];
  if (look.tos !== 0) parts.push(`tos ${hex(look.tos)}`);
  if (look.mss >= 0) parts.push(`mss ${look.mss}`);
  if (look.mark !== 0) parts.push(`mark ${hex(look.mark)}`);
  return parts.join(', ');
}

function mssOf(p: Packet): number {
  if (p.protocol !== IPPROTO_TCP || p.l4State !== L4_OK) return -1;
  const { view, l4Off } = p;
  const end = Math.min(p.end, l4Off + ((view.getUint8(l4Off + 12) >> 4) << 2));
  for (let at = l4Off + 20; at + 1 < end; ) {
    const kind = view.getUint8(at);
    if (kind === 0) return -1;
    const size = kind === 1 ? 1 : view.getUint8(at + 1);
    if (kind === TCP_OPTION_MSS && size === 4 && at + 4 <= end) return view.getUint16(at + 2);
    at += Math.max(1, size);
  }
  return -1;
}
