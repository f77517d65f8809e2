/** `-j TOS`: `tos = (tos & ~mask) ^ value`. Kernel: tos_tg(), tos_tg6(), net/netfilter/xt_DSCP.c. */
import { XT_CONTINUE } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import { setTos } from '../../wire/mangle.js';
import type { TargetExt } from '../extension.js';
import { onlyTables } from '../place.js';
import { printTos, type TosValue, tosMask } from '../tos-value.js';

const OPTIONS = ['--set-tos', '--and-tos', '--or-tos', '--xor-tos'] as const;

export const TOS: TargetExt<TosValue> = {
  kind: 'TOS',
  families: [4, 6],
  terminating: false,
  options: OPTIONS.map((name) => ({ name })),
  parse(given) {
    const option = given.exactlyOne(...OPTIONS);
    if (option === undefined) return { value: 0, mask: 0 };
    if (option.spec.name === '--set-tos') return tosMask(given, option);
    const number = given.number(option, 0, 255);
    if (option.spec.name === '--and-tos') return { value: 0, mask: ~number & 255 };
    return { value: number, mask: option.spec.name === '--or-tos' ? number : 0 };
  },
  print: (t) => `--set-tos ${printTos(t)}`,
  check: (_t, place) => onlyTables('TOS', place, 'mangle'),
  bind: (t) => (packet) => {
    const now = packet.f[Field.Tos]!;
    const next = (now & ~t.mask & 255) ^ t.value;
    if (next !== now) setTos(packet, next);
    return XT_CONTINUE;
  },
};
