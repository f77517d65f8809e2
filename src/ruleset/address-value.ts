/** Values of `-s` and `-d` (specification 3.6). Host names are refused: there is no name service here. */
import { parseCNumber } from '../ext/option.js';
import { bitsOfMask4, maskOf4, printIp4 } from '../net/ip4.js';
import { bitsOfMask6, maskOf6, parseIp6, printIp6, type Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';

/** One element of a list. The address is masked. IPv4: word 0 of each. */
export interface AddressValue {
  readonly address: Words6;
  readonly mask: Words6;
}

export interface AddressFault {
  readonly code: 'bad-address' | 'bad-mask' | 'host-name';
  readonly message: string;
  readonly hint?: string;
  /** The part of the value that is wrong. */
  readonly start: number;
  readonly end: number;
}

/** The C library's isspace(). */
const isSpace = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at);
  return code === 32 || (code >= 9 && code <= 13);
};

const MAX_HOST_SIZE = 255;

/**
 * A comma list of addresses with masks. Blanks before an element are skipped, empty elements refused.
 * Source: xtables_ipparse_multiple(), xtables_ip6parse_multiple(), libxtables/xtables.c.
 */
export function parseAddresses(text: string, family: Family): AddressValue[] | AddressFault {
  const values: AddressValue[] = [];
  let at = 0;
  for (;;) {
    while (isSpace(text, at)) at++;
    const comma = text.indexOf(',', at);
    const end = comma === -1 ? text.length : comma;
    const fault = (code: AddressFault['code'], message: string, hint?: string): AddressFault => ({
      code,
      message,
      start: at,
      end,
      ...(hint === undefined ? {} : { hint }),
    });
    const element = text.slice(at, end);
    if (element.length > MAX_HOST_SIZE) return fault('bad-address', 'address too long');
    const slash = element.lastIndexOf('/');
    const mask = slash === -1 ? undefined : element.slice(slash + 1);
    const host = slash === -1 ? element : element.slice(0, slash);
    const maskWords = family === 4 ? readMask4(mask) : readMask6(mask);
    if (maskWords === undefined) {
      const form = family === 4 ? 'a length 0-32 or four octets' : 'a length 0-128 or an address';
      return fault('bad-mask', `invalid mask "${mask}"`, form);
    }
    // With an empty mask the address is not even looked at.
    const any = maskWords[0] === 0 && maskWords[1] === 0 && maskWords[2] === 0 && maskWords[3] === 0;
    const words = any ? ZERO : family === 4 ? readHost4(host) : readHost6(host);
    if (words === undefined) return fault(...unreadable(host, family));
    values.push({
      address: [
        (words[0] & maskWords[0]) >>> 0,
        (words[1] & maskWords[1]) >>> 0,
        (words[2] & maskWords[2]) >>> 0,
        (words[3] & maskWords[3]) >>> 0,
      ],
      mask: maskWords,
    });
    if (comma === -1) return values;
    at = comma + 1;
  }
}

const ZERO: Words6 = [0, 0, 0, 0];

function unreadable(host: string, family: Family): [AddressFault['code'], string, string?] {
  if (host === '') return ['bad-address', 'empty address'];
  const other = family === 4 ? readHost6(host) : /^\d+\.\d+\.\d+\.\d+$/.test(host);
  if (other) {
    const [here, there] = family === 4 ? ['IPv4', 'IPv6'] : ['IPv6', 'IPv4'];
    return [
      'bad-address',
      `"${host}" is an ${there} address, the rule set is ${here}`,
      `use --ipv${family === 4 ? 6 : 4}`,
    ];
  }
  if (/^[0-9.:/]+$/.test(host)) return ['bad-address', `host/network "${host}" not found`];
  return [
    'host-name',
    `host name "${host}" cannot be resolved here`,
    'write the address; iptables-save prints addresses as well',
  ];
}

function readMask4(text: string | undefined): Words6 | undefined {
  if (text === undefined) return [0xffffffff, 0, 0, 0];
  const dotted = octets4(text, true);
  if (dotted !== undefined) return [dotted, 0, 0, 0];
  const bits = parseCNumber(text);
  return bits === undefined || bits > 32 ? undefined : [maskOf4(bits), 0, 0, 0];
}

function readMask6(text: string | undefined): Words6 | undefined {
  if (text === undefined) return maskOf6(128);
  const words = parseIp6(text);
  if (words !== undefined) return words;
  const bits = parseCNumber(text);
  return bits === undefined || bits > 128 ? undefined : maskOf6(bits);
}

function readHost4(text: string): Words6 | undefined {
  const value = octets4(text, false) ?? inetAton(text);
  return value === undefined ? undefined : [value, 0, 0, 0];
}

/** `%device` after an address is read and dropped. */
function readHost6(text: string): Words6 | undefined {
  const scope = text.indexOf('%');
  return parseIp6(scope > 0 && scope < text.length - 1 ? text.slice(0, scope) : text);
}

/**
 * One to four octets, each a C number; missing ones on the right are zero (not in a mask: exactly four).
 * Source: __numeric_to_ipaddr(), libxtables/xtables.c, which looks at the first 19 characters only.
 */
function octets4(text: string, isMask: boolean): number | undefined {
  const parts = splitOctets(text.slice(0, 19));
  if (isMask && parts.length < 4) return undefined;
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const octet = i < parts.length ? parseCNumber(parts[i]!) : 0;
    if (octet === undefined || octet > 255) return undefined;
    value = value * 256 + octet;
  }
  return value;
}

/** At most four parts: the fourth takes all that is left. */
function splitOctets(text: string): string[] {
  const parts = text.split('.');
  return parts.length <= 4 ? parts : [...parts.slice(0, 3), parts.slice(3).join('.')];
}

/** The C library's way: one to four numbers, the last one fills the rest. */
function inetAton(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length > 4) return undefined;
  let value = 0;
  for (let i = 0; i < parts.length; i++) {
    const digits = parts[i]!;
    const number = /^[0-9]/.test(digits) ? parseCNumber(digits) : undefined;
    const last = i === parts.length - 1;
    if (number === undefined || number > (last ? 256 ** (4 - i) - 1 : 255)) return undefined;
    value += last ? number : number * 256 ** (3 - i);
  }
  return value;
}

/** Address and mask as saved: `/length`, or the mask as an address if it is not contiguous. */
export function printAddress(address: Words6, mask: Words6, family: Family): string {
  if (family === 4) {
    const bits = bitsOfMask4(mask[0]);
    return `${printIp4(address[0])}/${bits === -1 ? printIp4(mask[0]) : bits}`;
  }
  const bits = bitsOfMask6(mask);
  return `${printIp6(...address)}/${bits === -1 ? printIp6(...mask) : bits}`;
}
