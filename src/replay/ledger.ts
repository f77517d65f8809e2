/**
 * Frames that the emulator has sent and that the capture has not yet shown. A captured outgoing frame that is here
 * confirms the emulator; what stays was sent by the emulator alone. Bounded: a frame waits for so many records and then can
 * no longer be confirmed. What is found for a frame hangs on frames of its own conversation only.
 */
import { type FrameKeys, keysOf } from './frame-key.js';
import type { WireKey } from './wire-key.js';

/** Turns (two a record) for which a frame waits; a capture shows a frame soon after what caused it. */
const MAX_AGE = 2 * 65_536;

interface WaitingFrame {
  readonly device: number;
  readonly exact: number;
  readonly loose: number;
  /** Conversation (wire-key.ts); 0, 0 where it cannot be told. */
  readonly first: number;
  readonly second: number;
  /** Made by the host itself, so that the free choices may differ. */
  readonly isAnswer: boolean;
  readonly turn: number;
  isConfirmed: boolean;
}

export const CONFIRMED_EXACTLY = 2;
export const CONFIRMED_LOOSELY = 1;
export const NOT_CONFIRMED = 0;

export class SentLedger {
  readonly #exact = new Map<number, WaitingFrame[]>();
  /** Answers alone. */
  readonly #loose = new Map<number, WaitingFrame[]>();
  /** All that wait, oldest first, from #oldest on. */
  #queue: WaitingFrame[] = [];
  #oldest = 0;
  readonly #keys: FrameKeys = { exact: 0, loose: 0 };
  /** Frames sent that no captured frame has confirmed. */
  unconfirmed = 0;

  /**
   * The emulator sent the IP packet in bytes [l3Off, end) on a device in a turn (numbers that grow). `wire`: read for it, or
   * undefined where its conversation cannot be told.
   */
  add(
    device: number,
    bytes: Uint8Array,
    l3Off: number,
    end: number,
    isAnswer: boolean,
    wire: WireKey | undefined,
    turn: number,
  ): void {
    this.#forgetBefore(turn - MAX_AGE);
    keysOf(bytes, l3Off, end, this.#keys);
    const { exact, loose } = this.#keys;
    const first = wire?.hash.first ?? 0;
    const second = wire?.hash.second ?? 0;
    const frame: WaitingFrame = { device, exact, loose, first, second, isAnswer, turn, isConfirmed: false };
    push(this.#exact, exact, frame);
    if (isAnswer) push(this.#loose, loose, frame);
    this.#queue.push(frame);
    this.unconfirmed++;
  }

  /** The capture shows an outgoing packet: takes the oldest frame that explains it out of the ledger. */
  confirm(device: number, keys: FrameKeys, wire: WireKey | undefined, turn: number): number {
    const first = wire?.hash.first ?? 0;
    const second = wire?.hash.second ?? 0;
    const fits = (f: WaitingFrame): boolean =>
      !f.isConfirmed && f.device === device && f.first === first && f.second === second && f.turn >= turn - MAX_AGE;
    let frame = this.#exact.get(keys.exact)?.find(fits);
    const isExact = frame !== undefined;
    frame ??= this.#loose.get(keys.loose)?.find(fits);
    if (frame === undefined) return NOT_CONFIRMED;
    frame.isConfirmed = true;
    this.#drop(frame);
    this.unconfirmed--;
    return isExact ? CONFIRMED_EXACTLY : CONFIRMED_LOOSELY;
  }

  #forgetBefore(turn: number): void {
    while (this.#oldest < this.#queue.length && this.#queue[this.#oldest]!.turn < turn) {
      const frame = this.#queue[this.#oldest++]!;
      if (!frame.isConfirmed) this.#drop(frame);
    }
    if (this.#oldest < 1024 || this.#oldest * 2 < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#oldest);
    this.#oldest = 0;
  }

  #drop(frame: WaitingFrame): void {
    remove(this.#exact, frame.exact, frame);
    if (frame.isAnswer) remove(this.#loose, frame.loose, frame);
  }
}

function push(map: Map<number, WaitingFrame[]>, key: number, frame: WaitingFrame): void {
  const frames = map.get(key);
  if (frames === undefined) map.set(key, [frame]);
  else frames.push(frame);
}

function remove(map: Map<number, WaitingFrame[]>, key: number, frame: WaitingFrame): void {
  const frames = map.get(key)!;
  if (frames.length === 1) map.delete(key);
  else frames.splice(frames.indexOf(frame), 1);
}
