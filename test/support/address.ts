/** Addresses as tests write them ⇄ words. */

/** `10.0.0.1` → one word; `fd00::1` → four words. */
export function parseAddress(text: string): Uint32Array {
  if (!text.includes(':')) {
    const bytes = text.split('.').map(Number);
    return Uint32Array.of(((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0);
  }
  const [head, tail] = text.split('::') as [string, string | undefined];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...new Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const numbers = groups.map((g) => Number.parseInt(g, 16));
  return Uint32Array.from({ length: 4 }, (_, i) => ((numbers[2 * i]! << 16) | numbers[2 * i + 1]!) >>> 0);
}

/** A word as dotted quad. */
export function ip4Text(word: number): string {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
}

export function ip4(text: string): number {
  return parseAddress(text)[0]!;
}
