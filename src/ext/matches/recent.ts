/** `-m recent`: lists of addresses seen. Kernel: recent_mt(), net/netfilter/xt_recent.c. */
import { jiffiesAt } from '../../base/clock.js';
import type { Words6 } from '../../net/ip6.js';
import { Field } from '../../wire/field.js';
import { failAddress, fullMask, parseHost, printAddress } from '../address.js';
import type { MatchExt, Refusal } from '../extension.js';
import { bang, cutBytes } from '../option.js';
import { RecentTable, ringSizeFor } from '../recent-table.js';

type RecentOperation = 'set' | 'rcheck' | 'update' | 'remove';

export interface RecentMatch {
  readonly operation: RecentOperation;
  readonly invert: boolean;
  /** 0: no window. */
  readonly seconds: number;
  readonly reap: boolean;
  /** 0: none. */
  readonly hitCount: number;
  readonly ttl: boolean;
  readonly name: string;
  readonly mask: Words6;
  readonly side: 'rsource' | 'rdest';
}

const OPERATIONS: readonly RecentOperation[] = ['set', 'rcheck', 'update', 'remove'];
/** Linux 6.18 counts 65535 stamps at most (6.1: 255). */
const MAX_HIT_COUNT = 65535;

export const recent: MatchExt<RecentMatch> = {
  kind: 'recent',
  families: [4, 6],
  spansConnections: true,
  options: [
    ...OPERATIONS.map((op) => ({ name: `--${op}`, args: 0 as const, invert: true })),
    { name: '--seconds' },
    { name: '--reap', args: 0 },
    { name: '--hitcount' },
    { name: '--rttl', args: 0 },
    { name: '--name' },
    { name: '--mask' },
    { name: '--rsource', args: 0 },
    { name: '--rdest', args: 0 },
  ],
  parse(given) {
    const option = given.exactlyOne(...OPERATIONS.map((op) => `--${op}`));
    const operation = OPERATIONS.find((op) => `--${op}` === option?.spec.name) ?? 'set';
    const seconds = given.get('--seconds');
    const hitCount = given.get('--hitcount');
    const name = given.get('--name');
    const maskOption = given.get('--mask');
    const rttl = given.get('--rttl');
    if (rttl !== undefined && (operation === 'set' || operation === 'remove'))
      given.fail(rttl, 'options-exclude', `recent: "--rttl" cannot be used together with "--${operation}"`);
    if (seconds === undefined && given.has('--reap'))
      given.fail(given.get('--reap'), 'option-missing', 'recent: option "--reap" also requires "--seconds"');
    let mask = fullMask(given.family);
    if (maskOption !== undefined) {
      const words = parseHost(maskOption.values[0]!, given.family);
      if (words === undefined) failAddress(given, maskOption, maskOption.values[0]!);
      mask = words ?? mask;
    }
    const sides = given.given.filter((g) => g.spec.name === '--rsource' || g.spec.name === '--rdest');
    return {
      operation,
      invert: option?.invert ?? false,
      seconds: seconds === undefined ? 0 : given.number(seconds, 1, 0xffffffff),
      reap: given.has('--reap'),
      hitCount: hitCount === undefined ? 0 : given.number(hitCount, 0, 0xffffffff),
      ttl: rttl !== undefined,
      name: cutBytes(name?.values[0] ?? 'DEFAULT', 199),
      mask,
      side: sides.at(-1)?.spec.name === '--rdest' ? 'rdest' : 'rsource',
    };
  },
  print(m, family) {
    const parts = [`${bang(m.invert)}--${m.operation}`];
    if (m.seconds !== 0) parts.push(`--seconds ${m.seconds | 0}`); // printed with %d
    if (m.reap) parts.push('--reap');
    if (m.hitCount !== 0) parts.push(`--hitcount ${m.hitCount | 0}`);
    if (m.ttl) parts.push('--rttl');
    parts.push(`--name ${m.name}`, `--mask ${printAddress(m.mask, family)}`, `--${m.side}`);
    return parts.join(' ');
  },
  check(m): Refusal | undefined {
    const refuse = (message: string): Refusal => ({
      code: 'bad-recent',
      message: `recent: ${message}`,
      errno: 'EINVAL',
    });
    if ((m.operation === 'set' || m.operation === 'remove') && (m.seconds !== 0 || m.hitCount !== 0 || m.reap))
      return refuse(`--${m.operation} takes no --seconds, --hitcount or --reap`);
    if (m.hitCount > MAX_HIT_COUNT) return refuse(`--hitcount ${m.hitCount} is larger than ${MAX_HIT_COUNT}`);
    if (m.name === '' || m.name === '.' || m.name === '..' || m.name.includes('/'))
      return refuse(`"${m.name}" cannot name a list`);
    return undefined;
  },
  bind(m, env) {
    const ring = ringSizeFor(m.hitCount);
    const table = env.shared.get(`recent/${m.name}`, () => new RecentTable(m.mask, ring));
    table.need(ring);
    const { clock, hz, family } = env;
    const at = m.side === 'rdest' ? Field.Dst0 : Field.Src0;
    return (packet) => {
      const { f } = packet;
      // The TTL as it was received: forwarding has taken one off where there is a way out already. Packets that no socket
      // sent count as forwarded.
      const ttl = f[Field.Ttl]! + (f[Field.OutDev] !== 0 && (!packet.local || packet.isOrphan) ? 1 : 0);
      const now = jiffiesAt(clock, hz);
      const entry = table.find(family, f, at, m.ttl ? ttl : 0);
      if (entry === -1) {
        if (m.operation !== 'set') return m.invert;
        table.add(family, f, at, ttl, now);
        return !m.invert;
      }
      if (m.operation === 'set') {
        table.update(entry, ttl, now);
        return !m.invert;
      }
      if (m.operation === 'remove') {
        table.remove(entry);
        return !m.invert;
      }
      const since = now - m.seconds * hz;
      const result = table.hits(entry, m.seconds === 0 ? -Infinity : since, m.hitCount) !== m.invert;
      const updating = m.operation === 'update' && result;
      if (m.reap) table.reap(since, updating ? entry : -1);
      if (updating) table.update(entry, ttl, now);
      return result;
    };
  },
};
