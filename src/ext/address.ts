/** Addresses and masks as extensions read and print them (spec 3.6). Words as in Field.Src0; IPv4 in word 0. */
import { bitsOfMask4, maskOf4, parseIp4, printIp4 } from '../net/ip4.js';
import { bitsOfMask6, maskOf6, parseIp6, printIp6, type Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { type GivenOption, type GivenOptions, parseCNumber } from './option.js';

export const ZERO_WORDS: Words6 = [0, 0, 0, 0];

/** IPv4 as inet_aton() reads it: one to four C numbers, the last fills the rest (`10.1` is 10.0.0.1). */
export function parseAton4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length > 4) return undefined;
  let value = 0;
  for (let i = 0; i < parts.length; i++) {
    const number = /^[0-9]/.test(parts[i]!) ? parseCNumber(parts[i]!) : undefined;
    const last = i === parts.length - 1;
    if (number === undefined || number > (last ? 2 ** (32 - 8 * i) - 1 : 255)) return undefined;
    value = last ? value + number : value + number * 2 ** (24 - 8 * i);
  }
  return value;
}

/** One to four octets, each a C number; missing ones on the right are zero (`10.1` is 10.1.0.0). Tool: iprange, `-s`. */
export function parseOctets4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length > 4) return undefined;
  let value = 0;
  for (let i = 0; i < parts.length; i++) {
    const octet = parseCNumber(parts[i]!);
    if (octet === undefined || octet > 255) return undefined;
    value += octet * 2 ** (24 - 8 * i);
  }
  return value;
}

function words4(value: number | undefined): Words6 | undefined {
  return value === undefined ? undefined : [value >>> 0, 0, 0, 0];
}

/**
 * An address in the way of getaddrinfo(): inet_aton() for IPv4; `%device` after an IPv6 address is dropped (there is no
 * telling here whether the device exists). Host names are refused: nothing resolves them.
 */
export function parseHost(text: string, family: Family): Words6 | undefined {
  return family === 4 ? words4(parseAton4(text)) : parseIp6(text.replace(/%[^%/]+$/, ''));
}

/** An address in the way of inet_pton(): four plain octets for IPv4. */
export function parsePton(text: string, family: Family): Words6 | undefined {
  return family === 4 ? words4(parseIp4(text)) : parseIp6(text);
}

/** An address in the way of `-s` for one address: octets with the missing ones zero. */
export function parseNumericAddress(text: string, family: Family): Words6 | undefined {
  return family === 4 ? words4(parseOctets4(text)) : parseIp6(text);
}

export function printAddress(words: Words6, family: Family): string {
  return family === 4 ? printIp4(words[0]) : printIp6(words[0], words[1], words[2], words[3]);
}

export function fullMask(family: Family): Words6 {
  return family === 4 ? [0xffffffff, 0, 0, 0] : maskOf6(128);
}

/** Mask words of a prefix length. */
export function maskWords(bits: number, family: Family): Words6 {
  return family === 4 ? [maskOf4(bits), 0, 0, 0] : maskOf6(bits);
}

/** A mask as iptables prints it after an address: nothing if full, else `/bits`, else `/mask`. */
export function printMask(mask: Words6, family: Family): string {
  const bits = family === 4 ? bitsOfMask4(mask[0]) : bitsOfMask6(mask);
  if (bits === (family === 4 ? 32 : 128)) return '';
  return bits === -1 ? `/${printAddress(mask, family)}` : `/${bits}`;
}

/**
 * `address[/mask]`; the mask is a length, else an address; one that is not contiguous becomes all ones. Host bits stay.
 * Tool: xtopt_parse_hostmask(), xtopt_parse_plenmask().
 */
export function hostMask(given: GivenOptions, option: GivenOption): { address: Words6; mask: Words6 } {
  const text = option.values[0]!;
  const { family } = given;
  const slash = text.indexOf('/');
  const host = slash === -1 ? text : text.slice(0, slash);
  const address = parseHost(host, family);
  if (address === undefined) failAddress(given, option, host);
  let mask = fullMask(family);
  if (slash !== -1) {
    const word = text.slice(slash + 1);
    const bits = parseCNumber(word);
    const size = family === 4 ? 32 : 128;
    if (bits !== undefined && bits <= size) {
      mask = maskWords(bits, family);
    } else {
      const asAddress = parseHost(word, family);
      if (asAddress === undefined) given.fail(option, 'bad-mask', `invalid mask "${word}" specified`);
      else if ((family === 4 ? bitsOfMask4(asAddress[0]) : bitsOfMask6(asAddress)) !== -1) mask = asAddress;
    }
  }
  return { address: address ?? ZERO_WORDS, mask };
}

/** Reports an address that cannot be read. */
export function failAddress(given: GivenOptions, option: GivenOption, text: string): void {
  given.fail(
    option,
    'bad-address',
    `${given.kind}: bad IP address "${text}"`,
    'addresses are numbers here; host names are not resolved',
  );
}
