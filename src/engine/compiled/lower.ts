/**
 * Rule → steps: its tests in the kernel's order, as tests of field words where that is exact. Packets with a broken or
 * missing transport header never get here (they take the exact walk), so a lowered transport match needs no look at
 * the header itself.
 */
import type { FieldTest, MatchUse, TargetUse } from '../../ext/extension.js';
import type { Family } from '../../net/netfilter.js';
import type { AddressTest, DeviceTest, Rule } from '../../ruleset/model.js';
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
  | { readonly kind: 'call'; readonly ordinal: number; readonly stateful: boolean; readonly match: string }
  | { readonly kind: 'never' };

/** The rule's tests in order. Interns device names. */
export function lowerRule(rule: Rule, family: Family, names: DeviceNames): Step[] {
  const steps: Step[] = [];
  if (rule.src !== undefined) lowerAddress(rule.src, Field.Src0, steps);
  if (rule.dst !== undefined) lowerAddress(rule.dst, Field.Dst0, steps);
  if (rule.inDevice !== undefined) lowerDevice(rule.inDevice, Field.InDev, Field.InName, names, steps);
  if (rule.outDevice !== undefined) lowerDevice(rule.outDevice, Field.OutDev, Field.OutName, names, steps);
  if (rule.protocol !== undefined) {
    const { number, invert } = rule.protocol;
    steps.push({ kind: invert ? 'unequal' : 'equal', slot: Field.Protocol, mask: -1, value: number });
  }
  if (rule.fragment !== undefined) {
    steps.push({ kind: rule.fragment ? 'unequal' : 'equal', slot: Field.FragOff, mask: -1, value: 0 });
  }
  let ordinal = 0;
  for (const use of rule.matches) {
    const tests = loweredMatch(use, family);
    if (tests === undefined) {
      steps.push({ kind: 'call', ordinal: ordinal++, stateful: isStateful(use), match: use.ext.kind });
    } else {
      for (const test of tests) steps.push(lowerFieldTest(test));
    }
  }
  return steps;
}

/** True if its bound function keeps state of its rule, which starts anew when the table changes. */
export function isStateful(use: MatchUse | TargetUse): boolean {
  return use.ext.spansConnections === true && use.ext.shares?.(use.value) !== true;
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
