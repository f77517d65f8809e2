/** Which way a captured record went, seen from the host (design: direction of a captured frame). */
import type { LinkLayer } from '../capture/link-type.js';
import { type CaptureRecord, DIRECTION_IN, DIRECTION_OUT } from '../capture/record.js';
import {
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  PACKET_OUTGOING,
} from '../net/netfilter.js';

export const WENT_IN = 0;
export const WENT_OUT = 1;
export type Way = 0 | 1;

/** Six bytes at `off` equal the address. */
function isMacAt(bytes: Uint8Array, off: number, mac: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (bytes[off + i] !== mac[i]) return false;
  return true;
}

/**
 * By pcapng's packet flags, else the cooked header's packet type, else out if the link-layer source is the address of
 * the device. Precondition: `link` was filled for `record`. Per packet: allocates nothing.
 */
export function wayOf(record: CaptureRecord, link: LinkLayer, deviceMac: Uint8Array | undefined): Way {
  if (record.direction === DIRECTION_OUT) return WENT_OUT;
  if (record.direction === DIRECTION_IN) return WENT_IN;
  if (link.packetType !== -1) return link.packetType === PACKET_OUTGOING ? WENT_OUT : WENT_IN;
  if (deviceMac === undefined || link.sourceMacOff === -1 || link.sourceMacSize !== 6) return WENT_IN;
  return isMacAt(record.bytes, link.sourceMacOff, deviceMac) ? WENT_OUT : WENT_IN;
}

/**
 * Link-layer class of a received frame: the cooked header's word, else by the Ethernet destination
 * (kernel: eth_type_trans()). Without either, or without knowing the device's address: for this host.
 */
export function packetTypeOf(bytes: Uint8Array, link: LinkLayer, deviceMac: Uint8Array | undefined): number {
  if (link.packetType !== -1) return link.packetType === PACKET_OUTGOING ? PACKET_HOST : link.packetType;
  if (link.macOff === -1) return PACKET_HOST;
  const first = bytes[link.macOff]!;
  if ((first & 1) === 1) {
    for (let i = 0; i < 6; i++) if (bytes[link.macOff + i] !== 0xff) return PACKET_MULTICAST;
    return PACKET_BROADCAST;
  }
  if (deviceMac === undefined || isMacAt(bytes, link.macOff, deviceMac)) return PACKET_HOST;
  return PACKET_OTHERHOST;
}
