/**
 * Splits a line into words as iptables-restore does: blanks separate; a double quote starts a quoted stretch anywhere in
 * a word, within which `\` makes the next character literal, and whose closing quote ends the word at once.
 * Source: add_param_to_argv(), iptables/xshared.c.
 */
import { byteSize } from '../base/byte-size.js';

/** Most bytes in a word, most words in a command (iptables: "Parameter too long!", "Parser cannot handle more arguments"). */
const MAX_WORD_SIZE = 1023;
export const MAX_WORDS = 251;

/** The words of one line. Offsets are of the source text, quotes included. */
export interface Words {
  readonly values: readonly string[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  /** What iptables refuses about the splitting itself, and where. */
  readonly fault: { readonly message: string; readonly start: number; readonly end: number } | undefined;
}

const TAB = 9;
const NEWLINE = 10;
const SPACE = 32;
const QUOTE = 34;
const BACKSLASH = 92;

/** Words of text[start, end). `end` includes the line's newline, which an unterminated quote takes into its word. */
export function splitWords(text: string, start: number, end: number): Words {
  return splitInto({ values: [], starts: [], ends: [], fault: undefined }, text, start, end);
}

/** Words whose arrays are used again and again. */
export interface WordBuffer extends Words {
  readonly values: string[];
  readonly starts: number[];
  readonly ends: number[];
  fault: Words['fault'];
}

/** As splitWords(), into `words`, whose old content goes. */
export function splitInto(words: WordBuffer, text: string, start: number, end: number): Words {
  const { values, starts, ends } = words;
  let count = 0;
  let at = start;
  while (at < end) {
    let code = text.charCodeAt(at);
    if (code === SPACE || code === TAB || code === NEWLINE) {
      at++;
      continue;
    }
    const wordStart = at;
    while (code !== SPACE && code !== TAB && code !== NEWLINE && code !== QUOTE) {
      if (++at >= end) break;
      code = text.charCodeAt(at);
    }
    let value = text.slice(wordStart, at);
    if (at < end && code === QUOTE) {
      const close = quoteEnd(text, at + 1, end);
      value += unescaped(text, at + 1, close);
      at = close + 1;
      // An unterminated quote that holds nothing makes no word.
      if (close >= end && value === '') break;
    }
    values[count] = value;
    starts[count] = wordStart;
    ends[count] = Math.min(at, end);
    count++;
  }
  values.length = count;
  starts.length = count;
  ends.length = count;
  words.fault = faultOf(values, starts, ends);
  return words;
}

/** Index of the quote that closes a quoted stretch, or `end`. */
function quoteEnd(text: string, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return end;
}

/** Each `\\` goes, the character after it stays. */
function unescaped(text: string, from: number, end: number): string {
  const stretch = text.slice(from, end);
  if (!stretch.includes('\\')) return stretch;
  return stretch.replace(/\\([\s\S]?)/g, '$1');
}

function faultOf(values: readonly string[], starts: readonly number[], ends: readonly number[]): Words['fault'] {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value.length > MAX_WORD_SIZE / 3 && byteSize(value) > MAX_WORD_SIZE)
      return { message: `parameter too long (${MAX_WORD_SIZE} bytes at most)`, start: starts[i]!, end: ends[i]! };
  }
  if (values.length <= MAX_WORDS) return undefined;
  const last = values.length - 1;
  return { message: `more than ${MAX_WORDS} words in a command`, start: starts[MAX_WORDS]!, end: ends[last]! };
}
