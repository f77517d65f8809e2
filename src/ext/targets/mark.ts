/** `-j MARK`: changes the packet's mark. Kernel: mark_tg(), net/netfilter/xt_mark.c, revision 2. */
import { XT_CONTINUE } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import type { TargetExt } from '../extension.js';
import {
  applyMark,
  MARK_SET_OPTIONS,
  type MarkOperation,
  markOperation,
  printMarkOperation,
} from '../mark-operation.js';

export const MARK: TargetExt<MarkOperation> = {
  kind: 'MARK',
  families: [4, 6],
  terminating: false,
  options: MARK_SET_OPTIONS.map((name) => ({ name })),
  parse(given) {
    const option = given.exactlyOne(...MARK_SET_OPTIONS);
    return option === undefined ? { value: 0, mask: 0 } : markOperation(given, option);
  },
  print: printMarkOperation,
  isSteady: () => true,
  bind: (op) => (packet) => {
    packet.f[Field.Mark] = applyMark(packet.f[Field.Mark]!, op);
    return XT_CONTINUE;
  },
};
