/** `-j NOTRACK`: exempts from connection tracking. Kernel: notrack_tg(), net/netfilter/xt_CT.c. */
import { CT_STATE_UNTRACKED } from '../../conntrack/state-bit.js';
import { XT_CONTINUE } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import type { Packet } from '../../wire/packet.js';
import type { TargetExt } from '../extension.js';
import { onlyTables } from '../place.js';

/** True if the packet has a connection, a template, was exempted or settled already: then nothing changes. */
export function isDecided(packet: Packet): boolean {
  return packet.ct !== -1 || packet.untracked || packet.settledWithout || packet.hasTemplate;
}

export function exempt(packet: Packet): void {
  packet.untracked = true;
  packet.f[Field.CtState] = CT_STATE_UNTRACKED;
}

export const NOTRACK: TargetExt<undefined> = {
  kind: 'NOTRACK',
  families: [4, 6],
  terminating: false,
  options: [],
  parse: () => undefined,
  print: () => '',
  check: (_t, place) => onlyTables('NOTRACK', place, 'raw'),
  bind: () => (packet) => {
    if (!isDecided(packet)) exempt(packet);
    return XT_CONTINUE;
  },
};
