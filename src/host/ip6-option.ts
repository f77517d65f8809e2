/**
 * IPv6 extension headers as the stack reads them: hop-by-hop options of every packet on arrival, and at its destination
 * the whole chain up to the transport header. Kernel: ipv6_parse_hopopts(), ip6_parse_tlv(), ipv6_destopt_rcv(),
 * ipv6_rthdr_rcv() (net/ipv6/exthdrs.c).
 */
import { IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_HOPOPTS, IPPROTO_ROUTING } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { L4_OK } from '../wire/packet.js';
import type { HostPacket } from './host-packet.js';

const PAD1 = 0;
const PADN = 1;
const ROUTER_ALERT = 5;
const CALIPSO = 7;
const IOAM = 49;
const JUMBO = 0xc2;
/** Padding that makes sense; more is an attack on parsers. */
const MAX_PADDING = 7;

/** Routing headers that are dropped silently: mobility, RPL, segment routing, none of which is switched on by default. */
const SILENT_ROUTING = [2, 3, 4];

/** The headers are fine. */
export const EXTENSIONS_OK = 0;
/** Drop without a word. Above 0: drop, and send a parameter problem (`problemPointer`, `problemCode`). */
export const EXTENSIONS_DROP = -1;

const CODE_HEADER_FIELD = 0;
const CODE_UNKNOWN_OPTION = 2;

/** A parameter problem as a number above 0. */
function problem(pointer: number, code: number): number {
  return (code << 16) | pointer;
}
export const problemPointer = (fault: number): number => fault & 0xffff;
export const problemCode = (fault: number): number => fault >> 16;

/** Bytes of an extension header, by its kind and its length byte. */
export function extensionSize(kind: number, units: number): number {
  if (kind === IPPROTO_FRAGMENT) return 8;
  return kind === IPPROTO_AH ? (units + 2) << 2 : (units + 1) << 3;
}

/** Offset of the next-header byte that names the header at `target`, which the chain must reach. */
export function namingByte(p: HostPacket, target: number): number {
  const { view } = p;
  let byte = p.l3Off + 6;
  let at = p.l3Off + 40;
  while (at < target) {
    const size = extensionSize(view.getUint8(byte), view.getUint8(at + 1));
    byte = at;
    at += size;
  }
  return byte;
}

/** Options of the hop-by-hop header, which stands first. */
export function readHopByHop(p: HostPacket): number {
  return readTlvs(p, p.l3Off + 40, true);
}

/**
 * Follows the chain of a packet that is at its destination and whole. Protocol, l4Off and the transport fields become
 * those of what is found: a header that the stack has no use for (AH …) counts as the transport.
 */
export function readDestinationChain(p: HostPacket): number {
  const { view, f, l3Off, end } = p;
  let kind = view.getUint8(l3Off + 6);
  let at = l3Off + 40;
  while (
    kind === IPPROTO_HOPOPTS ||
    kind === IPPROTO_ROUTING ||
    kind === IPPROTO_DSTOPTS ||
    kind === IPPROTO_FRAGMENT
  ) {
    if (at + 8 > end) return EXTENSIONS_DROP;
    const size = extensionSize(kind, view.getUint8(at + 1));
    if (at + size > end) return EXTENSIONS_DROP;
    if (kind === IPPROTO_DSTOPTS) {
      const fault = readTlvs(p, at, false);
      if (fault !== EXTENSIONS_OK) return fault;
    } else if (kind === IPPROTO_ROUTING) {
      if (f[Field.Dst0]! >>> 24 === 0xff || f[Field.PktType]! !== 0) return EXTENSIONS_DROP;
      const type = view.getUint8(at + 2);
      if (SILENT_ROUTING.includes(type)) return EXTENSIONS_DROP;
      if (view.getUint8(at + 3) !== 0) return problem(at + 2 - l3Off, CODE_HEADER_FIELD);
    }
    kind = view.getUint8(at);
    at += size;
  }
  if (kind === f[Field.Protocol]! && at === p.l4Off) return EXTENSIONS_OK;
  f[Field.Protocol] = kind;
  p.l4Off = at;
  p.l4State = L4_OK;
  p.readTransport();
  return EXTENSIONS_OK;
}

function readTlvs(p: HostPacket, start: number, hopByHop: boolean): number {
  const { view, end } = p;
  if (start + 8 > end) return EXTENSIONS_DROP;
  const stop = start + ((view.getUint8(start + 1) + 1) << 3);
  if (stop > end) return EXTENSIONS_DROP;
  let padding = 0;
  let at = start + 2;
  while (at < stop) {
    const kind = view.getUint8(at);
    if (kind === PAD1) {
      if (++padding > MAX_PADDING) return EXTENSIONS_DROP;
      at++;
      continue;
    }
    if (at + 2 > stop) return EXTENSIONS_DROP;
    const size = view.getUint8(at + 1) + 2;
    if (at + size > stop) return EXTENSIONS_DROP;
    if (kind === PADN) {
      padding += size;
      if (padding > MAX_PADDING) return EXTENSIONS_DROP;
      for (let i = at + 2; i < at + size; i++) if (view.getUint8(i) !== 0) return EXTENSIONS_DROP;
    } else {
      padding = 0;
      const fault = hopByHop ? readHopOption(p, at, kind, size) : unknownOption(p, at, kind);
      if (fault !== EXTENSIONS_OK) return fault;
    }
    at += size;
  }
  return EXTENSIONS_OK;
}

function readHopOption(p: HostPacket, at: number, kind: number, size: number): number {
  const { view, l3Off } = p;
  switch (kind) {
    case ROUTER_ALERT:
      return size === 4 ? EXTENSIONS_OK : EXTENSIONS_DROP;
    case CALIPSO:
    case IOAM:
      return EXTENSIONS_OK;
    case JUMBO:
      // No packet here is as long as a jumbogram, so one that claims to be is wrong in one way or the other.
      if (size !== 6 || ((at - l3Off) & 3) !== 2) return EXTENSIONS_DROP;
      if (view.getUint32(at + 2) <= 65535) return problem(at + 2 - l3Off, CODE_HEADER_FIELD);
      return view.getUint16(l3Off + 4) !== 0 ? problem(at - l3Off, CODE_HEADER_FIELD) : EXTENSIONS_DROP;
    default:
      return unknownOption(p, at, kind);
  }
}

/** What to do is in the option's upper two bits. Kernel: ip6_tlvopt_unknown(). */
function unknownOption(p: HostPacket, at: number, kind: number): number {
  const action = kind >> 6;
  if (action === 0) return EXTENSIONS_OK;
  const toGroup = p.f[Field.Dst0]! >>> 24 === 0xff;
  if (action === 1 || (action === 3 && toGroup)) return EXTENSIONS_DROP;
  return problem(at - p.l3Off, CODE_UNKNOWN_OPTION);
}
