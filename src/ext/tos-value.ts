/** TOS bytes and DSCP classes by name and number (spec 11.3). */
import type { GivenOption, GivenOptions } from './option.js';

const TOS_NAMES: ReadonlyMap<string, number> = new Map([
  ['minimize-delay', 0x10],
  ['maximize-throughput', 0x08],
  ['maximize-reliability', 0x04],
  ['minimize-cost', 0x02],
  ['normal-service', 0x00],
]);
/** Mask of a value that was given by name: the two lowest bits belong to ECN now. */
const NAMED_MASK = 0x3f;

export interface TosValue {
  readonly value: number;
  readonly mask: number;
}

/** `v[/m]`, or a name. Tool: xtopt_parse_tosmask(). */
export function tosMask(given: GivenOptions, option: GivenOption): TosValue {
  const text = option.values[0]!;
  const named = TOS_NAMES.get(text.toLowerCase());
  if (named !== undefined) return { value: named, mask: NAMED_MASK };
  const [value, mask, ...rest] = text.split('/');
  if (rest.length > 0)
    given.fail(option, 'bad-number', `${given.kind}: bad value "${text}" for option "${option.spec.name}"`);
  return {
    value: given.number(option, 0, 255, value),
    mask: mask === undefined ? 255 : given.number(option, 0, 255, mask),
  };
}

/** `0x08`. */
export function hex02(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}

export function printTos(t: TosValue): string {
  return `${hex02(t.value)}/${hex02(t.mask)}`;
}

/** `be`, `ef`, `csN`, `afXY` (case ignored, whatever follows); undefined for anything else. */
function dscpClass(text: string): number | undefined {
  const word = text.toUpperCase();
  if (word.startsWith('BE')) return 0;
  if (word.startsWith('EF')) return 0x2e;
  const cs = /^CS([0-7])/.exec(word);
  if (cs !== null) return Number(cs[1]) * 8;
  const af = /^AF([1-4])([1-3])/.exec(word);
  return af === null ? undefined : Number(af[1]) * 8 + Number(af[2]) * 2;
}

/** The DSCP (0–63) of `numberOption` or `classOption`, one of which must be there. */
export function dscpOf(
  given: GivenOptions,
  numberOption: string,
  classOption: string,
): { dscp: number; invert: boolean } {
  const option = given.exactlyOne(numberOption, classOption);
  if (option === undefined) return { dscp: 0, invert: false };
  const { invert } = option;
  if (option.spec.name === numberOption) return { dscp: given.number(option, 0, 63), invert };
  const dscp = dscpClass(option.values[0]!);
  if (dscp === undefined) given.fail(option, 'bad-word', `invalid DSCP class "${option.values[0]}"`);
  return { dscp: dscp ?? 0, invert };
}
