/**
 * The stretch of a capture that lies in memory, and what a format reader answers after looking at it. `bytes` and
 * `view` cover the same memory; what is not yet consumed is [pos, end).
 */
import type { CaptureFaultCode } from './fault.js';
import type { CaptureRecord } from './record.js';

const NO_BYTES = new Uint8Array(0);

export class ByteWindow {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = new DataView(NO_BYTES.buffer);
  pos = 0;
  end = 0;
  /** Offset in the file of `bytes[0]`. */
  base = 0;

  /** Shows `bytes` from `pos` on; `base` is the file offset of `bytes[0]`. */
  show(bytes: Uint8Array, view: DataView, pos: number, end: number, base: number): void {
    this.bytes = bytes;
    this.view = view;
    this.pos = pos;
    this.end = end;
    this.base = base;
  }
}

/** Answers of `CaptureFormat.step`. Any number above 0 means: so many bytes are needed from `pos` on. */
export const STEP_AGAIN = 0;
export const STEP_RECORD = -1;
export const STEP_FAULT = -2;

/** A file format. `step` consumes whole items only; after STEP_FAULT, `fault` says what is wrong at `pos`. */
export interface CaptureFormat {
  step(window: ByteWindow, record: CaptureRecord): number;
  /** True while an item has been consumed in part: the file must not end here. */
  readonly inside: boolean;
  readonly fault: { readonly code: CaptureFaultCode; readonly message: string };
}
