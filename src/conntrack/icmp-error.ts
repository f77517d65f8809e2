/**
 * ICMP messages before they are looked up: errors belong to the connection of the packet that they quote.
 * Kernel: nf_conntrack_icmpv4_error(), nf_conntrack_icmpv6_error(), nf_conntrack_inet_error().
 */
import { type Direction, type Hook, IP_CT_DIR_REPLY, IP_CT_IS_REPLY, IP_CT_RELATED } from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import { hasBadChecksum, type TrackContext } from './handler.js';
import { invertTuple, readTuplePorts, T_DST, T_PROTO, TransportPlace, TUPLE_WORDS } from './tuple.js';

/** No error: to be tracked by its own tuple. */
export const ICMP_QUERY = 0;
/** An error that belongs to packet.ct, or a message that is never tracked (packet.untracked). */
export const ICMP_SETTLED = 1;
export const ICMP_INVALID = 2;
export type IcmpResult = 0 | 1 | 2;

const HEADER_SIZE = 8;
const MAX_KNOWN_TYPE = 18;
const ICMP_ERRORS = new Set([3, 4, 5, 11, 12]);
/** Listener queries and reports, neighbour discovery. */
const ICMPV6_UNTRACKED = new Set([130, 131, 132, 133, 134, 135, 136, 143]);
const ICMPV6_REDIRECT = 137;
const ICMPV6_FIRST_QUERY = 128;
/** Redirect: header, target and destination address. */
const REDIRECT_SIZE = 40;
const OPTION_REDIRECTED_HEADER = 4;
const LINK_LOCAL = 0xfe80_0000;

export class IcmpErrors {
  readonly #context: TrackContext;
  readonly #place = new TransportPlace();
  /** Quoted tuple, and its inverse behind it. */
  readonly #words = new Uint32Array(2 * TUPLE_WORDS);

  constructor(context: TrackContext) {
    this.#context = context;
  }

  /** Judges the ICMP (`protocol` 1) or ICMPv6 (58) message at `off`. Per packet: allocates nothing. */
  judge(packet: Packet, protocol: number, off: number, hook: Hook): IcmpResult {
    if (protocol === IPPROTO_ICMP) return packet.family === 4 ? this.#judge4(packet, off, hook) : ICMP_QUERY;
    return packet.family === 6 ? this.#judge6(packet, off, hook) : ICMP_QUERY;
  }

  #judge4(packet: Packet, off: number, hook: Hook): IcmpResult {
    if (off + HEADER_SIZE > packet.end || hasBadChecksum(this.#context, packet, hook)) return ICMP_INVALID;
    const type = packet.view.getUint8(off);
    if (type > MAX_KNOWN_TYPE) return ICMP_INVALID;
    if (!ICMP_ERRORS.has(type)) return ICMP_QUERY;
    return this.#relate(packet, off + HEADER_SIZE);
  }

  #judge6(packet: Packet, off: number, hook: Hook): IcmpResult {
    if (off + HEADER_SIZE > packet.end || hasBadChecksum(this.#context, packet, hook)) return ICMP_INVALID;
    const type = packet.view.getUint8(off);
    if (ICMPV6_UNTRACKED.has(type)) {
      packet.untracked = true;
      return ICMP_SETTLED;
    }
    if (type === ICMPV6_REDIRECT) return this.#redirect(packet, off);
    if (type >= ICMPV6_FIRST_QUERY) return ICMP_QUERY;
    return this.#relate(packet, off + HEADER_SIZE);
  }

  /** Kernel: nf_conntrack_icmpv6_redirect(). */
  #redirect(packet: Packet, off: number): IcmpResult {
    const { view, end } = packet;
    if (packet.ttl !== 255 || (packet.f[Field.Src0]! & 0xffc0_0000) >>> 0 !== LINK_LOCAL) return ICMP_INVALID;
    for (let at = off + REDIRECT_SIZE; at + 2 <= end; ) {
      const size = view.getUint8(at + 1) << 3;
      if (size === 0) return ICMP_INVALID;
      if (view.getUint8(at) === OPTION_REDIRECTED_HEADER) return this.#relate(packet, at + 8);
      at += size;
    }
    return ICMP_INVALID;
  }

  /** Looks for the connection of the packet quoted at `inner`. */
  #relate(packet: Packet, inner: number): IcmpResult {
    const { table } = this.#context;
    const words = this.#words;
    if (!this.#readInner(packet, inner) || !invertTuple(words, 0, words, TUPLE_WORDS)) return ICMP_INVALID;
    const node = findInZones(this.#context, packet, words, TUPLE_WORDS);
    if (node === -1) return ICMP_INVALID;
    const { tuples } = table;
    for (let i = 0; i < 4; i++) {
      if (tuples[node * TUPLE_WORDS + T_DST + i] !== packet.f[Field.Dst0 + i]) return ICMP_INVALID;
    }
    packet.ct = node >> 1;
    packet.ctDir = (node & 1) as Direction;
    packet.ctInfo = IP_CT_RELATED + (packet.ctDir === IP_CT_DIR_REPLY ? IP_CT_IS_REPLY : 0);
    return ICMP_SETTLED;
  }

  /** Writes the tuple of the quoted packet. Kernel: nf_ct_get_tuplepr(). */
  #readInner(packet: Packet, inner: number): boolean {
    const { view, end, family } = packet;
    const words = this.#words;
    const place = this.#place;
    if (family === 4) {
      if (inner + 20 > end || (view.getUint16(inner + 6) & 0x1fff) !== 0) return false;
      place.off = inner + ((view.getUint8(inner) & 15) << 2);
      place.protocol = view.getUint8(inner + 9);
      words.fill(0, 0, 8);
      words[0] = view.getUint32(inner + 12);
      words[4] = view.getUint32(inner + 16);
      if (place.off > end) return false;
    } else {
      if (inner + 40 > end || !place.skipFrom(view, end, view.getUint8(inner + 6), inner + 40)) return false;
      for (let i = 0; i < 8; i++) words[i] = view.getUint32(inner + 8 + (i << 2));
    }
    words[T_PROTO] = ((packet.templateZoneOriginal << 16) | (family << 8) | place.protocol) >>> 0;
    return readTuplePorts(view, place.off, end, place.protocol, words, 0);
  }
}

/** True for the protocols whose messages go through IcmpErrors. */
export function isIcmp(protocol: number): boolean {
  return protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6;
}

/**
 * Node of the entry that a packet with the tuple words[at..] belongs to, in the packet's zones; the tuple is in the zone of the original
 * direction on entry, and on return if something was found in it. Kernel: nf_conntrack_find_get() with a zone per direction.
 */
export function findInZones(context: TrackContext, packet: Packet, words: Uint32Array, at: number): number {
  const { table } = context;
  const original = packet.templateZoneOriginal;
  const reply = packet.templateZoneReply;
  if (original === reply) return table.find(words, at);
  const node = table.findDirection(words, at, 0);
  if (node !== -1) return node;
  const proto = words[at + T_PROTO]!;
  words[at + T_PROTO] = ((reply << 16) | (proto & 0xffff)) >>> 0;
  const found = table.findDirection(words, at, 1);
  words[at + T_PROTO] = proto;
  return found;
}
