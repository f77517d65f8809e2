/**
 * IPv4 routing decisions: what becomes of a received packet, and by which way and from which address an own one leaves.
 * Kernel: ip_route_input_slow(), fib_validate_source(), ip_route_output_key_hash_rcu() (net/ipv4/route.c).
 */
import { Field } from '../wire/field.js';
import { AddressCache, UNKNOWN } from './address-cache.js';
import type { Device, Devices } from './device.js';
import type { DropReason } from './drop-reason.js';
import {
  type HostConfig,
  RT_SCOPE_LINK,
  RTN_BLACKHOLE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from './host-config.js';
import type { HostPacket } from './host-packet.js';
import { MultipathHash, memberFor, type PathGroup } from './multipath.js';
import { NO_ROUTE, type RoutePath, RouteQuery, RouteTable } from './route.js';

/** What a received packet's routing came to. */
export const TO_LOCAL = 0;
export const TO_FORWARD = 1;
/** Nowhere, and the sender may be told: reason and ICMP code are in the router. */
export const TO_ERROR = 2;
/** Nowhere, silently. */
export const TO_NOTHING = 3;
export type RouteVerdict = 0 | 1 | 2 | 3;

export const isMulticast4 = (a: number): boolean => a >>> 28 === 14;
export const isLoopback4 = (a: number): boolean => a >>> 24 === 127;
const isLocalMulticast4 = (a: number): boolean => a >>> 8 === 0xe00000;
const LIMITED_BROADCAST = 0xffffffff;
export const ALL_HOSTS = 0xe0000001;

export class Routing4 {
  readonly table: RouteTable;
  /** Of the last received packet that went nowhere. */
  reason: DropReason = 'no route';
  /** Code of the ICMP destination unreachable that is due (TO_ERROR). */
  code = 0;
  /** Source address that the last `output` has chosen or was given. */
  source = 0;
  readonly #devices: Devices;
  readonly #query = new RouteQuery();
  readonly #back = new RouteQuery();
  readonly #multipath: MultipathHash;
  readonly #sourceWords = new Uint32Array(4);
  readonly #destinationWords = new Uint32Array(4);
  /** Paths of addresses in the local table: routes stay as they are. */
  readonly #locals = new AddressCache();

  /** `seed`: of the choice among several next hops. */
  constructor(config: HostConfig, devices: Devices, seed: number) {
    this.#devices = devices;
    this.#multipath = new MultipathHash(4, config.sysctl, seed);
    this.table = new RouteTable(4, config, devices);
  }

  path(index: number): RoutePath | undefined {
    return index < 0 ? undefined : this.table.paths[index];
  }

  /** Decides on a received packet; sets its route, routeType and outDevice. Per packet: allocates nothing. */
  input(p: HostPacket): RouteVerdict {
    const { f } = p;
    const src = f[Field.Src0]!;
    const dst = f[Field.Dst0]!;
    const device = this.#devices.at(p.receivedOn)!;
    const { settings } = device;
    p.redirect = false;
    p.route = NO_ROUTE;
    if (isMulticast4(dst)) return this.#multicast(p, device, src, dst);
    if (isMulticast4(src) || src === LIMITED_BROADCAST) return this.#nothing('martian source');
    if (dst === LIMITED_BROADCAST || (src === 0 && dst === 0)) return this.#broadcast(p, device, src);
    if (src === 0) return this.#nothing('martian source');
    if (dst === 0) return this.#nothing('martian destination');
    if (isLoopback4(dst)) {
      if (!settings.routeLocalnet) return this.#nothing('martian destination');
    } else if (isLoopback4(src) && !settings.routeLocalnet) return this.#nothing('martian source');

    const query = this.#query;
    query.destination[0] = dst;
    query.source[0] = src;
    query.tos = f[Field.Tos]!;
    query.mark = f[Field.Mark]!;
    query.inDevice = device.index;
    query.outDevice = 0;
    const found = this.table.lookup(query);
    let path = this.table.paths[found];
    if (path === undefined || path.type >= RTN_BLACKHOLE) return this.#refused(device, path);
    p.route = found;
    if (path.type === RTN_BROADCAST && !settings.forwardBroadcast) return this.#broadcast(p, device, src);
    if (path.type === RTN_LOCAL) {
      if (this.#validateSource(p, device, src, dst, 0) < 0) return this.#nothing('martian source');
      p.routeType = RTN_LOCAL;
      p.outDevice = 0;
      return TO_LOCAL;
    }
    if (!settings.forwarding4) return this.#nothing('forwarding is off');
    if (path.type !== RTN_UNICAST) return this.#nothing('martian destination');
    if (path.group !== undefined) {
      p.route = memberFor(path.group, this.#multipath.ofReceived(p));
      path = this.table.paths[p.route]!;
    }
    const direct = this.#validateSource(p, device, src, dst, path.device);
    if (direct < 0) return this.#nothing('martian source');
    if (path.device === device.index && direct > 0 && settings.sendRedirects) {
      p.redirect = settings.sharedMedia || this.#onLink(device, src, path.gatewayFamily === 4 ? path.gateway[0] : 0);
    }
    p.routeType = RTN_UNICAST;
    p.outDevice = path.device;
    return TO_FORWARD;
  }

  #onLink(device: Device, a: number, b: number): boolean {
    for (const own of device.addresses4) {
      const mask = own.bits === 0 ? 0 : (0xffffffff << (32 - own.bits)) >>> 0;
      if (((own.address[0] ^ a) & mask) === 0 && (b === 0 || ((own.address[0] ^ b) & mask) === 0)) return true;
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

  #refused(device: Device, path: RoutePath | undefined): RouteVerdict {
    // A host that does not forward tells nobody (kernel: ip_error()).
    const forwards = device.settings.forwarding4;
    if (path?.type === RTN_BLACKHOLE) return this.#nothing('blackhole route');
    const reason =
      path === undefined ? 'no route' : path.type === RTN_PROHIBIT ? 'prohibit route' : 'unreachable route';
    if (!forwards)
      return this.#nothing(path === undefined || path.type === RTN_UNREACHABLE ? 'forwarding is off' : reason);
    return this.#error(reason, path === undefined ? 0 : path.type === RTN_PROHIBIT ? 13 : 1);
  }

  #broadcast(p: HostPacket, device: Device, src: number): RouteVerdict {
    if (src !== 0 && this.#validateSource(p, device, src, 0, 0) < 0) return this.#nothing('martian source');
    p.routeType = RTN_BROADCAST;
    p.outDevice = 0;
    return TO_LOCAL;
  }

  /** Kernel: ip_route_input_mc(). A host without multicast routers or programs has joined 224.0.0.1 alone. */
  #multicast(p: HostPacket, device: Device, src: number, dst: number): RouteVerdict {
    if (dst !== ALL_HOSTS) return this.#nothing('multicast group not joined');
    if (isMulticast4(src) || src === LIMITED_BROADCAST) return this.#nothing('martian source');
    if (isLoopback4(src) && !device.settings.routeLocalnet) return this.#nothing('martian source');
    if (src === 0) {
      if (!isLocalMulticast4(dst) && p.protocol !== 2) return this.#nothing('martian source');
    } else if (this.#validateSource(p, device, src, 0, 0) < 0) return this.#nothing('martian source');
    p.routeType = RTN_MULTICAST;
    p.outDevice = 0;
    return TO_LOCAL;
  }

  /**
   * Below 0: a martian. 1: the source is directly on the incoming link, 0: fine.
   * `outDevice` is where the packet will leave, 0 if it is to stay.
   */
  #validateSource(p: HostPacket, device: Device, src: number, dst: number, outDevice: number): number {
    const { settings } = device;
    if (settings.rpFilter === 0 && (device.index !== outDevice || !settings.sendRedirects)) {
      if (settings.acceptLocal) return 0;
      if (!this.table.hasCustomLocalRoutes && !this.table.hasCustomRules) return this.#devices.isOwn4(src) ? -1 : 0;
    }
    const query = this.#back;
    query.destination[0] = src;
    query.source[0] = dst;
    query.tos = p.f[Field.Tos]!;
    query.mark = settings.sourceValidMark ? p.f[Field.Mark]! : 0;
    query.inDevice = outDevice === 0 ? this.#devices.loopback : outDevice;
    query.outDevice = 0;
    const path = this.table.paths[this.table.lookup(query)];
    const strict = settings.rpFilter !== 0;
    if (path === undefined || path.type >= RTN_BLACKHOLE) return strict ? -1 : 0;
    if (path.type !== RTN_UNICAST && (path.type !== RTN_LOCAL || !settings.acceptLocal)) return -1;
    const isHere = this.table.memberBy(path, device.index) !== undefined;
    if (isHere || (path.type === RTN_LOCAL && device.isLoopback)) return isDirect(path);
    if (device.addresses4.length === 0) return strict ? -1 : 0;
    if (settings.rpFilter === 1) return -1;
    query.outDevice = device.index;
    const here = this.table.paths[this.table.lookup(query)];
    return here !== undefined && here.type === RTN_UNICAST ? isDirect(here) : 0;
  }

  /** The route type that a strict reverse lookup by `rpfilter` and the like sees; NO_ROUTE if there is none. */
  lookup(destination: number, source: number, tos: number, mark: number, inDevice: number, outDevice: number): number {
    const query = this.#query;
    query.destination[0] = destination;
    query.source[0] = source;
    query.tos = tos;
    query.mark = mark;
    query.inDevice = inDevice;
    query.outDevice = outDevice;
    return this.table.lookup(query);
  }

  /** Kernel: inet_dev_addr_type(): index into ADDRESS_TYPES. */
  addressType(address: number, device: number): number {
    if (address === 0 || address === LIMITED_BROADCAST) return RTN_BROADCAST;
    if (isMulticast4(address)) return RTN_MULTICAST;
    const path = this.table.paths[this.#localPath(address)];
    if (path === undefined || path.type >= RTN_BLACKHOLE) return RTN_UNICAST;
    return device === 0 || device === path.device ? path.type : RTN_UNICAST;
  }

  /** Path of the address in the local table, or NO_ROUTE. */
  #localPath(address: number): number {
    const known = this.#locals.find(address);
    if (known !== UNKNOWN) return known;
    const query = this.#back;
    query.destination[0] = address;
    query.source[0] = 0;
    query.tos = 0;
    query.mark = 0;
    query.outDevice = 0;
    const found = this.table.lookupLocal(query);
    this.#locals.set(address, found);
    return found;
  }

  /**
   * Routes an own packet: sets route, routeType and outDevice, and `this.source`. `source` 0: choose one. `anySource`:
   * the source need not be an own address (rerouted packets). False: there is no way.
   */
  output(
    p: HostPacket,
    destination: number,
    source: number,
    tos: number,
    mark: number,
    bound: number,
    anySource: boolean,
  ): boolean {
    const devices = this.#devices;
    this.source = source;
    p.route = NO_ROUTE;
    if (source !== 0) {
      if (isMulticast4(source) || source === LIMITED_BROADCAST) return false;
      if (!anySource && !devices.isOwn4(source) && this.addressType(source, 0) !== RTN_LOCAL) return false;
    }
    if (destination === 0) return false;
    let device = bound;
    if (bound !== 0 && (isLocalMulticast4(destination) || destination === LIMITED_BROADCAST)) {
      if (source === 0) this.source = devices.selectAddress4(bound, 0, RT_SCOPE_LINK);
      return this.#leave(p, destination, bound, RTN_UNICAST);
    }
    let found = this.lookup(destination, source, tos, mark, devices.loopback, bound);
    let path = this.table.paths[found];
    if (path?.group !== undefined && bound === 0) {
      found = this.#ownMember(p, path.group, destination, source);
      path = this.table.paths[found];
    }
    if (path === undefined || path.type >= RTN_BLACKHOLE) {
      if (bound === 0) return false;
      // The routing tables are wrong about a device that the sender insists on: the destination is taken to be there.
      if (source === 0) this.source = devices.selectAddress4(bound, 0, RT_SCOPE_LINK);
      return this.#leave(p, destination, bound, RTN_UNICAST);
    }
    p.route = found;
    if (path.type === RTN_LOCAL) {
      if (source === 0) this.source = path.preferredSource?.[0] ?? destination;
      device = devices.loopback;
    } else {
      if (source === 0) this.source = this.sourceOf(path);
      device = path.device;
    }
    return this.#leave(p, destination, device, path.type);
  }

  /** The next hop that a flow's hash gives; where the source is given, one that would have chosen it goes first. Kernel: fib_select_multipath(). */
  #ownMember(p: HostPacket, group: PathGroup, destination: number, source: number): number {
    this.#sourceWords[0] = source;
    this.#destinationWords[0] = destination;
    const hash = this.#multipath.ofOwn(p, this.#destinationWords, 0, this.#sourceWords);
    if (source === 0) return memberFor(group, hash);
    let best = -1;
    let found = group.members[0]!;
    for (let i = 0; i < group.members.length; i++) {
      const path = this.table.paths[group.members[i]!]!;
      const gateway = path.gatewayFamily === 4 ? path.gateway[0] : 0;
      const isOfSource = this.#devices.selectAddress4(path.device, gateway, path.scope) === source;
      const score = (isOfSource ? 2 : 0) + (hash <= group.bounds[i]! ? 1 : 0);
      if (score <= best) continue;
      best = score;
      found = path.index;
      if (score === 3) break;
    }
    return found;
  }

  /** Kernel: fib_result_prefsrc(). */
  sourceOf(path: RoutePath): number {
    if (path.preferredSource !== undefined) return path.preferredSource[0];
    const gateway = path.gatewayFamily === 4 ? path.gateway[0] : 0;
    return this.#devices.selectAddress4(path.device, gateway, path.scope);
  }

  /** Kernel: __mkroute_output(). */
  #leave(p: HostPacket, destination: number, index: number, type: number): boolean {
    const device = this.#devices.at(index);
    if (device === undefined) return false;
    if (isLoopback4(this.source) && !device.isLoopback && !device.settings.routeLocalnet) return false;
    p.outDevice = index;
    p.routeType = destination === LIMITED_BROADCAST ? RTN_BROADCAST : isMulticast4(destination) ? RTN_MULTICAST : type;
    return true;
  }
}

/** The next hop is the destination itself (nexthop scope RT_SCOPE_HOST): no gateway between. */
function isDirect(path: RoutePath): number {
  return path.gatewayFamily === 0 ? 1 : 0;
}
