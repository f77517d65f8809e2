/** IPv4 addresses as unsigned 32-bit numbers, host order. */

export function printIp4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** Four decimal octets without leading zeros; undefined for anything else (kernel side: inet_pton()). */
export function parseIp4(text: string): number | undefined {
  let value = 0;
  let octets = 0;
  let at = 0;
  while (octets < 4) {
    const start = at;
    let octet = 0;
    while (at < text.length) {
      const digit = text.charCodeAt(at) - 48;
      if (digit < 0 || digit > 9) break;
      octet = octet * 10 + digit;
      at++;
    }
    const size = at - start;
    if (size === 0 || size > 3 || octet > 255 || (size > 1 && text.charCodeAt(start) === 48)) return undefined;
    value = value * 256 + octet;
    octets++;
    if (octets < 4) {
      if (text.charCodeAt(at) !== 46) return undefined;
      at++;
    }
  }
  return at === text.length ? value : undefined;
}

/** Mask of a prefix length 0–32, unsigned. */
export function maskOf4(bits: number): number {
  return bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0; // << 32 is << 0 in JavaScript
}

/** Prefix length of a contiguous mask, or -1. */
export function bitsOfMask4(mask: number): number {
  const bits = Math.clz32(~mask);
  return maskOf4(bits) === mask >>> 0 ? bits : -1;
}
