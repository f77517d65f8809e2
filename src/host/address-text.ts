/** Addresses as iproute2 prints them → words. */
import { parseIp4 } from '../net/ip4.js';
import { parseIp6, type Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';

/** Words as in Field.Src0, or undefined if the text is no address of the family. */
export function wordsOfAddress(text: string, family: Family): Words6 | undefined {
  if (family === 6) return parseIp6(text);
  const word = parseIp4(text);
  return word === undefined ? undefined : [word, 0, 0, 0];
}

/** `default`, `a`, `a/len`: the address as written (bits beyond the length stay) and the length. */
export function prefixOf(
  text: string,
  family: Family,
): { readonly address: Words6; readonly bits: number } | undefined {
  if (text === 'default' || text === 'all' || text === 'any') return { address: [0, 0, 0, 0], bits: 0 };
  const slash = text.indexOf('/');
  const most = family === 4 ? 32 : 128;
  const address = wordsOfAddress(slash === -1 ? text : text.slice(0, slash), family);
  const length = slash === -1 ? String(most) : text.slice(slash + 1);
  if (address === undefined || !/^\d{1,3}$/.test(length) || Number(length) > most) return undefined;
  return { address, bits: Number(length) };
}

/** Six bytes, or undefined if the text is no Ethernet address. */
export function macOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined || !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
