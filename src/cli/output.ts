/** Results to stdout or a file; messages to stderr. */
import { closeSync, openSync, writeSync } from 'node:fs';
import pc from 'picocolors';
import { type Diagnostic, renderDiagnostic } from '../base/diagnostic.js';
import { positionOf } from '../base/source.js';
import { describeSystemError, Failure } from './failure.js';

/** Writes all of it, also where the reader of a pipe is slow. A reader that went away ends the program quietly. */
function writeAll(fd: number, bytes: Uint8Array): void {
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EAGAIN') continue;
      if (code === 'EPIPE') process.exit(0);
      throw error;
    }
  }
}

export function printResult(text: string): void {
  writeAll(1, new TextEncoder().encode(text));
}

export function printMessage(text: string): void {
  writeAll(2, new TextEncoder().encode(`${text}\n`));
}

/** Faults shown of one line: one that is cut into many pieces has one for each. */
const SHOWN_OF_A_LINE = 3;

/** Prints diagnostics to stderr, at most `limit` of them and few of each line, and says how many more there are. */
export function printDiagnostics(diagnostics: readonly Diagnostic[], limit = 50): void {
  const ofLine = new Map<string, number>();
  let shown = 0;
  for (const d of diagnostics) {
    if (shown === limit) break;
    const line = `${d.span.source.name}:${positionOf(d.span.source, d.span.start).line}`;
    const before = ofLine.get(line) ?? 0;
    ofLine.set(line, before + 1);
    if (before >= SHOWN_OF_A_LINE) continue;
    shown++;
    const [head = '', ...rest] = renderDiagnostic(d).split('\n');
    const paint = d.severity === 'error' ? pc.red : pc.yellow;
    const colours = process.stderr.isTTY === true && pc.isColorSupported;
    printMessage([colours ? head.replace(`${d.severity}:`, paint(`${d.severity}:`)) : head, ...rest].join('\n'));
  }
  if (diagnostics.length > shown) printMessage(`… and ${diagnostics.length - shown} more`);
}

/** A file that grows in pieces; `-` is stdout. */
export class OutputFile {
  readonly #path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = path === '-' ? 1 : openSync(path, 'w');
    } catch (error) {
      throw new Failure(describeSystemError(path, error));
    }
  }

  write(data: string | Uint8Array): void {
    try {
      writeAll(this.#fd, typeof data === 'string' ? new TextEncoder().encode(data) : data);
    } catch (error) {
      throw new Failure(describeSystemError(this.#path, error));
    }
  }

  close(): void {
    if (this.#fd !== 1) closeSync(this.#fd);
  }
}
