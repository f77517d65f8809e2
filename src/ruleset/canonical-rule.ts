/**
 * The quick way through rules as iptables-save writes them: `-A CHAIN`, base options in saved order, matches, target. It
 * gives exactly what command.ts gives for such a line, or undefined: then command.ts reads the line, with diagnostics.
 * Rule files repeat themselves, so the value of each piece of text (an address, `-m tcp --dport 80`) is made once and
 * shared; most lines then cost a few look-ups. Pieces that command.ts could read differently in another surrounding
 * (abbreviations, options of another extension, a second instance of a match) are not taken here.
 */
import type { Source } from '../base/source.js';
import type { MatchExt, MatchUse, OptionSpec, TargetExt, TargetUse } from '../ext/extension.js';
import { type GivenOption, GivenOptions, parseCNumber } from '../ext/option.js';
import type { Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { protocolNumber } from '../net/protocol-name.js';
import { parseAddresses } from './address-value.js';
import { BY_NAME } from './base-option.js';
import { addressTest, EXTENSION_HEADERS } from './command.js';
import { type Counters, ZERO_COUNTERS } from './counter.js';
import type { ExtensionRegistry } from './extension-registry.js';
import { type AddressTest, type DeviceTest, isVerdict, type Rule, type RuleTarget } from './model.js';
import { PieceCache, PieceOption } from './piece.js';
import { splitInto, type WordBuffer } from './words.js';
import type { WorkingTable } from './working-table.js';

/** Longer lines may exceed iptables' limits on words; command.ts counts them. */
const MAX_LINE = 1000;

const TAB = 9;
const SPACE = 32;
const BANG = 33;
const QUOTE = 34;
const DASH = 45;
const BACKSLASH = 92;
const [D, F, G, I, J, M, O, P, S] = [100, 102, 103, 105, 106, 109, 111, 112, 115] as const;

/** Place of the base options in a saved rule, by letter code. */
const ORDER: Readonly<Record<number, number>> = { [S]: 1, [D]: 2, [I]: 3, [O]: 4, [P]: 5, [F]: 6 };

type Protocol = NonNullable<Rule['protocol']>;
/** Value of a piece of text; null: not for this reader. */
type Cache<V> = Map<string, V | null>;

const RECENT_HOSTS = 256;
const HOST_MASK: Words6 = [0xffffffff, 0, 0, 0];
const NO_OPTIONS: GivenOption[] = [];
const NO_VALUES: readonly string[] = [];
const NONE: RuleTarget = { kind: 'none' };
const NO_MATCHES: readonly MatchUse[] = [];

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
  /** Tests of single IPv4 hosts met lately, by a hash of the address. */
  readonly #recentHosts: readonly [(AddressTest | undefined)[], (AddressTest | undefined)[]] = [[], []];
  readonly #devices: readonly [Cache<DeviceTest>, Cache<DeviceTest>] = [new Map(), new Map()];
  readonly #protocols: readonly [Cache<Protocol | undefined>, Cache<Protocol | undefined>] = [new Map(), new Map()];
  readonly #matches: PieceCache<MatchUse>;
  readonly #targets: PieceCache<RuleTarget>;
  /** Hash of the piece that #pieceEnd went over last. */
  #pieceHash = 0;
  /** Matches of the rule being read; reused. */
  readonly #found: MatchUse[] = [];
  readonly #words: WordBuffer = { values: [], starts: [], ends: [], fault: undefined };
  #reported = false;
  readonly #onReport = (): void => {
    this.#reported = true;
  };
  #table: WorkingTable | undefined;
  #chain = '';
  #rules: Rule[] | undefined;

  constructor(source: Source, family: Family, registry: ExtensionRegistry, announced: ReadonlySet<string>) {
    this.#source = source;
    this.#text = source.text;
    this.#family = family;
    this.#registry = registry;
    this.#announced = announced;
    for (const list of this.#recentHosts) for (let i = 0; i < RECENT_HOSTS; i++) list.push(undefined);
    this.#matches = new PieceCache(source.text.length);
    this.#targets = new PieceCache(source.text.length);
  }

  /** Must be called after every other change to a table: the chain last appended to may be another array now. */
  forget(): void {
    this.#table = undefined;
    this.#rules = undefined;
  }

  /** Reads and appends the rule in text[at, end), which begins at `-A ` and holds no newline; false: not done. */
  append(table: WorkingTable, at: number, end: number, lineStart: number, counters: Counters | undefined): boolean {
    if (end - at > MAX_LINE) return false;
    const text = this.#text;
    const nameStart = at + 3;
    let nameEnd = nameStart;
    for (; nameEnd < end; nameEnd++) {
      const code = text.charCodeAt(nameEnd);
      if (code === SPACE) break;
      if (code === QUOTE || code === TAB) return false;
    }
    if (nameEnd === nameStart) return false;
    const same =
      this.#table === table && nameEnd - nameStart === this.#chain.length && text.startsWith(this.#chain, nameStart);
    if (!same) {
      const name = text.slice(nameStart, nameEnd);
      const rules = table.rulesToAppend(name);
      if (rules === undefined) return false;
      this.#table = table;
      this.#chain = name;
      this.#rules = rules;
    }
    const rule = this.#read(table, nameEnd + 1, end, lineStart, counters ?? ZERO_COUNTERS);
    if (rule === undefined) return false;
    this.#rules!.push(rule);
    return true;
  }

  #read(table: WorkingTable, start: number, end: number, lineStart: number, counters: Counters): Rule | undefined {
    const text = this.#text;
    let src: AddressTest | undefined;
    let dst: AddressTest | undefined;
    let inDevice: DeviceTest | undefined;
    let outDevice: DeviceTest | undefined;
    let protocol: Protocol | undefined;
    let fragment: boolean | undefined;
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
        fragment = invert === 0;
        order = 6;
        invert = 0;
        at += 3;
        continue;
      }
      if (at + 3 >= end || text.charCodeAt(at + 2) !== SPACE) return undefined;
      if (letter === M || letter === J || letter === G) break;
      const place = ORDER[letter];
      if (place === undefined || place <= order) return undefined;
      order = place;
      const wordStart = at + 3;
      const wordEnd = this.#wordEnd(wordStart, end);
      if (wordEnd === -1) return undefined;
      if (letter === S || letter === D) {
        const test =
          this.#savedAddress(wordStart, wordEnd, invert) ?? this.#address(text.slice(wordStart, wordEnd), invert);
        if (test === null) return undefined;
        if (letter === S) src = test;
        else dst = test;
        invert = 0;
        at = wordEnd + 1;
        continue;
      }
      const word = text.slice(wordStart, wordEnd);
      if (letter === P) {
        const found = this.#protocol(word, invert);
        if (found === null) return undefined;
        protocol = found;
      } else {
        const test = this.#device(word, invert);
        if (test === null) return undefined;
        if (letter === I) inDevice = test;
        else outDevice = test;
      }
      invert = 0;
      at = wordEnd + 1;
    }
    if (invert === 1) return undefined;
    const chain = this.#chain;
    if (outDevice !== undefined && (chain === 'PREROUTING' || chain === 'INPUT')) return undefined;
    if (inDevice !== undefined && (chain === 'POSTROUTING' || chain === 'OUTPUT')) return undefined;
    const key = protocol === undefined ? 0 : protocol.number * 2 + (protocol.invert ? 1 : 0);
    const found = this.#found;
    let count = 0;
    let target = NONE;
    while (at < end) {
      const pieceEnd = this.#pieceEnd(at, end);
      if (pieceEnd === -1) return undefined;
      const letter = text.charCodeAt(at + 1);
      if (letter === M) {
        const use = this.#match(at, pieceEnd, key);
        if (use === null) return undefined;
        for (let i = 0; i < count; i++) if (found[i]!.ext === use.ext) return undefined;
        found[count++] = use;
      } else {
        if (pieceEnd !== end) return undefined;
        const value = this.#target(table, letter === G, at, end, key);
        if (value === null) return undefined;
        target = value;
      }
      at = pieceEnd + 1;
    }
    // Arrays that grew by push() hold room for 17 and more.
    const matches = count === 0 ? NO_MATCHES : found.slice(0, count);
    const { packets, bytes } = counters;
    const span = { source: this.#source, start: lineStart, end };
    return { src, dst, inDevice, outDevice, protocol, fragment, matches, target, packets, bytes, span };
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

  /**
   * End of the piece that begins with the `-m`, `-j` or `-g` at `at`: the blank before the next of them. A value that
   * looks like one (`--comment -m`) leaves its option without a value, so that the piece is refused; -1: not for us.
   */
  #pieceEnd(at: number, end: number): number {
    const text = this.#text;
    let hash = 0;
    let i = at + 3;
    while (i < end) {
      let code = text.charCodeAt(i);
      if (code === SPACE) {
        if (text.charCodeAt(i + 1) === DASH && i + 3 < end && text.charCodeAt(i + 3) === SPACE) {
          const letter = text.charCodeAt(i + 2);
          if (letter === M || letter === J || letter === G) break;
        }
        i++;
      } else if (code === QUOTE) {
        i++;
        while (i < end) {
          code = text.charCodeAt(i);
          if (code === QUOTE) break;
          hash = (Math.imul(hash, 31) + code) | 0;
          i += code === BACKSLASH ? 2 : 1;
        }
        if (i >= end) return -1;
        i++;
      } else if (code === TAB) return -1;
      else {
        hash = (Math.imul(hash, 31) + code) | 0;
        i++;
      }
    }
    this.#pieceHash = hash;
    return Math.min(i, end);
  }

  /** `a.b.c.d/32` as saved, without a cache of texts: most rules have addresses of their own. */
  #savedAddress(start: number, end: number, invert: number): AddressTest | undefined {
    if (this.#family !== 4) return undefined;
    const text = this.#text;
    if (!text.startsWith('/32', end - 3)) return undefined;
    let address = 0;
    let octet = -1;
    let dots = 0;
    for (let i = start; i < end - 3; i++) {
      const digit = text.charCodeAt(i) - 48;
      if (digit >= 0 && digit <= 9) {
        if (octet === 0) return undefined; // a leading zero: octal
        octet = octet === -1 ? digit : octet * 10 + digit;
        if (octet > 255) return undefined;
      } else {
        if (digit !== -2 || octet === -1) return undefined; // '.'
        address = address * 256 + octet;
        octet = -1;
        dots++;
      }
    }
    if (dots !== 3 || octet === -1) return undefined;
    address = address * 256 + octet;
    const slot = (address ^ (address >>> 8)) & (RECENT_HOSTS - 1);
    const known = this.#recentHosts[invert]![slot];
    if (known !== undefined && known.address[0] === address) return known;
    const test: AddressTest = { address: [address, 0, 0, 0], mask: HOST_MASK, invert: invert === 1 };
    this.#recentHosts[invert]![slot] = test;
    return test;
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
    const hash = this.#pieceHash;
    let use = this.#matches.get(this.#text, at, end, key, hash);
    if (use === undefined) {
      use = this.#readPiece(at, end, key, true) as MatchUse | null;
      this.#matches.set(this.#text, at, end, key, hash, use);
    }
    return use;
  }

  #target(table: WorkingTable, isGoto: boolean, at: number, end: number, key: number): RuleTarget | null {
    const nameEnd = this.#wordEnd(at + 3, end);
    if (nameEnd === -1) return null;
    const hash = this.#pieceHash;
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
        const use = this.#readPiece(at, end, key, false);
        target = use === null ? null : { kind: 'extension', use: use as TargetUse };
      }
      this.#targets.set(this.#text, at, end, key, hash, target);
    }
    return target;
  }

  /** `-m name …` or `-j NAME …` with options of that extension only, in full, and nothing to report. */
  #readPiece(
    at: number,
    end: number,
    key: number,
    isMatch: boolean,
  ): { readonly ext: MatchExt | TargetExt; readonly value: unknown } | null {
    const { values, starts, ends, fault } = splitInto(this.#words, this.#text, at, end);
    if (values.length < 2 || fault !== undefined) return null;
    const name = values[1]!;
    const ext = isMatch ? this.#registry.findMatch(name, this.#family) : this.#registry.findTarget(name, this.#family);
    if (ext === undefined) return null;
    let given: GivenOption[] = NO_OPTIONS;
    let invert = false;
    for (let i = 2; i < values.length; i++) {
      const word = values[i]!;
      if (word === '!' && !invert) {
        invert = true;
        continue;
      }
      const spec = BY_NAME.has(word) ? undefined : specOf(ext, word);
      if (spec === undefined || (invert && spec.invert !== true)) return null;
      if (spec.many !== true) for (const other of given) if (other.spec === spec) return null;
      const count = spec.args ?? 1;
      if (i + count >= values.length) return null;
      const first = values[i + 1];
      const second = values[i + 2];
      if (count === 2 && /^[-!]/.test(second!)) return null;
      const option = new PieceOption(
        this.#source,
        spec,
        invert,
        count === 0 ? NO_VALUES : count === 1 ? [first!] : [first!, second!],
        key,
        starts[i]!,
        ends[i]!,
        starts[i + Math.min(count, 1)]!,
        ends[i + count]!,
      );
      if (given === NO_OPTIONS) given = [option];
      else given.push(option);
      invert = false;
      i += count;
    }
    if (invert) return null;
    this.#reported = false;
    const span = { source: this.#source, start: starts[1]!, end: ends[1]! };
    const value = ext.parse(new GivenOptions(ext.kind, this.#family, given, span, this.#onReport));
    return this.#reported ? null : { ext, value };
  }
}

function specOf(ext: MatchExt | TargetExt, name: string): OptionSpec | undefined {
  for (const spec of ext.options) if (spec.name === name || spec.aliases?.includes(name) === true) return spec;
  return undefined;
}
