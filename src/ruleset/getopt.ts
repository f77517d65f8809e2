/**
 * Reads the words of a command one option at a time, as the C library's getopt_long() does for iptables, over base
 * options and the options of the extensions loaded so far (specification 3.2).
 */
import type { MatchExt, OptionSpec, TargetExt } from '../ext/extension.js';
import type { Family } from '../net/netfilter.js';
import { type BaseOption, BY_LETTER, BY_NAME, hasLongName } from './base-option.js';
import type { Words } from './words.js';

export type Extension = MatchExt | TargetExt;

/** What the next word turned out to be. `word` is the index of the word that holds the option. */
export type Item =
  | { readonly kind: 'plain'; readonly word: number }
  | { readonly kind: 'base'; readonly word: number; readonly option: BaseOption; readonly argument: string | undefined }
  | {
      readonly kind: 'extension';
      readonly word: number;
      readonly ext: Extension;
      readonly spec: OptionSpec;
      readonly argument: string | undefined;
    }
  | { readonly kind: 'unknown'; readonly word: number; readonly name: string; readonly fits: readonly string[] }
  | { readonly kind: 'missing-value'; readonly word: number; readonly name: string };

type Found =
  | { readonly base: BaseOption }
  | { readonly base?: undefined; readonly ext: Extension; readonly spec: OptionSpec };

export class OptionReader {
  readonly words: Words;
  readonly #family: Family;
  /** Extensions in the order in which their options were added; the latest is asked first. */
  readonly #loaded: Extension[] = [];
  /** Next word to read. The word before it is what iptables calls argv[optind - 1]. */
  next = 0;
  /** Position within a word of joined short options, 0: none. */
  #within = 0;
  /** The option that `rewind` goes back to. */
  #last = 0;

  constructor(words: Words, family: Family) {
    this.words = words;
    this.#family = family;
  }

  /** Makes an extension's options known; a second instance changes nothing. */
  load(ext: Extension): void {
    if (!this.#loaded.includes(ext)) this.#loaded.push(ext);
  }

  get loaded(): readonly Extension[] {
    return this.#loaded;
  }

  /** Goes back to the option read last, so that it is read again. */
  rewind(): void {
    this.next = this.#last;
    this.#within = 0;
  }

  /** True if the next word can be a value that an option may have or not. */
  hasArgument(): boolean {
    const word = this.words.values[this.next];
    return word !== undefined && !word.startsWith('-') && !word.startsWith('!');
  }

  /** The next option or plain word; undefined at the end or after `--`. */
  read(): Item | undefined {
    if (this.#within > 0) return this.#short();
    const word = this.words.values[this.next];
    if (word === undefined) return undefined;
    this.#last = this.next;
    if (word.length < 2 || word[0] !== '-') return { kind: 'plain', word: this.next++ };
    if (word === '--') {
      this.next++;
      return undefined;
    }
    if (word[1] === '-') return this.#long(word);
    this.#within = 1;
    return this.#short();
  }

  #short(): Item {
    const at = this.next;
    const word = this.words.values[at]!;
    const letter = word[this.#within]!;
    this.#within++;
    const option = BY_LETTER.get(letter);
    const rest = word.slice(this.#within);
    if (option === undefined) {
      if (rest === '') this.#endWord();
      return { kind: 'unknown', word: at, name: `-${letter}`, fits: [] };
    }
    if (option.argument === 'none') {
      if (rest === '') this.#endWord();
      return { kind: 'base', word: at, option, argument: undefined };
    }
    this.#endWord();
    if (rest !== '') return { kind: 'base', word: at, option, argument: rest };
    if (option.argument === 'optional') return { kind: 'base', word: at, option, argument: undefined };
    const argument = this.words.values[this.next];
    if (argument === undefined) return { kind: 'missing-value', word: at, name: `-${letter}` };
    this.next++;
    return { kind: 'base', word: at, option, argument };
  }

  #endWord(): void {
    this.next++;
    this.#within = 0;
  }

  #long(word: string): Item {
    const at = this.next++;
    const equals = word.indexOf('=');
    const name = equals === -1 ? word : word.slice(0, equals);
    const found = this.#find(name);
    if (Array.isArray(found)) return { kind: 'unknown', word: at, name, fits: found };
    const takes =
      found.base !== undefined ? found.base.argument : (found.spec.args ?? 1) === 0 ? ('none' as const) : 'required';
    let argument = equals === -1 ? undefined : word.slice(equals + 1);
    if (argument !== undefined && takes === 'none') return { kind: 'unknown', word: at, name: word, fits: [] };
    if (argument === undefined && takes === 'required') {
      argument = this.words.values[this.next];
      if (argument === undefined) return { kind: 'missing-value', word: at, name };
      this.next++;
    }
    if (found.base !== undefined) return { kind: 'base', word: at, option: found.base, argument };
    return { kind: 'extension', word: at, ext: found.ext, spec: found.spec, argument };
  }

  /** The option that a name means: an exact name, else a beginning of one option only; else the names that fit. */
  #find(name: string): Found | string[] {
    const base = BY_NAME.get(name);
    if (base !== undefined && hasLongName(base, this.#family)) return { base };
    for (let i = this.#loaded.length - 1; i >= 0; i--) {
      const ext = this.#loaded[i]!;
      for (const spec of ext.options) if (spec.name === name || spec.aliases?.includes(name)) return { ext, spec };
    }
    const fits: string[] = [];
    let only: Found | undefined;
    let count = 0;
    for (const [full, option] of BY_NAME) {
      if (!full.startsWith(name) || !hasLongName(option, this.#family)) continue;
      fits.push(full);
      if (only?.base !== option) count++;
      only = { base: option };
    }
    for (const ext of this.#loaded) {
      for (const spec of ext.options) {
        const full = [spec.name, ...(spec.aliases ?? [])].find((n) => n.startsWith(name));
        if (full === undefined) continue;
        fits.push(full);
        count++;
        only = { ext, spec };
      }
    }
    return count === 1 && only !== undefined ? only : fits;
  }
}
