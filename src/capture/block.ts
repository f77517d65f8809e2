/** Numbers of the pcapng format that reader and writer share (draft-ietf-opsawg-pcapng). */
export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
/** Obsolete packet block; old captures still hold it. */
export const BLOCK_PACKET = 2;
export const BLOCK_SIMPLE_PACKET = 3;
export const BLOCK_ENHANCED_PACKET = 6;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const SECTION_HEADER_SIZE = 28;
/** Type, total size, and the total size again at the end. */
export const BLOCK_OVERHEAD = 12;

export const OPTION_END = 0;
export const OPTION_IF_NAME = 2;
export const OPTION_IF_TSRESOL = 9;
export const OPTION_IF_TSOFFSET = 14;
/** `epb_flags`, and the same number in the obsolete packet block (`pack_flags`). */
export const OPTION_FLAGS = 2;

/** Rounds up to a whole number of 32-bit words. */
export function padded(size: number): number {
  return (size + 3) & ~3;
}
