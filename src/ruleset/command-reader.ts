/** Reads the options of a command line, one after the other, into a draft. */
import { byteSize } from '../base/byte-size.js';
import { nearest } from '../base/nearest.js';
import { parseCNumber } from '../ext/option.js';
import { UNSUPPORTED_MATCHES, UNSUPPORTED_TARGETS } from '../ext/unsupported.js';
import { protocolName, protocolNumber } from '../net/protocol-name.js';
import { COMMAND_OF_LETTER, type CommandName, INVERTIBLE } from './base-option.js';
import type { CommandContext } from './command.js';
import { type CommandDraft, MAX_NAME_SIZE } from './command-draft.js';
import { EXTENSION_HEADERS, refuseExtension } from './command-finish.js';
import { parseCounter } from './counter.js';
import { type Item, OptionReader } from './getopt.js';
import type { LineFaults } from './line-fault.js';
import { isVerdict } from './model.js';
import { didYouMean, optionHint, strayHint } from './rule-hint.js';
import type { Words } from './words.js';

const MAX_DEVICE_SIZE = 15;
const MAX_RULE_NUMBER = 0x7fffffff;

export class CommandReader {
  readonly #context: CommandContext;
  readonly #words: Words;
  readonly #draft: CommandDraft;
  readonly #faults: LineFaults;
  readonly #reader: OptionReader;
  #implicitLoaded = false;

  constructor(context: CommandContext, words: Words, draft: CommandDraft, faults: LineFaults) {
    this.#context = context;
    this.#words = words;
    this.#draft = draft;
    this.#faults = faults;
    this.#reader = new OptionReader(words, context.family);
  }

  /** The word behind those read. */
  get next(): number {
    return this.#reader.next;
  }

  /** Reads every option; 'skip': the line is for the other family. */
  read(): 'skip' | 'end' | undefined {
    const reader = this.#reader;
    let invert = false;
    for (let item = reader.read(); item !== undefined; item = reader.read()) {
      if (item.kind === 'plain') {
        const word = this.#words.values[item.word]!;
        if (word !== '!') this.#faults.refuse('stray-word', `stray word "${word}"`, item.word, strayHint(word));
        if (invert) this.#faults.refuse('bad-bang', 'multiple consecutive ! not allowed', item.word);
        invert = true;
        continue;
      }
      if (item.kind === 'unknown' || item.kind === 'missing-value') {
        if (this.#loadImplicit()) continue;
        if (item.kind === 'missing-value')
          this.#faults.refuse('missing-value', `option "${item.name}" requires an argument`, item.word);
        this.#unknownOption(item);
      } else if (item.kind === 'extension') {
        this.#takeExtensionOption(item, invert);
      } else {
        const early = this.#takeBaseOption(item, invert);
        if (early !== undefined) {
          return early;
        }
      }
      invert = false;
    }
    if (reader.next < this.#words.values.length)
      this.#faults.refuse('stray-word', 'unknown arguments after --', {
        start: this.#faults.span(reader.next).start,
        end: this.#faults.line.end,
      });
    if (invert) this.#faults.refuse('bad-bang', 'nothing appropriate following !', this.#words.values.length - 1);
    return undefined;
  }

  /** The first option that nothing known takes loads the match of `-p`'s protocol; true if there is more to know now. */
  #loadImplicit(): boolean {
    if (!this.#draft.protocolGiven || this.#implicitLoaded) return false;
    const ext = this.#context.registry.implicitMatch(this.#draft.protocol, this.#context.family);
    if (ext === undefined) return false;
    this.#implicitLoaded = true;
    this.#reader.load(ext);
    this.#draft.matches.push({ ext, given: [], span: this.#faults.span(this.#draft.seen.get('p')!) });
    this.#reader.rewind();
    return true;
  }

