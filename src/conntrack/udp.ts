/** UDP and UDP-Lite. Kernel: nf_conntrack_udp_packet(), nf_conntrack_udplite_packet(), net/netfilter/nf_conntrack_proto_udp.c. */
import { fold } from '../net/checksum.js';
import { type Direction, type Hook, IPS_ASSURED, IPS_SEEN_REPLY } from '../net/netfilter.js';
import { IPPROTO_UDP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import { pseudoHeaderSum, sumView } from '../wire/transport-checksum.js';
import {
  hasBadChecksum,
  TRACK_ACCEPT,
  TRACK_INVALID,
  type TrackContext,
  type TrackResult,
  verifiesChecksum,
} from './handler.js';
import { refresh, refreshBy } from './refresh.js';

const HEADER_SIZE = 8;
/** Traffic later than this after the first packet makes a stream. */
const STREAM_AFTER_US = 2_000_000;

/** `off`: where the UDP header lies. Per packet: allocates nothing. */
export function trackUdp(context: TrackContext, packet: Packet, off: number, hook: Hook): TrackResult {
  if (off + HEADER_SIZE > packet.end) return TRACK_INVALID;
  const length = packet.view.getUint16(off + 4);
  if (length > packet.wireEnd - off || length < HEADER_SIZE) return TRACK_INVALID;
  if (packet.view.getUint16(off + 6) !== 0 && hasBadChecksum(context, packet, hook)) return TRACK_INVALID;
  followUdp(context, packet.ct, packet.ctDir, packet.f[Field.Length]!);
  return TRACK_ACCEPT;
}

/** What a good datagram of `length` bytes (IP header included) does to its entry. Per packet: allocates nothing. */
export function followUdp({ table, settings }: TrackContext, ct: number, dir: Direction, length: number): void {
  const status = table.status[ct]!;
  if ((status & IPS_SEEN_REPLY) === 0) {
    refreshBy(table, ct, dir, length, settings.udpTimeoutUs);
  } else if (table.nowUs > table.createdUs[ct]! + STREAM_AFTER_US) {
    refreshBy(table, ct, dir, length, settings.udpStreamTimeoutUs);
    table.status[ct] = status | IPS_ASSURED;
  } else {
    refreshBy(table, ct, dir, length, settings.udpTimeoutUs);
  }
}

/** The length field is the checksum's coverage (0: everything); a checksum is mandatory. */
export function trackUdplite(context: TrackContext, packet: Packet, off: number, hook: Hook): TrackResult {
  const { table, settings } = context;
  if (off + HEADER_SIZE > packet.end) return TRACK_INVALID;
  const coverage = packet.view.getUint16(off + 4);
  if (coverage !== 0 && (coverage < HEADER_SIZE || coverage > packet.wireEnd - off)) return TRACK_INVALID;
  if (packet.view.getUint16(off + 6) === 0) return TRACK_INVALID;
  if (verifiesChecksum(context, packet, hook)) {
    // The kernel takes UDP's number into the pseudo header (udplite_error(), seen on 6.18): what a sender made right is INVALID.
    const length = packet.wireEnd - off;
    // Over IPv4 it also hands length and protocol over in each other's place, and the length is cut to a byte (nf_ip_checksum_partial()).
    const counted = packet.family === 4 ? length & 0xff : length;
    const sum = pseudoHeaderSum(packet, IPPROTO_UDP, counted) + sumView(packet.view, off, off + (coverage || length));
    if (fold(sum) !== 0xffff) return TRACK_INVALID;
  }
  const ct = packet.ct;
  const status = table.status[ct]!;
  if ((status & IPS_SEEN_REPLY) === 0) {
    refresh(table, ct, packet, settings.udpTimeoutUs);
  } else {
    refresh(table, ct, packet, settings.udpStreamTimeoutUs);
    table.status[ct] = status | IPS_ASSURED;
  }
  return TRACK_ACCEPT;
}
