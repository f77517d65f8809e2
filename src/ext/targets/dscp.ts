/** `-j DSCP`: the upper six bits of TOS or traffic class. Kernel: dscp_tg(), dscp_tg6(), net/netfilter/xt_DSCP.c. */
import { XT_CONTINUE } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import { setTos } from '../../wire/mangle.js';
import type { TargetExt } from '../extension.js';
import { onlyTables } from '../place.js';
import { dscpOf, hex02 } from '../tos-value.js';

export interface DscpTarget {
  readonly dscp: number;
}

export const DSCP: TargetExt<DscpTarget> = {
  kind: 'DSCP',
  families: [4, 6],
  terminating: false,
  options: [{ name: '--set-dscp' }, { name: '--set-dscp-class' }],
  parse: (given) => ({ dscp: dscpOf(given, '--set-dscp', '--set-dscp-class').dscp }),
  print: (t) => `--set-dscp ${hex02(t.dscp)}`,
  check: (_t, place) => onlyTables('DSCP', place, 'mangle'),
  bind: (t) => (packet) => {
    const now = packet.f[Field.Tos]!;
    if (now >> 2 !== t.dscp) setTos(packet, (now & 3) | (t.dscp << 2));
    return XT_CONTINUE;
  },
};
