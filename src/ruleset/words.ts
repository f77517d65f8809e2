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
  const values: string[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  let fault: Words['fault'];
  let value = '';
  let wordStart = -1;
  let pieceStart = -1; // plain characters not yet in `value` begin here
  const finish = (at: number): void => {
    if (fault === undefined && byteSize(value) > MAX_WORD_SIZE)
      fault = { message: `parameter too long (${MAX_WORD_SIZE} bytes at most)`, start: wordStart, end: at };
    values.push(value);
    starts.push(wordStart);
    ends.push(at);
    value = '';
    wordStart = -1;
  };
  let at = start;
  while (at < end) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      if (wordStart === -1) wordStart = at;
      if (pieceStart !== -1) value += text.slice(pieceStart, at);
      pieceStart = -1;
      at++;
      let closed = false;
      let from = at;
      while (at < end) {
        const inner = text.charCodeAt(at);
        if (inner === QUOTE) {
          closed = true;
          break;
        }
        if (inner === BACKSLASH) {
          value += text.slice(from, at);
          from = at + 1;
          at += 2; // the next character is literal, whatever it is
          continue;
        }
        at++;
      }
      at = Math.min(at, end);
      value += text.slice(from, at);
      if (!closed) break;
      at++;
      finish(at);
      continue;
    }
    if (code === SPACE || code === TAB || code === NEWLINE) {
      if (wordStart !== -1) {
        if (pieceStart !== -1) value += text.slice(pieceStart, at);
        pieceStart = -1;
        finish(at);
      }
    } else if (wordStart === -1) {
      wordStart = at;
      pieceStart = at;
    } else if (pieceStart === -1) pieceStart = at;
    at++;
  }
  if (pieceStart !== -1) value += text.slice(pieceStart, end);
  if (value !== '') finish(end);
  if (fault === undefined && values.length > MAX_WORDS) {
    const last = values.length - 1;
    fault = { message: `more than ${MAX_WORDS} words in a command`, start: starts[MAX_WORDS]!, end: ends[last]! };
  }
  return { values, starts, ends, fault };
}
