/** Transport ports as rules write them: two ways of reading, one way of printing (spec 3.6). */
import { servicePort } from '../net/service.js';
import type { FieldSlot } from '../wire/field.js';
import type { FieldTest } from './extension.js';
import { bang, type GivenOption, type GivenOptions, parseCNumber, type Range } from './option.js';

export const ANY_PORT: Range = { low: 0, high: 65535 };

/** A C number 0–65535 or a service name. `protocol`: whose names count; undefined for any (tool: xtables_parse_port()). */
export function parsePort(text: string, protocol: string | undefined): number | undefined {
  const number = parseCNumber(text);
  if (number !== undefined && number <= 65535) return number;
  return servicePort(text, protocol);
}

/**
 * Decimal, modulo 65536, or a service name of any protocol: what getaddrinfo() makes of a port (udp, dccp, conntrack).
 * It keeps the number as an int and takes a negative one for a name.
 */
export function parseLoosePort(text: string): number | undefined {
  const digits = /^\s*([+-]?)(\d+)$/.exec(text);
  if (digits === null) return servicePort(text, undefined);
  const value = BigInt(digits[2]!);
  const number = value > 0xffff_ffff_ffff_ffffn ? -1n : BigInt.asIntN(32, digits[1] === '-' ? -value : value);
  return number < 0n ? undefined : Number(number & 0xffffn);
}

/** `a`, `a:b`, `a:`, `:b` with ports of the strict kind; reversed ranges are refused. Tool: parse_tcp_ports(). */
export function portRange(given: GivenOptions, option: GivenOption, protocol: string): Range {
  const text = option.values[0]!;
  const colon = text.indexOf(':');
  const one = (word: string): number => {
    const port = parsePort(word, protocol);
    if (port === undefined) given.fail(option, 'bad-port', `invalid port/service "${word}" specified`);
    return port ?? 0;
  };
  if (colon === -1) {
    const port = one(text);
    return { low: port, high: port };
  }
  const low = colon === 0 ? 0 : one(text.slice(0, colon));
  const high = colon === text.length - 1 ? 65535 : one(text.slice(colon + 1));
  if (low > high) given.fail(option, 'bad-range', `invalid portrange "${text}" (min > max)`);
  return { low, high };
}

/** `a`, `a:b`, `a:`, `:b` or nothing (0) with ports of the loose kind, in any order. Tool: xtopt_parse_mport(). */
export function loosePortRange(given: GivenOptions, option: GivenOption): Range {
  const parts = option.values[0]!.split(':');
  if (parts.length > 2)
    given.fail(option, 'bad-range', `${given.kind}: too many components for option "${option.spec.name}" (max: 2)`);
  const ports = parts.slice(0, 2).map((part, i) => {
    if (part === '') return i === 0 ? 0 : 65535;
    const port = parseLoosePort(part);
    if (port === undefined) given.fail(option, 'bad-port', `port "${part}" resolved to nothing`);
    return port ?? 0;
  });
  return { low: ports[0]!, high: ports[1] ?? ports[0]! };
}

/** An inverted port test of a protocol's own match; the full range is "no test" and prints nothing, even inverted. */
export interface PortTest extends Range {
  readonly invert: boolean;
}

/** Spelled out: a spread gives every value a hidden class of its own. */
export function portTest({ low, high }: Range, invert: boolean): PortTest {
  return { low, high, invert };
}

export const NO_PORT_TEST: PortTest = { ...ANY_PORT, invert: false };

export function isFullRange(range: Range): boolean {
  return range.low === 0 && range.high === 65535;
}

/** `--sport 1:2` or nothing for the full range. */
export function printPortTest(name: string, test: PortTest): string[] {
  if (isFullRange(test)) return [];
  return [`${bang(test.invert)}${name} ${test.low === test.high ? test.low : `${test.low}:${test.high}`}`];
}

/** The test for the compiled engine; none for a full range that is not inverted. */
export function lowerPortTest(slot: FieldSlot, test: PortTest): FieldTest[] {
  if (isFullRange(test) && !test.invert) return [];
  if (test.low === test.high) return [{ slot, mask: 0xffff, value: test.low, invert: test.invert }];
  return [{ slot, low: test.low, high: test.high, invert: test.invert }];
}

export function portFits(test: PortTest, port: number): boolean {
  return (port >= test.low && port <= test.high) !== test.invert;
}
