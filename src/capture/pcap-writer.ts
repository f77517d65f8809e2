/** Writes classic pcap, in either byte order and resolution. */
import { GrowingBytes } from './growing-bytes.js';
import { PCAP_FILE_HEADER_SIZE, PCAP_MAGIC_NS, PCAP_MAGIC_US, PCAP_RECORD_HEADER_SIZE } from './pcap.js';

export interface PcapOptions {
  readonly linkType: number;
  /** Nanosecond stamps; microseconds otherwise. */
  readonly nanoseconds?: boolean;
  readonly bigEndian?: boolean;
  readonly snapSize?: number;
}

export class PcapWriter {
  readonly #out = new GrowingBytes(65_536);
  readonly #little: boolean;
  readonly #nanoseconds: boolean;

  constructor(options: PcapOptions) {
    this.#little = options.bigEndian !== true;
    this.#nanoseconds = options.nanoseconds === true;
    const at = this.#out.extend(PCAP_FILE_HEADER_SIZE);
    const view = this.#out.view;
    view.setUint32(at, this.#nanoseconds ? PCAP_MAGIC_NS : PCAP_MAGIC_US, this.#little);
    view.setUint16(at + 4, 2, this.#little);
    view.setUint16(at + 6, 4, this.#little);
    view.setUint32(at + 16, options.snapSize ?? 262_144, this.#little);
    view.setUint32(at + 20, options.linkType, this.#little);
  }

  /** Bytes waiting for `take`. */
  get size(): number {
    return this.#out.size;
  }

  /** `seconds` below 2^32; `nanoseconds` below 1e9, cut to microseconds unless the file holds nanoseconds. */
  addPacket(seconds: number, nanoseconds: number, packet: Uint8Array, originalSize: number = packet.length): void {
    const at = this.#out.extend(PCAP_RECORD_HEADER_SIZE + packet.length);
    const view = this.#out.view;
    view.setUint32(at, seconds, this.#little);
    view.setUint32(at + 4, this.#nanoseconds ? nanoseconds : Math.floor(nanoseconds / 1000), this.#little);
    view.setUint32(at + 8, packet.length, this.#little);
    view.setUint32(at + 12, originalSize, this.#little);
    this.#out.bytes.set(packet, at + PCAP_RECORD_HEADER_SIZE);
  }

  /** What was written since the last call. */
  take(): Uint8Array {
    return this.#out.take();
  }
}
