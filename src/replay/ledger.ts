/**
 * Frames that the emulator has sent and that the capture has not yet shown. A captured outgoing frame that is here
 * confirms the emulator; what stays was sent by the emulator alone. Bounded: the oldest frame of a device goes first.
 */
import { type FrameKeys, keysOf } from './frame-key.js';

/** Frames that a device may have waiting; the kernel's own queues are shorter than that. */
const MAX_WAITING = 4096;

interface WaitingFrame {
  readonly exact: number;
  readonly loose: number;
  /** Made by the host itself, so that the free choices may differ. */
  readonly isAnswer: boolean;
}

export const CONFIRMED_EXACTLY = 2;
export const CONFIRMED_LOOSELY = 1;
export const NOT_CONFIRMED = 0;

export class SentLedger {
  readonly #waiting = new Map<number, WaitingFrame[]>();
  readonly #keys: FrameKeys = { exact: 0, loose: 0 };
  /** Frames sent that no captured frame has confirmed. */
  unconfirmed = 0;

  /** The emulator sent the IP packet in bytes [l3Off, end) on a device. */
  add(device: number, bytes: Uint8Array, l3Off: number, end: number, isAnswer: boolean): void {
    keysOf(bytes, l3Off, end, this.#keys);
    let frames = this.#waiting.get(device);
    if (frames === undefined) {
      frames = [];
      this.#waiting.set(device, frames);
    }
    frames.push({ exact: this.#keys.exact, loose: this.#keys.loose, isAnswer });
    this.unconfirmed++;
    if (frames.length > MAX_WAITING) frames.shift();
  }

  /** The capture shows an outgoing packet: takes the oldest frame that explains it out of the ledger. */
  confirm(device: number, keys: FrameKeys): number {
    const frames = this.#waiting.get(device);
    if (frames === undefined || frames.length === 0) return NOT_CONFIRMED;
    const { exact, loose } = keys;
    let at = frames.findIndex((f) => f.exact === exact);
    const isExact = at !== -1;
    if (!isExact) at = frames.findIndex((f) => f.isAnswer && f.loose === loose);
    if (at === -1) return NOT_CONFIRMED;
    frames.splice(at, 1);
    this.unconfirmed--;
    return isExact ? CONFIRMED_EXACTLY : CONFIRMED_LOOSELY;
  }
}
