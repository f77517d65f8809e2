/**
 * Rule → steps: its tests in the kernel's order, as tests of field words where that is exact. Packets with a broken or
 * missing transport header never get here (they take the exact walk), so a lowered transport match needs no look at
 * the header itself.
 */
import { invariant } from '../../base/assert.js';
import type { FieldTest, MatchUse, TargetUse } from '../../ext/extension.js';
import type { Family } from '../../net/netfilter.js';
import type { AddressTest, DeviceTest, Rule } from '../../ruleset/model.js';
import { type AddressForm, isPlain, type RuleForm, SavedRule } from '../../ruleset/saved-rule.js';
import { Field } from '../../wire/field.js';
import type { DeviceNames } from './device-names.js';

/** Unsigned, inclusive. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

export type Step =
  /** `(f[slot] & mask) === value`, or not; mask and value signed. */
  | { readonly kind: 'equal'; readonly slot: number; readonly mask: number; readonly value: number }
  | { readonly kind: 'unequal'; readonly slot: number; readonly mask: number; readonly value: number }
  /** In one of the ranges, or in none. */
  | { readonly kind: 'ranges'; readonly slot: number; readonly ranges: readonly Range[]; readonly invert: boolean }
  /** Not all four words from `slot` equal under their masks. */
  | { readonly kind: 'not-address'; readonly slot: number; readonly test: AddressTest }
  /** The device in `slot` has a name of this pattern. */
  | { readonly kind: 'device'; readonly slot: number; readonly pattern: number; readonly invert: boolean }
  /** Call the match; `ordinal` counts the calls of the rule. */
  | {
      readonly kind: 'call';
      readonly ordinal: number;
      readonly stateful: boolean;
      readonly steady: boolean;
      readonly match: string;
    }
  | { readonly kind: 'never' };

/** What rules of one form have in common. */
interface LoweredForm {
  /** Steps but for addresses that rules have as a word. */
  readonly steps: readonly Step[];
  /** Which of them is the test for the rule's port, or -1. */
  readonly portAt: number;
  /** Matches that must be called. */
  readonly called: readonly MatchUse[];
}

/** Lowers the rules of one table; what many rules share is lowered once. */
export class Lowering {
  readonly family: Family;
  readonly #names: DeviceNames;
  readonly #forms = new Map<RuleForm, LoweredForm>();

  constructor(family: Family, names: DeviceNames) {
    this.family = family;
    this.#names = names;
  }

  /** The rule's tests in order. Interns device names. */
  steps(rule: Rule): readonly Step[] {
    if (!(rule instanceof SavedRule)) return lowerRule(rule, this.family, this.#names);
    const { form, srcOwn, dstOwn } = rule;
    const lowered = this.#form(rule);
    const { steps: shared, portAt } = lowered;
    if (typeof srcOwn === 'object' || typeof dstOwn === 'object') return this.#longSteps(rule, lowered);
    // An array that grows by push() takes room for 17.
    const steps = new Array<Step>((srcOwn === undefined ? 0 : 1) + (dstOwn === undefined ? 0 : 1) + shared.length);
    let count = 0;
    if (srcOwn !== undefined) steps[count++] = lowerWord(srcOwn, Field.Src0, form.src!);
    if (dstOwn !== undefined) steps[count++] = lowerWord(dstOwn, Field.Dst0, form.dst!);
    for (let i = 0; i < shared.length; i++) steps[count++] = i === portAt ? portStep(shared[i]!, rule) : shared[i]!;
    return steps;
  }

  /** Of a rule with an address that is no plain IPv4 prefix. */
  #longSteps(rule: SavedRule, { steps: shared, portAt }: LoweredForm): Step[] {
    const { src, dst } = rule;
    const steps: Step[] = [];
    if (src !== undefined) lowerAddress(src, Field.Src0, steps);
    if (dst !== undefined) lowerAddress(dst, Field.Dst0, steps);
    shared.forEach((step, i) => {
      steps.push(i === portAt ? portStep(step, rule) : step);
    });
    return steps;
  }

  /** Matches that must be called, in order, then the target if it is an extension. */
  called(rule: Rule): readonly (MatchUse | TargetUse)[] {
    const matches = rule instanceof SavedRule ? this.#form(rule).called : calledMatches(rule, this.family);
    const { target } = rule;
    return target.kind === 'extension' ? [...matches, target.use] : matches;
  }

  #form(rule: SavedRule): LoweredForm {
    let lowered = this.#forms.get(rule.form);
    if (lowered === undefined) {
      lowered = this.#lowerForm(rule);
      this.#forms.set(rule.form, lowered);
    }
    return lowered;
  }

  /** Lowers the form of which `rule` is the first rule that is met. */
  #lowerForm(rule: SavedRule): LoweredForm {
    const { form } = rule;
    const steps: Step[] = [];
    lowerBase(rule, this.#names, steps);
    let portAt = -1;
    let ordinal = 0;
    rule.matches.forEach((use, i) => {
      const part = form.matches[i]!;
      if (isPlain(part) && part.plain === 'port') portAt = steps.length;
      ordinal = lowerMatch(use, this.family, ordinal, steps);
    });
    return { steps, portAt, called: calledMatches(rule, this.family) };
  }
}

