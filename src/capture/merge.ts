/**
 * Several captures as one, by time. Records of equal time keep the order of the captures they came from. Each capture keeps
 * its own order, even where its stamps go back.
 */
import type { CaptureReader } from './reader.js';
import { CaptureRecord } from './record.js';

/** Answers of `next` besides a capture's index. */
export const MERGE_END = -1;
export const MERGE_STARVED = -2;

export class CaptureMerge {
  /** The waiting record of each capture. After `next` returned i, `records[i]` is the record. */
  readonly records: readonly CaptureRecord[];
  /** After MERGE_STARVED: the reader that needs another chunk, or its end. */
  starved = 0;
  readonly #readers: readonly CaptureReader[];
  /** 1 where `records[i]` is waiting, 0 where the reader has to be asked, 2 where the capture is over. */
  readonly #state: Uint8Array;

  constructor(readers: readonly CaptureReader[]) {
    this.#readers = readers;
    this.records = readers.map(() => new CaptureRecord());
    this.#state = new Uint8Array(readers.length);
  }

  /**
   * Index of the capture whose record is next in time, MERGE_END, or MERGE_STARVED (feed or end `starved`, ask again). The
   * record is valid until the next call. A capture with a fault ends there. Per packet: allocates nothing.
   */
  next(): number {
    let best = -1;
    for (let i = 0; i < this.#readers.length; i++) {
      if (this.#state[i] === 2) continue;
      if (this.#state[i] === 0) {
        const reader = this.#readers[i]!;
        if (reader.next(this.records[i]!)) this.#state[i] = 1;
        else if (reader.finished) {
          this.#state[i] = 2;
          continue;
        } else {
          this.starved = i;
          return MERGE_STARVED;
        }
      }
      if (best === -1 || isEarlier(this.records[i]!, this.records[best]!)) best = i;
    }
    if (best === -1) return MERGE_END;
    this.#state[best] = 0;
    return best;
  }
}

function isEarlier(a: CaptureRecord, b: CaptureRecord): boolean {
  return a.seconds !== b.seconds ? a.seconds < b.seconds : a.nanoseconds < b.nanoseconds;
}
