/** Packet and byte counters as iptables reads them: 64 bit, by sscanf("%llu"). */

export interface Counters {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export const ZERO_COUNTERS: Counters = { packets: 0n, bytes: 0n };

const MAX_U64 = (1n << 64n) - 1n;

/** Leading blanks, a sign, decimal digits; what follows is ignored. Negative numbers wrap, too large ones saturate. */
export function parseCounter(text: string): bigint | undefined {
  const found = /^[ \t\n\v\f\r]*([+-]?)([0-9]+)/.exec(text);
  if (found === null) return undefined;
  const digits = found[2]!;
  // Beyond 20 digits (leading zeros aside) the number is too large, and reading it would cost quadratic time.
  const significant = digits.length > 20 ? digits.replace(/^0+/, '') : digits;
  if (significant.length > 20) return MAX_U64;
  const value = BigInt(significant === '' ? '0' : significant);
  if (value > MAX_U64) return MAX_U64;
  return found[1] === '-' ? BigInt.asUintN(64, -value) : value;
}

/** `[packets:bytes` of a chain line; what follows is ignored. */
export function parseChainCounters(text: string): Counters | undefined {
  const found = /^\[([+-]?[0-9]+):([+-]?[0-9]+)/.exec(text);
  if (found === null) return undefined;
  return { packets: parseCounter(found[1]!)!, bytes: parseCounter(found[2]!)! };
}
