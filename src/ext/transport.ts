/** What a match of a transport protocol insists on before it looks at the header (spec 4.1). */
import { Field } from '../wire/field.js';
import { L4_OK, L4_SHORT, type Packet } from '../wire/packet.js';

/**
 * True if the whole transport header that the packet's protocol needs is there. A short one is hotdropped, a later
 * fragment just does not match. Per packet: allocates nothing.
 */
export function hasTransportHeader(packet: Packet): boolean {
  if (packet.l4State === L4_OK) return true;
  if (packet.l4State === L4_SHORT) packet.hotdrop = true;
  return false;
}

/**
 * The same for TCP: an IPv4 fragment at offset 8 would overwrite the flags, so it is hotdropped (tcp_mt()). The
 * kernel compares IPv4's offset in units of 8 with 1, and IPv6's in bytes: there it never fits.
 */
export function hasTcpHeader(packet: Packet): boolean {
  if (packet.l4State === L4_OK) return true;
  if (packet.f[Field.FragOff] === 8 && packet.family === 4) packet.hotdrop = true;
  return hasTransportHeader(packet);
}
