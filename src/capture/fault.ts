/**
 * A fault in a capture file as a value. Captures are binary, so the place is a byte offset; for a gzip file it counts
 * the unpacked bytes. A reader stops at its first fault: everything before it has been delivered.
 */
export type CaptureFaultCode =
  | 'unknown-format'
  | 'bad-version'
  | 'bad-block'
  | 'missing-interface'
  | 'too-many-interfaces'
  | 'record-too-large'
  | 'truncated'
  | 'bad-gzip'
  | 'unreadable';

export interface CaptureFault {
  readonly code: CaptureFaultCode;
  /** What is wrong; lower case, no full stop. */
  readonly message: string;
  /** Name of the file, `-` for standard input. */
  readonly file: string;
  /** Bytes from the start of the (unpacked) file to the record or block at fault. */
  readonly offset: number;
}

/** `file:offset: error: message [code]`. No trailing newline. */
export function renderCaptureFault(fault: CaptureFault): string {
  return `${fault.file}:${fault.offset}: error: ${fault.message} [${fault.code}]`;
}
