/**
 * Bad input as a value: what is wrong, where, and what to write instead. Parsers collect these and go on.
 * `code` is stable and tested; `message` may be reworded.
 */
import { lineText, positionOf, type Span } from './source.js';

export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  /** Stable kebab-case name of the fault, e.g. `unknown-option`, `chain-loop`. */
  readonly code: string;
  /** What is wrong, quoting the input; lower case, no full stop. */
  readonly message: string;
  readonly span: Span;
  /** What to write instead, or where to look. */
  readonly hint?: string;
}

/** Longest part of an input line that a message repeats; hostile lines may be megabytes long. */
const MAX_SHOWN = 160;

/** `file:line:column: error: message [code]`, the line, a caret line, the hint. No trailing newline. */
export function renderDiagnostic(d: Diagnostic): string {
  const { line, column } = positionOf(d.span.source, d.span.start);
  const head = `${d.span.source.name}:${line}:${column}: ${d.severity}: ${d.message} [${d.code}]`;
  const text = lineText(d.span.source, line);
  const from = Math.max(0, Math.min(column - 1, column - 1 - MAX_SHOWN / 2));
  const shown = text.slice(from, from + MAX_SHOWN);
  const rows = [head];
  if (shown.length > 0) {
    const room = Math.max(1, shown.length - (column - 1 - from));
    const carets = Math.min(Math.max(1, d.span.end - d.span.start), room);
    rows.push(`  ${shown}`, `  ${shown.slice(0, column - 1 - from).replace(/[^\t]/g, ' ')}${'^'.repeat(carets)}`);
  }
  if (d.hint !== undefined) rows.push(`  hint: ${d.hint}`);
  return rows.join('\n');
}
