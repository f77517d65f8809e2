/**
 * Addresses and ranges as Kubernetes reads them: leniently (leading zeros are decimal), IPv4-mapped IPv6 is IPv4, and
 * printed canonically. Go: ParseIPSloppy(), ParseCIDRSloppy() of k8s.io/utils/net, net.IP.String().
 */
export type IpFamily = 'IPv4' | 'IPv6';
export const IP_FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

export interface IpAddress {
  readonly family: IpFamily;
  /** The address in bytes, network order: 4 or 16. */
  readonly bytes: readonly number[];
  /** Canonical text. */
  readonly text: string;
}

export interface IpRange {
  readonly family: IpFamily;
  /** First address of the range: host bits are zero. */
  readonly bytes: readonly number[];
  /** Prefix length: 0 to 32 or 128. */
  readonly length: number;
  /** Canonical `network/length`. */
  readonly text: string;
}

function parseIp4Bytes(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes: number[] = [];
  for (const part of parts) {
    if (!/^[0-9]+$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bytes.push(value);
  }
  return bytes;
}

function parseIp6Groups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (part.includes('.')) {
      const four = i === parts.length - 1 ? parseIp4Bytes(part) : undefined;
      if (four === undefined) return undefined;
      groups.push((four[0]! << 8) | four[1]!, (four[2]! << 8) | four[3]!);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function parseIp6Bytes(text: string): number[] | undefined {
  const gap = text.indexOf('::');
  let groups: number[];
  if (gap === -1) {
    const all = parseIp6Groups(text);
    if (all === undefined || all.length !== 8) return undefined;
    groups = all;
  } else {
    const head = parseIp6Groups(text.slice(0, gap));
    const tail = parseIp6Groups(text.slice(gap + 2));
    // An embedded dotted quad may only end the whole address.
    if (head === undefined || tail === undefined || text.slice(0, gap).includes('.')) return undefined;
    if (head.length + tail.length > 7) return undefined;
    groups = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  }
  return groups.flatMap((group) => [group >> 8, group & 255]);
}

function isMapped(bytes: readonly number[]): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 255 && bytes[11] === 255;
}

function printIp6(bytes: readonly number[]): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[i]! << 8) | bytes[i + 1]!);
  let bestStart = -1;
  let bestLength = 1; // a single zero group is not shortened
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > bestLength) {
      bestStart = i;
      bestLength = end - i;
    }
    if (end > i) i = end;
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestStart === -1) return hex.join(':');
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`;
}

/** Canonical text of 4 or 16 bytes. */
export function printIp(bytes: readonly number[]): string {
  return bytes.length === 4 ? bytes.join('.') : printIp6(bytes);
}

function fromBytes(bytes: readonly number[]): IpAddress {
  return { family: bytes.length === 4 ? 'IPv4' : 'IPv6', bytes, text: printIp(bytes) };
}

/** Reads an address leniently; undefined if it is none. */
export function parseIp(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const four = parseIp4Bytes(text);
    return four === undefined ? undefined : fromBytes(four);
  }
  const bytes = parseIp6Bytes(text);
  if (bytes === undefined) return undefined;
  return fromBytes(isMapped(bytes) ? bytes.slice(12) : bytes);
}

const CANONICAL_IP4 =
  /^(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}$/;

/** Canonical text of an address; undefined if it is none. Quick for an IPv4 address that is canonical already. */
export function canonicalIp(text: string): string | undefined {
  return CANONICAL_IP4.test(text) ? text : parseIp(text)?.text;
}

function mask(bytes: readonly number[], length: number): number[] {
  return bytes.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, length - 8 * i));
    return byte & (0xff << (8 - bits)) & 0xff;
  });
}

/** Reads `address/length` leniently (host bits are cleared); undefined if it is none. */
export function parseRange(text: string): IpRange | undefined {
  const slash = text.indexOf('/');
  if (slash === -1) return undefined;
  const address = text.slice(0, slash);
  const lengthText = text.slice(slash + 1);
  if (!/^[0-9]+$/.test(lengthText)) return undefined;
  let length = Number(lengthText);
  let bytes = address.includes(':') ? parseIp6Bytes(address) : parseIp4Bytes(address);
  if (bytes === undefined || length > 8 * bytes.length) return undefined;
  bytes = mask(bytes, length);
  if (bytes.length === 16 && length >= 96 && isMapped(bytes)) {
    bytes = bytes.slice(12);
    length -= 96;
  }
  return { family: bytes.length === 4 ? 'IPv4' : 'IPv6', bytes, length, text: `${printIp(bytes)}/${length}` };
}

/** Whether an address lies in a range of the same family. */
export function rangeContains(range: IpRange, address: IpAddress): boolean {
  if (range.family !== address.family) return false;
  const masked = mask(address.bytes, range.length);
  return masked.every((byte, i) => byte === range.bytes[i]);
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: IpAddress): boolean {
  return address.family === 'IPv4' ? address.bytes[0] === 127 : address.text === '::1';
}

/** Order of addresses by their bytes. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  for (let i = 0; i < a.bytes.length; i++) {
    const difference = a.bytes[i]! - (b.bytes[i] ?? -1);
    if (difference !== 0) return difference;
  }
  return a.bytes.length - b.bytes.length;
}
