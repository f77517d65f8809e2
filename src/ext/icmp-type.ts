/** `--icmp-type` and `--icmpv6-type`: names, numbers, text (spec 11.2). */
import { Field } from '../wire/field.js';
import type { FieldTest } from './extension.js';
import { bang, type GivenOption, type GivenOptions, parseCNumber } from './option.js';

export interface IcmpTest {
  readonly type: number;
  /** Codes low–high; 0–255 is any. */
  readonly lowCode: number;
  readonly highCode: number;
  readonly invert: boolean;
}

/** `name type[/code]` in the order in which the tool searches them. */
function table(text: string): readonly (readonly [string, string])[] {
  return text.split(',').map((entry) => {
    const [name, number] = entry.trim().split(' ');
    return [name!, number!];
  });
}

export const ICMP4_NAMES = table(
  `any 255,echo-reply 0,pong 0,destination-unreachable 3,network-unreachable 3/0,host-unreachable 3/1,
  protocol-unreachable 3/2,port-unreachable 3/3,fragmentation-needed 3/4,source-route-failed 3/5,network-unknown 3/6,
  host-unknown 3/7,network-prohibited 3/9,host-prohibited 3/10,TOS-network-unreachable 3/11,TOS-host-unreachable 3/12,
  communication-prohibited 3/13,host-precedence-violation 3/14,precedence-cutoff 3/15,source-quench 4,redirect 5,
  network-redirect 5/0,host-redirect 5/1,TOS-network-redirect 5/2,TOS-host-redirect 5/3,echo-request 8,ping 8,
  router-advertisement 9,router-solicitation 10,time-exceeded 11,ttl-exceeded 11,ttl-zero-during-transit 11/0,
  ttl-zero-during-reassembly 11/1,parameter-problem 12,ip-header-bad 12/0,required-option-missing 12/1,
  timestamp-request 13,timestamp-reply 14,address-mask-request 17,address-mask-reply 18`,
);

export const ICMP6_NAMES = table(
  `destination-unreachable 1,no-route 1/0,communication-prohibited 1/1,beyond-scope 1/2,address-unreachable 1/3,
  port-unreachable 1/4,failed-policy 1/5,reject-route 1/6,packet-too-big 2,time-exceeded 3,ttl-exceeded 3,
  ttl-zero-during-transit 3/0,ttl-zero-during-reassembly 3/1,parameter-problem 4,bad-header 4/0,
  unknown-header-type 4/1,unknown-option 4/2,echo-request 128,ping 128,echo-reply 129,pong 129,
  router-solicitation 133,router-advertisement 134,neighbour-solicitation 135,neighbor-solicitation 135,neighbour-advertisement 136,
  neighbor-advertisement 136,redirect 137`,
);

/** A name (any beginning that fits one of them, case ignored) or `type[/code]`. Tool: ipt_parse_icmp(). */
export function parseIcmpTest(
  given: GivenOptions,
  option: GivenOption,
  names: readonly (readonly [string, string])[],
): IcmpTest {
  const text = option.values[0]!;
  const lower = text.toLowerCase();
  const { invert } = option;
  const fitting = names.filter(([name]) => name.toLowerCase().startsWith(lower));
  if (fitting.length > 1)
    given.fail(option, 'ambiguous', `ambiguous ICMP type "${text}": "${fitting[0]![0]}" or "${fitting[1]![0]}"?`);
  const [type, code, ...rest] = (fitting[0]?.[1] ?? text).split('/');
  const one = (word: string): number => {
    const value = parseCNumber(word);
    if (value !== undefined && value <= 255 && rest.length === 0) return value;
    given.fail(option, 'bad-word', `unknown ICMP type "${text}"`);
    return 0;
  };
  const typeNumber = one(type!);
  if (code === undefined) return { type: typeNumber, lowCode: 0, highCode: 255, invert };
  const codeNumber = one(code);
  return { type: typeNumber, lowCode: codeNumber, highCode: codeNumber, invert };
}

/** `8`, `3/4`. */
export function printIcmpNumbers(m: IcmpTest): string {
  return m.lowCode === 0 && m.highCode === 255 ? `${m.type}` : `${m.type}/${m.lowCode}`;
}

export function printIcmpTest(name: string, m: IcmpTest, numbers: string = printIcmpNumbers(m)): string {
  return `${bang(m.invert)}${name} ${numbers}`;
}

export function icmpFits(m: IcmpTest, typeCode: number): boolean {
  const code = typeCode & 255;
  return (typeCode >> 8 === m.type && code >= m.lowCode && code <= m.highCode) !== m.invert;
}

export function lowerIcmpTest(m: IcmpTest): FieldTest[] {
  return [{ slot: Field.Icmp, low: (m.type << 8) | m.lowCode, high: (m.type << 8) | m.highCode, invert: m.invert }];
}