function calledMatches(rule: Rule, family: Family): MatchUse[] {
  return rule.matches.filter((use) => loweredMatch(use, family) === undefined);
}

/** The form's test of a port with the rule's own. */
function portStep(step: Step, rule: SavedRule): Step {
  invariant(step.kind === 'equal', 'a plain port lowers to one test for it');
  return { kind: 'equal', slot: step.slot, mask: step.mask, value: rule.port };
}

/** An IPv4 address that the rule has as a word. */
function lowerWord(word: number, slot: number, { mask, invert }: AddressForm): Step {
  return { kind: invert ? 'unequal' : 'equal', slot, mask: mask[0] | 0, value: word };
}

function lowerRule(rule: Rule, family: Family, names: DeviceNames): Step[] {
  const steps: Step[] = [];
  if (rule.src !== undefined) lowerAddress(rule.src, Field.Src0, steps);
  if (rule.dst !== undefined) lowerAddress(rule.dst, Field.Dst0, steps);
  lowerBase(rule, names, steps);
  let ordinal = 0;
  for (const use of rule.matches) ordinal = lowerMatch(use, family, ordinal, steps);
  return steps;
}

/** Tests of devices, protocol and fragments. */
function lowerBase(rule: Rule, names: DeviceNames, steps: Step[]): void {
  if (rule.inDevice !== undefined) lowerDevice(rule.inDevice, Field.InDev, Field.InName, names, steps);
  if (rule.outDevice !== undefined) lowerDevice(rule.outDevice, Field.OutDev, Field.OutName, names, steps);
  if (rule.protocol !== undefined) {
    const { number, invert } = rule.protocol;
    steps.push({ kind: invert ? 'unequal' : 'equal', slot: Field.Protocol, mask: -1, value: number });
  }
  if (rule.fragment !== undefined) {
    steps.push({ kind: rule.fragment ? 'unequal' : 'equal', slot: Field.FragOff, mask: -1, value: 0 });
  }
}

/** Takes the number of calls before it, gives that behind it. */
function lowerMatch(use: MatchUse, family: Family, ordinal: number, steps: Step[]): number {
  const tests = loweredMatch(use, family);
  if (tests === undefined) {
    steps.push({ kind: 'call', ordinal, stateful: isStateful(use), steady: isSteady(use), match: use.ext.kind });
    return ordinal + 1;
  }
  for (const test of tests) steps.push(lowerFieldTest(test));
  return ordinal;
}

/** True if its bound function keeps state of its rule, which starts anew when the table changes. */
export function isStateful(use: MatchUse | TargetUse): boolean {
  return use.ext.spansConnections === true && use.ext.shares?.(use.value) !== true;
}

/** See ExtensionBase.isSteady. */
export function isSteady(use: MatchUse | TargetUse): boolean {
  return use.ext.isSteady?.(use.value) ?? false;
}

/** Field tests of a match, or undefined if it must be called. */
export function loweredMatch(use: MatchUse, family: Family): readonly FieldTest[] | undefined {
  return use.ext.lower?.(use.value, family);
}

function lowerFieldTest(test: FieldTest): Step {
  if ('anyOf' in test) return { kind: 'ranges', slot: test.slot, ranges: test.anyOf, invert: test.invert };
  if ('low' in test) return { kind: 'ranges', slot: test.slot, ranges: [test], invert: test.invert };
  // One mask for one meaning, so that rules share subtables: all the bits that the field can have are all bits.
  const wide = test.slot === Field.SrcPort || test.slot === Field.DstPort ? 0xffff : -1;
  const mask = (test.mask & wide) === wide && (test.value & ~wide) === 0 ? -1 : test.mask | 0;
  return { kind: test.invert ? 'unequal' : 'equal', slot: test.slot, mask, value: test.value | 0 };
}

function lowerAddress(test: AddressTest, first: number, steps: Step[]): void {
  const tested: number[] = [];
  for (let i = 0; i < 4; i++) {
    if (test.mask[i] !== 0) tested.push(i);
    // A stored address with bits outside its mask never equals; restore masks it, a program might not.
    else if (test.address[i] !== 0) {
      if (!test.invert) steps.push({ kind: 'never' });
      return;
    }
  }
  if (!test.invert) {
    for (const i of tested) {
      steps.push({ kind: 'equal', slot: first + i, mask: test.mask[i]! | 0, value: test.address[i]! | 0 });
    }
  } else if (tested.length === 0) {
    steps.push({ kind: 'never' });
  } else if (tested.length === 1) {
    const i = tested[0]!;
    steps.push({ kind: 'unequal', slot: first + i, mask: test.mask[i]! | 0, value: test.address[i]! | 0 });
  } else {
    steps.push({ kind: 'not-address', slot: first, test });
  }
}

/** A whole name is compared by the number that the engine gives it, a pattern through a table by device. */
function lowerDevice(test: DeviceTest, slot: number, nameSlot: number, names: DeviceNames, steps: Step[]): void {
  if (test.name === '+') {
    if (test.invert) steps.push({ kind: 'never' });
  } else if (test.name.endsWith('+')) {
    steps.push({ kind: 'device', slot, pattern: names.pattern(test.name.slice(0, -1)), invert: test.invert });
  } else {
    steps.push({ kind: test.invert ? 'unequal' : 'equal', slot: nameSlot, mask: -1, value: names.number(test.name) });
  }
}
