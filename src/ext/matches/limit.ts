/** `-m limit`: a token bucket in credits. Kernel: limit_mt(), net/netfilter/xt_limit.c. */
import { DEFAULT_HZ, jiffiesAt } from '../../base/clock.js';
import type { MatchExt, Refusal } from '../extension.js';
import type { GivenOption, GivenOptions } from '../option.js';

export interface LimitMatch {
  /** Time between packets in 1/10000 s. */
  readonly avg: number;
  readonly burst: number;
}

/** Units of avg in a second. */
const SCALE = 10000;
const DEFAULT_BURST = 5;
/** `3/hour`. */
const DEFAULT_AVG = (SCALE * 3600) / 3;

/** Any beginning of a name will do; first come, first served. */
const UNITS: readonly (readonly [string, number])[] = [
  ['second', 1],
  ['minute', 60],
  ['hour', 3600],
  ['day', 86400],
];
/** From the largest; the name that prints. */
const PRINTED: readonly (readonly [string, number])[] = [
  ['day', 86400 * SCALE],
  ['hour', 3600 * SCALE],
  ['min', 60 * SCALE],
  ['sec', SCALE],
];

/** `N[/unit]`; what stands between the digits and the slash is not read (tool: parse_rate(), atoi()). */
function parseRate(given: GivenOptions, option: GivenOption): number {
  const text = option.values[0]!;
  const slash = text.indexOf('/');
  const unit = slash === -1 ? 's' : text.slice(slash + 1).toLowerCase();
  const seconds = unit === '' ? undefined : UNITS.find(([name]) => name.startsWith(unit))?.[1];
  const digits = /^\s*([+-]?\d+)/.exec(text)?.[1];
  const count = digits === undefined ? 0 : Number(BigInt.asUintN(32, BigInt(digits)));
  if (seconds === undefined || count === 0) {
    given.fail(option, 'bad-rate', `limit: bad rate "${text}"`, 'a number and /second, /minute, /hour or /day');
    return DEFAULT_AVG;
  }
  const avg = Math.floor((SCALE * seconds) / count);
  if (avg === 0) given.fail(option, 'bad-rate', `limit: rate too fast "${text}"`);
  return avg;
}

/** Tool: print_rate(). */
export function printRate(avg: number): string {
  let unit = 0;
  while (unit + 1 < PRINTED.length) {
    const scale = PRINTED[unit + 1]![1];
    if (avg > scale || Math.floor(scale / avg) < scale % avg) break;
    unit++;
  }
  return `${Math.floor(PRINTED[unit]![1] / avg)}/${PRINTED[unit]![0]}`;
}

/** Credits that a jiffy brings: the largest power of two that lets a day's worth fit 32 bits. */
export function creditsPerJiffy(hz: number): number {
  return 2 ** Math.floor(Math.log2(Math.floor(0xffffffff / (hz * 86400))));
}

/** Kernel: user2credits(); all arithmetic wraps at 32 bits. */
export function creditsOf(user: number, hz: number): number {
  const perSecond = hz * creditsPerJiffy(hz);
  return user > Math.floor(0xffffffff / perSecond)
    ? Math.imul(Math.floor(user / SCALE), perSecond) >>> 0
    : Math.floor((user * perSecond) / SCALE);
}

/** The bucket's size: credits of avg × burst, the product wrapped. */
export function capOf(m: LimitMatch, hz: number): number {
  return creditsOf(Math.imul(m.avg, m.burst) >>> 0, hz);
}

export const limit: MatchExt<LimitMatch> = {
  kind: 'limit',
  families: [4, 6],
  spansConnections: true,
  options: [{ name: '--limit' }, { name: '--limit-burst' }],
  parse(given) {
    const rate = given.get('--limit');
    const burst = given.get('--limit-burst');
    return {
      avg: rate === undefined ? DEFAULT_AVG : parseRate(given, rate),
      burst: burst === undefined ? DEFAULT_BURST : given.number(burst, 0, 10000),
    };
  },
  print: (m) => `--limit ${printRate(m.avg)}${m.burst === DEFAULT_BURST ? '' : ` --limit-burst ${m.burst}`}`,
  check(m): Refusal | undefined {
    // The sum depends on the kernel's HZ; a rule set is judged by the common one (250 and 1000 agree).
    if (m.burst !== 0 && capOf(m, DEFAULT_HZ) >= creditsOf(m.avg, DEFAULT_HZ)) return undefined;
    return {
      code: 'limit-overflow',
      message: `limit: rate and burst overflow the kernel's 32-bit credits (${printRate(m.avg)}, burst ${m.burst})`,
      hint: 'use a smaller --limit-burst or a faster --limit',
      errno: 'ERANGE',
    };
  },
  bind(m, env) {
    const { clock, hz } = env;
    const perJiffy = creditsPerJiffy(hz);
    const cost = creditsOf(m.avg, hz);
    const cap = capOf(m, hz);
    let credit = cap;
    // Full until the first packet: what time would add before it cannot be more than the cap.
    let before = -1;
    return () => {
      const now = jiffiesAt(clock, hz);
      const gained = before === -1 ? 0 : ((now - before) * perJiffy) % 0x1_0000_0000;
      before = now;
      credit = (credit + gained) >>> 0;
      if (credit > cap) credit = cap;
      if (credit < cost) return false;
      credit -= cost;
      return true;
    };
  },
};
