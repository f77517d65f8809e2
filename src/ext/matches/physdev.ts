/**
 * `-m physdev`: ports of a bridge. Kernel: physdev_mt(), net/netfilter/xt_physdev.c, for packets that came through no
 * bridge with bridge filtering: a test is true only if it is inverted.
 */
import type { MatchExt, Refusal } from '../extension.js';
import { bang } from '../option.js';

type PhysdevTest = 'is-in' | 'in' | 'is-out' | 'out' | 'is-bridged';

export interface PhysdevMatch {
  /** In the order in which they print; `device` for `in` and `out`. */
  readonly tests: readonly { readonly test: PhysdevTest; readonly device: string; readonly invert: boolean }[];
}

const TESTS: readonly PhysdevTest[] = ['is-in', 'in', 'is-out', 'out', 'is-bridged'];
const MAX_DEVICE_NAME = 15;

export const physdev: MatchExt<PhysdevMatch> = {
  kind: 'physdev',
  families: [4, 6],
  options: TESTS.map((test) => ({
    name: `--physdev-${test}`,
    args: test === 'in' || test === 'out' ? (1 as const) : (0 as const),
    invert: true,
  })),
  parse(given) {
    if (given.given.length === 0) given.fail(undefined, 'option-missing', 'physdev: no physdev option specified');
    return {
      tests: TESTS.flatMap((test) => {
        const option = given.get(`--physdev-${test}`);
        if (option === undefined) return [];
        const device = option.values[0] ?? '';
        if (device.length > MAX_DEVICE_NAME)
          given.fail(option, 'bad-interface', `interface name "${device}" must be shorter than IFNAMSIZ (15)`);
        return [{ test, device, invert: option.invert }];
      }),
    };
  },
  print: (m) =>
    m.tests
      .map((t) => `${bang(t.invert)}--physdev-${t.test}${t.test === 'in' || t.test === 'out' ? ` ${t.device}` : ''}`)
      .join(' '),
  check(m, place): Refusal | undefined {
    const bridged = m.tests.some((t) => t.test === 'is-bridged' && !t.invert);
    const out = m.tests.some((t) => t.test === 'out' || t.test === 'is-out');
    if (!out || bridged || !place.reachedFrom.has('OUTPUT')) return undefined;
    return {
      code: 'hook-not-allowed',
      message: 'physdev: --physdev-out and --physdev-is-out are not valid where OUTPUT leads to',
      hint: 'add --physdev-is-bridged',
      errno: 'EINVAL',
    };
  },
  bind(m) {
    const fits = m.tests.every((t) => t.invert);
    return () => fits;
  },
};
