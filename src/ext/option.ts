/**
 * The options of one extension in one rule, as the rule parser found them, and the values that most of them hold.
 * How iptables reads numbers, masks and ports stands in the specification, section 3.6.
 */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Span } from '../base/source.js';
import type { Family } from '../net/netfilter.js';
import { protocolNumber } from '../net/protocol-name.js';
import type { OptionSpec } from './extension.js';

export interface GivenOption {
  readonly spec: OptionSpec;
  readonly invert: boolean;
  /** The words that followed, `spec.args` of them. */
  readonly values: readonly string[];
  /** Of the option word itself. */
  readonly span: Span;
  /** Of the values, first to last; the option's own span if it takes none. */
  readonly valueSpan: Span;
  /** The rule's `-p` as known where the option stood (0: none yet): multiport and NAT need it before them. */
  readonly protocol: number;
  readonly protocolInverted: boolean;
}

export class GivenOptions {
  readonly kind: string;
  readonly family: Family;
  readonly given: readonly GivenOption[];
  /** Of `-m kind` or `-j KIND`. */
  readonly span: Span;
  readonly #report: (d: Diagnostic) => void;
  failed = false;

  constructor(
    kind: string,
    family: Family,
    given: readonly GivenOption[],
    span: Span,
    report: (d: Diagnostic) => void,
  ) {
    this.kind = kind;
    this.family = family;
    this.given = given;
    this.span = span;
    this.#report = report;
  }

  /** The last occurrence of an option, by canonical name. */
  get(name: string): GivenOption | undefined {
    for (let i = this.given.length - 1; i >= 0; i--) if (this.given[i]!.spec.name === name) return this.given[i];
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Reports a fault at an option's value (or at the extension's name where no option is at fault). */
  fail(option: GivenOption | undefined, code: string, message: string, hint?: string): void {
    this.failed = true;
    const span = option === undefined ? this.span : option.valueSpan;
    this.#report({ severity: 'error', code, message, span, ...(hint === undefined ? {} : { hint }) });
  }

  /** A warning at an option: loads, but not as one may think. */
  warn(option: GivenOption | undefined, code: string, message: string, hint?: string): void {
    const span = option === undefined ? this.span : option.valueSpan;
    this.#report({ severity: 'warning', code, message, span, ...(hint === undefined ? {} : { hint }) });
  }

  /** Exactly one of the named options must be there; returns it. */
  exactlyOne(...names: readonly string[]): GivenOption | undefined {
    const found = this.given.filter((g) => names.includes(g.spec.name));
    const first = found[0];
    if (first === undefined) {
      this.fail(undefined, 'option-missing', `${this.kind}: option "${names.join('" or "')}" must be specified`);
    } else if (found.some((g) => g.spec.name !== first.spec.name)) {
      this.fail(
        found[1],
        'options-exclude',
        `${this.kind}: option "${first.spec.name}" cannot be used together with "${found[1]!.spec.name}"`,
      );
    }
    return first;
  }

  /** The option must be there; reports it missing otherwise. */
  required(name: string): GivenOption | undefined {
    const option = this.get(name);
    if (option === undefined)
      this.fail(undefined, 'option-missing', `${this.kind}: option "${name}" must be specified`);
    return option;
  }

  /** A C number in [min, max] (at most 2^53); reports and returns `min` otherwise. */
  number(option: GivenOption, min: number, max: number, text: string = option.values[0]!): number {
    const value = parseCNumber(text);
    if (value === undefined || value < min || value > max) {
      this.fail(
        option,
        'bad-number',
        `${this.kind}: bad value "${text}" for option "${option.spec.name}", or out of range (${min}-${max})`,
      );
      return min;
    }
    return value;
  }

  /**
   * `a` or `a:b` of C numbers up to `max`; an empty side is 0 or `max` (and nothing at all is 0). Not put in order.
   * Tool: xtopt_parse_mint().
   */
  range(option: GivenOption, max: number): Range {
    const text = option.values[0]!;
    const parts = text.split(':');
    if (parts.length > 2)
      this.fail(option, 'bad-range', `${this.kind}: too many components for option "${option.spec.name}" (max: 2)`);
    const low = parts[0] === '' ? 0 : this.number(option, 0, max, parts[0]);
    if (parts.length === 1) return { low, high: low };
    return { low, high: parts[1] === '' ? max : this.number(option, 0, max, parts[1]) };
  }

