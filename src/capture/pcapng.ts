/**
 * pcapng (draft-ietf-opsawg-pcapng): blocks with a type and a size, in sections that each have a byte order and a list of
 * interfaces. Packet, interface and section blocks are read; every other block is skipped without being held.
 */
import {
  BLOCK_ENHANCED_PACKET,
  BLOCK_INTERFACE,
  BLOCK_OVERHEAD,
  BLOCK_PACKET,
  BLOCK_SECTION,
  BLOCK_SIMPLE_PACKET,
  BYTE_ORDER_MAGIC,
  OPTION_END,
  OPTION_FLAGS,
  OPTION_IF_NAME,
  OPTION_IF_TSOFFSET,
  OPTION_IF_TSRESOL,
  padded,
  SECTION_HEADER_SIZE,
} from './block.js';
import type { CaptureFaultCode } from './fault.js';
import { type CaptureInterface, type CaptureRecord, MAX_RECORD_SIZE } from './record.js';
import { TimeResolution } from './time-resolution.js';
import { type ByteWindow, type CaptureFormat, STEP_AGAIN, STEP_FAULT, STEP_RECORD } from './window.js';

/** A packet block is its packet, its header and its options; 64 KiB is more than any writer puts into options. */
const MAX_BLOCK_SIZE = MAX_RECORD_SIZE + 65_536;
/** Bounds what a hostile file can make us hold; real captures have as many as a host has interfaces. */
const MAX_INTERFACES = 65_536;
const MAX_NAME_SIZE = 256;
const DEFAULT_RESOLUTION = 6;

// Packet blocks: bytes from the block's start to the packet.
const ENHANCED_DATA = 28;
const SIMPLE_DATA = 12;

interface SectionInterface extends CaptureInterface {
  readonly time: TimeResolution;
}

export class PcapngFormat implements CaptureFormat {
  fault: { code: CaptureFaultCode; message: string } = { code: 'bad-block', message: '' };
  #little = true;
  #inSection = false;
  #interfaces: SectionInterface[] = [];
  /** Bytes of a block of no interest still to pass over, without its closing size. */
  #skip = 0;
  /** What the closing size of that block must be; 0 when no block is being passed over. */
  #skipTotal = 0;
  readonly #utf8 = new TextDecoder();

  get inside(): boolean {
    return this.#skipTotal !== 0;
  }

  /** Interfaces of the present section, in order. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#interfaces;
  }

  /** Per packet: allocates nothing. */
  step(window: ByteWindow, record: CaptureRecord): number {
    if (this.#skipTotal !== 0) return this.#passOver(window);
    const at = window.pos;
    const available = window.end - at;
    if (available < BLOCK_OVERHEAD) return BLOCK_OVERHEAD;
    const view = window.view;
    // The section header's type reads the same in both byte orders; its size can be read only after its magic.
    if (view.getUint32(at) === BLOCK_SECTION) return this.#section(window, available);
    if (!this.#inSection) return this.#fail('bad-block', 'file does not start with a section header');
    const little = this.#little;
    const type = view.getUint32(at, little);
    const total = view.getUint32(at + 4, little);
    if (total < BLOCK_OVERHEAD || (total & 3) !== 0)
      return this.#fail('bad-block', `block size ${total} is not possible`);
    if (
      type !== BLOCK_ENHANCED_PACKET &&
      type !== BLOCK_SIMPLE_PACKET &&
      type !== BLOCK_PACKET &&
      type !== BLOCK_INTERFACE
    ) {
      window.pos = at + 8;
      this.#skip = total - BLOCK_OVERHEAD;
      this.#skipTotal = total;
      return STEP_AGAIN;
    }
    if (total > MAX_BLOCK_SIZE) {
      return this.#fail('record-too-large', `block of ${total} bytes is larger than any packet (${MAX_BLOCK_SIZE})`);
    }
    if (available < total) return total;
    if (view.getUint32(at + total - 4, little) !== total) {
      return this.#fail('bad-block', `block starts with size ${total} and ends with another`);
    }
    if (type === BLOCK_INTERFACE) return this.#interface(window, total);
    return this.#packet(window, record, type, total);
  }

  #section(window: ByteWindow, available: number): number {
    if (available < SECTION_HEADER_SIZE) return SECTION_HEADER_SIZE;
    const at = window.pos;
    const view = window.view;
    if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) this.#little = true;
    else if (view.getUint32(at + 8, false) === BYTE_ORDER_MAGIC) this.#little = false;
    else return this.#fail('bad-block', 'section header has no byte-order magic');
    const total = view.getUint32(at + 4, this.#little);
    if (total < SECTION_HEADER_SIZE || (total & 3) !== 0) {
      return this.#fail('bad-block', `block size ${total} is not possible`);
    }
    const major = view.getUint16(at + 12, this.#little);
    if (major !== 1) return this.#fail('bad-version', `pcapng version ${major} is not known, only 1`);
    this.#inSection = true;
    this.#interfaces = [];
    // Its options (hardware, application, comment) say nothing about packets.
    window.pos = at + SECTION_HEADER_SIZE - 4;
    this.#skip = total - SECTION_HEADER_SIZE;
    this.#skipTotal = total;
    return STEP_AGAIN;
  }

  #passOver(window: ByteWindow): number {
    const available = window.end - window.pos;
    if (this.#skip > 0) {
      if (available === 0) return 1;
      const passed = Math.min(available, this.#skip);
      window.pos += passed;
      this.#skip -= passed;
      return STEP_AGAIN;
    }
    if (available < 4) return 4;
    const total = this.#skipTotal;
    if (window.view.getUint32(window.pos, this.#little) !== total) {
      return this.#fail('bad-block', `block starts with size ${total} and ends with another`);
    }
    window.pos += 4;
    this.#skipTotal = 0;
    return STEP_AGAIN;
  }

  #interface(window: ByteWindow, total: number): number {
    if (total < 20) return this.#fail('bad-block', 'interface description is too short');
    if (this.#interfaces.length >= MAX_INTERFACES) {
      return this.#fail('too-many-interfaces', `section has more than ${MAX_INTERFACES} interfaces`);
    }
    const { view, bytes } = window;
    const little = this.#little;
    const at = window.pos;
    let name = '';
    let resolution = DEFAULT_RESOLUTION;
    let offsetSeconds = 0;
    const end = at + total - 4;
    for (let off = at + 16; off + 4 <= end; ) {
      const code = view.getUint16(off, little);
      const size = view.getUint16(off + 2, little);
      if (code === OPTION_END) break;
      if (off + 4 + size > end) return this.#fail('bad-block', 'interface option passes the end of its block');
      if (code === OPTION_IF_NAME) {
        const text = bytes.subarray(off + 4, off + 4 + Math.min(size, MAX_NAME_SIZE));
        name = this.#utf8.decode(text).replace(/\0.*$/s, '');
      } else if (code === OPTION_IF_TSRESOL && size >= 1) {
        resolution = bytes[off + 4]!;
      } else if (code === OPTION_IF_TSOFFSET && size >= 8) {
        offsetSeconds = Number(view.getBigInt64(off + 4, little));
      }
      off += 4 + padded(size);
    }
    this.#interfaces.push({
      index: this.#interfaces.length,
      name,
      linkType: view.getUint16(at + 8, little),
      snapSize: view.getUint32(at + 12, little),
      time: new TimeResolution(resolution, offsetSeconds),
    });
    window.pos = at + total;
    return STEP_AGAIN;
  }

