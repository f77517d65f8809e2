/** Classic pcap: a 24-byte file header, then records of 16 bytes and a packet (pcap-savefile(5)). */
import { type CaptureInterface, type CaptureRecord, MAX_RECORD_SIZE } from './record.js';
import { type ByteWindow, type CaptureFormat, STEP_FAULT, STEP_RECORD } from './window.js';

export const PCAP_MAGIC_US = 0xa1b2c3d4;
export const PCAP_MAGIC_NS = 0xa1b23c4d;
export const PCAP_FILE_HEADER_SIZE = 24;
export const PCAP_RECORD_HEADER_SIZE = 16;

// File header, bytes from its start.
const VERSION_MAJOR = 4;
const SNAP_SIZE = 16;
const LINK_TYPE = 20;
// Record header, bytes from its start.
const SECONDS = 0;
const FRACTION = 4;
const CAPTURED_SIZE = 8;
const ORIGINAL_SIZE = 12;

/** The upper bits of the link-type field say how long a frame check sequence is. */
const LINK_TYPE_MASK = 0x03ffffff;

export class PcapFormat implements CaptureFormat {
  readonly inside = false;
  readonly interface: CaptureInterface;
  fault: CaptureFormat['fault'] = { code: 'bad-version', message: '' };
  readonly #little: boolean;
  readonly #nanosecondsPerUnit: number;
  readonly #unitsPerSecond: number;

  /** Precondition: a whole file header with a known magic number lies at `window.pos`. Does not consume it. */
  constructor(window: ByteWindow, little: boolean, nanoseconds: boolean) {
    const at = window.pos;
    this.#little = little;
    this.#nanosecondsPerUnit = nanoseconds ? 1 : 1000;
    this.#unitsPerSecond = nanoseconds ? 1_000_000_000 : 1_000_000;
    this.interface = {
      index: 0,
      name: '',
      linkType: window.view.getUint32(at + LINK_TYPE, little) & LINK_TYPE_MASK,
      snapSize: window.view.getUint32(at + SNAP_SIZE, little),
    };
  }

  /** Major version of the header at `pos`; only 2 is known. */
  static majorVersion(window: ByteWindow, little: boolean): number {
    return window.view.getUint16(window.pos + VERSION_MAJOR, little);
  }

  /** Per packet: allocates nothing. */
  step(window: ByteWindow, record: CaptureRecord): number {
    const at = window.pos;
    const available = window.end - at;
    if (available < PCAP_RECORD_HEADER_SIZE) return PCAP_RECORD_HEADER_SIZE;
    const view = window.view;
    const little = this.#little;
    const size = view.getUint32(at + CAPTURED_SIZE, little);
    if (size > MAX_RECORD_SIZE) {
      this.fault = {
        code: 'record-too-large',
        message: `record says it holds ${size} bytes, more than any snap length (${MAX_RECORD_SIZE})`,
      };
      return STEP_FAULT;
    }
    if (available < PCAP_RECORD_HEADER_SIZE + size) return PCAP_RECORD_HEADER_SIZE + size;
    let seconds = view.getUint32(at + SECONDS, little);
    let fraction = view.getUint32(at + FRACTION, little);
    if (fraction >= this.#unitsPerSecond) {
      seconds += Math.floor(fraction / this.#unitsPerSecond);
      fraction %= this.#unitsPerSecond;
    }
    const nanoseconds = fraction * this.#nanosecondsPerUnit;
    record.bytes = window.bytes;
    record.view = view;
    record.off = at + PCAP_RECORD_HEADER_SIZE;
    record.capturedSize = size;
    record.originalSize = view.getUint32(at + ORIGINAL_SIZE, little);
    record.seconds = seconds;
    record.nanoseconds = nanoseconds;
    record.timeUs = seconds * 1_000_000 + Math.floor(nanoseconds / 1000);
    record.hasTime = true;
    record.interface = this.interface;
    record.linkType = this.interface.linkType;
    record.flags = 0;
    record.fileOff = window.base + at;
    window.pos = at + PCAP_RECORD_HEADER_SIZE + size;
    return STEP_RECORD;
  }
}
