/** Trackers that know little more than a timeout: ICMP and ICMPv6 queries, GRE, any other protocol. */
import { IPS_ASSURED, IPS_SEEN_REPLY } from '../net/netfilter.js';
import type { Packet } from '../wire/packet.js';
import { TRACK_ACCEPT, TRACK_INVALID, type TrackContext, type TrackResult } from './handler.js';
import { refresh } from './refresh.js';
import { T_PORTS, TUPLE_WORDS } from './tuple.js';

/** ICMP types that may begin a connection: echo, timestamp, information and address mask requests. */
const ICMP_BEGINS = new Set([8, 13, 15, 17]);
/** ICMPv6: echo request, node information query. */
const ICMPV6_BEGINS = new Set([128, 139]);

/** Kernel: nf_conntrack_icmp_packet(). */
export function trackIcmp(context: TrackContext, packet: Packet): TrackResult {
  const { table, settings } = context;
  if (packet.family !== 4 || !ICMP_BEGINS.has(firstType(context, packet.ct))) return TRACK_INVALID;
  refresh(table, packet.ct, packet, settings.icmpTimeoutUs);
  return TRACK_ACCEPT;
}

/** Kernel: nf_conntrack_icmpv6_packet(). */
export function trackIcmpv6(context: TrackContext, packet: Packet): TrackResult {
  const { table, settings } = context;
  if (packet.family !== 6 || !ICMPV6_BEGINS.has(firstType(context, packet.ct))) return TRACK_INVALID;
  refresh(table, packet.ct, packet, settings.icmpv6TimeoutUs);
  return TRACK_ACCEPT;
}

/** Type of the message that began the connection. */
function firstType(context: TrackContext, ct: number): number {
  return (context.table.tuples[ct * 2 * TUPLE_WORDS + T_PORTS]! >>> 8) & 255;
}

/** Kernel: nf_conntrack_gre_packet(). */
export function trackGre(context: TrackContext, packet: Packet): TrackResult {
  const { table, settings } = context;
  const status = table.status[packet.ct]!;
  if ((status & IPS_SEEN_REPLY) === 0) {
    refresh(table, packet.ct, packet, settings.greTimeoutUs);
  } else {
    refresh(table, packet.ct, packet, settings.greStreamTimeoutUs);
    table.status[packet.ct] = status | IPS_ASSURED;
  }
  return TRACK_ACCEPT;
}

/** Kernel: the default of nf_conntrack_handle_packet(). */
export function trackGeneric(context: TrackContext, packet: Packet): TrackResult {
  refresh(context.table, packet.ct, packet, context.settings.genericTimeoutUs);
  return TRACK_ACCEPT;
}
