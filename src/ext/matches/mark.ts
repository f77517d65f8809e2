/** `-m mark --mark value[/mask]`. Kernel: mark_mt(), net/netfilter/xt_mark.c. */
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { bang, hex } from '../option.js';

export interface MarkMatch {
  readonly value: number;
  readonly mask: number;
  readonly invert: boolean;
}

export function printMarkTest(m: MarkMatch): string {
  return `${bang(m.invert)}--mark ${hex(m.value)}${m.mask === 0xffffffff ? '' : `/${hex(m.mask)}`}`;
}

export const mark: MatchExt<MarkMatch> = {
  kind: 'mark',
  families: [4, 6],
  options: [{ name: '--mark', invert: true }],
  parse(given) {
    const option = given.required('--mark');
    return option === undefined
      ? { value: 0, mask: 0, invert: false }
      : { ...given.u32Mask(option), invert: option.invert };
  },
  print: printMarkTest,
  bind: (m) => (packet) => ((packet.f[Field.Mark]! & m.mask) >>> 0 === m.value) !== m.invert,
  lower: (m) => [{ slot: Field.Mark, mask: m.mask, value: m.value, invert: m.invert }],
};
