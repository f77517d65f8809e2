/**
 * The quick way through rules as iptables-save writes them: `-A CHAIN`, base options in saved order, matches, target. It
 * gives exactly what command.ts gives for such a line, or undefined: then command.ts reads the line, with diagnostics.
 * Rule files repeat themselves, so a rule is a form (rule-form.ts), which is found step by step, and little of its own.
 * The value of each piece of text (`-m mark --mark 0x1`) is made once and shared, or not at all (plain-piece.ts). Pieces
 * that command.ts could read differently in another surrounding (abbreviations, options of another extension, a second
 * instance of a match) are not taken here.
 */
import type { Source } from '../base/source.js';
import type { MatchExt, MatchUse, TargetUse } from '../ext/extension.js';
import { parseCNumber } from '../ext/option.js';
import type { Family } from '../net/netfilter.js';
import { protocolNumber } from '../net/protocol-name.js';
import { parseAddresses } from './address-value.js';
import { addressTest, EXTENSION_HEADERS } from './command-finish.js';
import type { ExtensionRegistry } from './extension-registry.js';
import { type AddressTest, type DeviceTest, isVerdict, type Rule, type RuleTarget } from './model.js';
import { PieceCache, PieceScan, readPiece } from './piece.js';
import { PlainPieces } from './plain-piece.js';
import {
  FormNode,
  PART_COUNTERS,
  PART_DST,
  PART_FRAGMENT,
  PART_IN,
  PART_MATCH,
  PART_OUT,
  PART_PROTOCOL,
  PART_SRC,
  PART_TARGET,
} from './rule-form.js';
import { SavedRule } from './saved-rule.js';
import type { WorkingTable } from './working-table.js';

/** Longer lines may exceed iptables' limits on words; command.ts counts them. */
const MAX_LINE = 1000;

const TAB = 9;
const SPACE = 32;
const BANG = 33;
const QUOTE = 34;
const DASH = 45;
const DOT = 46;
const SLASH = 47;
const ZERO = 48;
const [D, F, G, I, J, M, O, P, S] = [100, 102, 103, 105, 106, 109, 111, 112, 115] as const;

/** Place of a base option in a saved rule; 0: none. */
function placeOf(letter: number): number {
  switch (letter) {
    case S:
      return 1;
    case D:
      return 2;
    case I:
      return 3;
    case O:
      return 4;
    case P:
      return 5;
    case F:
      return 6;
    default:
      return 0;
  }
}

type Protocol = NonNullable<Rule['protocol']>;
/** Value of a piece of text; null: not for this reader. */
type Cache<V> = Map<string, V | null>;

/** Slices up to here are copies, quick to compare; longer ones refer to the text. */
const MAX_SHORT = 12;
const NONE: RuleTarget = { kind: 'none' };

