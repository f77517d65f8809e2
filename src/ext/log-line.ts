/**
 * The line that LOG and TRACE write about a packet. Kernel: nf_log_ip_packet(), nf_log_ip6_packet(),
 * net/netfilter/nf_log_syslog.c. Every field ends with a blank, the line too.
 */
import type { Packet } from '../wire/packet.js';
import type { HostServices } from './extension.js';

export const LOG_TCP_SEQUENCE = 1;
export const LOG_TCP_OPTIONS = 2;
export const LOG_IP_OPTIONS = 4;
export const LOG_UID = 8;
export const LOG_MAC_DECODE = 32;
/** What TRACE logs with. */
export const LOG_TRACE_FLAGS = LOG_TCP_SEQUENCE | LOG_TCP_OPTIONS | LOG_IP_OPTIONS | LOG_UID;

/** The whole line without time stamp and level. `flags`: LOG_… bits. */
export function formatLogLine(packet: Packet, host: HostServices, prefix: string, flags: number): string {
  return `${prefix}${packet.family}${host.deviceName(0)}${flags}`;
}
