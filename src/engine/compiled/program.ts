/**
 * Steps as words behind a rule's record (rule-store.ts has the loop that runs them).
 * Layout of a step: op | slot << 8 | count << 16, then its operands; a program ends with OP_END, the empty one has no
 * words. Programs are kept short for the cache's sake: in large tables most of what a rule costs is fetching it.
 */
import { assertNever } from '../../base/assert.js';
import type { Step } from './lower.js';

export const OP_END = 0;
/** mask, value */
export const OP_EQUAL = 1;
export const OP_UNEQUAL = 2;
/** `count` pairs of low, high − low */
export const OP_RANGES = 3;
export const OP_NO_RANGES = 4;
/** four masks, four values */
export const OP_NOT_ADDRESS = 5;
/** pattern */
export const OP_DEVICE = 6;
export const OP_NOT_DEVICE = 7;
/** place of the function; `count` is the match's ordinal among those that the rule calls */
export const OP_CALL = 8;
/** The same for a match with state in the rule: bound anew after every change of its table. */
export const OP_CALL_STATEFUL = 9;
export const OP_NEVER = 10;
/** The whole field: value */
export const OP_IS = 11;
/** The whole field, and a value that fits where `count` stands */
export const OP_IS_SMALL = 12;

/**
 * Writes the program of these steps to the front of `out` and returns how many words it has; `places` has the place of
 * each called match's function, by ordinal.
 */
export function encodeSteps(steps: readonly Step[], places: readonly number[], out: number[]): number {
  let at = 0;
  for (let i = 0; i < steps.length; i++) at = encodeStep(steps[i]!, places, out, at);
  if (at > 0) out[at++] = OP_END;
  return at;
}

/** Writes the step to out[at …] and returns where it ends. */
function encodeStep(step: Step, places: readonly number[], out: number[], at: number): number {
  switch (step.kind) {
    case 'equal':
      if (step.mask === -1 && step.value >= 0 && step.value <= 0xffff) {
        out[at] = OP_IS_SMALL | (step.slot << 8) | (step.value << 16);
        return at + 1;
      }
      if (step.mask === -1) {
        out[at] = OP_IS | (step.slot << 8);
        out[at + 1] = step.value;
        return at + 2;
      }
      out[at] = OP_EQUAL | (step.slot << 8);
      out[at + 1] = step.mask;
      out[at + 2] = step.value;
      return at + 3;
    case 'unequal':
      out[at] = OP_UNEQUAL | (step.slot << 8);
      out[at + 1] = step.mask;
      out[at + 2] = step.value;
      return at + 3;
    case 'ranges': {
      // A reversed range holds nothing.
      const ranges = step.ranges.filter(({ low, high }) => low <= high);
      let end = at;
      out[end++] = (step.invert ? OP_NO_RANGES : OP_RANGES) | (step.slot << 8) | (ranges.length << 16);
      for (const { low, high } of ranges) {
        out[end++] = low | 0;
        out[end++] = (high - low) | 0;
      }
      return end;
    }
    case 'not-address': {
      let end = at;
      out[end++] = OP_NOT_ADDRESS | (step.slot << 8);
      for (const word of step.test.mask) out[end++] = word | 0;
      for (const word of step.test.address) out[end++] = word | 0;
      return end;
    }
    case 'device':
      out[at] = (step.invert ? OP_NOT_DEVICE : OP_DEVICE) | (step.slot << 8);
      out[at + 1] = step.pattern;
      return at + 2;
    case 'call':
      out[at] = (step.stateful ? OP_CALL_STATEFUL : OP_CALL) | (step.ordinal << 16);
      out[at + 1] = places[step.ordinal]!;
      return at + 2;
    case 'never':
      out[at] = OP_NEVER;
      return at + 1;
    default:
      return assertNever(step);
  }
}
