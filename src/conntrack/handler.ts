/** What a protocol's tracker is given, and what it may answer. */

import { type Hook, NF_INET_PRE_ROUTING } from '../net/netfilter.js';
import { CSUM_WIRE, type Packet } from '../wire/packet.js';
import { CHECKSUM_LEFT_PARTIAL, CHECKSUM_WRONG, transportChecksumState } from '../wire/transport-checksum.js';
import type { EntryTable } from './entry-table.js';
import type { ConntrackSettings } from './settings.js';

/** The packet belongs to the entry. */
export const TRACK_ACCEPT = 0;
/** It does not (ctstate INVALID); the packet goes on without an entry. Kernel: -NF_ACCEPT. */
export const TRACK_INVALID = 1;
/** The entry was deleted; the packet starts a new one. Kernel: -NF_REPEAT. */
export const TRACK_REPEAT = 2;
export type TrackResult = 0 | 1 | 2;

/** Owned by the connection table; handlers keep it and read it anew for each packet. */
export interface TrackContext {
  readonly table: EntryTable;
  settings: ConntrackSettings;
}

/**
 * Whether the packet's transport checksum is looked at. Not at OUTPUT; not of own packets and what a card has already judged; of a
 * packet that the capture cut nothing can be said.
 */
export function verifiesChecksum(context: TrackContext, packet: Packet, hook: Hook): boolean {
  return hook === NF_INET_PRE_ROUTING && context.settings.checksum && packet.csum === CSUM_WIRE && !packet.isCut;
}

/** Whether the checksum is looked at and wrong. Kernel: nf_checksum() under nf_conntrack_checksum. */
export function hasBadChecksum(context: TrackContext, packet: Packet, hook: Hook): boolean {
  if (!verifiesChecksum(context, packet, hook)) return false;
  const state = transportChecksumState(packet);
  return state === CHECKSUM_WRONG || state === CHECKSUM_LEFT_PARTIAL;
}
