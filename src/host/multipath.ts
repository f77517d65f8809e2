/**
 * Routes with several next hops: which one a flow takes. Kernel: fib_multipath_hash(), fib_rebalance() (net/ipv4),
 * rt6_multipath_hash(), rt6_upper_bound_set() (net/ipv6). The kernel's hash has a seed drawn at boot: which flow takes
 * which next hop is its free choice, how many take each is not, and a flow stays where it is.
 * Differs: inner packets of tunnels are not looked at (fib_multipath_hash_policy 2, inner fields of 3), neighbours that
 * do not answer neither (fib_multipath_use_neigh).
 */
import { jhash2 } from '../base/hash.js';
import type { Family } from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { hasPorts, L4_OK, type Packet } from '../wire/packet.js';

/** Next hops of one route, in its order; only those in service. */
export interface PathGroup {
  /** Indices into RouteTable.paths. */
  readonly members: readonly number[];
  /** Of each, 31 bits: a flow takes the first member whose bound its hash does not pass. */
  readonly bounds: readonly number[];
}

/** FIB_MULTIPATH_HASH_FIELD_…. */
const SRC_IP = 1;
const DST_IP = 2;
const IP_PROTO = 4;
const FLOWLABEL = 8;
const SRC_PORT = 16;
const DST_PORT = 32;

const L3_POLICY = 0;
const L4_POLICY = 1;
const CUSTOM_POLICY = 3;

/** Bit n: ICMP type n is an error (icmp_is_err()). */
const ICMP_ERRORS = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 11) | (1 << 12);

/** Cumulative shares of 2^31. */
export function boundsOf(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  return weights.map((weight) => {
    sum += weight;
    return Math.round((sum * 2 ** 31) / total) - 1;
  });
}

/** The member for a hash of 31 bits. */
export function memberFor(group: PathGroup, hash: number): number {
  const { members, bounds } = group;
  for (let i = 0; i < members.length - 1; i++) if (hash <= bounds[i]!) return members[i]!;
  return members.at(-1)!;
}

/** Hashes flows of one family to 31 bits. Allocates nothing. */
export class MultipathHash {
  readonly #family: Family;
  readonly #seed: number;
  readonly #isL3: boolean;
  readonly #fields: number;
  /** Source, destination, protocol, flow label, ports. */
  readonly #key = new Uint32Array(12);

  constructor(family: Family, sysctl: ReadonlyMap<string, string>, seed: number) {
    const policy = Number(sysctl.get(`net.ipv${family}.fib_multipath_hash_policy`) ?? L3_POLICY);
    const custom = Number(sysctl.get(`net.ipv${family}.fib_multipath_hash_fields`) ?? SRC_IP | DST_IP | IP_PROTO);
    const l3 = family === 4 ? SRC_IP | DST_IP : SRC_IP | DST_IP | IP_PROTO | FLOWLABEL;
    this.#family = family;
    this.#seed = seed;
    this.#isL3 = policy !== L4_POLICY && policy !== CUSTOM_POLICY;
    this.#fields =
      policy === L4_POLICY ? SRC_IP | DST_IP | IP_PROTO | SRC_PORT | DST_PORT : policy === CUSTOM_POLICY ? custom : l3;
  }

  /** Of a received packet. By addresses alone an ICMP error goes the way of what it is about. */
  ofReceived(p: Packet): number {
    const { f, view } = p;
    const key = this.#key;
    if (this.#isL3 && this.#readQuoted(p)) return this.#hash();
    for (let i = 0; i < 8; i++) key[i] = f[Field.Src0 + i]!;
    key[8] = this.#isL3 && this.#family === 6 ? view.getUint8(p.l3Off + 6) : f[Field.Protocol]!;
    key[9] = this.#family === 6 ? view.getUint32(p.l3Off) & 0xfffff : 0;
    this.#readPorts(p);
    return this.#hash();
  }

  /** Of an own packet on its way to words[at..at+4); an answer that is not built yet has no ports. */
  ofOwn(p: Packet, words: ArrayLike<number>, at: number, source: ArrayLike<number>): number {
    const key = this.#key;
    for (let i = 0; i < 4; i++) {
      key[i] = source[i]!;
      key[4 + i] = words[at + i]!;
    }
    key[8] = p.f[Field.Protocol]!;
    key[9] = 0;
    this.#readPorts(p);
    return this.#hash();
  }

  #readPorts(p: Packet): void {
    const { f } = p;
    const here = hasPorts(f[Field.Protocol]!) && p.l4State === L4_OK && !p.isFragment;
    this.#key[10] = here ? f[Field.SrcPort]! : 0;
    this.#key[11] = here ? f[Field.DstPort]! : 0;
  }

  /** Kernel: ip_multipath_l3_keys(), ip6_multipath_l3_keys(). */
  #readQuoted(p: Packet): boolean {
    const { view, f } = p;
    const key = this.#key;
    const at = p.l4Off + 8;
    if (p.isFragment || p.l4State !== L4_OK) return false;
    const type = f[Field.Icmp]! >>> 8;
    if (this.#family === 4) {
      if (f[Field.Protocol] !== IPPROTO_ICMP || type > 31 || (ICMP_ERRORS & (1 << type)) === 0) return false;
      if (at + 20 > p.end) return false;
      key.fill(0);
      key[0] = view.getUint32(at + 12);
      key[4] = view.getUint32(at + 16);
      return true;
    }
    if (f[Field.Protocol] !== IPPROTO_ICMPV6 || type < 1 || type > 4 || at + 40 > p.end) return false;
    for (let i = 0; i < 8; i++) key[i] = view.getUint32(at + 8 + 4 * i);
    key[8] = view.getUint8(at + 6);
    key[9] = view.getUint32(at) & 0xfffff;
    key[10] = key[11] = 0;
    return true;
  }

  #hash(): number {
    const key = this.#key;
    const fields = this.#fields;
    if ((fields & SRC_IP) === 0) key.fill(0, 0, 4);
    if ((fields & DST_IP) === 0) key.fill(0, 4, 8);
    if ((fields & IP_PROTO) === 0) key[8] = 0;
    if ((fields & FLOWLABEL) === 0) key[9] = 0;
    if ((fields & SRC_PORT) === 0) key[10] = 0;
    if ((fields & DST_PORT) === 0) key[11] = 0;
    return jhash2(key, 0, 12, this.#seed) >>> 1;
  }
}
