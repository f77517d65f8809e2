/** Faults of one command line: where they stand, and whether the line goes on after them. */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source, Span } from '../base/source.js';
import type { RuleFaultCode } from './rule-fault.js';
import type { Words } from './words.js';

/** Marks that a line is refused and reported; readCommand() catches it. */
export class Refused extends Error {}

type Place = number | { readonly start: number; readonly end: number };

export class LineFaults {
  /** Without its newline. */
  readonly line: Span;
  readonly #words: Words;
  readonly #source: Source;
  readonly #report: (diagnostic: Diagnostic) => void;
  /** Something was refused: there will be no command. */
  failed = false;

  constructor(line: Span, words: Words, report: (diagnostic: Diagnostic) => void) {
    this.line = line;
    this.#source = line.source;
    this.#words = words;
    this.#report = report;
  }

  report(diagnostic: Diagnostic): void {
    if (diagnostic.severity === 'error') this.failed = true;
    this.#report(diagnostic);
  }

  /** From a word (by index) to another; the whole line for a word that is not there. */
  span(word: number, last = word): Span {
    const { starts, ends } = this.#words;
    if (word < 0 || word >= starts.length) return this.line;
    return { source: this.#source, start: starts[word]!, end: ends[Math.min(last, ends.length - 1)]! };
  }

  /** Reports a fault and goes on with the line. */
  fail(code: RuleFaultCode, message: string, at: Place, hint?: string): void {
    const span = typeof at === 'number' ? this.span(at) : { source: this.#source, start: at.start, end: at.end };
    this.report({ severity: 'error', code, message, span, ...(hint === undefined ? {} : { hint }) });
  }

  /** Reports a fault after which the rest of the line means nothing. */
  refuse(code: RuleFaultCode, message: string, at: Place, hint?: string): never {
    this.fail(code, message, at, hint);
    throw new Refused();
  }

  warn(code: RuleFaultCode, message: string, at: number, hint?: string): void {
    const span = this.span(at);
    this.report({ severity: 'warning', code, message, span, ...(hint === undefined ? {} : { hint }) });
  }
}
