/**
 * One command line of a rule file (`-A CHAIN …`, `-N CHAIN`, …) as a value. Follows do_parse() and command_default() of
 * iptables/xshared.c (1.8.9); what it refuses here, iptables refuses at the line.
 */
import { byteSize } from '../base/byte-size.js';
import type { Diagnostic } from '../base/diagnostic.js';
import { nearest } from '../base/nearest.js';
import type { Source, Span } from '../base/source.js';
import type { MatchExt, TargetExt, TargetUse } from '../ext/extension.js';
import { type GivenOption, GivenOptions, parseCNumber } from '../ext/option.js';
import { UNSUPPORTED_MATCHES, UNSUPPORTED_TARGETS } from '../ext/unsupported.js';
import type { Family, TableName } from '../net/netfilter.js';
import { IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_ROUTING } from '../net/protocol.js';
import { protocolName, protocolNumber } from '../net/protocol-name.js';
import { type AddressValue, parseAddresses } from './address-value.js';
import { COMMAND_OF_LETTER, type CommandName, INVERTIBLE, RULE_COMMANDS, takesOption } from './base-option.js';
import { type Counters, parseCounter, ZERO_COUNTERS } from './counter.js';
import type { ExtensionRegistry } from './extension-registry.js';
import { type Extension, type Item, OptionReader } from './getopt.js';
import { type AddressTest, type DeviceTest, isVerdict, type Rule, type RuleTarget } from './model.js';
import type { RuleFaultCode } from './rule-fault.js';
import { didYouMean, optionHint, strayHint, unknownExtension } from './rule-hint.js';
import { splitWords, type Words } from './words.js';

/** Longest chain or target name (kernel: XT_EXTENSION_MAXNAMELEN − 1). */
export const MAX_NAME_SIZE = 28;
const MAX_DEVICE_SIZE = 15;
const MAX_RULE_NUMBER = 0x7fffffff;

/** What a command needs to know of its surroundings. */
export interface CommandContext {
  readonly source: Source;
  readonly family: Family;
  readonly registry: ExtensionRegistry;
  readonly table: TableName;
  /** Named by a `:CHAIN` line anywhere before: it hides a target of that name, also where there is no such chain. */
  isAnnounced(name: string): boolean;
  chainNames(): Iterable<string>;
  /** The target value for a chain; null for a built-in one, undefined if there is no such chain. */
  jumpTarget(chain: string, isGoto: boolean): RuleTarget | null | undefined;
  report(diagnostic: Diagnostic): void;
}

export interface Command {
  readonly name: CommandName;
  /** `-L -Z` in one line. */
  readonly andZero: boolean;
  readonly chain: string | undefined;
  readonly chainSpan: Span;
  /** From 1. */
  readonly ruleNumber: number | undefined;
  readonly newName: string | undefined;
  readonly policy: string | undefined;
  readonly counters: Counters | undefined;
  /** More than one if `-s` or `-d` holds a list: sources vary slowest. Empty unless the command holds a rule. */
  readonly rules: readonly Rule[];
}

/**
 * Reads the command in text[start, end), `end` past its newline. `given` are the counters before the command; `asOption`
 * says that they count as `-c`. Undefined: refused (reported), 'skip': for the other family, 'end': iptables ends here.
 */
export function readCommand(
  context: CommandContext,
  start: number,
  end: number,
  given: Counters | undefined,
  asOption: boolean,
): Command | 'skip' | 'end' | undefined {
  const words = splitWords(context.source.text, start, end);
  return new CommandReader(context, words, start, end, given, asOption).read();
}

/** An extension as it is being read: `-m name` or `-j NAME` and its options so far. */
interface Instance<E extends Extension> {
  readonly ext: E;
  readonly given: GivenOption[];
  readonly span: Span;
}

/** Marks that a line is refused and reported; never leaves this file. */
class Refused extends Error {}

