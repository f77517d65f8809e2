/**
 * IPv6 routing decisions. Kernel: ip6_route_input(), ip6_route_output() (net/ipv6/route.c); for multicast
 * ip6_mc_input() (net/ipv6/ip6_input.c).
 */
import type { Words6 } from '../net/ip6.js';
import { Field } from '../wire/field.js';
import { type Devices, SCOPE_LINK, scopeOf6 } from './device.js';
import type { DropReason } from './drop-reason.js';
import {
  type HostConfig,
  RTN_ANYCAST,
  RTN_BLACKHOLE,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from './host-config.js';
import type { HostPacket } from './host-packet.js';
import { type RouteVerdict, TO_ERROR, TO_FORWARD, TO_LOCAL, TO_NOTHING } from './ip4-routing.js';
import { MultipathHash, memberFor } from './multipath.js';
import { NO_ROUTE, type RoutePath, RouteQuery, RouteTable } from './route.js';

/** Codes of ICMPv6 destination unreachable. */
const NO_ROUTE_CODE = 0;
const PROHIBITED_CODE = 1;

export class Routing6 {
  readonly table: RouteTable;
  reason: DropReason = 'no route';
  code = 0;
  /** Source address that the last `output` has chosen or was given. */
  readonly source = new Uint32Array(4);
  readonly #devices: Devices;
  readonly #query = new RouteQuery();
  readonly #forwarding: boolean;
  readonly #multipath: MultipathHash;

  /** `seed`: of the choice among several next hops. */
  constructor(config: HostConfig, devices: Devices, forwarding: boolean, seed: number) {
    this.#devices = devices;
    this.#multipath = new MultipathHash(6, config.sysctl, seed);
    this.#forwarding = forwarding;
    this.table = new RouteTable(6, config, devices);
  }

  path(index: number): RoutePath | undefined {
    return index < 0 ? undefined : this.table.paths[index];
  }

  /** Decides on a received packet; sets its route, routeType and outDevice. Per packet: allocates nothing. */
  input(p: HostPacket): RouteVerdict {
    const { f } = p;
    p.route = NO_ROUTE;
    if (f[Field.Dst0]! >>> 24 === 0xff) {
      if (!this.isJoined(f, Field.Dst0, p.receivedOn)) return this.#nothing('multicast group not joined');
      p.routeType = RTN_MULTICAST;
      p.outDevice = 0;
      return TO_LOCAL;
    }
    const strict = scopeOf6(f, Field.Dst0) === SCOPE_LINK;
    const found = this.#lookup(f, Field.Dst0, f, Field.Src0, f[Field.Mark]!, p.receivedOn, p.receivedOn, strict);
    let path = this.table.paths[found];
    if (path === undefined) return this.#error('no route', NO_ROUTE_CODE);
    if (path.type === RTN_BLACKHOLE) return this.#nothing('blackhole route');
    if (path.type === RTN_PROHIBIT) return this.#error('prohibit route', PROHIBITED_CODE);
    if (path.type > RTN_BLACKHOLE) return this.#error('unreachable route', NO_ROUTE_CODE);
    if (path.group !== undefined) path = this.#select(path, this.#multipath.ofReceived(p), p.receivedOn, strict);
    p.route = path.index;
    p.routeType = path.type;
    if (path.type === RTN_LOCAL || path.type === RTN_ANYCAST) {
      p.outDevice = 0;
      return TO_LOCAL;
    }
    if (!this.#forwarding) return this.#nothing('forwarding is off');
    p.outDevice = path.device;
    return TO_FORWARD;
  }

  /** The next hop that a flow's hash gives, unless another device is insisted on. Kernel: fib6_select_path(). */
  #select(found: RoutePath, hash: number, device: number, strict: boolean): RoutePath {
    const chosen = this.table.paths[memberFor(found.group!, hash)]!;
    return strict && device !== 0 && chosen.device !== device ? found : chosen;
  }

  /** Groups that every host is in: all nodes, the solicited-node groups of its addresses, and all routers if it is one. */
  isJoined(words: ArrayLike<number>, at: number, index: number): boolean {
    const device = this.#devices.at(index);
    const w0 = words[at]!;
    const w1 = words[at + 1]!;
    const w2 = words[at + 2]!;
    const w3 = words[at + 3]!;
    if (w1 === 0 && w2 === 0) {
      if (w3 === 1 && (w0 === 0xff020000 || w0 === 0xff010000)) return true;
      if (w3 === 2 && (w0 === 0xff020000 || w0 === 0xff010000 || w0 === 0xff050000)) {
        return device?.settings.forwarding6 ?? false;
      }
    }
    if (w0 !== 0xff020000 || w1 !== 0 || w2 !== 1 || w3 >>> 24 !== 0xff) return false;
    const forwards = device?.settings.forwarding6 ?? false;
    for (const a of device?.addresses6 ?? []) {
      if ((a.address[3] & 0xffffff) === (w3 & 0xffffff)) return true;
      // The subnet-router anycast address of each prefix has its group too.
      if (forwards && a.bits <= 104 && (w3 & 0xffffff) === 0) return true;
    }
    return false;
  }

  #nothing(reason: DropReason): RouteVerdict {
    this.reason = reason;
    return TO_NOTHING;
  }

  #error(reason: DropReason, code: number): RouteVerdict {
    this.reason = reason;
    this.code = code;
    return TO_ERROR;
  }

  #lookup(
    destination: ArrayLike<number>,
    destinationAt: number,
    source: ArrayLike<number>,
    sourceAt: number,
    mark: number,
    inDevice: number,
    outDevice: number,
    strict: boolean,
  ): number {
    const query = this.#query;
    for (let i = 0; i < 4; i++) {
      query.destination[i] = destination[destinationAt + i]!;
      query.source[i] = source[sourceAt + i]!;
    }
    query.mark = mark;
    query.inDevice = inDevice;
    query.outDevice = outDevice;
    query.strict = strict;
    return this.table.lookup(query);
  }

  /** Plain lookup as nf_ip6_route() makes it: path, or NO_ROUTE. `device` 0: any. */
  lookup(words: ArrayLike<number>, at: number, device: number): number {
    this.#query.source.fill(0);
    return this.#lookup(words, at, this.#query.source, 0, 0, this.#devices.loopback, device, device !== 0);
  }

  /**
   * True if the address is configured on the device (0: on any). Not `strict`: an address of wider than link scope may be on
   * another device too. Kernel: ipv6_chk_addr().
   */
  isOwn(words: ArrayLike<number>, at: number, index: number, strict: boolean): boolean {
    for (const device of this.#devices.list) {
      if (device === undefined) continue;
      const elsewhere = index !== 0 && device.index !== index;
      if (elsewhere && strict) continue;
      for (const { address: a } of device.addresses6) {
        if (elsewhere && scopeOf6(a) <= SCOPE_LINK) continue;
        if (a[0] === words[at] && a[1] === words[at + 1] && a[2] === words[at + 2] && a[3] === words[at + 3])
          return true;
      }
    }
    return false;
  }

  /**
   * Routes an own packet to words[at..at+4): sets route, routeType and outDevice, and `this.source` (`source` all zero:
   * choose one). False: there is no way.
   */
  output(
    p: HostPacket,
    words: ArrayLike<number>,
    at: number,
    source: ArrayLike<number>,
    sourceAt: number,
    mark: number,
    bound: number,
  ): boolean {
    const devices = this.#devices;
    for (let i = 0; i < 4; i++) this.source[i] = source[sourceAt + i]!;
    const anySource = (this.source[0]! | this.source[1]! | this.source[2]! | this.source[3]!) === 0;
    const needStrict = scopeOf6(words, at) === SCOPE_LINK && !isLoopback6(words, at);
    const strict = needStrict || (bound !== 0 && anySource);
    p.route = NO_ROUTE;
    const found = this.#lookup(words, at, this.source, 0, mark, devices.loopback, bound, strict);
    let path = this.table.paths[found];
    if (path === undefined || path.type >= RTN_BLACKHOLE) return false;
    if (path.group !== undefined) {
      path = this.#select(path, this.#multipath.ofOwn(p, words, at, this.source), bound, bound !== 0);
    }
    p.route = path.index;
    const local = path.type === RTN_LOCAL || path.type === RTN_ANYCAST;
    // A local route by its own device leaves by lo, like IPv4 (kernel: ip6_rt_get_dev_rcu()).
    p.outDevice = local ? devices.loopback : path.device;
    p.routeType = isMulticast6At(words, at) ? RTN_MULTICAST : path.type;
    if (anySource) {
      const d: Words6 = [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!];
      const chosen = path.preferredSource ?? devices.selectAddress6(path.device, d);
      if (chosen === undefined) return false;
      this.source.set(chosen);
    }
    return true;
  }

  /** Kernel: match_type6() and match_lookup_rt6() (net/netfilter/xt_addrtype.c). `mask`: bits by ADDRESS_TYPES. */
  matchesTypes(words: ArrayLike<number>, at: number, device: number, mask: number): boolean {
    const multicast = words[at]! >>> 24 === 0xff;
    const unspecified = (words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) === 0;
    if ((mask & (1 << RTN_MULTICAST)) !== 0 && !multicast) return false;
    if ((mask & (1 << RTN_UNICAST)) !== 0 && (multicast || unspecified)) return false;
    if ((mask & 1) !== 0 && !unspecified) return false;
    const byRoute = (1 << RTN_LOCAL) | (1 << RTN_ANYCAST) | (1 << RTN_UNREACHABLE);
    if ((mask & byRoute) === 0) return true;
    return (mask & this.#routeTypes(words, at, device)) !== 0;
  }

  #routeTypes(words: ArrayLike<number>, at: number, device: number): number {
    let types = 0;
    if (device !== 0 && this.isOwn(words, at, device, true)) types |= 1 << RTN_LOCAL;
    const path = this.table.paths[this.lookup(words, at, device)];
    if (path === undefined) return 1 << RTN_UNREACHABLE;
    if (path.type >= RTN_BLACKHOLE) types |= 1 << RTN_UNREACHABLE;
    if (device === 0 && path.type === RTN_LOCAL) types |= 1 << RTN_LOCAL;
    if (path.type === RTN_ANYCAST) types |= 1 << RTN_ANYCAST;
    return types;
  }
}

function isLoopback6(words: ArrayLike<number>, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 1;
}

function isMulticast6At(words: ArrayLike<number>, at: number): boolean {
  return words[at]! >>> 24 === 0xff;
}
