/** `-m statistic`: by chance or every n-th packet. Kernel: statistic_mt(), net/netfilter/xt_statistic.c. */
import type { MatchExt } from '../extension.js';
import { bang } from '../option.js';

export type StatisticMatch =
  /** `threshold` of 2^31: a packet matches if 31 random bits are below it. */
  | { readonly mode: 'random'; readonly threshold: number; readonly invert: boolean }
  /** Evaluation number i (from 0) matches when i mod every = packet. */
  | { readonly mode: 'nth'; readonly every: number; readonly packet: number; readonly invert: boolean };

/** A C floating number as strtod() reads it, whole; undefined for anything else. */
function parseDouble(text: string): number | undefined {
  const trimmed = text.replace(/^[ \t\n\v\f\r]+/, '');
  if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(trimmed)) return Number(trimmed);
  if (/^[+-]?nan(\([0-9a-z_]*\))?$/i.test(trimmed)) return Number.NaN;
  const hex = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)(?:[pP]([+-]?\d+))?$/.exec(trimmed);
  if (hex === null || (hex[2] === '' && hex[3] === '')) return undefined;
  const digits = Number.parseInt(hex[2]! + hex[3]!, 16);
  return digits * 2 ** (Number(hex[4] ?? 0) - 4 * hex[3]!.length) * (hex[1] === '-' ? -1 : 1);
}

/** The kernel's threshold for a probability: p × 2^31, halves away from zero; nan is 0. */
export function thresholdOf(probability: number): number {
  if (Number.isNaN(probability)) return 0;
  const scaled = probability * 0x80000000; // exact: a power of two
  const whole = Math.floor(scaled);
  return scaled - whole >= 0.5 ? whole + 1 : whole;
}

/** `%.11f` of threshold / 2^31: T × 5^11 / 2^20 as a whole number of 1e-11, halves to even as printf() does. */
export function printThreshold(threshold: number): string {
  const scaled = BigInt(threshold) * 48828125n;
  let units = scaled >> 20n;
  const rest = scaled & 0xfffffn;
  if (rest > 0x80000n || (rest === 0x80000n && (units & 1n) === 1n)) units++;
  const digits = units.toString().padStart(12, '0');
  return `${digits.slice(0, -11)}.${digits.slice(-11)}`;
}

export const statistic: MatchExt<StatisticMatch> = {
  kind: 'statistic',
  families: [4, 6],
  spansConnections: true,
  shares: (m) => m.mode === 'random',
  options: [
    { name: '--mode' },
    { name: '--probability', invert: true },
    { name: '--every', invert: true },
    { name: '--packet' },
  ],
  parse(given) {
    const mode = given.required('--mode');
    const probability = given.get('--probability');
    const every = given.get('--every');
    const packet = given.get('--packet');
    if (mode?.values[0] === 'nth') {
      if (probability !== undefined)
        given.fail(probability, 'options-exclude', 'statistic: "--probability" is not for mode nth');
      given.required('--every');
      given.required('--packet');
      const n = every === undefined ? 1 : given.number(every, 1, 0xffffffff);
      const p = packet === undefined ? 0 : given.number(packet, 0, 0xffffffff);
      if (p >= n) given.fail(packet, 'bad-number', 'statistic: the --packet p must be 0 <= p <= n-1');
      return { mode: 'nth', every: n, packet: p, invert: every?.invert ?? false };
    }
    if (mode !== undefined && mode.values[0] !== 'random')
      given.fail(mode, 'bad-word', `statistic: bad mode "${mode.values[0]}"`, 'random or nth');
    const stray = every ?? packet;
    if (stray !== undefined)
      given.fail(stray, 'options-exclude', `statistic: "${stray.spec.name}" is not for mode random`);
    given.required('--probability');
    const p = probability === undefined ? 0 : parseDouble(probability.values[0]!);
    if (p === undefined || p < 0 || p > 1) {
      given.fail(probability, 'bad-number', `statistic: bad probability "${probability?.values[0]}", must be 0 to 1`);
      return { mode: 'random', threshold: 0, invert: false };
    }
    return { mode: 'random', threshold: thresholdOf(p), invert: probability?.invert ?? false };
  },
  print: (m) =>
    m.mode === 'random'
      ? `--mode random ${bang(m.invert)}--probability ${printThreshold(m.threshold)}`
      : `--mode nth ${bang(m.invert)}--every ${m.every} --packet ${m.packet}`,
  bind(m, env) {
    if (m.mode === 'random') {
      const { rng } = env;
      return () => (rng.u32() & 0x7fffffff) < m.threshold !== m.invert;
    }
    const last = m.every - 1;
    let count = last - m.packet;
    return () => {
      if (count === last) {
        count = 0;
        return !m.invert;
      }
      count++;
      return m.invert;
    };
  },
};
