/** Lifetime and accounting of an entry that has just seen a packet. */
import { IPS_CONFIRMED, IPS_FIXED_TIMEOUT } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import type { EntryTable } from './entry-table.js';

/**
 * The entry lives `timeoutUs` µs from now on, and the packet is counted in its direction. While an entry is unconfirmed
 * deadlineUs holds the timeout itself: it starts to run at confirm. Kernel: __nf_ct_refresh_acct().
 */
export function refresh(table: EntryTable, entry: number, packet: Packet, timeoutUs: number): void {
  const status = table.status[entry]!;
  if ((status & IPS_FIXED_TIMEOUT) === 0) {
    table.deadlineUs[entry] = (status & IPS_CONFIRMED) !== 0 ? table.nowUs + timeoutUs : timeoutUs;
  }
  const node = entry * 2 + packet.ctDir;
  if (table.packets[node]! >= 0) {
    table.packets[node] = table.packets[node]! + 1;
    table.bytes[node] = table.bytes[node]! + packet.f[Field.Length]!;
  }
}
