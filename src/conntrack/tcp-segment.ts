/** One TCP segment as tracking sees it: a reused object, filled from the header. */
import type { Packet } from '../wire/packet.js';
import { FLAG_LIBERAL, FLAG_SACK, FLAG_SCALE, FLAGS, SCALE } from './tcp-record.js';

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;
export const TCP_ACK = 16;

const HEADER_SIZE = 20;
const MAX_SCALE = 14;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_SACK = 5;
/** NOP, NOP, timestamp of 10 bytes. */
const TIMESTAMP_ALIGNED = 0x0101_080a;
const TIMESTAMP_ALIGNED_SIZE = 12;
const SACK_BLOCK_SIZE = 8;

export class TcpSegment {
  seq = 0;
  ack = 0;
  /** Sequence number behind the segment: seq + data + SYN + FIN. */
  end = 0;
  /** Window as it stands in the header. */
  win = 0;
  flags = 0;
  #view: DataView | undefined;
  #optionOff = 0;
  #optionEnd = 0;

  /** Reads the header at `off`. False: fewer than 20 bytes, or a data offset that cannot be. Allocates nothing. */
  read(packet: Packet, off: number): boolean {
    return this.readAt(packet.view, off, packet.end, packet.wireEnd);
  }

  /** The same for a packet whose bytes are here up to `end`, and that ends on the wire at `wireEnd`. */
  readAt(view: DataView, off: number, end: number, wireEnd: number): boolean {
    if (off + HEADER_SIZE > end) return false;
    const headerSize = (view.getUint8(off + 12) >> 4) << 2;
    if (headerSize < HEADER_SIZE || wireEnd - off < headerSize) return false;
    const flags = view.getUint8(off + 13);
    this.flags = flags;
    this.seq = view.getUint32(off + 4);
    this.ack = view.getUint32(off + 8);
    this.win = view.getUint16(off + 14);
    const dataSize = wireEnd - off - headerSize;
    this.end = (this.seq + dataSize + ((flags >> 1) & 1) + (flags & 1)) >>> 0;
    this.#view = view;
    this.#optionOff = off + HEADER_SIZE;
    this.#optionEnd = Math.min(off + headerSize, end);
    return true;
  }

  /**
   * Sets scale and the flags for scaling and SACK of the side at words[at..] from the options of a SYN; of its other flags only
   * "liberal" stays. A SYN without any option leaves all as it was. Kernel: tcp_options().
   */
  synOptions(words: Uint32Array, at: number): void {
    if (this.#optionOff === this.#optionEnd) return;
    words[at + SCALE] = 0;
    words[at + FLAGS] = words[at + FLAGS]! & FLAG_LIBERAL;
    const view = this.#view!;
    const end = this.#optionEnd;
    for (let off = this.#optionOff; off < end; ) {
      const kind = view.getUint8(off);
      if (kind === OPTION_END) return;
      if (kind === OPTION_NOP) {
        off++;
        continue;
      }
      if (off + 2 > end) return;
      const size = view.getUint8(off + 1);
      if (size < 2 || off + size > end) return;
      if (kind === OPTION_SACK_PERMITTED && size === 2) {
        words[at + FLAGS] = words[at + FLAGS]! | FLAG_SACK;
      } else if (kind === OPTION_WINDOW_SCALE && size === 3) {
        words[at + SCALE] = Math.min(view.getUint8(off + 2), MAX_SCALE);
        words[at + FLAGS] = words[at + FLAGS]! | FLAG_SCALE;
      }
      off += size;
    }
  }

  /** Highest right edge among the SACK blocks that lies behind `ack`, else `ack`. Kernel: tcp_sack(). */
  highestSack(ack: number): number {
    const view = this.#view!;
    const end = this.#optionEnd;
    let off = this.#optionOff;
    if (off === end) return ack;
    if (end - off === TIMESTAMP_ALIGNED_SIZE && view.getUint32(off) === TIMESTAMP_ALIGNED) return ack;
    let sack = ack;
    while (off < end) {
      const kind = view.getUint8(off);
      if (kind === OPTION_END) return sack;
      if (kind === OPTION_NOP) {
        off++;
        continue;
      }
      if (off + 2 > end) return sack;
      const size = view.getUint8(off + 1);
      if (size < 2 || off + size > end) return sack;
      if (kind === OPTION_SACK && size > 2 && (size - 2) % SACK_BLOCK_SIZE === 0) {
        for (let block = off + 2; block < off + size; block += SACK_BLOCK_SIZE) {
          const edge = view.getUint32(block + 4);
          if (((sack - edge) | 0) < 0) sack = edge;
        }
        return sack;
      }
      off += size;
    }
    return sack;
  }
}
