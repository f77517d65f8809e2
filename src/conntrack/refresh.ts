/** Lifetime and accounting of an entry that has just seen a packet. */
import { type Direction, IPS_CONFIRMED, IPS_FIXED_TIMEOUT } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import type { EntryTable } from './entry-table.js';

/**
 * The entry lives `timeoutUs` µs from now on, and the packet is counted in its direction. While an entry is unconfirmed
 * deadlineUs holds the timeout itself: it starts to run at confirm. Kernel: __nf_ct_refresh_acct().
 */
export function refresh(table: EntryTable, entry: number, packet: Packet, timeoutUs: number): void {
  refreshBy(table, entry, packet.ctDir, packet.f[Field.Length]!, timeoutUs);
}

/** `refresh` by a packet of `length` bytes in direction `dir`. */
export function refreshBy(table: EntryTable, entry: number, dir: Direction, length: number, timeoutUs: number): void {
  const status = table.status[entry]!;
  if ((status & IPS_FIXED_TIMEOUT) === 0) {
    table.deadlineUs[entry] = (status & IPS_CONFIRMED) !== 0 ? table.nowUs + timeoutUs : timeoutUs;
  }
  const node = entry * 2 + dir;
  if (table.packets[node]! >= 0) {
    table.packets[node] = table.packets[node]! + 1;
    table.bytes[node] = table.bytes[node]! + length;
  }
}
