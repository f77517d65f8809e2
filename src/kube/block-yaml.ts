/**
 * The part of YAML that kubectl prints, read some thirty times faster than by a full parser: block mappings and
 * sequences, plain and quoted scalars of one line, literals. Whatever else comes up (anchors, flow collections, folded
 * text, several spellings of numbers, faults) makes it give up: the full parser then reads the text, and says what is
 * wrong with it.
 */
type Fields = Record<string, unknown>;

const KEY = /^([A-Za-z_][A-Za-z0-9_./-]*):(?: +|$)/;
/** Scalars by the YAML 1.2 core schema. */
const NULL = /^(?:~|[Nn]ull|NULL)$/;
const TRUE = /^(?:[Tt]rue|TRUE)$/;
const FALSE = /^(?:[Ff]alse|FALSE)$/;
const PLAIN_INTEGER = /^-?(?:0|[1-9][0-9]{0,14})$/;
const OTHER_NUMBER =
  /^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
/** What a plain scalar may not begin with. */
const INDICATOR = /^[-?:,[\]{}#&*!|>'"%@`]/;
const SINGLE_QUOTED = /^'(?:[^']|'')*'$/;
const MAX_DEPTH = 100;

/** Thrown and caught inside this file only. */
class GiveUp extends Error {}

function giveUp(): never {
  throw new GiveUp();
}

class BlockReader {
  readonly #lines: readonly string[];
  #at = 0;
  /** Column at which the current line counts as beginning: behind the dash of a sequence's entry. */
  #column = -1;
  #depth = 0;

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  /** Values of all documents; a document without content is null. */
  documents(): unknown[] {
    const values: unknown[] = [];
    let first = true;
    for (;;) {
      this.#skipBlank();
      if (this.#at >= this.#lines.length) break;
      if (this.#lines[this.#at] === '---') {
        this.#at++;
        this.#skipBlank();
      } else if (!first) giveUp();
      first = false;
      const next = this.#lines[this.#at];
      values.push(next === undefined || next === '---' ? null : this.#block(this.#indent()));
    }
    return values;
  }

  #skipBlank(): void {
    for (; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at]!;
      const content = line.trimStart();
      if (content !== '' && !content.startsWith('#')) return;
    }
  }

  /** Column of the current line's content; -1 at the end of the document. */
  #indent(): number {
    if (this.#column >= 0) return this.#column;
    const line = this.#lines[this.#at];
    if (line === undefined || line === '---') return -1;
    let indent = 0;
    while (line.charCodeAt(indent) === 32) indent++;
    return indent;
  }

  #block(indent: number): unknown {
    if (++this.#depth > MAX_DEPTH) giveUp();
    const content = this.#lines[this.#at]!.slice(indent);
    const value = content === '-' || content.startsWith('- ') ? this.#sequence(indent) : this.#mapping(indent);
    this.#depth--;
    return value;
  }

  #next(): void {
    this.#at++;
    this.#column = -1;
    this.#skipBlank();
  }

  #mapping(indent: number): Fields {
    const fields: Fields = {};
    while (this.#indent() === indent) {
      const line = this.#lines[this.#at]!;
      const match = KEY.exec(line.slice(indent));
      if (match === null) giveUp();
      const key = match[1]!;
      if (Object.hasOwn(fields, key) || key === '__proto__' || NULL.test(key)) giveUp();
      fields[key] = this.#value(line.slice(indent + match[0].length), indent, true);
    }
    if (this.#indent() > indent) giveUp();
    return fields;
  }

  #sequence(indent: number): unknown[] {
    const items: unknown[] = [];
    while (this.#indent() === indent) {
      const line = this.#lines[this.#at]!;
      if (line.charCodeAt(indent) !== 45 || (line.length > indent + 1 && line.charCodeAt(indent + 1) !== 32)) break;
      let start = indent + 1;
      while (line.charCodeAt(start) === 32) start++;
      const rest = line.slice(start);
      if (rest === '-' || rest.startsWith('- ') || KEY.test(rest)) {
        this.#column = start;
        items.push(this.#block(start));
      } else items.push(this.#value(rest, indent, false));
    }
    if (this.#indent() > indent) giveUp();
    return items;
  }

  /** The value that begins with `text` behind a key or a dash at `indent`. */
  #value(text: string, indent: number, inMapping: boolean): unknown {
    const scalar = text.trimEnd();
    if (scalar === '|' || scalar === '|-') return this.#literal(indent, scalar === '|');
    this.#next();
    const inner = this.#indent();
    if (scalar === '') {
      if (inner > indent) return this.#block(inner);
      // A sequence may stand as far left as its key.
      const line = this.#lines[this.#at];
      if (inMapping && inner === indent && (line!.slice(indent) === '-' || line!.startsWith('- ', indent))) {
        return this.#block(inner);
      }
      return null;
    }
    if (inner > indent) giveUp(); // a scalar of several lines
    return readScalar(scalar);
  }

  /** A literal: lines deeper than `indent`, ended by one line break (`clip`) or by none. */
  #literal(indent: number, clip: boolean): string {
    this.#at++;
    this.#column = -1;
    const first = this.#lines[this.#at];
    if (first === undefined || first.trim() === '') giveUp();
    const inner = this.#indent();
    if (inner <= indent) giveUp();
    const lines: string[] = [];
    for (; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at]!;
      if (line.trim() !== '' && this.#indent() < inner) break;
      lines.push(line.slice(inner));
    }
    while (lines.length > 0 && lines[lines.length - 1]!.trim() === '') {
      if (lines.pop() !== '') giveUp(); // blanks at the end would be content
    }
    this.#skipBlank();
    return `${lines.join('\n')}${clip ? '\n' : ''}`;
  }
}

function readScalar(text: string): unknown {
  const first = text.charCodeAt(0);
  if (first === 34) {
    try {
      return JSON.parse(text); // what JSON does not know of YAML's escapes, it refuses
    } catch {
      return giveUp();
    }
  }
  if (first === 39) return SINGLE_QUOTED.test(text) ? text.slice(1, -1).replaceAll("''", "'") : giveUp();
  if (text === '{}') return {};
  if (text === '[]') return [];
  if (PLAIN_INTEGER.test(text)) return Number(text);
  if (INDICATOR.test(text) || text.includes(': ') || text.includes(' #') || text.endsWith(':')) giveUp();
  if (TRUE.test(text)) return true;
  if (FALSE.test(text)) return false;
  if (NULL.test(text)) return null;
  return OTHER_NUMBER.test(text) ? giveUp() : text;
}

/** Values of the documents of a text; undefined if it holds more of YAML than this reads. */
export function readBlockYaml(text: string): unknown[] | undefined {
  if (/[\t\r\ufeff\u0085\u2028\u2029]|^(?:%|\.\.\.|--- )/m.test(text)) return undefined;
  try {
    return new BlockReader(text.split('\n')).documents();
  } catch (error) {
    if (error instanceof GiveUp) return undefined;
    throw error;
  }
}
