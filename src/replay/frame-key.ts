/**
 * A key for "the same packet on the wire": a hash over the IP packet's bytes. The loose key leaves out what the kernel
 * chooses freely in packets that it makes itself (specification, section 12): IPv4 identification with the header
 * checksum, IPv6 flow label. Both sides of a comparison go through the same function.
 */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export interface FrameKeys {
  /** Over every byte of the IP packet. */
  exact: number;
  /** The same without the kernel's free choices. */
  loose: number;
}

/** Fills `out` for the IP packet in bytes [l3Off, end). Allocates nothing. */
export function keysOf(bytes: Uint8Array, l3Off: number, end: number, out: FrameKeys): void {
  const isIp4 = bytes[l3Off]! >> 4 === 4;
  const from = isIp4 ? l3Off + 4 : l3Off + 1;
  let exact = FNV_OFFSET;
  let loose = FNV_OFFSET;
  for (let at = l3Off; at < end; at++) {
    const byte = bytes[at]!;
    exact = Math.imul(exact ^ byte, FNV_PRIME);
    const rel = at - from;
    // IPv4: bytes 4, 5 (identification) and 10, 11 (header checksum). IPv6: low nibble of byte 1, bytes 2 and 3.
    const isFree = isIp4 ? rel === 0 || rel === 1 || rel === 6 || rel === 7 : rel === 1 || rel === 2;
    const kept = isFree ? 0 : !isIp4 && rel === 0 ? byte & 0xf0 : byte;
    loose = Math.imul(loose ^ kept, FNV_PRIME);
  }
  out.exact = exact >>> 0;
  out.loose = loose >>> 0;
}
