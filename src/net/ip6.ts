/** IPv6 addresses as four unsigned 32-bit words, most significant first. */
import { parseIp4, printIp4 } from './ip4.js';

export type Words6 = readonly [number, number, number, number];

/** Text form of inet_pton(AF_INET6): eight groups, one `::`, dotted tail. Undefined for anything else. */
export function parseIp6(text: string): Words6 | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0]!, halves.length === 1);
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 8 ? wordsOf(head) : undefined;
  const tail = groupsOf(halves[1]!, true);
  if (tail === undefined || head.length + tail.length > 7) return undefined;
  return wordsOf([...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]);
}

function groupsOf(text: string, mayEndDotted: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const dotted = i === parts.length - 1 && mayEndDotted ? parseIp4(part) : undefined;
    if (dotted === undefined) return undefined;
    groups.push(dotted >>> 16, dotted & 0xffff);
  }
  return groups;
}

function wordsOf(g: readonly number[]): Words6 {
  return [
    ((g[0]! << 16) | g[1]!) >>> 0,
    ((g[2]! << 16) | g[3]!) >>> 0,
    ((g[4]! << 16) | g[5]!) >>> 0,
    ((g[6]! << 16) | g[7]!) >>> 0,
  ];
}

/** As the C library's inet_ntop() prints: longest run of two or more zero groups as `::`, mapped addresses dotted. */
export function printIp6(a: number, b: number, c: number, d: number): string {
  if (a === 0 && b === 0 && (c === 0xffff || (c === 0 && d >>> 16 !== 0))) {
    return `::${c === 0xffff ? 'ffff:' : ''}${printIp4(d)}`;
  }
  const groups = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff, c >>> 16, c & 0xffff, d >>> 16, d & 0xffff];
  let best = -1;
  let bestSize = 1;
  for (let i = 0; i < 8; ) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestSize) {
      best = i;
      bestSize = j - i;
    }
    i = j + 1;
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':');
  return best === -1 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestSize, 8)}`;
}

/** Mask words of a prefix length 0–128. */
export function maskOf6(bits: number): Words6 {
  const word = (left: number) => (left <= 0 ? 0 : left >= 32 ? 0xffffffff : (0xffffffff << (32 - left)) >>> 0);
  return [word(bits), word(bits - 32), word(bits - 64), word(bits - 96)];
}

/** Prefix length of contiguous mask words, or -1. */
export function bitsOfMask6(words: Words6): number {
  let bits = 0;
  while (bits < 128 && (words[bits >> 5]! >>> (31 - (bits & 31))) & 1) bits++;
  const mask = maskOf6(bits);
  return mask.every((word, i) => word === words[i]! >>> 0) ? bits : -1;
}
