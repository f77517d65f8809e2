/** `ip -j` output as rows of plain fields, with faults told where they stand. */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';

export type Row = Readonly<Record<string, unknown>>;

export class JsonReader {
  readonly source: Source;
  readonly #diagnostics: Diagnostic[];
  /** Where the row at hand is looked for in the text; rows come in order. */
  #from = 0;

  constructor(source: Source, diagnostics: Diagnostic[]) {
    this.source = source;
    this.#diagnostics = diagnostics;
  }

  /** The array's objects; none, with an error told, if the text is anything else. An empty text is no rows. */
  rows(): Row[] {
    const { text } = this.source;
    if (text.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      const at = /position (\d+)/.exec(error instanceof Error ? error.message : '');
      const start = at === null ? firstOddity(text) : Number(at[1]);
      this.#tell('error', 'bad-json', 'not JSON', start, 'the file must hold the output of ip -j, as it stands');
      return [];
    }
    if (!Array.isArray(value)) {
      this.#tell('error', 'bad-json', 'not a JSON array', 0, 'the file must hold the output of ip -j, as it stands');
      return [];
    }
    return value.filter(isRow);
  }

  /** Tells a fault of a row; `shown` is a text of the row that the place is found by. */
  fault(severity: 'error' | 'warning', code: string, message: string, shown: string, hint?: string): void {
    let at = this.source.text.indexOf(shown, this.#from);
    if (at === -1) at = this.source.text.indexOf(shown);
    if (at !== -1) this.#from = at;
    this.#tell(severity, code, message, Math.max(at, 0), hint, shown.length);
  }

  #tell(
    severity: 'error' | 'warning',
    code: string,
    message: string,
    start: number,
    hint: string | undefined,
    size = 1,
  ): void {
    const span = { source: this.source, start, end: Math.min(start + size, this.source.text.length) };
    this.#diagnostics.push({ severity, code, message, span, ...(hint === undefined ? {} : { hint }) });
  }
}

/** Where a text stops to look like JSON: its first line that does not begin like it. */
function firstOddity(text: string): number {
  return Math.max(0, text.search(/\S/));
}

export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(row: Row, key: string): string | undefined {
  const value = row[key];
  return typeof value === 'string' ? value : undefined;
}

/** A number, or a text of digits (decimal or 0x…). */
export function numberOf(row: Row, key: string): number | undefined {
  const value = row[key];
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  if (typeof value === 'string' && /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(value)) return Number(value);
  return undefined;
}

export function rowsOf(row: Row, key: string): Row[] {
  const value = row[key];
  return Array.isArray(value) ? value.filter(isRow) : [];
}

/** Texts of an array, e.g. flags. */
export function wordsOf(row: Row, key: string): string[] {
  const value = row[key];
  return Array.isArray(value) ? value.filter((word): word is string => typeof word === 'string') : [];
}
