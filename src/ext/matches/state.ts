/** `-m state --state`: the conntrack match's older form. Kernel: state_mt(), net/netfilter/xt_state.c. */
import {
  CT_STATE_ESTABLISHED,
  CT_STATE_INVALID,
  CT_STATE_NEW,
  CT_STATE_RELATED,
  CT_STATE_UNTRACKED,
} from '../../conntrack/state-bit.js';
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { bang, printBits } from '../option.js';
import { lowerState } from './conntrack.js';

export interface StateMatch {
  readonly bits: number;
  readonly invert: boolean;
}

const STATES: readonly (readonly [string, number])[] = [
  ['INVALID', CT_STATE_INVALID],
  ['NEW', CT_STATE_NEW],
  ['RELATED', CT_STATE_RELATED],
  ['ESTABLISHED', CT_STATE_ESTABLISHED],
  ['UNTRACKED', CT_STATE_UNTRACKED],
];

export const state: MatchExt<StateMatch> = {
  kind: 'state',
  families: [4, 6],
  options: [{ name: '--state', invert: true }],
  parse(given) {
    const option = given.required('--state');
    return option === undefined
      ? { bits: 0, invert: false }
      : { bits: given.wordBits(option, STATES), invert: option.invert };
  },
  print: (m) => `${bang(m.invert)}--state ${printBits(m.bits, STATES)}`,
  needs: () => 'conntrack',
  bind: (m) => (packet) => ((packet.f[Field.CtState]! & m.bits) !== 0) !== m.invert,
  lower: (m) => [lowerState(m.bits, m.invert)],
};
