/** CRC-32C (Castagnoli, reflected, RFC 9260 appendix A), as SCTP uses it. Slicing by four bytes. */

/** Rows 0–3: effect of a byte that still has 0–3 bytes behind it. Filled once, never changed. */
const TABLE = makeTable();

function makeTable(): Int32Array {
  const table = new Int32Array(4 * 256);
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[i] = crc;
  }
  for (let i = 256; i < 4 * 256; i++) table[i] = (table[i - 256]! >>> 8) ^ table[table[i - 256]! & 255]!;
  return table;
}

/** Initial register of a CRC; give the result of one call to the next, and the last one to `finishCrc32c`. */
export const CRC32C_START = 0xffffffff;

/** Continues the register over bytes [from, to). Allocates nothing. */
export function updateCrc32c(register: number, view: DataView, from: number, to: number): number {
  let crc = register | 0;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    crc ^= view.getInt32(at, true);
    crc =
      TABLE[768 + (crc & 255)]! ^
      TABLE[512 + ((crc >>> 8) & 255)]! ^
      TABLE[256 + ((crc >>> 16) & 255)]! ^
      TABLE[crc >>> 24]!;
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ TABLE[(crc ^ view.getUint8(at)) & 255]!;
  return crc >>> 0;
}

/** The CRC for a register. SCTP stores it with its least significant byte first. */
export function finishCrc32c(register: number): number {
  return ~register >>> 0;
}
