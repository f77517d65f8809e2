/**
 * Recognises pieces with one option whose value is of a form that the extension is sure to take (OptionSpec.plain), so
 * that nothing need be made of them while a file is read. All other pieces are read in full.
 */
import { IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import type { ExtensionRegistry } from './extension-registry.js';
import { endsPiece } from './piece.js';
import type { PlainPiece } from './saved-rule.js';

const SPACE = 32;
const BANG = 33;
const QUOTE = 34;
const DASH = 45;
const DOT = 46;
const ZERO = 48;
const COLON = 58;
const BACKSLASH = 92;
const DELETE = 127;

/** What the kernel keeps of a comment. */
const MAX_TEXT = 255;

/** IPv4 only: how IPv6 pieces differ is not worth the look. */
const FAMILY_4 = 4;

interface Candidate {
  readonly piece: PlainPiece;
  /** Of its head: comparing these is faster than startsWith(). */
  readonly codes: Uint8Array;
}

export class PlainPieces {
  readonly #text: string;
  /** By the letter with which the extension's name begins. */
  readonly #byLetter: (Candidate[] | undefined)[] = [];
  /** End of the piece found last. */
  end = 0;
  /** Its port, or -1. */
  port = -1;

  constructor(text: string, registry: ExtensionRegistry, family: 4 | 6) {
    this.#text = text;
    for (let i = 0; i < 128; i++) this.#byLetter.push(undefined);
    const enlist = (ext: PlainPiece['ext'], letter: 'm' | 'j'): void => {
      for (const { name, plain } of ext.options) {
        if (plain === undefined || (plain === 'endpoint' && family !== FAMILY_4)) continue;
        const known = letter === 'm' ? registry.findMatch(ext.kind, family) : registry.findTarget(ext.kind, family);
        if (known !== ext) continue;
        const first = ext.kind.charCodeAt(0);
        const head = `-${letter} ${ext.kind} ${name} `;
        const codes = Uint8Array.from(head, (character) => character.charCodeAt(0));
        this.#byLetter[first] = [...(this.#byLetter[first] ?? []), { piece: { plain, ext, head }, codes }];
      }
    };
    for (const ext of registry.matches) enlist(ext, 'm');
    for (const ext of registry.targets) enlist(ext, 'j');
  }

  /** The plain piece that begins at `at`, in a rule of this protocol. Sets `end` and `port`. */
  find(at: number, end: number, protocol: number): PlainPiece | undefined {
    const text = this.#text;
    const pieces = this.#byLetter[text.charCodeAt(at + 3) & 127];
    if (pieces === undefined) return undefined;
    for (let i = 0; i < pieces.length; i++) {
      const { piece, codes } = pieces[i]!;
      const start = at + codes.length;
      let seen = 0;
      while (seen < codes.length && text.charCodeAt(at + seen) === codes[seen]) seen++;
      if (seen < codes.length) continue;
      this.port = -1;
      let valueEnd = -1;
      if (piece.plain === 'port') valueEnd = this.#port(start, end);
      else if (piece.plain === 'text') valueEnd = this.#quoted(start, end);
      else if (protocol === IPPROTO_TCP || protocol === IPPROTO_UDP) valueEnd = this.#endpoint(start, end);
      if (valueEnd === -1) return undefined;
      if (valueEnd !== end && (text.charCodeAt(valueEnd) !== SPACE || !endsPiece(text, valueEnd, end)))
        return undefined;
      this.end = valueEnd;
      return piece;
    }
    return undefined;
  }

  /** 0–65535 without leading zeros; sets `port`. Returns where it ends, or -1. */
  #port(start: number, end: number): number {
    const text = this.#text;
    let value = 0;
    let at = start;
    for (; at < end; at++) {
      const digit = text.charCodeAt(at) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (value > 65535) return -1;
    }
    if (at === start || (at > start + 1 && text.charCodeAt(start) === ZERO)) return -1;
    this.port = value;
    return at;
  }

  /** Printable ASCII in quotes without escapes, or a word that needs none. */
  #quoted(start: number, end: number): number {
    const text = this.#text;
    const first = text.charCodeAt(start);
    const quoted = first === QUOTE;
    if (first === DASH || first === BANG) return -1;
    const from = quoted ? start + 1 : start;
    let at = from;
    for (; at < end; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE || (code === SPACE && !quoted)) break;
      if (code === BACKSLASH || code < SPACE || code >= DELETE) return -1;
    }
    if (at === from || at - from > MAX_TEXT) return -1;
    if (!quoted) return text.charCodeAt(at) === QUOTE ? -1 : at;
    return at < end ? at + 1 : -1;
  }

  /** `a.b.c.d:port` as saved. */
  #endpoint(start: number, end: number): number {
    const text = this.#text;
    let dots = 0;
    let octet = -1;
    let at = start;
    for (; at < end; at++) {
      const code = text.charCodeAt(at);
      const digit = code - ZERO;
      if (digit >= 0 && digit <= 9) {
        if (octet === 0) return -1; // a leading zero: octal
        octet = octet === -1 ? digit : octet * 10 + digit;
        if (octet > 255) return -1;
      } else if (octet !== -1 && code === DOT && dots < 3) {
        octet = -1;
        dots++;
      } else break;
    }
    if (dots !== 3 || octet === -1 || text.charCodeAt(at) !== COLON) return -1;
    return this.#port(at + 1, end);
  }
}
