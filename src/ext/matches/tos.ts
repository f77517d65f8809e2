/** `-m tos --tos value[/mask]`. Kernel: tos_mt(), net/netfilter/xt_dscp.c. */
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { bang } from '../option.js';
import { printTos, type TosValue, tosMask } from '../tos-value.js';

export interface TosMatch extends TosValue {
  readonly invert: boolean;
}

export const tos: MatchExt<TosMatch> = {
  kind: 'tos',
  families: [4, 6],
  options: [{ name: '--tos', invert: true }],
  parse(given) {
    const option = given.required('--tos');
    if (option === undefined) return { value: 0, mask: 0, invert: false };
    return { ...tosMask(given, option), invert: option.invert };
  },
  print: (m) => `${bang(m.invert)}--tos ${printTos(m)}`,
  bind: (m) => (packet) => ((packet.f[Field.Tos]! & m.mask) === m.value) !== m.invert,
  lower: (m) => [{ slot: Field.Tos, mask: m.mask, value: m.value, invert: m.invert }],
};
