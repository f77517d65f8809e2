/**
 * Which conversation a packet on the wire is of, whichever way it goes: addresses and ports of both ends, protocol; an ICMP
 * query by its identifier, an ICMP error by the packet that it quotes. Read from the bytes alone, so that captured frames
 * and frames that were sent are told by the same measure.
 */
import { PairHash } from '../base/pair-hash.js';
import { readTuplePorts, T_DST, T_PORTS, T_PROTO, T_SRC, TransportPlace, TUPLE_WORDS } from '../conntrack/tuple.js';
import type { Family } from '../net/netfilter.js';
import { IPPROTO_AH, IPPROTO_FRAGMENT, IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../net/protocol.js';
import { isExtensionHeader } from '../wire/packet.js';

const ICMP_HEADER_SIZE = 8;
/** Bit n: ICMP type n quotes a packet (unreachable, quench, redirect, time exceeded, parameter problem). */
const ICMP_QUOTES = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 11) | (1 << 12);
const ICMPV6_FIRST_QUERY = 128;
const SALT_CONVERSATION = 1;

export class WireKey {
  readonly hash: PairHash;
  /** The tuple in one of its two directions, ports 0 where there are none (layout: conntrack/tuple.ts, zone 0). */
  readonly words = new Uint32Array(TUPLE_WORDS);
  readonly #place = new TransportPlace();

  constructor(seed: number) {
    this.hash = new PairHash(seed);
  }

  /**
   * Fills `words` and `hash` for the IP packet in [l3Off, end). False: it is a fragment, or too short or broken to tell; such
   * packets all count as one conversation. Per packet: allocates nothing.
   */
  read(family: Family, view: DataView, l3Off: number, end: number): boolean {
    if (!this.#readTuple(family, view, l3Off, end)) return false;
    const { words } = this;
    const protocol = words[T_PROTO]! & 255;
    const isIcmp = protocol === (family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    if (isIcmp) {
      const off = this.#place.off;
      const type = off + ICMP_HEADER_SIZE <= end ? view.getUint8(off) : -1;
      const quotes =
        family === 4
          ? type >= 0 && type < 32 && ((ICMP_QUOTES >>> type) & 1) === 1
          : type >= 0 && type < ICMPV6_FIRST_QUERY;
      if (quotes && !this.#readTuple(family, view, off + ICMP_HEADER_SIZE, end)) return false;
    }
    this.#order();
    this.hash.of(words, 0, TUPLE_WORDS, SALT_CONVERSATION);
    return true;
  }

  #readTuple(family: Family, view: DataView, l3Off: number, end: number): boolean {
    const { words } = this;
    const place = this.#place;
    if (family === 4) {
      if (l3Off + 20 > end || (view.getUint16(l3Off + 6) & 0x3fff) !== 0) return false;
      place.off = l3Off + ((view.getUint8(l3Off) & 15) << 2);
      place.protocol = view.getUint8(l3Off + 9);
      words.fill(0);
      words[T_SRC] = view.getUint32(l3Off + 12);
      words[T_DST] = view.getUint32(l3Off + 16);
    } else {
      if (l3Off + 40 > end) return false;
      const next = view.getUint8(l3Off + 6);
      if (isExtensionHeader(next)) {
        if (next === IPPROTO_FRAGMENT || hasFragmentHeader(view, end, next, l3Off + 40)) return false;
        if (!place.skipFrom(view, end, next, l3Off + 40)) return false;
      } else {
        place.off = l3Off + 40;
        place.protocol = next;
      }
      for (let i = 0; i < 8; i++) words[i] = view.getUint32(l3Off + 8 + (i << 2));
      words[T_PORTS] = 0;
    }
    words[T_PROTO] = (family << 8) | place.protocol;
    if (!readTuplePorts(view, place.off, end, place.protocol, words, 0)) words[T_PORTS] = 0;
    // Type and code tell no conversation; the identifier does.
    if (place.protocol === IPPROTO_ICMP || place.protocol === IPPROTO_ICMPV6) {
      const id = words[T_PORTS]! >>> 16;
      words[T_PORTS] = ((id << 16) | id) >>> 0;
    }
    return true;
  }

  /** The smaller end first: both ways have one key. */
  #order(): void {
    const { words } = this;
    const ports = words[T_PORTS]!;
    let difference = 0;
    for (let i = 0; i < 4 && difference === 0; i++) difference = words[T_SRC + i]! - words[T_DST + i]!;
    if (difference === 0) difference = (ports >>> 16) - (ports & 0xffff);
    if (difference <= 0) return;
    for (let i = 0; i < 4; i++) {
      const word = words[T_SRC + i]!;
      words[T_SRC + i] = words[T_DST + i]!;
      words[T_DST + i] = word;
    }
    words[T_PORTS] = ((ports << 16) | (ports >>> 16)) >>> 0;
  }
}

/** A fragment header stands in the chain that begins at `off` with a header of kind `next`. */
function hasFragmentHeader(view: DataView, end: number, next: number, off: number): boolean {
  let kind = next;
  for (let at = off; isExtensionHeader(kind) && at + 8 <= end; ) {
    if (kind === IPPROTO_FRAGMENT) return true;
    const following = view.getUint8(at);
    const units = view.getUint8(at + 1);
    at += kind === IPPROTO_AH ? (units + 2) << 2 : (units + 1) << 3;
    kind = following;
  }
  return false;
}
