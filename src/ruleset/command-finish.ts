/** Makes the command of a draft: values of extensions, addresses, target, and what fits together. */
import { byteSize } from '../base/byte-size.js';
import { nearest } from '../base/nearest.js';
import type { TargetUse } from '../ext/extension.js';
import { GivenOptions } from '../ext/option.js';
import { IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_ROUTING } from '../net/protocol.js';
import { type AddressValue, parseAddresses } from './address-value.js';
import { RULE_COMMANDS, takesOption } from './base-option.js';
import type { Command, CommandContext } from './command.js';
import { type CommandDraft, type Instance, MAX_NAME_SIZE } from './command-draft.js';
import { type Counters, ZERO_COUNTERS } from './counter.js';
import type { Extension } from './getopt.js';
import type { LineFaults } from './line-fault.js';
import { type AddressTest, isVerdict, type Rule, type RuleTarget } from './model.js';
import { didYouMean, unknownExtension } from './rule-hint.js';
import type { Words } from './words.js';

interface AddressList {
  readonly values: readonly AddressValue[];
  readonly invert: boolean;
}

export class CommandFinisher {
  readonly #context: CommandContext;
  readonly #words: Words;
  readonly #draft: CommandDraft;
  readonly #faults: LineFaults;
  /** Index of the last word read. */
  readonly #lastWord: number;
  #src: AddressList | undefined;
  #dst: AddressList | undefined;

  constructor(context: CommandContext, words: Words, draft: CommandDraft, faults: LineFaults, lastWord: number) {
    this.#context = context;
    this.#words = words;
    this.#draft = draft;
    this.#faults = faults;
    this.#lastWord = lastWord;
  }

