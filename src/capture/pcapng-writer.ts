/** Writes pcapng: one little-endian section, interfaces with names, packets with nanosecond stamps and flags. */
import {
  BLOCK_ENHANCED_PACKET,
  BLOCK_INTERFACE,
  BLOCK_SECTION,
  BYTE_ORDER_MAGIC,
  OPTION_FLAGS,
  OPTION_IF_NAME,
  OPTION_IF_TSRESOL,
  padded,
  SECTION_HEADER_SIZE,
} from './block.js';
import { GrowingBytes } from './growing-bytes.js';

const ENHANCED_SIZE = 32;
const FLAGS_OPTION_SIZE = 12; // the option, 8 bytes, and the end of options
const NANOSECONDS = 9;
const UNKNOWN_SECTION_SIZE = 0xffffffff;

/** Collects blocks in memory; `take` hands over what has gathered, so a long capture is written in pieces. */
export class PcapngWriter {
  readonly #out = new GrowingBytes(65_536);
  #interfaceCount = 0;

  constructor() {
    this.startSection();
  }

  /** Bytes waiting for `take`. */
  get size(): number {
    return this.#out.size;
  }

  /** Starts a section; its interfaces count from 0 again. The first one is started already. */
  startSection(): void {
    const at = this.#out.extend(SECTION_HEADER_SIZE);
    const view = this.#out.view;
    view.setUint32(at, BLOCK_SECTION, true);
    view.setUint32(at + 4, SECTION_HEADER_SIZE, true);
    view.setUint32(at + 8, BYTE_ORDER_MAGIC, true);
    view.setUint16(at + 12, 1, true);
    view.setUint32(at + 16, UNKNOWN_SECTION_SIZE, true);
    view.setUint32(at + 20, UNKNOWN_SECTION_SIZE, true);
    view.setUint32(at + 24, SECTION_HEADER_SIZE, true);
    this.#interfaceCount = 0;
  }

  /** Describes an interface and returns its index. `snapSize` 0 means no limit. */
  addInterface(name: string, linkType: number, snapSize = 0): number {
    const text = new TextEncoder().encode(name);
    const nameSize = text.length === 0 ? 0 : 4 + padded(text.length);
    const total = 16 + nameSize + 8 + 4 + 4;
    const at = this.#out.extend(total);
    const { view, bytes } = this.#out;
    view.setUint32(at, BLOCK_INTERFACE, true);
    view.setUint32(at + 4, total, true);
    view.setUint16(at + 8, linkType, true);
    view.setUint32(at + 12, snapSize, true);
    let off = at + 16;
    if (text.length > 0) {
      view.setUint16(off, OPTION_IF_NAME, true);
      view.setUint16(off + 2, text.length, true);
      bytes.set(text, off + 4);
      off += nameSize;
    }
    view.setUint16(off, OPTION_IF_TSRESOL, true);
    view.setUint16(off + 2, 1, true);
    bytes[off + 4] = NANOSECONDS;
    view.setUint32(at + total - 4, total, true);
    return this.#interfaceCount++;
  }

  /**
   * Adds the packet [off, off + size) of `bytes`. Preconditions: the interface was added; `seconds` is in [0, 2^34),
   * `nanoseconds` in [0, 1e9). `flags` are pcapng packet flags; 0 writes none.
   */
  addPacket(
    interfaceIndex: number,
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    off: number,
    size: number,
    originalSize: number,
    flags = 0,
  ): void {
    const data = padded(size);
    const total = ENHANCED_SIZE + data + (flags === 0 ? 0 : FLAGS_OPTION_SIZE);
    const at = this.#out.extend(total);
    const view = this.#out.view;
    view.setUint32(at, BLOCK_ENHANCED_PACKET, true);
    view.setUint32(at + 4, total, true);
    view.setUint32(at + 8, interfaceIndex, true);
    // seconds * 1e9 + nanoseconds has up to 64 bits: multiplied in two halves of the seconds, each exact in a double.
    const low = (seconds % 65536) * 1_000_000_000 + nanoseconds;
    const high = Math.floor(seconds / 65536) * 1_000_000_000;
    const rest = (high % 65536) * 65536 + low;
    view.setUint32(at + 12, Math.floor(high / 65536) + Math.floor(rest / 0x1_0000_0000), true);
    view.setUint32(at + 16, rest % 0x1_0000_0000, true);
    view.setUint32(at + 20, size, true);
    view.setUint32(at + 24, originalSize, true);
    copyBytes(bytes, off, size, this.#out.bytes, at + 28);
    if (flags !== 0) {
      view.setUint16(at + 28 + data, OPTION_FLAGS, true);
      view.setUint16(at + 30 + data, 4, true);
      view.setUint32(at + 32 + data, flags, true);
    }
    view.setUint32(at + total - 4, total, true);
  }

  /** What was written since the last call. */
  take(): Uint8Array {
    return this.#out.take();
  }
}

function copyBytes(from: Uint8Array, off: number, size: number, to: Uint8Array, at: number): void {
  to.set(from.subarray(off, off + size), at);
}