export class CanonicalReader {
  readonly #source: Source;
  readonly #text: string;
  readonly #family: Family;
  readonly #registry: ExtensionRegistry;
  readonly #announced: ReadonlySet<string>;
  readonly #addresses: readonly [Cache<AddressTest | undefined>, Cache<AddressTest | undefined>] = [
    new Map(),
    new Map(),
  ];
  readonly #devices: readonly [Cache<DeviceTest>, Cache<DeviceTest>] = [new Map(), new Map()];
  readonly #protocols: readonly [Cache<Protocol | undefined>, Cache<Protocol | undefined>] = [new Map(), new Map()];
  readonly #matches: PieceCache<MatchUse>;
  readonly #targets: PieceCache<RuleTarget>;
  readonly #scan: PieceScan;
  readonly #plain: PlainPieces;
  readonly #root = new FormNode(undefined, PART_COUNTERS, false);
  /** Extensions of the rule being read; reused. */
  readonly #found: (MatchExt | undefined)[] = [];
  /** The address that #saved4 read: its first word, masked and signed, and its prefix length. */
  #word = 0;
  #bits = 0;
  /** The short `-j NAME` met last, if all that counts for it is the table, and what it means. */
  #lastJump = '';
  #lastTarget: RuleTarget = NONE;
  #table: WorkingTable | undefined;
  #chain = '';
  #incoming = false;
  #outgoing = false;
  #rules: Rule[] | undefined;

  constructor(source: Source, family: Family, registry: ExtensionRegistry, announced: ReadonlySet<string>) {
    this.#source = source;
    this.#text = source.text;
    this.#family = family;
    this.#registry = registry;
    this.#announced = announced;
    this.#matches = new PieceCache(source.text.length);
    this.#targets = new PieceCache(source.text.length);
    this.#scan = new PieceScan(source.text);
    this.#plain = new PlainPieces(source.text, registry, family);
  }

  /** Must be called after every other change to a table: the chain last appended to may be another array now. */
  forget(): void {
    this.#table = undefined;
    this.#rules = undefined;
    this.#lastJump = '';
  }

  /**
   * Reads and appends the rule in text[at, end), which begins at `-A ` and holds no newline; false: not done. `counted`:
   * digits in brackets stand before it, and count.
   */
  append(table: WorkingTable, at: number, end: number, lineStart: number, counted: boolean): boolean {
    if (end - at > MAX_LINE) return false;
    const text = this.#text;
    const nameStart = at + 3;
    let nameEnd = nameStart + this.#chain.length;
    const same = this.#table === table && text.charCodeAt(nameEnd) === SPACE && text.startsWith(this.#chain, nameStart);
    if (!same || nameEnd >= end) {
      nameEnd = nameStart;
      for (; nameEnd < end; nameEnd++) {
        const code = text.charCodeAt(nameEnd);
        if (code === SPACE) break;
        if (code === QUOTE || code === TAB) return false;
      }
      if (nameEnd === nameStart) return false;
      const name = text.slice(nameStart, nameEnd);
      const rules = table.rulesToAppend(name);
      if (rules === undefined) return false;
      this.#table = table;
      this.#chain = name;
      this.#incoming = name === 'PREROUTING' || name === 'INPUT';
      this.#outgoing = name === 'POSTROUTING' || name === 'OUTPUT';
      this.#rules = rules;
    }
    const rule = this.#read(table, nameEnd + 1, end, lineStart, counted);
    if (rule === undefined) return false;
    this.#rules!.push(rule);
    return true;
  }

  #read(table: WorkingTable, start: number, end: number, lineStart: number, counted: boolean): Rule | undefined {
    const text = this.#text;
    let form = counted ? this.#root.step(PART_COUNTERS, true) : this.#root;
    let src: number | AddressTest | undefined;
    let dst: number | AddressTest | undefined;
    let key = 0;
    let at = start;
    let order = 0;
    let invert = 0;
    while (at < end) {
      const code = text.charCodeAt(at);
      if (code === BANG) {
        if (invert === 1 || text.charCodeAt(at + 1) !== SPACE) return undefined;
        invert = 1;
        at += 2;
        continue;
      }
      if (code !== DASH) return undefined;
      const letter = text.charCodeAt(at + 1);
      if (letter === F) {
        if (this.#family === 6 || order >= 6 || (at + 2 < end && text.charCodeAt(at + 2) !== SPACE)) return undefined;
        form = form.step(PART_FRAGMENT, invert === 0);
        order = 6;
        invert = 0;
        at += 3;
        continue;
      }
      if (at + 3 >= end || text.charCodeAt(at + 2) !== SPACE) return undefined;
      if (letter === M || letter === J || letter === G) break;
      const place = placeOf(letter);
      if (place <= order) return undefined;
      order = place;
      const wordStart = at + 3;
      if (letter === S || letter === D) {
        let own: number | AddressTest | undefined;
        let wordEnd = this.#saved4(wordStart, end);
        if (wordEnd !== -1) {
          own = this.#word;
          form = form.step(letter === S ? PART_SRC : PART_DST, this.#bits * 2 + invert);
        } else {
          wordEnd = this.#wordEnd(wordStart, end);
          if (wordEnd === -1) return undefined;
          const test = this.#address(text.slice(wordStart, wordEnd), invert);
          if (test === null) return undefined;
          own = test;
        }
        if (letter === S) src = own;
        else dst = own;
        invert = 0;
        at = wordEnd + 1;
        continue;
      }
      const wordEnd = this.#wordEnd(wordStart, end);
      if (wordEnd === -1) return undefined;
      const word = text.slice(wordStart, wordEnd);
      if (letter === P) {
        const protocol = this.#protocol(word, invert);
        if (protocol === null) return undefined;
        if (protocol !== undefined) {
          key = protocol.number * 2 + (protocol.invert ? 1 : 0);
          form = form.step(PART_PROTOCOL, protocol);
        }
      } else {
        const test = this.#device(word, invert);
        if (test === null || (letter === I ? this.#outgoing : this.#incoming)) return undefined;
        form = form.step(letter === I ? PART_IN : PART_OUT, test);
      }
      invert = 0;
      at = wordEnd + 1;
    }
    if (invert === 1) return undefined;
    const found = this.#found;
    const plain = this.#plain;
    let count = 0;
    let port = -1;
    let target: RuleTarget | undefined = NONE;
    while (at < end) {
      const letter = text.charCodeAt(at + 1);
      const piece = plain.find(at, end, key >> 1);
      if (piece !== undefined && (letter === M ? port === -1 || plain.port === -1 : plain.end === end)) {
        if (letter === M) {
          if (!isNew(found, count, piece.ext as MatchExt)) return undefined; // a match, as it stands behind -m
          found[count++] = piece.ext as MatchExt;
          if (plain.port !== -1) port = plain.port;
          form = form.step(PART_MATCH, piece);
          at = plain.end + 1;
        } else {
          const { kind } = piece.ext;
          if (this.#announced.has(kind) || table.jumpTarget(kind, false) !== undefined) return undefined;
          form = form.step(PART_TARGET, piece);
          target = undefined;
          at = end;
        }
        continue;
      }
      const pieceEnd = this.#scan.endOf(at, end);
      if (pieceEnd === -1) return undefined;
      if (letter === M) {
        const use = this.#match(at, pieceEnd, key);
        if (use === null || !isNew(found, count, use.ext)) return undefined;
        found[count++] = use.ext;
        form = form.step(PART_MATCH, use);
      } else {
        if (pieceEnd !== end) return undefined;
        if (this.#lastJump.length === end - at && text.startsWith(this.#lastJump, at)) {
          target = this.#lastTarget;
        } else {
          const value = this.#target(table, letter === G, at, end, key);
          if (value === null) return undefined;
          target = value;
          if (end - at <= MAX_SHORT && value.kind !== 'extension') {
            this.#lastJump = text.slice(at, end);
            this.#lastTarget = value;
          }
        }
      }
      at = pieceEnd + 1;
    }
    return new SavedRule(form.form(this.#source, this.#family), src, dst, port, target, lineStart);
  }

  /** End of the word that begins at `at`; -1 if it is empty or holds a quote or tab. */
  #wordEnd(at: number, end: number): number {
    const text = this.#text;
    let i = at;
    for (; i < end; i++) {
      const code = text.charCodeAt(i);
      if (code === SPACE) break;
      if (code === QUOTE || code === TAB) return -1;
    }
    return i === at ? -1 : i;
  }

  /** `a.b.c.d/1` to `a.b.c.d/32` as saved: sets #word and #bits, returns the end; -1: not such a word. */
  #saved4(start: number, end: number): number {
    if (this.#family !== 4) return -1;
    const text = this.#text;
    let address = 0;
    let octet = -1;
    let dots = 0;
    let at = start;
    for (; at < end; at++) {
      const code = text.charCodeAt(at);
      const digit = code - ZERO;
      if (digit >= 0 && digit <= 9) {
        if (octet === 0) return -1; // a leading zero: octal
        octet = octet === -1 ? digit : octet * 10 + digit;
        if (octet > 255) return -1;
      } else {
        if (octet === -1) return -1;
        address = (address << 8) | octet;
        octet = -1;
        if (code !== DOT) break;
        dots++;
      }
    }
    if (dots !== 3 || at >= end || text.charCodeAt(at) !== SLASH) return -1;
    const tens = text.charCodeAt(at + 1) - ZERO;
    if (at + 1 >= end || tens < 1 || tens > 9) return -1;
    let bits = tens;
    at += 2;
    if (at < end && text.charCodeAt(at) !== SPACE) {
      const ones = text.charCodeAt(at) - ZERO;
      if (ones < 0 || ones > 9) return -1;
      bits = tens * 10 + ones;
      at++;
      if (bits > 32 || (at < end && text.charCodeAt(at) !== SPACE)) return -1;
    }
    this.#word = address & (-1 << (32 - bits));
    this.#bits = bits;
    return at;
  }

  #address(word: string, invert: number): AddressTest | undefined | null {
    const cache = this.#addresses[invert]!;
    let test = cache.get(word);
    if (test === undefined && !cache.has(word)) {
      const values = parseAddresses(word, this.#family);
      test = Array.isArray(values) && values.length === 1 ? addressTest(values[0]!, invert === 1) : null;
      cache.set(word, test);
    }
    return test;
  }

  #device(word: string, invert: number): DeviceTest | null {
    const cache = this.#devices[invert]!;
    let test = cache.get(word);
    if (test === undefined) {
      test = /^[!-.0-~]{1,15}$/.test(word) ? { name: word, invert: invert === 1 } : null;
      cache.set(word, test);
    }
    return test;
  }

  #protocol(word: string, invert: number): Protocol | undefined | null {
    const cache = this.#protocols[invert]!;
    let value = cache.get(word);
    if (value === undefined && !cache.has(word)) {
      const digits = parseCNumber(word);
      const number = digits !== undefined && digits <= 255 ? digits : protocolNumber(word);
      if (number === undefined || (number === 0 && invert === 1)) value = null;
      else if (this.#family === 6 && EXTENSION_HEADERS.has(number)) value = null;
      else value = number === 0 ? undefined : { number, invert: invert === 1 };
      cache.set(word, value);
    }
    return value;
  }

  #match(at: number, end: number, key: number): MatchUse | null {
    const { hash } = this.#scan;
    let use = this.#matches.get(this.#text, at, end, key, hash);
    if (use === undefined) {
      const find = (name: string): MatchExt | undefined => this.#registry.findMatch(name, this.#family);
      use = readPiece(this.#source, at, end, key, this.#family, find);
      this.#matches.set(this.#text, at, end, key, hash, use);
    }
    return use;
  }

  #target(table: WorkingTable, isGoto: boolean, at: number, end: number, key: number): RuleTarget | null {
    const nameEnd = this.#wordEnd(at + 3, end);
    if (nameEnd === -1) return null;
    const { hash } = this.#scan;
    const name = this.#text.slice(at + 3, nameEnd);
    const jump = table.jumpTarget(name, isGoto);
    if (jump !== undefined) {
      if (nameEnd !== end || jump === null) return null;
      if (!this.#announced.has(name) && this.#registry.findTarget(name, this.#family) !== undefined) return null;
      return jump;
    }
    if (isGoto || this.#announced.has(name) || (name === 'DROP' && table.name === 'nat')) return null;
    let target = this.#targets.get(this.#text, at, end, key, hash);
    if (target === undefined) {
      if (isVerdict(name)) target = nameEnd === end ? { kind: 'verdict', verdict: name } : null;
      else {
        const find = (kind: string): TargetUse['ext'] | undefined => this.#registry.findTarget(kind, this.#family);
        const use = readPiece(this.#source, at, end, key, this.#family, find);
        target = use === null ? null : { kind: 'extension', use };
      }
      this.#targets.set(this.#text, at, end, key, hash, target);
    }
    return target;
  }
}

/** False if the extension is among the first `count` of `found`. */
function isNew(found: readonly (MatchExt | undefined)[], count: number, ext: MatchExt): boolean {
  for (let i = 0; i < count; i++) if (found[i] === ext) return false;
  return true;
}