  /**
   * What a rule for the other family must still satisfy: good extension values and, if its command came before, a target
   * that there is. Mandatory options are not asked for.
   */
  skip(): void {
    for (const instance of [...this.#draft.matches, ...(this.#draft.target === undefined ? [] : [this.#draft.target])])
      if (instance.given.length > 0) this.#parseInstance(instance, true);
    const jump = this.#draft.jump;
    if (jump === undefined || this.#draft.command === undefined || !RULE_COMMANDS.has(this.#draft.command)) return;
    const { registry, family } = this.#context;
    const exists =
      isVerdict(jump.name) ||
      this.#context.jumpTarget(jump.name, jump.isGoto) !== undefined ||
      registry.findTarget(jump.name, family) !== undefined;
    if (!exists) refuseExtension(this.#context, this.#faults, 'target', jump.name, jump.word);
  }

  #parseInstance(instance: Instance<Extension>, lenient: boolean): unknown {
    const { ext, given, span } = instance;
    const options = new GivenOptions(ext.kind, this.#context.family, given, span, (d) => {
      if (lenient && d.code === 'option-missing') return;
      this.#faults.report(d);
    });
    return ext.parse(options);
  }

  finish(given: Counters | undefined): Command {
    const command = this.#draft.command;
    if (command === undefined)
      this.#faults.refuse(
        'no-command',
        'no command in this line',
        this.#words.values.length === 0 ? this.#faults.line : 0,
        'a rule begins with -A CHAIN',
      );
    const isRule = RULE_COMMANDS.has(command);
    this.#checkNatDrop();
    const matches = this.#draft.matches.map((m) => ({ ext: m.ext, value: this.#parseInstance(m, false) }));
    const use =
      this.#draft.target === undefined
        ? undefined
        : { ext: this.#draft.target.ext, value: this.#parseInstance(this.#draft.target, false) };
    for (const { letter, word, invert } of this.#draft.addressWords) this.#readAddresses(letter, word, invert);
    const lists = (this.#src?.values.length ?? 1) > 1 || (this.#dst?.values.length ?? 1) > 1;
    if (lists && (this.#src?.invert || this.#dst?.invert))
      this.#faults.fail(
        'bad-bang',
        '! not allowed with multiple source or destination addresses',
        this.#draft.addressWords[0]!.word,
      );
    if (lists && command === 'replace')
      this.#faults.fail('bad-address', 'a replacement rule takes one address', this.#draft.addressWords[0]!.word);
    for (const [letter, word] of this.#draft.seen) {
      if (takesOption(command, letter) || (this.#draft.andZero && takesOption('zero', letter))) continue;
      this.#faults.fail(
        'option-not-allowed',
        `option "${letter === '0' ? '--line-numbers' : `-${letter}`}" is not allowed with this command`,
        word,
      );
    }
    if (this.#draft.chain !== undefined && byteSize(this.#draft.chain) > MAX_NAME_SIZE)
      this.#faults.refuse(
        'bad-chain-name',
        `chain name "${this.#draft.chain}" too long (${MAX_NAME_SIZE} bytes at most)`,
        this.#draft.chainWord,
      );
    if (isRule || command === 'delete-number') this.#checkDevices();
    let counters = this.#draft.counters;
    if (counters === undefined && takesOption(command, 'c')) counters = given;
    let rules: Rule[] = [];
    if (isRule) {
      const target = this.#ruleTarget(use);
      if (!this.#faults.failed) rules = this.#rules(matches, target, counters ?? ZERO_COUNTERS);
    }
    return {
      name: command,
      andZero: this.#draft.andZero,
      chain: this.#draft.chain,
      chainSpan: this.#faults.span(this.#draft.chainWord),
      ruleNumber: this.#draft.ruleNumber,
      newName: this.#draft.newName,
      policy: this.#draft.policy,
      counters,
      rules,
    };
  }

  #checkNatDrop(): void {
    if (this.#context.table !== 'nat' || (this.#draft.policy !== 'DROP' && this.#draft.jump?.name !== 'DROP')) return;
    this.#faults.fail(
      'nat-drop',
      'the nat table is not for filtering, DROP is refused in it',
      this.#draft.jump?.word ?? this.#lastWord,
      'drop in table filter, raw or mangle',
    );
  }

  #checkDevices(): void {
    const chain = this.#draft.chain;
    const incoming = chain === 'PREROUTING' || chain === 'INPUT';
    const outgoing = chain === 'POSTROUTING' || chain === 'OUTPUT';
    const letter = incoming ? 'o' : outgoing ? 'i' : '';
    const word = this.#draft.seen.get(letter);
    if (word !== undefined) this.#faults.fail('option-not-allowed', `cannot use -${letter} with ${chain}`, word);
  }

  #readAddresses(letter: string, word: number, invert: boolean): void {
    const values = parseAddresses(this.#words.values[word]!, this.#context.family);
    if (!Array.isArray(values)) {
      const span = this.#faults.span(word);
      // Offsets within the value are those of the source as long as the word holds no quotes.
      const plain = span.end - span.start === this.#words.values[word]!.length;
      const at = plain ? { start: span.start + values.start, end: span.start + values.end } : span;
      this.#faults.fail(values.code, values.message, at, values.hint);
      return;
    }
    if (letter === 's') this.#src = { values, invert };
    else this.#dst = { values, invert };
  }

  #ruleTarget(use: TargetUse | undefined): RuleTarget {
    const jump = this.#draft.jump;
    if (jump === undefined) return { kind: 'none' };
    const { name, isGoto, word } = jump;
    const chain = this.#context.jumpTarget(name, isGoto);
    if (chain !== undefined) {
      if (chain === null)
        this.#faults.refuse('built-in-chain', `cannot ${isGoto ? 'go' : 'jump'} to built-in chain ${name}`, word);
      if (use !== undefined) this.#faults.warn('chain-exists', `using chain ${name}, not the extension`, word);
      return chain;
    }
    if (isGoto) {
      const guess = didYouMean(nearest(name, this.#context.chainNames()));
      this.#faults.refuse(
        'missing-chain',
        `goto "${name}" is not a chain of table ${this.#context.table}`,
        word,
        guess,
      );
    }
    if (isVerdict(name)) return { kind: 'verdict', verdict: name };
    if (use !== undefined) return { kind: 'extension', use };
    refuseExtension(this.#context, this.#faults, 'target', name, word);
  }

  #rules(matches: Rule['matches'], target: RuleTarget, counters: Counters): Rule[] {
    const rules: Rule[] = [];
    for (const src of addressTests(this.#src)) {
      for (const dst of addressTests(this.#dst)) {
        rules.push({
          src,
          dst,
          inDevice: this.#draft.inDevice,
          outDevice: this.#draft.outDevice,
          protocol:
            this.#draft.protocol === 0
              ? undefined
              : { number: this.#draft.protocol, invert: this.#draft.protocolInverted },
          fragment: this.#draft.fragment,
          matches,
          target,
          packets: counters.packets,
          bytes: counters.bytes,
          span: this.#faults.line,
        });
      }
    }
    return rules;
  }
}

function addressTests(list: AddressList | undefined): (AddressTest | undefined)[] {
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

/** Refuses the line for an extension that there is not. */
export function refuseExtension(
  context: CommandContext,
  faults: LineFaults,
  kind: 'match' | 'target',
  name: string,
  word: number,
): never {
  const { registry, family, table } = context;
  const fault = unknownExtension(kind, name, family, registry, table, context.chainNames());
  return faults.refuse(fault.code, fault.message, word, fault.hint);
}
