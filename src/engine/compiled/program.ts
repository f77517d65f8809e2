/**
 * Steps as words behind a rule's record (rule-store.ts has the loop that runs them).
 * Layout of a step: op | slot << 8 | count << 16, then its operands; a program ends with OP_END, the empty one has no words.
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

/** Words of the program of these steps; `places` has the place of each called match's function, by ordinal. */
export function encodeSteps(steps: readonly Step[], places: readonly number[], out: number[]): void {
  out.length = 0;
  for (const step of steps) encodeStep(step, places, out);
  if (out.length > 0) out.push(OP_END);
}

function encodeStep(step: Step, places: readonly number[], out: number[]): void {
  switch (step.kind) {
    case 'equal':
      out.push(OP_EQUAL | (step.slot << 8), step.mask, step.value);
      return;
    case 'unequal':
      out.push(OP_UNEQUAL | (step.slot << 8), step.mask, step.value);
      return;
    case 'ranges': {
      // A reversed range holds nothing.
      const ranges = step.ranges.filter(({ low, high }) => low <= high);
      out.push((step.invert ? OP_NO_RANGES : OP_RANGES) | (step.slot << 8) | (ranges.length << 16));
      for (const { low, high } of ranges) out.push(low | 0, (high - low) | 0);
      return;
    }
    case 'not-address':
      out.push(OP_NOT_ADDRESS | (step.slot << 8));
      for (const word of step.test.mask) out.push(word | 0);
      for (const word of step.test.address) out.push(word | 0);
      return;
    case 'device':
      out.push((step.invert ? OP_NOT_DEVICE : OP_DEVICE) | (step.slot << 8), step.pattern);
      return;
    case 'call':
      out.push((step.stateful ? OP_CALL_STATEFUL : OP_CALL) | (step.ordinal << 16), places[step.ordinal]!);
      return;
    case 'never':
      out.push(OP_NEVER);
      return;
    default:
      assertNever(step);
  }
}
