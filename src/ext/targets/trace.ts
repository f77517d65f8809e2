/** `-j TRACE`: every later rule that matches is logged. Kernel: trace_tg(), net/netfilter/xt_TRACE.c. */
import { XT_CONTINUE } from '../../net/netfilter.js';
import type { TargetExt } from '../extension.js';
import { onlyTables } from '../place.js';

export const TRACE: TargetExt<undefined> = {
  kind: 'TRACE',
  families: [4, 6],
  terminating: false,
  options: [],
  parse: () => undefined,
  print: () => '',
  check: (_t, place) => onlyTables('TRACE', place, 'raw'),
  bind: () => (packet) => {
    packet.traced = true;
    return XT_CONTINUE;
  },
};
