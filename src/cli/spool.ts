/**
 * What a worker of a spread replay has to say, in a file until it is known to stand: frames, results, log lines, in the order
 * of their turns. Layout of an item: turn (8 bytes), size of what follows the head (4), kind (4), then that.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { SentFrame } from '../host/event.js';

export const ITEM_FRAME = 1;
/** A line of `--json`. */
export const ITEM_RESULT = 2;
export const ITEM_LOG = 3;
/** A new connection beyond those that the worker lists: two texts, a line feed between them; the second may be missing. */
export const ITEM_CONNECTION = 4;

const HEAD_SIZE = 16;
/** Device, whether the frame has an Ethernet header, its size on the wire, seconds, nanoseconds. */
const FRAME_HEAD_SIZE = 24;
const WRITE_AT = 1 << 18;
const READ_SIZE = 1 << 18;

export class SpoolWriter {
  readonly #fd: number;
  #bytes = new Uint8Array(2 * WRITE_AT);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;
  readonly #encoder = new TextEncoder();

  constructor(path: string) {
    this.#fd = openSync(path, 'w');
  }

  text(turn: number, kind: number, text: string): void {
    const bytes = this.#encoder.encode(text);
    const at = this.#begin(turn, kind, bytes.length);
    this.#bytes.set(bytes, at);
    this.#end();
  }

  frame(turn: number, frame: SentFrame, seconds: number, nanoseconds: number): void {
    const size = frame.end - frame.start;
    const at = this.#begin(turn, ITEM_FRAME, FRAME_HEAD_SIZE + size);
    const view = this.#view;
    view.setUint32(at, frame.device * 2 + (frame.hasEthernet ? 1 : 0));
    view.setUint32(at + 4, frame.originalEnd - frame.start);
    view.setFloat64(at + 8, seconds);
    view.setFloat64(at + 16, nanoseconds);
    this.#bytes.set(frame.bytes.subarray(frame.start, frame.end), at + FRAME_HEAD_SIZE);
    this.#end();
  }

  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }

  #begin(turn: number, kind: number, size: number): number {
    const needed = this.#size + HEAD_SIZE + size;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(2 * needed);
      grown.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    const at = this.#size;
    this.#view.setFloat64(at, turn);
    this.#view.setUint32(at + 8, size);
    this.#view.setUint32(at + 12, kind);
    this.#size = needed;
    return at + HEAD_SIZE;
  }

  #end(): void {
    if (this.#size >= WRITE_AT) this.#flush();
  }

  #flush(): void {
    for (let at = 0; at < this.#size; ) at += writeSync(this.#fd, this.#bytes, at, this.#size - at);
    this.#size = 0;
  }
}

export class SpoolReader {
  /** The item at hand. */
  turn = 0;
  kind = 0;
  readonly #fd: number;
  #bytes = new Uint8Array(READ_SIZE);
  #view = new DataView(this.#bytes.buffer);
  /** Of what `next` comes to; [#at, #filled) has been read. */
  #at = 0;
  #filled = 0;
  #off = 0;
  #size = 0;
  readonly #decoder = new TextDecoder();

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
  }

  /** Goes to the next item; false at the end. What was read of the item before is no longer valid. */
  next(): boolean {
    if (!this.#have(HEAD_SIZE)) return false;
    const size = this.#view.getUint32(this.#at + 8);
    if (!this.#have(HEAD_SIZE + size)) throw new Error('bug: a spool file ends in the middle');
    this.turn = this.#view.getFloat64(this.#at);
    this.kind = this.#view.getUint32(this.#at + 12);
    this.#off = this.#at + HEAD_SIZE;
    this.#size = size;
    this.#at += HEAD_SIZE + size;
    return true;
  }

  get text(): string {
    return this.#decoder.decode(this.#bytes.subarray(this.#off, this.#off + this.#size));
  }

  /** Device index × 2, and 1 more if the frame has an Ethernet header. */
  get frameDevice(): number {
    return this.#view.getUint32(this.#off);
  }
  get frameWireSize(): number {
    return this.#view.getUint32(this.#off + 4);
  }
  get frameSeconds(): number {
    return this.#view.getFloat64(this.#off + 8);
  }
  get frameNanoseconds(): number {
    return this.#view.getFloat64(this.#off + 16);
  }
  get bytes(): Uint8Array {
    return this.#bytes;
  }
  get frameOff(): number {
    return this.#off + FRAME_HEAD_SIZE;
  }
  get frameSize(): number {
    return this.#size - FRAME_HEAD_SIZE;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Reads on until `size` bytes are there; false: the file ends before. */
  #have(size: number): boolean {
    if (this.#at + size <= this.#filled) return true;
    this.#bytes.copyWithin(0, this.#at, this.#filled);
    this.#filled -= this.#at;
    this.#at = 0;
    if (size > this.#bytes.length) {
      const grown = new Uint8Array(2 * size);
      grown.set(this.#bytes.subarray(0, this.#filled));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    while (this.#filled < size) {
      const count = readSync(this.#fd, this.#bytes, this.#filled, this.#bytes.length - this.#filled, null);
      if (count === 0) return false;
      this.#filled += count;
    }
    return true;
  }
}

/** The items of all spools in the order of their turns; items of one turn are of one spool. */
export function* mergeSpools(spools: readonly SpoolReader[]): Generator<SpoolReader, void, undefined> {
  const left = spools.filter((spool) => spool.next());
  while (left.length > 0) {
    let first = 0;
    for (let i = 1; i < left.length; i++) if (left[i]!.turn < left[first]!.turn) first = i;
    const spool = left[first]!;
    yield spool;
    if (!spool.next()) left.splice(first, 1);
  }
}