  /**
   * A comma list of words, ORed; case does not matter and any beginning of a word will do, the first fitting one wins.
   * Empty elements are refused.
   */
  wordBits(option: GivenOption, words: readonly (readonly [string, number])[]): number {
    let bits = 0;
    for (const given of option.values[0]!.split(',')) {
      const found = given === '' ? undefined : words.find(([word]) => word.startsWith(given.toUpperCase()));
      if (found === undefined) {
        const known = words.map(([word]) => word).join(', ');
        this.fail(
          option,
          'bad-word',
          `${this.kind}: bad value "${given}" for option "${option.spec.name}"`,
          `one of ${known}`,
        );
      } else {
        bits |= found[1];
      }
    }
    return bits >>> 0;
  }

  /** A protocol, by number 0–255 or name. */
  protocol(option: GivenOption): number {
    const text = option.values[0]!;
    const number = parseCNumber(text);
    const value = number !== undefined && number <= 255 ? number : protocolNumber(text);
    if (value === undefined) this.fail(option, 'unknown-protocol', `unknown protocol "${text}" specified`);
    return value ?? 0;
  }

  /** `value[/mask]`, both 32 bit; the mask defaults to all ones. */
  u32Mask(option: GivenOption): { value: number; mask: number } {
    const [value, mask, ...rest] = option.values[0]!.split('/');
    if (rest.length > 0)
      this.fail(option, 'bad-number', `${this.kind}: bad value "${option.values[0]}" for option "${option.spec.name}"`);
    return {
      value: this.number(option, 0, 0xffffffff, value!),
      mask: mask === undefined ? 0xffffffff : this.number(option, 0, 0xffffffff, mask),
    };
  }
}

/** Both ends belong to it; `low > high` holds nothing. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** `! ` or nothing. */
export function bang(invert: boolean): string {
  return invert ? '! ' : '';
}

/** A range as it is saved: one number if the ends are equal. */
export function printRange(range: Range): string {
  return range.low === range.high ? `${range.low}` : `${range.low}:${range.high}`;
}

/** Words of the bits set, in the order of the table, with commas. */
export function printBits(bits: number, words: readonly (readonly [string, number])[]): string {
  return words
    .filter(([, bit]) => bit !== 0 && (bits & bit) !== 0)
    .map(([word]) => word)
    .join(',');
}

/**
 * Text cut to `max` bytes of UTF-8, as the fixed arrays of iptables hold it. Bytes of a character that is cut in two
 * stay as U+DC80–U+DCFF (the "surrogate escape" of bytes that are no text).
 */
export function cutBytes(text: string, max: number): string {
  if (text.length * 3 <= max || (text.length <= max && isAscii(text))) return text;
  let size = 0;
  let out = '';
  for (const char of text) {
    const bytes = encodeUtf8(char.codePointAt(0)!);
    if (size + bytes.length > max) {
      for (const byte of bytes.slice(0, max - size)) out += String.fromCharCode(0xdc00 + byte);
      return out;
    }
    size += bytes.length;
    out += char;
  }
  return out;
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false;
  return true;
}

function encodeUtf8(code: number): number[] {
  if (code >= 0xdc80 && code <= 0xdcff) return [code - 0xdc00];
  if (code < 0x80) return [code];
  const tail = (shift: number) => 0x80 | ((code >> shift) & 0x3f);
  if (code < 0x800) return [0xc0 | (code >> 6), tail(0)];
  if (code < 0x1_0000) return [0xe0 | (code >> 12), tail(6), tail(0)];
  return [0xf0 | (code >> 18), tail(12), tail(6), tail(0)];
}

/**
 * A number as strtoul(…, 0) reads it: decimal, 0x hex, leading-0 octal, leading blanks and `+`; nothing may follow.
 * Undefined for anything else, negative numbers included. Exact up to 2^53.
 */
export function parseCNumber(text: string): number | undefined {
  const digits = /^\s*\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(text)?.[1];
  if (digits === undefined) return undefined;
  if (digits.length > 1 && digits[0] === '0' && digits[1] !== 'x' && digits[1] !== 'X')
    return Number.parseInt(digits, 8);
  return Number(digits);
}

/** `0x…` in lower case, as %x prints. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** Printed bare if made only of `A–Z a–z 0–9 _ -`, otherwise quoted with `\` before `"`, `\` and `'` (xtables_save_string()). */
export function saveString(text: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text;
  return `"${text.replace(/["\\']/g, '\\$&')}"`;
}