  #takeBaseOption(item: Item & { kind: 'base' }, invert: boolean): 'skip' | 'end' | undefined {
    const { letter } = item.option;
    const command = COMMAND_OF_LETTER[letter];
    if (command !== undefined) {
      this.#takeCommand(command, item, invert);
      return undefined;
    }
    switch (letter) {
      case 'm':
        if (invert)
          this.#faults.refuse(
            'bad-bang',
            'unexpected ! before --match',
            item.word,
            'put ! before an option of the match',
          );
        this.#loadMatch(item.argument!, this.#reader.next - 1);
        return undefined;
      case 't':
        return this.#faults.refuse(
          'not-in-file',
          'the -t option cannot be used in a rule file',
          item.word,
          'use a *TABLE line',
        );
      case 'w':
      case 'W':
        return this.#faults.refuse('not-in-file', `"-${letter}" cannot be used in a rule file`, item.word);
      case 'h':
      case 'V':
        this.#faults.refuse(
          'ends-program',
          `"-${letter}" makes iptables-restore stop here: this table and all after it are not loaded`,
          item.word,
        );
        break;
      case 'M':
        return undefined;
      case '4':
      case '6':
        return Number(letter) === this.#context.family ? undefined : 'skip';
      default:
        this.#setOption(letter, item.word, invert);
        this.#takeRuleOption(letter, item, invert);
    }
    return undefined;
  }

  #setOption(letter: string, word: number, invert: boolean): void {
    const key = letter === 'g' ? 'j' : letter;
    if (key === 'v' && this.#draft.seen.has('v')) return;
    if (this.#draft.seen.has(key)) {
      const both = key === 'j' && letter === 'g' ? '-j or -g' : `-${letter}`;
      this.#faults.refuse('option-repeated', `multiple ${both} options not allowed`, word);
    }
    this.#draft.seen.set(key, word);
    if (invert && !INVERTIBLE.has(letter)) this.#faults.refuse('bad-bang', `cannot have ! before -${letter}`, word);
  }

  #takeRuleOption(letter: string, item: Item & { kind: 'base' }, invert: boolean): void {
    // 1.8.9 takes the whole last word as the value here, also where the value is glued to the option.
    const valueWord = this.#reader.next - 1;
    const value = this.#words.values[valueWord]!;
    switch (letter) {
      case 's':
      case 'd':
        this.#draft.addressWords.push({ letter, word: valueWord, invert });
        return;
      case 'p':
        this.#takeProtocol(value, valueWord, invert);
        return;
      case 'i':
      case 'o': {
        if (item.argument === '')
          this.#faults.fail(
            'bad-interface',
            'empty interface name',
            valueWord,
            'leave the option out to match any interface',
          );
        else if (byteSize(value) > MAX_DEVICE_SIZE)
          this.#faults.fail(
            'bad-interface',
            `interface name "${value}" is longer than ${MAX_DEVICE_SIZE} bytes`,
            valueWord,
          );
        if (/[/ ]/.test(value))
          this.#faults.warn(
            'bad-interface',
            `the kernel allows no "/" and no blank in interface names: "${value}"`,
            valueWord,
          );
        const test = { name: value, invert };
        if (letter === 'i') this.#draft.inDevice = test;
        else this.#draft.outDevice = test;
        return;
      }
      case 'j':
        this.#takeJump(value, valueWord);
        return;
      case 'g':
        this.#checkTargetName(item.argument!, valueWord);
        this.#draft.jump = { name: item.argument!, isGoto: true, word: valueWord };
        return;
      case 'f':
        if (this.#context.family === 6)
          this.#faults.refuse('option-not-allowed', '"-f" does not exist for IPv6', item.word, 'use -m frag instead');
        this.#draft.fragment = !invert;
        return;
      case 'c':
        this.#takeCounters(item.argument!, item.word);
        return;
    }
  }

  #takeProtocol(value: string, word: number, invert: boolean): void {
    const number = parseCNumber(value);
    const protocol = number !== undefined && number <= 255 ? number : protocolNumber(value);
    if (protocol === undefined) {
      const guess = nearest(value, KNOWN_PROTOCOLS);
      this.#faults.refuse('unknown-protocol', `unknown protocol "${value}"`, word, didYouMean(guess));
    }
    if (protocol === 0 && invert) this.#faults.refuse('never-matches', 'rule would never match protocol', word);
    this.#draft.protocol = protocol;
    this.#draft.protocolInverted = invert;
    this.#draft.protocolGiven = true;
    if (this.#context.family === 6 && !invert && EXTENSION_HEADERS.has(protocol))
      this.#faults.warn('never-matches', `never matched protocol: ${value}`, word, 'use an extension match instead');
  }

  #takeCounters(packets: string, word: number): void {
    const comma = packets.indexOf(',', 1);
    let bytes: string;
    if (comma !== -1) bytes = packets.slice(comma + 1);
    else if (this.#reader.hasArgument()) bytes = this.#words.values[this.#reader.next++]!;
    else this.#faults.refuse('bad-counters', '-c requires packet and byte counter', word);
    const counters = { packets: parseCounter(packets), bytes: parseCounter(bytes) };
    if (counters.packets === undefined) this.#faults.refuse('bad-counters', '-c packet counter not numeric', word);
    if (counters.bytes === undefined) this.#faults.refuse('bad-counters', '-c byte counter not numeric', word);
    this.#draft.counters = { packets: counters.packets, bytes: counters.bytes };
  }

  // ---- commands

  #takeCommand(name: CommandName, item: Item & { kind: 'base' }, invert: boolean): void {
    const { word } = item;
    if (name === 'new-chain') this.#checkNewChainName(item.argument!, this.#reader.next - 1);
    if (invert) this.#faults.refuse('bad-bang', 'unexpected ! before a command', word);
    const listing = (c: CommandName | undefined): boolean => c === 'list' || c === 'list-rules';
    const zeroing = (c: CommandName | undefined): boolean => c === 'zero' || c === 'zero-number';
    const before = this.#draft.command;
    const joins =
      before === undefined ||
      (!this.#draft.andZero && ((listing(before) && zeroing(name)) || (zeroing(before) && listing(name))));
    if (!joins)
      this.#faults.refuse('two-commands', `a line holds one command: ${item.option.names[0]} is a second`, word);
    if (before !== undefined) this.#draft.andZero = true;
    this.#draft.command = listing(before) ? before : name;
    this.#draft.chain = item.argument ?? this.#draft.chain;
    this.#draft.chainWord = this.#reader.next - 1;
    const more = (): string | undefined =>
      this.#reader.hasArgument() ? this.#words.values[this.#reader.next++] : undefined;
    if (item.argument === undefined) {
      const chain = more();
      if (chain !== undefined) {
        this.#draft.chain = chain;
        this.#draft.chainWord = this.#reader.next - 1;
      }
    }
    switch (name) {
      case 'delete':
      case 'insert':
      case 'list':
      case 'list-rules':
      case 'replace':
      case 'zero': {
        const text = more();
        if (text !== undefined) {
          const number = parseCNumber(text);
          if (number === undefined || number < 1 || number > MAX_RULE_NUMBER)
            this.#faults.refuse(
              'bad-rule-number',
              `invalid rule number "${text}"`,
              this.#reader.next - 1,
              'rules count from 1',
            );
          this.#draft.ruleNumber = number;
          if (name === 'delete') this.#draft.command = 'delete-number';
          if (name === 'zero') {
            this.#draft.command = 'zero-number'; // 1.8.9 forgets a -L before it
            this.#draft.andZero = false;
          }
        } else if (name === 'replace') this.#faults.refuse('bad-rule-number', '-R requires a rule number', word);
        return;
      }
      case 'rename-chain':
        this.#draft.newName = more();
        if (this.#draft.newName === undefined)
          this.#faults.refuse('missing-value', '-E requires old and new chain name', word);
        return;
      case 'policy':
        this.#draft.policy = more();
        if (this.#draft.policy === undefined)
          this.#faults.refuse('bad-policy', '-P requires a chain and a policy', word);
        return;
    }
  }

  #checkNewChainName(name: string, word: number): void {
    if (name.startsWith('-') || name.startsWith('!'))
      this.#faults.refuse('bad-chain-name', `chain name not allowed to start with "${name[0]}"`, word);
    const { registry, family } = this.#context;
    const isTarget =
      name === '' ||
      isVerdict(name) ||
      name === 'standard' ||
      registry.findTarget(name, family) !== undefined ||
      UNSUPPORTED_TARGETS.has(name);
    if (isTarget && !(name !== '' && !isVerdict(name) && this.#context.isAnnounced(name)))
      this.#faults.refuse('bad-chain-name', `chain name "${name}" may not clash with a target's name`, word);
    if (/[ \t\n\v\f\r]/.test(name)) this.#faults.refuse('bad-chain-name', `blank in chain name "${name}"`, word);
  }

  // ---- extensions

  #loadMatch(name: string, word: number): void {
    const { registry, family } = this.#context;
    const ext = registry.findMatch(name, family);
    if (ext === undefined) refuseExtension(this.#context, this.#faults, 'match', name, word);
    this.#reader.load(ext);
    this.#draft.matches.push({ ext, given: [], span: this.#faults.span(word) });
  }

  #takeJump(name: string, word: number): void {
    this.#checkTargetName(name, word);
    this.#draft.jump = { name, isGoto: false, word };
    if (isVerdict(name) || this.#context.isAnnounced(name)) return;
    const ext = this.#context.registry.findTarget(name, this.#context.family);
    if (ext === undefined) return; // a chain, or nothing: known when the rule is whole
    this.#reader.load(ext);
    this.#draft.target = { ext, given: [], span: this.#faults.span(word) };
  }

  #checkTargetName(name: string, word: number): void {
    if (name === '') this.#faults.refuse('unknown-target', 'empty target name', word);
    if (byteSize(name) > MAX_NAME_SIZE)
      this.#faults.refuse('unknown-target', `invalid target name "${name}" (${MAX_NAME_SIZE} bytes at most)`, word);
    if (/[ \t\n\v\f\r]/.test(name)) this.#faults.refuse('unknown-target', `blank in target name "${name}"`, word);
  }

  #takeExtensionOption(item: Item & { kind: 'extension' }, invert: boolean): void {
    const { ext, spec, word } = item;
    const instance =
      ext === this.#draft.target?.ext ? this.#draft.target : this.#draft.matches.findLast((m) => m.ext === ext)!;
    const values = item.argument === undefined ? [] : [item.argument];
    let last = this.#reader.next - 1;
    if (spec.args === 2) {
      if (!this.#reader.hasArgument())
        this.#faults.refuse('missing-value', `${ext.kind}: option "${spec.name}" requires two arguments`, word);
      last = this.#reader.next++;
      values.push(this.#words.values[last]!);
    }
    if (invert && spec.invert !== true)
      this.#faults.fail('cannot-invert', `${ext.kind}: option "${spec.name}" cannot be inverted`, word);
    if (spec.many !== true && instance.given.some((g) => g.spec === spec))
      this.#faults.fail('option-repeated', `${ext.kind}: option "${spec.name}" can only be used once`, word);
    instance.given.push({
      spec,
      invert,
      values,
      span: this.#faults.span(word),
      valueSpan: values.length === 0 ? this.#faults.span(word) : this.#faults.span(Math.min(word + 1, last), last),
      protocol: this.#draft.protocol,
      protocolInverted: this.#draft.protocolInverted,
    });
  }

  #unknownOption(item: Item & { kind: 'unknown' }): never {
    if (item.fits.length > 1)
      this.#faults.refuse(
        'ambiguous-option',
        `option "${item.name}" is not unique`,
        item.word,
        `fits ${item.fits.join(', ')}`,
      );
    const protocol = protocolName(this.#draft.protocol);
    if (this.#draft.protocolGiven && item.name.startsWith('--') && UNSUPPORTED_MATCHES.has(protocol))
      this.#faults.refuse(
        'unsupported-extension',
        `option "${item.name}" of match "${protocol}" is not supported`,
        item.word,
      );
    const loaded = this.#reader.loaded;
    const hint = optionHint(item.name, this.#context.family, this.#context.registry, loaded, this.#draft.protocolGiven);
    const of = loaded.length === 0 ? '' : ` (loaded: ${loaded.map((ext) => ext.kind).join(', ')})`;
    this.#faults.refuse('unknown-option', `unknown option "${item.name}"${of}`, item.word, hint);
  }
}

const KNOWN_PROTOCOLS: readonly string[] = ['all', ...Array.from({ length: 144 }, (_, i) => protocolName(i))];
