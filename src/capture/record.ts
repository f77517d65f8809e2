/** One record of a capture: where its bytes lie, when it was seen, and on which interface. */

/** Direction of a record as the capture says it (pcapng packet flags, bits 0 and 1). */
export const DIRECTION_UNKNOWN = 0;
export const DIRECTION_IN = 1;
export const DIRECTION_OUT = 2;

/** Reception type of a record as the capture says it (pcapng packet flags, bits 2 to 4). */
export const RECEPTION_UNKNOWN = 0;
export const RECEPTION_UNICAST = 1;
export const RECEPTION_MULTICAST = 2;
export const RECEPTION_BROADCAST = 3;
export const RECEPTION_PROMISCUOUS = 4;

/**
 * Most bytes a record may hold. libpcap's largest snap length is 262,144; the rest is room for writers that count
 * a link-layer header on top. A record that says more is a fault, so hostile sizes never reserve memory.
 */
export const MAX_RECORD_SIZE = 262_144 + 16_384;

/** An interface of a capture: pcapng's interface description, or the one unnamed interface of a pcap file. */
export interface CaptureInterface {
  /** Index within its section; 0 in a pcap file. */
  readonly index: number;
  /** `if_name`, or '' where the capture does not say it. */
  readonly name: string;
  /** LINKTYPE_ number (tcpdump.org/linktypes.html). */
  readonly linkType: number;
  /** Bytes of each packet that were kept at most; 0 means no limit. */
  readonly snapSize: number;
}

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);
const NO_INTERFACE: CaptureInterface = { index: 0, name: '', linkType: 0, snapSize: 0 };

/**
 * Filled anew by every `next`; what it shows is valid until the next call to its reader. `bytes` and `view` cover the
 * same memory (a whole chunk of the file); the packet is [off, off + capturedSize). It may be written to.
 */
export class CaptureRecord {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = NO_VIEW;
  off = 0;
  /** Bytes in the capture. */
  capturedSize = 0;
  /** Bytes the packet had on the wire; more than `capturedSize` when the snap length cut it. */
  originalSize = 0;
  /** Time stamp: whole seconds since the epoch, and nanoseconds in [0, 1e9). */
  seconds = 0;
  nanoseconds = 0;
  /** The same time stamp in whole microseconds, rounded down. */
  timeUs = 0;
  /** False for a pcapng simple packet block: the stamp is then that of the record before. */
  hasTime = true;
  linkType = 0;
  interface: CaptureInterface = NO_INTERFACE;
  /** pcapng packet flags (`epb_flags`), 0 where the capture has none. Unsigned. */
  flags = 0;
  /** Bytes from the start of the (unpacked) file to this record. */
  fileOff = 0;

  get interfaceIndex(): number {
    return this.interface.index;
  }

  get interfaceName(): string {
    return this.interface.name;
  }

  /** DIRECTION_UNKNOWN, DIRECTION_IN or DIRECTION_OUT. */
  get direction(): number {
    const bits = this.flags & 3;
    return bits === 3 ? DIRECTION_UNKNOWN : bits;
  }

  /** RECEPTION_UNKNOWN to RECEPTION_PROMISCUOUS. */
  get reception(): number {
    const bits = (this.flags >>> 2) & 7;
    return bits > RECEPTION_PROMISCUOUS ? RECEPTION_UNKNOWN : bits;
  }

  /** The packet's bytes, not copied. Makes an object: not for per-packet paths. */
  get packet(): Uint8Array {
    return this.bytes.subarray(this.off, this.off + this.capturedSize);
  }
}
