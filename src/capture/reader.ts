/**
 * Reads a capture (pcap or pcapng, found by its first bytes) that arrives in chunks of any size. Records point into the chunk
 * they came in; only an item that straddles chunks is copied, into one buffer that is reused.
 *
 *   const reader = new CaptureReader('a.pcap'), record = new CaptureRecord();
 *   for (chunk of chunks) { reader.feed(chunk); while (reader.next(record)) use(record); }
 *   reader.end(); // reader.fault: what was wrong, if anything
 */

import { BLOCK_SECTION } from './block.js';
import type { CaptureFault, CaptureFaultCode } from './fault.js';
import { PCAP_FILE_HEADER_SIZE, PCAP_MAGIC_NS, PCAP_MAGIC_US, PcapFormat } from './pcap.js';
import { PcapngFormat } from './pcapng.js';
import { CaptureRecord } from './record.js';
import { ByteWindow, type CaptureFormat, STEP_AGAIN, STEP_FAULT, STEP_RECORD } from './window.js';

export class CaptureReader {
  /** Name of the file, for messages. */
  readonly name: string;
  /** The first and only fault: nothing more is read after it. */
  fault: CaptureFault | undefined;
  #format: CaptureFormat | undefined;
  readonly #window = new ByteWindow();
  /** Holds an item that straddles chunks. */
  #carry = new Uint8Array(4096);
  #carryView = new DataView(this.#carry.buffer);
  #inCarry = false;
  #chunk: Uint8Array = new Uint8Array(0);
  #chunkView = new DataView(this.#chunk.buffer);
  /** Bytes of the chunk already moved to `#carry`. */
  #chunkPos = 0;
  /** Offset in the file of the chunk's first byte. */
  #chunkBase = 0;
  #ended = false;

  constructor(name: string) {
    this.name = name;
  }

  /** True when no record will come any more: `end` was called and all is read, or there was a fault. */
  get finished(): boolean {
    return this.#ended || this.fault !== undefined;
  }

  /**
   * Adds the next bytes of the file. Precondition: `next` has returned false since the last chunk. The chunk must stay
   * untouched until `next` returns false again; after that it may be reused.
   */
  feed(chunk: Uint8Array): void {
    this.#chunkBase += this.#chunk.length;
    this.#chunk = chunk;
    this.#chunkView = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#chunkPos = 0;
    if (!this.#inCarry) this.#showChunk();
  }

  /** No more bytes will come. Precondition: `next` has returned false. Bytes left over are a fault. */
  end(): void {
    if (this.finished) return;
    this.#ended = true;
    const window = this.#window;
    if (this.#format === undefined) {
      this.#stop('truncated', window.end === window.pos ? 'file is empty' : 'file ends within its header');
    } else if (window.end > window.pos || this.#format.inside) {
      this.#stop('truncated', 'file ends within a record');
    }
  }

  /** Stops reading for a reason from outside (the disk, the unpacker), located at the bytes that did not come. */
  stop(code: CaptureFaultCode, message: string): void {
    if (!this.finished) this.#stop(code, message);
  }

  /**
   * Fills `record` with the next record. False: all chunks are used up (feed another, or end), or there was a fault.
   * What an earlier call had put into `record` is invalid from here on. Per packet: allocates nothing.
   */
  next(record: CaptureRecord): boolean {
    if (this.fault !== undefined) return false;
    const window = this.#window;
    for (;;) {
      const format = this.#format;
      const step = format === undefined ? this.#detect(window) : format.step(window, record);
      if (step === STEP_RECORD) return true;
      if (step === STEP_FAULT) {
        if (format !== undefined) this.#stop(format.fault.code, format.fault.message);
        return false;
      }
      if (step !== STEP_AGAIN && !this.#gather(step)) return false;
    }
  }

  #showChunk(): void {
    this.#inCarry = false;
    this.#window.show(this.#chunk, this.#chunkView, this.#chunkPos, this.#chunk.length, this.#chunkBase);
  }

  /** Makes `need` bytes available from the window's position on, across chunks; false when there are not so many yet. */
  #gather(need: number): boolean {
    const window = this.#window;
    const rest = window.end - window.pos;
    if (!this.#inCarry) {
      const from = window.pos;
      this.#chunkPos = this.#chunk.length;
      if (rest === 0) return false;
      this.#reserve(need, 0);
      this.#carry.set(window.bytes.subarray(from, window.end));
      this.#inCarry = true;
      window.show(this.#carry, this.#carryView, 0, rest, window.base + from);
      return false;
    }
    const left = this.#chunk.length - this.#chunkPos;
    if (rest === 0) {
      // The item that straddled is done with: go on in the chunk itself.
      this.#showChunk();
      return left > 0;
    }
    const taken = Math.min(need - rest, left);
    this.#reserve(window.pos + need, window.end);
    this.#carry.set(this.#chunk.subarray(this.#chunkPos, this.#chunkPos + taken), window.end);
    this.#chunkPos += taken;
    window.show(this.#carry, this.#carryView, window.pos, window.end + taken, window.base);
    return taken === need - rest;
  }

  /** Room for `size` bytes in the carry buffer, keeping its first `kept`. Bounded: formats refuse huge items first. */
  #reserve(size: number, kept: number): void {
    if (this.#carry.length >= size) return;
    let room = this.#carry.length;
    while (room < size) room *= 2;
    const grown = new Uint8Array(room);
    grown.set(this.#carry.subarray(0, kept));
    this.#carry = grown;
    this.#carryView = new DataView(grown.buffer);
  }

  #detect(window: ByteWindow): number {
    const available = window.end - window.pos;
    if (available < 4) return 4;
    const view = window.view;
    const big = view.getUint32(window.pos);
    if (big === BLOCK_SECTION) {
      this.#format = new PcapngFormat();
      return STEP_AGAIN;
    }
    const little = view.getUint32(window.pos, true);
    const isLittle = little === PCAP_MAGIC_US || little === PCAP_MAGIC_NS;
    if (!isLittle && big !== PCAP_MAGIC_US && big !== PCAP_MAGIC_NS) {
      const shown = big.toString(16).padStart(8, '0');
      this.#stop('unknown-format', `neither pcap nor pcapng: the file starts with 0x${shown}`);
      return STEP_FAULT;
    }
    if (available < PCAP_FILE_HEADER_SIZE) return PCAP_FILE_HEADER_SIZE;
    const major = PcapFormat.majorVersion(window, isLittle);
    if (major !== 2) {
      this.#stop('bad-version', `pcap version ${major} is not known, only 2`);
      return STEP_FAULT;
    }
    this.#format = new PcapFormat(window, isLittle, (isLittle ? little : big) === PCAP_MAGIC_NS);
    window.pos += PCAP_FILE_HEADER_SIZE;
    return STEP_AGAIN;
  }

  #stop(code: CaptureFaultCode, message: string): void {
    this.fault = { code, message, file: this.name, offset: this.#window.base + this.#window.pos };
  }
}

/**
 * Records of a capture in memory. The same record object is filled again for each turn of the loop; `reader.fault` tells
 * afterwards whether the capture was sound.
 */
export function* captureRecords(
  bytes: Uint8Array,
  reader: CaptureReader = new CaptureReader('capture'),
): Generator<CaptureRecord, void, undefined> {
  const record = new CaptureRecord();
  reader.feed(bytes);
  while (reader.next(record)) yield record;
  reader.end();
}
