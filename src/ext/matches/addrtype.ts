/** `-m addrtype`: what routing says of an address. Kernel: addrtype_mt_v1(), net/netfilter/xt_addrtype.c. */
import { Field } from '../../wire/field.js';
import type { Packet } from '../../wire/packet.js';
import { ADDRESS_TYPES, type BindEnv, type MatchExt, type Refusal } from '../extension.js';
import { bang, printBits } from '../option.js';
import { onlyHooks } from '../place.js';

interface TypeTest {
  /** Bit i: ADDRESS_TYPES[i]. */
  readonly bits: number;
  readonly invert: boolean;
}
export interface AddrtypeMatch {
  readonly src: TypeTest | undefined;
  readonly dst: TypeTest | undefined;
  /** `--limit-iface-in` or `--limit-iface-out`. */
  readonly device: 'in' | 'out' | undefined;
}

const TYPES: readonly (readonly [string, number])[] = ADDRESS_TYPES.map((name, i) => [name, 1 << i]);
const bitOf = (name: (typeof ADDRESS_TYPES)[number]) => 1 << ADDRESS_TYPES.indexOf(name);
/** What the kernel refuses for IPv6, also inverted. */
const NOT_IN_IPV6 =
  bitOf('BROADCAST') | bitOf('BLACKHOLE') | bitOf('PROHIBIT') | bitOf('THROW') | bitOf('NAT') | bitOf('XRESOLVE');

function bindType(test: TypeTest, first: 0 | 4, device: AddrtypeMatch['device'], env: BindEnv) {
  const { host, family } = env;
  const { bits, invert } = test;
  // kube-proxy asks this of every new packet.
  if (family === 4 && device === undefined) {
    return (packet: Packet): boolean => (((1 << host.addressType(packet, first, 0)) & bits) !== 0) !== invert;
  }
  return (packet: Packet): boolean => {
    const index = device === undefined ? 0 : device === 'in' ? packet.f[Field.InDev]! : packet.f[Field.OutDev]!;
    const fits =
      family === 4
        ? ((1 << host.addressType(packet, first, index)) & test.bits) !== 0
        : host.addressTypeMatches6(packet, first, index, test.bits);
    return fits !== test.invert;
  };
}

export const addrtype: MatchExt<AddrtypeMatch> = {
  kind: 'addrtype',
  families: [4, 6],
  options: [
    { name: '--src-type', invert: true },
    { name: '--dst-type', invert: true },
    { name: '--limit-iface-in', args: 0 },
    { name: '--limit-iface-out', args: 0 },
  ],
  parse(given) {
    const src = given.get('--src-type');
    const dst = given.get('--dst-type');
    const out = given.get('--limit-iface-out');
    if (src === undefined && dst === undefined)
      given.fail(undefined, 'option-missing', 'addrtype: you must specify at least one of --src-type or --dst-type');
    if (out !== undefined && given.has('--limit-iface-in'))
      given.fail(
        out,
        'options-exclude',
        'addrtype: "--limit-iface-in" cannot be used together with "--limit-iface-out"',
      );
    return {
      src: src && { bits: given.wordBits(src, TYPES), invert: src.invert },
      dst: dst && { bits: given.wordBits(dst, TYPES), invert: dst.invert },
      device: out !== undefined ? 'out' : given.has('--limit-iface-in') ? 'in' : undefined,
    };
  },
  print(m) {
    const parts: string[] = [];
    if (m.src) parts.push(`${bang(m.src.invert)}--src-type ${printBits(m.src.bits, TYPES)}`);
    if (m.dst) parts.push(`${bang(m.dst.invert)}--dst-type ${printBits(m.dst.bits, TYPES)}`);
    if (m.device !== undefined) parts.push(`--limit-iface-${m.device}`);
    return parts.join(' ');
  },
  check(m, place): Refusal | undefined {
    const bits = (m.src?.bits ?? 0) | (m.dst?.bits ?? 0);
    if (place.family === 6 && (bits & NOT_IN_IPV6) !== 0)
      return {
        code: 'not-in-ipv6',
        message: `addrtype: IPv6 has no type ${printBits(bits & NOT_IN_IPV6, TYPES)}`,
        errno: 'EINVAL',
      };
    if (m.device === 'in') return onlyHooks('addrtype --limit-iface-in', place, 'PREROUTING', 'INPUT', 'FORWARD');
    if (m.device === 'out') return onlyHooks('addrtype --limit-iface-out', place, 'FORWARD', 'OUTPUT', 'POSTROUTING');
    return undefined;
  },
  isSteady: () => true,
  bind(m, env) {
    const src = m.src && bindType(m.src, 0, m.device, env);
    const dst = m.dst && bindType(m.dst, 4, m.device, env);
    if (src === undefined && dst !== undefined) return dst;
    return (packet) => (src === undefined || src(packet)) && (dst === undefined || dst(packet));
  },
};
