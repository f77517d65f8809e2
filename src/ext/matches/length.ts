/** `-m length`: bytes of the IP packet. Kernel: length_mt(), length_mt6(), net/netfilter/xt_length.c. */
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { bang, printRange, type Range } from '../option.js';

export interface LengthMatch extends Range {
  readonly invert: boolean;
}

export const length: MatchExt<LengthMatch> = {
  kind: 'length',
  families: [4, 6],
  options: [{ name: '--length', invert: true }],
  parse(given) {
    const option = given.required('--length');
    if (option === undefined) return { low: 0, high: 0, invert: false };
    return { ...given.range(option, 65535), invert: option.invert };
  },
  print: (m) => `${bang(m.invert)}--length ${printRange(m)}`,
  bind: (m) => (packet) => {
    const size = packet.f[Field.Length]!;
    return (size >= m.low && size <= m.high) !== m.invert;
  },
  lower: (m) => [{ slot: Field.Length, low: m.low, high: m.high, invert: m.invert }],
};
