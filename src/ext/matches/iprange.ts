/** `-m iprange`: ranges of addresses. Kernel: iprange_mt4(), iprange_mt6(), net/netfilter/xt_iprange.c. */
import type { Words6 } from '../../net/ip6.js';
import { Field } from '../../wire/field.js';
import { failAddress, parseNumericAddress, printAddress, ZERO_WORDS } from '../address.js';
import type { FieldTest, MatchExt } from '../extension.js';
import { bang, type GivenOption, type GivenOptions } from '../option.js';

interface AddressRange {
  readonly low: Words6;
  readonly high: Words6;
  readonly invert: boolean;
}
export interface IprangeMatch {
  readonly src: AddressRange | undefined;
  readonly dst: AddressRange | undefined;
}

/** -1, 0, 1: words of `a` from `at` against `b`, as one number. */
function compare(a: ArrayLike<number>, at: number, b: Words6): number {
  for (let i = 0; i < 4; i++) {
    const left = a[at + i]!;
    const right = b[i]!;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

function parseRange(given: GivenOptions, option: GivenOption): AddressRange {
  const text = option.values[0]!;
  const dash = text.indexOf('-');
  const one = (word: string): Words6 => {
    const words = parseNumericAddress(word, given.family);
    if (words === undefined) failAddress(given, option, word);
    return words ?? ZERO_WORDS;
  };
  const low = one(dash === -1 ? text : text.slice(0, dash));
  const high = dash === -1 ? low : one(text.slice(dash + 1));
  if (compare(low, 0, high) > 0)
    given.warn(option, 'reversed-range', `iprange: range "${text}" is reversed and will never match`);
  return { low, high, invert: option.invert };
}

function lowerRange(range: AddressRange, first: 0 | 4, words: number): FieldTest[] | undefined {
  const tests: FieldTest[] = [];
  for (let i = 0; i < words - 1; i++) {
    // Words above the last must be fixed, and `!` of several tests is no AND.
    if (range.low[i] !== range.high[i] || range.invert) return undefined;
    tests.push({ slot: slotAt(first + i), mask: 0xffffffff, value: range.low[i]!, invert: false });
  }
  const last = words - 1;
  tests.push({ slot: slotAt(first + last), low: range.low[last]!, high: range.high[last]!, invert: range.invert });
  return tests;
}

const ADDRESS_SLOTS = [
  Field.Src0,
  Field.Src1,
  Field.Src2,
  Field.Src3,
  Field.Dst0,
  Field.Dst1,
  Field.Dst2,
  Field.Dst3,
] as const;
const slotAt = (index: number) => ADDRESS_SLOTS[index]!;

export const iprange: MatchExt<IprangeMatch> = {
  kind: 'iprange',
  families: [4, 6],
  options: [
    { name: '--src-range', invert: true },
    { name: '--dst-range', invert: true },
  ],
  parse(given) {
    const src = given.get('--src-range');
    const dst = given.get('--dst-range');
    if (src === undefined && dst === undefined)
      given.fail(undefined, 'option-missing', 'iprange: you must specify --src-range or --dst-range');
    return { src: src && parseRange(given, src), dst: dst && parseRange(given, dst) };
  },
  print(m, family) {
    const text = (r: AddressRange) => `${printAddress(r.low, family)}-${printAddress(r.high, family)}`;
    const parts: string[] = [];
    if (m.src) parts.push(`${bang(m.src.invert)}--src-range ${text(m.src)}`);
    if (m.dst) parts.push(`${bang(m.dst.invert)}--dst-range ${text(m.dst)}`);
    return parts.join(' ');
  },
  isSteady: () => true,
  bind(m) {
    const { src, dst } = m;
    const holds = (f: Uint32Array, at: 0 | 4, r: AddressRange): boolean =>
      (compare(f, at, r.low) >= 0 && compare(f, at, r.high) <= 0) !== r.invert;
    return (packet) => (src === undefined || holds(packet.f, 0, src)) && (dst === undefined || holds(packet.f, 4, dst));
  },
  lower(m, family) {
    const words = family === 4 ? 1 : 4;
    const src = m.src === undefined ? [] : lowerRange(m.src, 0, words);
    const dst = m.dst === undefined ? [] : lowerRange(m.dst, 4, words);
    return src === undefined || dst === undefined ? undefined : [...src, ...dst];
  },
};
