/** The packet's state towards its connection, as rules test it: kept in the packet's field words. */

import { IP_CT_IS_REPLY, IPS_DST_NAT, IPS_SRC_NAT } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import type { EntryTable } from './entry-table.js';
import { CT_STATE_DNAT, CT_STATE_INVALID, CT_STATE_SNAT, CT_STATE_UNTRACKED } from './state-bit.js';

/**
 * Brings Field.CtState in step with packet.ct, ctInfo, untracked and the entry's NAT bits. To be called after each change of
 * those. Kernel: the head of conntrack_mt().
 */
export function updateCtState(packet: Packet, table: EntryTable): void {
  if (packet.ct < 0) {
    packet.f[Field.CtState] = packet.untracked ? CT_STATE_UNTRACKED : CT_STATE_INVALID;
    return;
  }
  const status = table.status[packet.ct]!;
  let state = 1 << ((packet.ctInfo % IP_CT_IS_REPLY) + 1);
  if ((status & IPS_SRC_NAT) !== 0) state |= CT_STATE_SNAT;
  if ((status & IPS_DST_NAT) !== 0) state |= CT_STATE_DNAT;
  packet.f[Field.CtState] = state;
}
