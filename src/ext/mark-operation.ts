/** The ways to say what MARK and CONNMARK do to a mark: `new = (old & ~mask) ^ value`. */
import { type GivenOption, type GivenOptions, hex } from './option.js';

export interface MarkOperation {
  readonly value: number;
  readonly mask: number;
}

export const MARK_SET_OPTIONS = ['--set-xmark', '--set-mark', '--and-mark', '--or-mark', '--xor-mark'] as const;

/** Value and mask of one of MARK_SET_OPTIONS; and, or, xor take no mask. */
export function markOperation(given: GivenOptions, option: GivenOption): MarkOperation {
  switch (option.spec.name) {
    case '--set-xmark':
      return given.u32Mask(option);
    case '--set-mark': {
      const { value, mask } = given.u32Mask(option);
      return { value, mask: (mask | value) >>> 0 };
    }
    case '--and-mark':
      return { value: 0, mask: ~given.number(option, 0, 0xffffffff) >>> 0 };
    case '--or-mark': {
      const value = given.number(option, 0, 0xffffffff);
      return { value, mask: value };
    }
    default:
      return { value: given.number(option, 0, 0xffffffff), mask: 0 };
  }
}

export function printMarkOperation(op: MarkOperation): string {
  return `--set-xmark ${hex(op.value)}/${hex(op.mask)}`;
}

export function applyMark(old: number, op: MarkOperation): number {
  return ((old & ~op.mask) ^ op.value) >>> 0;
}
