/** `-m dscp`: the upper six bits of TOS or traffic class. Kernel: dscp_mt(), net/netfilter/xt_dscp.c. */
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { bang } from '../option.js';
import { dscpOf, hex02 } from '../tos-value.js';

export interface DscpMatch {
  readonly dscp: number;
  readonly invert: boolean;
}

export const dscp: MatchExt<DscpMatch> = {
  kind: 'dscp',
  families: [4, 6],
  options: [
    { name: '--dscp', invert: true },
    { name: '--dscp-class', invert: true },
  ],
  parse: (given) => dscpOf(given, '--dscp', '--dscp-class'),
  print: (m) => `${bang(m.invert)}--dscp ${hex02(m.dscp)}`,
  bind: (m) => (packet) => (packet.f[Field.Tos]! >> 2 === m.dscp) !== m.invert,
  lower: (m) => [{ slot: Field.Tos, mask: 0xfc, value: m.dscp << 2, invert: m.invert }],
};
