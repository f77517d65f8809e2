/** `-j CONNMARK`: the connection's mark. Kernel: connmark_tg_shift(), net/netfilter/xt_connmark.c, revision 2. */
import { XT_CONTINUE } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import type { Refusal, TargetExt } from '../extension.js';
import { MARK_SET_OPTIONS, markOperation } from '../mark-operation.js';
import { hex } from '../option.js';

export interface ConnmarkTarget {
  readonly mode: 'set' | 'save' | 'restore';
  /** Set: the value. */
  readonly ctMark: number;
  readonly ctMask: number;
  readonly nfMask: number;
  /** 0–32; positive shifts left, negative right. */
  readonly shift: number;
}

const OPERATIONS = [...MARK_SET_OPTIONS, '--save-mark', '--restore-mark'] as const;
const ALL = 0xffffffff;

/** Bits shifted as the kernel shifts them (32 is refused at load). */
function shifted(mark: number, shift: number): number {
  return (shift >= 0 ? mark << shift : mark >>> -shift) >>> 0;
}

export const CONNMARK: TargetExt<ConnmarkTarget> = {
  kind: 'CONNMARK',
  families: [4, 6],
  terminating: false,
  options: [
    ...MARK_SET_OPTIONS.map((name) => ({ name })),
    { name: '--save-mark', args: 0 },
    { name: '--restore-mark', args: 0 },
    { name: '--left-shift-mark' },
    { name: '--right-shift-mark' },
    { name: '--ctmask' },
    { name: '--nfmask' },
    { name: '--mask' },
  ],
  parse(given) {
    const operation = given.exactlyOne(...OPERATIONS);
    const mask = given.get('--mask');
    const excluded = given.get('--nfmask') ?? given.get('--ctmask');
    if (mask !== undefined && excluded !== undefined)
      given.fail(
        excluded,
        'options-exclude',
        `CONNMARK: option "${excluded.spec.name}" cannot be used together with "--mask"`,
      );
    let ctMark = 0;
    let ctMask = ALL;
    let nfMask = ALL;
    let shift = 0;
    // In the order given: each option overwrites what an earlier one has set.
    for (const option of given.given) {
      const { name } = option.spec;
      if (name === '--mask') ctMask = nfMask = given.number(option, 0, ALL);
      else if (name === '--ctmask') ctMask = given.number(option, 0, ALL);
      else if (name === '--nfmask') nfMask = given.number(option, 0, ALL);
      else if (name === '--left-shift-mark') shift = given.number(option, 0, 32);
      else if (name === '--right-shift-mark') shift = -given.number(option, 0, 32);
      else if (name !== '--save-mark' && name !== '--restore-mark') {
        const op = markOperation(given, option);
        ctMark = op.value;
        ctMask = op.mask;
      }
    }
    const name = operation?.spec.name;
    const mode = name === '--save-mark' ? 'save' : name === '--restore-mark' ? 'restore' : 'set';
    return { mode, ctMark, ctMask, nfMask, shift };
  },
  print(t) {
    const what =
      t.mode === 'set'
        ? `--set-xmark ${hex(t.ctMark)}/${hex(t.ctMask)}`
        : `--${t.mode}-mark --nfmask ${hex(t.nfMask)} --ctmask ${hex(t.ctMask)}`;
    if (t.shift === 0) return what;
    return `${what} --${t.shift > 0 ? 'left' : 'right'}-shift-mark ${Math.abs(t.shift)}`;
  },
  check(t): Refusal | undefined {
    if (Math.abs(t.shift) < 32) return undefined;
    return { code: 'bad-number', message: 'CONNMARK: a mark cannot be shifted by 32 bits', errno: 'EINVAL' };
  },
  needs: () => 'conntrack',
  isSteady: () => true,
  bind(t, env) {
    const { conntrack } = env;
    return (packet) => {
      const { ct, f } = packet;
      if (ct === -1) return XT_CONTINUE;
      const mark = f[Field.Mark]!;
      const ctMark = conntrack.mark(ct);
      switch (t.mode) {
        case 'set':
          conntrack.setMark(ct, shifted(((ctMark & ~t.ctMask) ^ t.ctMark) >>> 0, t.shift));
          break;
        case 'save':
          conntrack.setMark(ct, ((ctMark & ~t.ctMask) ^ shifted((mark & t.nfMask) >>> 0, t.shift)) >>> 0);
          break;
        case 'restore':
          f[Field.Mark] = ((mark & ~t.nfMask) ^ shifted((ctMark & t.ctMask) >>> 0, t.shift)) >>> 0;
          break;
      }
      return XT_CONTINUE;
    };
  },
};