  #packet(window: ByteWindow, record: CaptureRecord, type: number, total: number): number {
    const view = window.view;
    const little = this.#little;
    const at = window.pos;
    const simple = type === BLOCK_SIMPLE_PACKET;
    const data = simple ? SIMPLE_DATA : ENHANCED_DATA;
    if (total < data + 4) return this.#fail('bad-block', 'packet block is too short');
    let index = 0;
    if (type === BLOCK_ENHANCED_PACKET) index = view.getUint32(at + 8, little);
    else if (type === BLOCK_PACKET) index = view.getUint16(at + 8, little);
    if (index >= this.#interfaces.length) {
      return this.#fail('missing-interface', `packet of interface ${index}, which the section does not describe`);
    }
    const description = this.#interfaces[index]!;
    let captured: number;
    if (simple) {
      const original = view.getUint32(at + 8, little);
      captured = total - data - 4;
      // A simple packet block does not say how much it holds: the smaller of the packet and the snap length.
      if (original < captured) captured = original;
      if (description.snapSize !== 0 && description.snapSize < captured) captured = description.snapSize;
      record.originalSize = original;
      record.hasTime = false;
    } else {
      captured = view.getUint32(at + 20, little);
      if (captured > total - data - 4) return this.#fail('bad-block', `packet of ${captured} bytes passes its block`);
      const time = description.time;
      time.split(view.getUint32(at + 12, little), view.getUint32(at + 16, little));
      record.originalSize = view.getUint32(at + 24, little);
      record.seconds = time.seconds;
      record.nanoseconds = time.nanoseconds;
      record.timeUs = time.seconds * 1_000_000 + Math.floor(time.nanoseconds / 1000);
      record.hasTime = true;
    }
    if (captured > MAX_RECORD_SIZE) {
      return this.#fail('record-too-large', `packet of ${captured} bytes is larger than any snap length`);
    }
    record.bytes = window.bytes;
    record.view = view;
    record.off = at + data;
    record.capturedSize = captured;
    record.linkType = description.linkType;
    record.interface = description;
    record.fileOff = window.base + at;
    const options = at + data + padded(captured);
    record.flags = simple ? 0 : packetFlags(view, options, at + total - 4, little);
    window.pos = at + total;
    return STEP_RECORD;
  }

  #fail(code: CaptureFaultCode, message: string): number {
    this.fault = { code, message };
    return STEP_FAULT;
  }
}

/** Value of the flags option in [off, end), 0 if there is none. Options cut short are passed over: the packet is whole. */
function packetFlags(view: DataView, off: number, end: number, little: boolean): number {
  while (off + 4 <= end) {
    const code = view.getUint16(off, little);
    const size = view.getUint16(off + 2, little);
    if (code === OPTION_END) return 0;
    if (code === OPTION_FLAGS && size === 4 && off + 8 <= end) return view.getUint32(off + 4, little);
    off += 4 + padded(size);
  }
  return 0;
}