class CommandReader {
  readonly #context: CommandContext;
  readonly #words: Words;
  readonly #reader: OptionReader;
  readonly #line: Span;
  #given: Counters | undefined;
  #failed = false;

  #command: CommandName | undefined;
  #andZero = false;
  #chain: string | undefined;
  #chainWord = 0;
  #ruleNumber: number | undefined;
  #newName: string | undefined;
  #policy: string | undefined;
  /** Letters of base options seen. `-g` counts as `j`. */
  readonly #seen = new Map<string, number>();
  #counters: Counters | undefined;

  #src: { values: AddressValue[]; invert: boolean } | undefined;
  #dst: { values: AddressValue[]; invert: boolean } | undefined;
  readonly #addressWords: { letter: string; word: number; invert: boolean }[] = [];
  #inDevice: DeviceTest | undefined;
  #outDevice: DeviceTest | undefined;
  #protocol = 0;
  #protocolInverted = false;
  #protocolGiven = false;
  #implicitLoaded = false;
  #fragment: boolean | undefined;
  readonly #matches: Instance<MatchExt>[] = [];
  #target: Instance<TargetExt> | undefined;
  #jump: { readonly name: string; readonly isGoto: boolean; readonly word: number } | undefined;

  constructor(
    context: CommandContext,
    words: Words,
    start: number,
    end: number,
    given: Counters | undefined,
    asOption: boolean,
  ) {
    this.#context = context;
    this.#words = words;
    this.#reader = new OptionReader(words, context.family);
    this.#line = {
      source: context.source,
      start,
      end: end > start && context.source.text[end - 1] === '\n' ? end - 1 : end,
    };
    this.#given = given;
    if (asOption && given !== undefined) {
      this.#seen.set('c', -1);
      this.#counters = given;
    }
  }

  read(): Command | 'skip' | 'end' | undefined {
    try {
      const { fault } = this.#words;
      if (fault !== undefined) this.#refuse('word-too-long', fault.message, fault);
      const early = this.#readOptions();
      if (early !== undefined) return this.#failed ? undefined : early;
      const command = this.#finish();
      return this.#failed ? undefined : command;
    } catch (error) {
      if (error instanceof Refused) return undefined;
      throw error;
    }
  }

  // ---- reports

  #span(word: number, last = word): Span {
    const { starts, ends } = this.#words;
    if (word < 0 || word >= starts.length) return this.#line;
    return { source: this.#context.source, start: starts[word]!, end: ends[Math.min(last, ends.length - 1)]! };
  }

  /** Reports a fault and goes on with the line. */
  #fail(code: RuleFaultCode, message: string, at: number | { start: number; end: number }, hint?: string): void {
    this.#failed = true;
    const span =
      typeof at === 'number' ? this.#span(at) : { source: this.#context.source, start: at.start, end: at.end };
    this.#context.report({ severity: 'error', code, message, span, ...(hint === undefined ? {} : { hint }) });
  }

  /** Reports a fault after which the rest of the line means nothing. */
  #refuse(code: RuleFaultCode, message: string, at: number | { start: number; end: number }, hint?: string): never {
    this.#fail(code, message, at, hint);
    throw new Refused();
  }

  #warn(code: RuleFaultCode, message: string, at: number, hint?: string): void {
    const span = this.#span(at);
    this.#context.report({ severity: 'warning', code, message, span, ...(hint === undefined ? {} : { hint }) });
  }

  // ---- options

  #readOptions(): 'skip' | 'end' | undefined {
    const reader = this.#reader;
    let invert = false;
    for (let item = reader.read(); item !== undefined; item = reader.read()) {
      if (item.kind === 'plain') {
        const word = this.#words.values[item.word]!;
        if (word !== '!') this.#refuse('stray-word', `stray word "${word}"`, item.word, strayHint(word));
        if (invert) this.#refuse('bad-bang', 'multiple consecutive ! not allowed', item.word);
        invert = true;
        continue;
      }
      if (item.kind === 'unknown' || item.kind === 'missing-value') {
        if (this.#loadImplicit()) continue;
        if (item.kind === 'missing-value')
          this.#refuse('missing-value', `option "${item.name}" requires an argument`, item.word);
        this.#unknownOption(item);
      } else if (item.kind === 'extension') {
        this.#takeExtensionOption(item, invert);
      } else {
        const early = this.#takeBaseOption(item, invert);
        if (early !== undefined) {
          if (early === 'skip') this.#parseSkipped();
          return early;
        }
      }
      invert = false;
    }
    if (reader.next < this.#words.values.length)
      this.#refuse('stray-word', 'unknown arguments after --', {
        start: this.#span(reader.next).start,
        end: this.#line.end,
      });
    if (invert) this.#refuse('bad-bang', 'nothing appropriate following !', this.#words.values.length - 1);
    return undefined;
  }

  /** The first option that nothing known takes loads the match of `-p`'s protocol; true if there is more to know now. */
  #loadImplicit(): boolean {
    if (!this.#protocolGiven || this.#implicitLoaded) return false;
    const ext = this.#context.registry.implicitMatch(this.#protocol, this.#context.family);
    if (ext === undefined) return false;
    this.#implicitLoaded = true;
    this.#reader.load(ext);
    this.#matches.push({ ext, given: [], span: this.#span(this.#seen.get('p')!) });
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
          this.#refuse('bad-bang', 'unexpected ! before --match', item.word, 'put ! before an option of the match');
        this.#loadMatch(item.argument!, this.#reader.next - 1);
        return undefined;
      case 't':
        return this.#refuse(
          'not-in-file',
          'the -t option cannot be used in a rule file',
          item.word,
          'use a *TABLE line',
        );
      case 'w':
      case 'W':
        return this.#refuse('not-in-file', `"-${letter}" cannot be used in a rule file`, item.word);
      case 'h':
      case 'V':
        this.#refuse(
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
    if (key === 'v' && this.#seen.has('v')) return;
    if (this.#seen.has(key)) {
      const both = key === 'j' && letter === 'g' ? '-j or -g' : `-${letter}`;
      this.#refuse('option-repeated', `multiple ${both} options not allowed`, word);
    }
    this.#seen.set(key, word);
    if (invert && !INVERTIBLE.has(letter)) this.#refuse('bad-bang', `cannot have ! before -${letter}`, word);
  }

  #takeRuleOption(letter: string, item: Item & { kind: 'base' }, invert: boolean): void {
    // 1.8.9 takes the whole last word as the value here, also where the value is glued to the option.
    const valueWord = this.#reader.next - 1;
    const value = this.#words.values[valueWord]!;
    switch (letter) {
      case 's':
      case 'd':
        this.#addressWords.push({ letter, word: valueWord, invert });
        return;
      case 'p':
        this.#takeProtocol(value, valueWord, invert);
        return;
      case 'i':
      case 'o': {
        if (item.argument === '')
          this.#fail('bad-interface', 'empty interface name', valueWord, 'leave the option out to match any interface');
        else if (byteSize(value) > MAX_DEVICE_SIZE)
          this.#fail('bad-interface', `interface name "${value}" is longer than ${MAX_DEVICE_SIZE} bytes`, valueWord);
        if (/[/ ]/.test(value))
          this.#warn(
            'bad-interface',
            `the kernel allows no "/" and no blank in interface names: "${value}"`,
            valueWord,
          );
        const test = { name: value, invert };
        if (letter === 'i') this.#inDevice = test;
        else this.#outDevice = test;
        return;
      }
      case 'j':
        this.#takeJump(value, valueWord);
        return;
      case 'g':
        this.#checkTargetName(item.argument!, valueWord);
        this.#jump = { name: item.argument!, isGoto: true, word: valueWord };
        return;
      case 'f':
        if (this.#context.family === 6)
          this.#refuse('option-not-allowed', '"-f" does not exist for IPv6', item.word, 'use -m frag instead');
        this.#fragment = !invert;
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
      this.#refuse('unknown-protocol', `unknown protocol "${value}"`, word, didYouMean(guess));
    }
    if (protocol === 0 && invert) this.#refuse('never-matches', 'rule would never match protocol', word);
    this.#protocol = protocol;
    this.#protocolInverted = invert;
    this.#protocolGiven = true;
    if (this.#context.family === 6 && !invert && EXTENSION_HEADERS.has(protocol))
      this.#warn('never-matches', `never matched protocol: ${value}`, word, 'use an extension match instead');
  }

  #takeCounters(packets: string, word: number): void {
    const comma = packets.indexOf(',', 1);
    let bytes: string;
    if (comma !== -1) bytes = packets.slice(comma + 1);
    else if (this.#reader.hasArgument()) bytes = this.#words.values[this.#reader.next++]!;
    else this.#refuse('bad-counters', '-c requires packet and byte counter', word);
    const counters = { packets: parseCounter(packets), bytes: parseCounter(bytes) };
    if (counters.packets === undefined) this.#refuse('bad-counters', '-c packet counter not numeric', word);
    if (counters.bytes === undefined) this.#refuse('bad-counters', '-c byte counter not numeric', word);
    this.#counters = { packets: counters.packets, bytes: counters.bytes };
  }

  // ---- commands

  #takeCommand(name: CommandName, item: Item & { kind: 'base' }, invert: boolean): void {
    const { word } = item;
    if (name === 'new-chain') this.#checkNewChainName(item.argument!, this.#reader.next - 1);
    if (invert) this.#refuse('bad-bang', 'unexpected ! before a command', word);
    const listing = (c: CommandName | undefined): boolean => c === 'list' || c === 'list-rules';
    const zeroing = (c: CommandName | undefined): boolean => c === 'zero' || c === 'zero-number';
    const before = this.#command;
    const joins =
      before === undefined ||
      (!this.#andZero && ((listing(before) && zeroing(name)) || (zeroing(before) && listing(name))));
    if (!joins) this.#refuse('two-commands', `a line holds one command: ${item.option.names[0]} is a second`, word);
    if (before !== undefined) this.#andZero = true;
    this.#command = listing(before) ? before : name;
    this.#chain = item.argument ?? this.#chain;
    this.#chainWord = this.#reader.next - 1;
    const more = (): string | undefined =>
      this.#reader.hasArgument() ? this.#words.values[this.#reader.next++] : undefined;
    if (item.argument === undefined) {
      const chain = more();
      if (chain !== undefined) {
        this.#chain = chain;
        this.#chainWord = this.#reader.next - 1;
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
            this.#refuse(
              'bad-rule-number',
              `invalid rule number "${text}"`,
              this.#reader.next - 1,
              'rules count from 1',
            );
          this.#ruleNumber = number;
          if (name === 'delete') this.#command = 'delete-number';
          if (name === 'zero') {
            this.#command = 'zero-number'; // 1.8.9 forgets a -L before it
            this.#andZero = false;
          }
        } else if (name === 'replace') this.#refuse('bad-rule-number', '-R requires a rule number', word);
        return;
      }
      case 'rename-chain':
        this.#newName = more();
        if (this.#newName === undefined) this.#refuse('missing-value', '-E requires old and new chain name', word);
        return;
      case 'policy':
        this.#policy = more();
        if (this.#policy === undefined) this.#refuse('bad-policy', '-P requires a chain and a policy', word);
        return;
    }
  }

  #checkNewChainName(name: string, word: number): void {
    if (name.startsWith('-') || name.startsWith('!'))
      this.#refuse('bad-chain-name', `chain name not allowed to start with "${name[0]}"`, word);
    const { registry, family } = this.#context;
    const isTarget =
      name === '' ||
      isVerdict(name) ||
      name === 'standard' ||
      registry.findTarget(name, family) !== undefined ||
      UNSUPPORTED_TARGETS.has(name);
    if (isTarget && !(name !== '' && !isVerdict(name) && this.#context.isAnnounced(name)))
      this.#refuse('bad-chain-name', `chain name "${name}" may not clash with a target's name`, word);
    if (/[ \t\n\v\f\r]/.test(name)) this.#refuse('bad-chain-name', `blank in chain name "${name}"`, word);
  }

  // ---- extensions

  #loadMatch(name: string, word: number): void {
    const { registry, family } = this.#context;
    const ext = registry.findMatch(name, family);
    if (ext === undefined) this.#unknownExtension('match', name, word);
    this.#reader.load(ext);
    this.#matches.push({ ext, given: [], span: this.#span(word) });
  }

  #takeJump(name: string, word: number): void {
    this.#checkTargetName(name, word);
    this.#jump = { name, isGoto: false, word };
    if (isVerdict(name) || this.#context.isAnnounced(name)) return;
    const ext = this.#context.registry.findTarget(name, this.#context.family);
    if (ext === undefined) return; // a chain, or nothing: known when the rule is whole
    this.#reader.load(ext);
    this.#target = { ext, given: [], span: this.#span(word) };
  }

  #checkTargetName(name: string, word: number): void {
    if (name === '') this.#refuse('unknown-target', 'empty target name', word);
    if (byteSize(name) > MAX_NAME_SIZE)
      this.#refuse('unknown-target', `invalid target name "${name}" (${MAX_NAME_SIZE} bytes at most)`, word);
    if (/[ \t\n\v\f\r]/.test(name)) this.#refuse('unknown-target', `blank in target name "${name}"`, word);
  }

  #unknownExtension(kind: 'match' | 'target', name: string, word: number): never {
    const { registry, family, table } = this.#context;
    const fault = unknownExtension(kind, name, family, registry, table, this.#context.chainNames());
    this.#refuse(fault.code, fault.message, word, fault.hint);
  }

  #takeExtensionOption(item: Item & { kind: 'extension' }, invert: boolean): void {
    const { ext, spec, word } = item;
    const instance = ext === this.#target?.ext ? this.#target : this.#matches.findLast((m) => m.ext === ext)!;
    const values = item.argument === undefined ? [] : [item.argument];
    let last = this.#reader.next - 1;
    if (spec.args === 2) {
      if (!this.#reader.hasArgument())
        this.#refuse('missing-value', `${ext.kind}: option "${spec.name}" requires two arguments`, word);
      last = this.#reader.next++;
      values.push(this.#words.values[last]!);
    }
    if (invert && spec.invert !== true)
      this.#fail('cannot-invert', `${ext.kind}: option "${spec.name}" cannot be inverted`, word);
    if (spec.many !== true && instance.given.some((g) => g.spec === spec))
      this.#fail('option-repeated', `${ext.kind}: option "${spec.name}" can only be used once`, word);
    instance.given.push({
      spec,
      invert,
      values,
      span: this.#span(word),
      valueSpan: values.length === 0 ? this.#span(word) : this.#span(Math.min(word + 1, last), last),
      protocol: this.#protocol,
      protocolInverted: this.#protocolInverted,
    });
  }

  #unknownOption(item: Item & { kind: 'unknown' }): never {
    if (item.fits.length > 1)
      this.#refuse(
        'ambiguous-option',
        `option "${item.name}" is not unique`,
        item.word,
        `fits ${item.fits.join(', ')}`,
      );
    const protocol = protocolName(this.#protocol);
    if (this.#protocolGiven && item.name.startsWith('--') && UNSUPPORTED_MATCHES.has(protocol))
      this.#refuse('unsupported-extension', `option "${item.name}" of match "${protocol}" is not supported`, item.word);
    const loaded = this.#reader.loaded;
    const hint = optionHint(item.name, this.#context.family, this.#context.registry, loaded, this.#protocolGiven);
    const of = loaded.length === 0 ? '' : ` (loaded: ${loaded.map((ext) => ext.kind).join(', ')})`;
    this.#refuse('unknown-option', `unknown option "${item.name}"${of}`, item.word, hint);
  }

  // ---- the whole

  /**
   * What a rule for the other family must still satisfy: good extension values and, if its command came before, a target
   * that there is. Mandatory options are not asked for.
   */
  #parseSkipped(): void {
    for (const instance of [...this.#matches, ...(this.#target === undefined ? [] : [this.#target])])
      if (instance.given.length > 0) this.#parseInstance(instance, true);
    const jump = this.#jump;
    if (jump === undefined || this.#command === undefined || !RULE_COMMANDS.has(this.#command)) return;
    const { registry, family } = this.#context;
    const exists =
      isVerdict(jump.name) ||
      this.#context.jumpTarget(jump.name, jump.isGoto) !== undefined ||
      registry.findTarget(jump.name, family) !== undefined;
    if (!exists) this.#unknownExtension('target', jump.name, jump.word);
  }

  #parseInstance(instance: Instance<Extension>, lenient: boolean): unknown {
    const { ext, given, span } = instance;
    const options = new GivenOptions(ext.kind, this.#context.family, given, span, (d) => {
      if (lenient && d.code === 'option-missing') return;
      if (d.severity === 'error') this.#failed = true;
      this.#context.report(d);
    });
    return ext.parse(options);
  }

  #finish(): Command {
    const command = this.#command;
    if (command === undefined)
      this.#refuse(
        'no-command',
        'no command in this line',
        this.#words.values.length === 0 ? this.#line : 0,
        'a rule begins with -A CHAIN',
      );
    const isRule = RULE_COMMANDS.has(command);
    this.#checkNatDrop();
    const matches = this.#matches.map((m) => ({ ext: m.ext, value: this.#parseInstance(m, false) }));
    const use =
      this.#target === undefined
        ? undefined
        : { ext: this.#target.ext, value: this.#parseInstance(this.#target, false) };
    for (const { letter, word, invert } of this.#addressWords) this.#readAddresses(letter, word, invert);
    const lists = (this.#src?.values.length ?? 1) > 1 || (this.#dst?.values.length ?? 1) > 1;
    if (lists && (this.#src?.invert || this.#dst?.invert))
      this.#fail(
        'bad-bang',
        '! not allowed with multiple source or destination addresses',
        this.#addressWords[0]!.word,
      );
    if (lists && command === 'replace')
      this.#fail('bad-address', 'a replacement rule takes one address', this.#addressWords[0]!.word);
    for (const [letter, word] of this.#seen) {
      if (takesOption(command, letter) || (this.#andZero && takesOption('zero', letter))) continue;
      this.#fail(
        'option-not-allowed',
        `option "${letter === '0' ? '--line-numbers' : `-${letter}`}" is not allowed with this command`,
        word,
      );
    }
    if (this.#chain !== undefined && byteSize(this.#chain) > MAX_NAME_SIZE)
      this.#refuse(
        'bad-chain-name',
        `chain name "${this.#chain}" too long (${MAX_NAME_SIZE} bytes at most)`,
        this.#chainWord,
      );
    if (isRule || command === 'delete-number') this.#checkDevices();
    let counters = this.#counters;
    if (counters === undefined && takesOption(command, 'c')) counters = this.#given;
    let rules: Rule[] = [];
    if (isRule) {
      const target = this.#ruleTarget(use);
      if (!this.#failed) rules = this.#rules(matches, target, counters ?? ZERO_COUNTERS);
    }
    return {
      name: command,
      andZero: this.#andZero,
      chain: this.#chain,
      chainSpan: this.#span(this.#chainWord),
      ruleNumber: this.#ruleNumber,
      newName: this.#newName,
      policy: this.#policy,
      counters,
      rules,
    };
  }

  #checkNatDrop(): void {
    if (this.#context.table !== 'nat' || (this.#policy !== 'DROP' && this.#jump?.name !== 'DROP')) return;
    this.#fail(
      'nat-drop',
      'the nat table is not for filtering, DROP is refused in it',
      this.#jump?.word ?? this.#reader.next - 1,
      'drop in table filter, raw or mangle',
    );
  }

  #checkDevices(): void {
    const chain = this.#chain;
    const incoming = chain === 'PREROUTING' || chain === 'INPUT';
    const outgoing = chain === 'POSTROUTING' || chain === 'OUTPUT';
    const letter = incoming ? 'o' : outgoing ? 'i' : '';
    const word = this.#seen.get(letter);
    if (word !== undefined) this.#fail('option-not-allowed', `cannot use -${letter} with ${chain}`, word);
  }

  #readAddresses(letter: string, word: number, invert: boolean): void {
    const values = parseAddresses(this.#words.values[word]!, this.#context.family);
    if (!Array.isArray(values)) {
      const span = this.#span(word);
      // Offsets within the value are those of the source as long as the word holds no quotes.
      const plain = span.end - span.start === this.#words.values[word]!.length;
      const at = plain ? { start: span.start + values.start, end: span.start + values.end } : span;
      this.#fail(values.code, values.message, at, values.hint);
      return;
    }
    if (letter === 's') this.#src = { values, invert };
    else this.#dst = { values, invert };
  }

  #ruleTarget(use: TargetUse | undefined): RuleTarget {
    const jump = this.#jump;
    if (jump === undefined) return { kind: 'none' };
    const { name, isGoto, word } = jump;
    const chain = this.#context.jumpTarget(name, isGoto);
    if (chain !== undefined) {
      if (chain === null)
        this.#refuse('built-in-chain', `cannot ${isGoto ? 'go' : 'jump'} to built-in chain ${name}`, word);
      if (use !== undefined) this.#warn('chain-exists', `using chain ${name}, not the extension`, word);
      return chain;
    }
    if (isGoto) {
      const guess = didYouMean(nearest(name, this.#context.chainNames()));
      this.#refuse('missing-chain', `goto "${name}" is not a chain of table ${this.#context.table}`, word, guess);
    }
    if (isVerdict(name)) return { kind: 'verdict', verdict: name };
    if (use !== undefined) return { kind: 'extension', use };
    this.#unknownExtension('target', name, word);
  }

  #rules(matches: Rule['matches'], target: RuleTarget, counters: Counters): Rule[] {
    const rules: Rule[] = [];
    for (const src of addressTests(this.#src)) {
      for (const dst of addressTests(this.#dst)) {
        rules.push({
          src,
          dst,
          inDevice: this.#inDevice,
          outDevice: this.#outDevice,
          protocol: this.#protocol === 0 ? undefined : { number: this.#protocol, invert: this.#protocolInverted },
          fragment: this.#fragment,
          matches,
          target,
          packets: counters.packets,
          bytes: counters.bytes,
          span: this.#line,
        });
      }
    }
    return rules;
  }
}

function addressTests(list: { values: AddressValue[]; invert: boolean } | undefined): (AddressTest | undefined)[] {
  if (list === undefined) return [undefined];
  return list.values.map((value) => addressTest(value, list.invert));
}

/** The test of one address; undefined if it says nothing. */
export function addressTest(value: AddressValue, invert: boolean): AddressTest | undefined {
  const { address, mask } = value;
  if (!invert && mask[0] === 0 && mask[1] === 0 && mask[2] === 0 && mask[3] === 0) return undefined;
  return { address, mask, invert };
}

/** IPv6 headers that `-p` never sees as the last one. Source: is_exthdr(), iptables/ip6tables.c. */
export const EXTENSION_HEADERS: ReadonlySet<number> = new Set([
  IPPROTO_ROUTING,
  IPPROTO_FRAGMENT,
  IPPROTO_AH,
  IPPROTO_DSTOPTS,
]);

const KNOWN_PROTOCOLS: readonly string[] = ['all', ...Array.from({ length: 144 }, (_, i) => protocolName(i))];
