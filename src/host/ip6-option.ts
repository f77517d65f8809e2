/** The hop-by-hop header as the stack reads it on arrival. Kernel: ipv6_parse_hopopts(), ip6_parse_tlv(). */
import { Field } from '../wire/field.js';
import type { HostPacket } from './host-packet.js';

const PAD1 = 0;
const PADN = 1;
const ROUTER_ALERT = 5;
const CALIPSO = 7;
const IOAM = 49;
const JUMBO = 0xc2;
/** Padding that makes sense; more is an attack on parsers. */
const MAX_PADDING = 7;

/**
 * 0: fine. -1: drop. Above 0: drop and send a parameter problem (unknown option) pointing at this offset in the packet.
 */
export function readHopByHop(p: HostPacket): number {
  const { view, l3Off, end } = p;
  const start = l3Off + 40;
  if (start + 8 > end) return -1;
  const stop = start + ((view.getUint8(start + 1) + 1) << 3);
  if (stop > end) return -1;
  let padding = 0;
  let at = start + 2;
  while (at < stop) {
    const kind = view.getUint8(at);
    if (kind === PAD1) {
      if (++padding > MAX_PADDING) return -1;
      at++;
      continue;
    }
    if (at + 2 > stop) return -1;
    const size = view.getUint8(at + 1) + 2;
    if (at + size > stop) return -1;
    if (kind === PADN) {
      padding += size;
      if (padding > MAX_PADDING) return -1;
      for (let i = at + 2; i < at + size; i++) if (view.getUint8(i) !== 0) return -1;
      at += size;
      continue;
    }
    padding = 0;
    if (kind === ROUTER_ALERT) {
      if (size !== 4) return -1;
    } else if (kind === JUMBO) {
      // A jumbogram would say payload length 0; nothing here is that large.
      return -1;
    } else if (kind !== CALIPSO && kind !== IOAM) {
      const action = kind >> 6;
      if (action === 1) return -1;
      if (action === 2 || (action === 3 && p.f[Field.Dst0]! >>> 24 !== 0xff)) return at - l3Off;
      if (action === 3) return -1;
    }
    at += size;
  }
  return 0;
}
