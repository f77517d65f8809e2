/**
 * Routing lookups of one address family: policy rules → tables → longest prefix → a path (route and next hop).
 * Kernel: fib_lookup(), fib_table_lookup() (net/ipv4/fib_trie.c); fib6_rule_lookup(), rt6_select() (net/ipv6).
 * Which of several next hops a flow takes is multipath.ts.
 */
import { maskOf4 } from '../net/ip4.js';
import { maskOf6, type Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { AddressCache, UNKNOWN } from './address-cache.js';
import type { Devices } from './device.js';
import {
  type HostConfig,
  type NextHopConfig,
  type RouteConfig,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN_BLACKHOLE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_PROHIBIT,
  RTN_THROW,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  type RuleConfig,
} from './host-config.js';
import { boundsOf, type PathGroup } from './multipath.js';
import { PrefixTable } from './prefix-table.js';

/** No table knows the destination (kernel: -ENETUNREACH). */
export const NO_ROUTE = -1;

/** A route with one of its next hops; what a lookup finds. */
export interface RoutePath {
  readonly index: number;
  /** RTN_…. */
  readonly type: number;
  readonly table: number;
  readonly bits: number;
  readonly tos: number;
  readonly metric: number;
  /** RT_SCOPE_… of the route. */
  readonly scope: number;
  /** Device index, 0 where the route has none. */
  readonly device: number;
  /** Family of the gateway, 0: none, the destination is on the link. */
  readonly gatewayFamily: Family | 0;
  readonly gateway: Words6;
  readonly preferredSource: Words6 | undefined;
  readonly source: RouteConfig['source'];
  /** MTU of the route, 0: the device's. */
  readonly mtu: number;
  /** Hop limit of the route, 0: the host's. */
  readonly hopLimit: number;
  /** Every next hop of the route is out of service. */
  readonly dead: boolean;
  /** The route's next hops, if more than one is in service; a lookup finds the first of them. */
  readonly group: PathGroup | undefined;
}

/** What a lookup asks; one reused object per family. Addresses are words[0..4). */
export class RouteQuery {
  readonly destination = new Uint32Array(4);
  readonly source = new Uint32Array(4);
  tos = 0;
  mark = 0;
  /** Device index that the packet came in by; the loopback device for the host's own. */
  inDevice = 0;
  /** Device index that the sender insists on, 0: any. */
  outDevice = 0;
  /** IPv6: a route by another device than `outDevice` does not do (kernel: RT6_LOOKUP_F_IFACE). */
  strict = false;
}

const NONE: Words6 = [0, 0, 0, 0];

interface BoundRule {
  readonly config: RuleConfig;
  readonly inDevice: number;
  readonly outDevice: number;
  readonly table: PrefixTable | undefined;
}

export class RouteTable {
  readonly family: Family;
  readonly paths: RoutePath[] = [];
  /** The host has rules beyond the kernel's three. */
  readonly hasCustomRules: boolean;
  /** A local route that no address explains (kernel: fib_has_custom_local_routes). */
  readonly hasCustomLocalRoutes: boolean;
  readonly #tables = new Map<number, PrefixTable>();
  /** The tables asked without custom rules, in order. IPv4 merges local and main: the longest prefix of both wins. */
  readonly #plain: PrefixTable[] = [];
  readonly #rules: BoundRule[] = [];
  readonly #cacheable: boolean;
  readonly #cache = new AddressCache();

  constructor(family: Family, config: HostConfig, devices: Devices) {
    this.family = family;
    const rules = (config.rules ?? []).filter((rule) => rule.family === family);
    this.hasCustomRules = rules.some((rule) => !isDefaultRule(rule));
    const width = family === 4 ? 1 : 4;
    const routes = config.routes.filter((route) => route.family === family);
    // First paths first: they stand where their routes do.
    const others: RoutePath[] = [];
    for (const route of routes) this.#addPath(route, devices, routes.length, others);
    const firstCount = this.paths.length;
    this.paths.push(...others);
    // In a prefix's list: higher TOS first, then the local table, then the lower metric, then the order given.
    const ordered = this.paths
      .slice(0, firstCount)
      .map((path, i) => ({ path, i }))
      .sort(
        (a, b) => b.path.tos - a.path.tos || b.path.table - a.path.table || a.path.metric - b.path.metric || a.i - b.i,
      );
    const merged = new PrefixTable(width);
    for (const { path, i } of ordered) {
      const { address, bits } = routes[i]!;
      let table = this.#tables.get(path.table);
      if (table === undefined) {
        table = new PrefixTable(width);
        this.#tables.set(path.table, table);
      }
      table.add(address, bits, i);
      if (path.table === RT_TABLE_LOCAL || path.table === RT_TABLE_MAIN) merged.add(address, bits, i);
    }
    const plain = family === 4 ? [merged] : [RT_TABLE_LOCAL, RT_TABLE_MAIN].map((t) => this.#tables.get(t));
    for (const table of [...plain, this.#tables.get(RT_TABLE_DEFAULT)]) if (table) this.#plain.push(table);
    for (const rule of rules.sort((a, b) => a.priority - b.priority)) {
      this.#rules.push({
        config: rule,
        inDevice: rule.inDevice === undefined ? 0 : devices.indexOf(rule.inDevice) || -1,
        outDevice: rule.outDevice === undefined ? 0 : devices.indexOf(rule.outDevice) || -1,
        table: this.#tables.get(rule.table),
      });
    }
    this.hasCustomLocalRoutes = routes.some(
      (r) => r.type === RTN_LOCAL && r.table === RT_TABLE_LOCAL && family === 4 && !explained(r, devices),
    );
    this.#cacheable = family === 4 && !this.hasCustomRules && this.paths.every((path) => path.tos === 0);
  }

  /** `others` takes the paths beyond the first, which are numbered from `othersFrom`. */
  #addPath(route: RouteConfig, devices: Devices, othersFrom: number, others: RoutePath[]): void {
    // A listed route is in force whatever its device's carrier, unless the kernel calls it dead.
    const usable = (hop: NextHopConfig) => !hop.dead && devices.indexOf(hop.device) !== 0;
    const hops = route.nextHops.filter(usable);
    const first = { index: this.paths.length, hop: hops[0] ?? route.nextHops[0] };
    const rest = hops.slice(1).map((hop, i) => ({ index: othersFrom + others.length + i, hop }));
    const group: PathGroup | undefined =
      rest.length === 0
        ? undefined
        : {
            members: [first.index, ...rest.map(({ index }) => index)],
            bounds: boundsOf(hops.map(({ weight }) => weight ?? 1)),
          };
    const pathOf = (index: number, hop: NextHopConfig | undefined): RoutePath => ({
      index,
      type: route.type,
      table: route.table,
      bits: route.bits,
      tos: route.tos,
      metric: route.metric,
      scope: route.scope,
      device: hop === undefined ? 0 : devices.indexOf(hop.device),
      gatewayFamily: hop?.gateway?.family ?? 0,
      gateway: hop?.gateway?.address ?? NONE,
      preferredSource: route.preferredSource,
      source: route.source,
      mtu: route.mtu ?? 0,
      hopLimit: route.hopLimit ?? 0,
      // Refusing routes need no next hop; IPv6 hangs them on lo.
      dead: route.type <= RTN_MULTICAST && (hop === undefined || !usable(hop)),
      group,
    });
    this.paths.push(pathOf(first.index, first.hop));
    others.push(...rest.map(({ index, hop }) => pathOf(index, hop)));
  }

  /** The route's first next hop by the device; undefined: it has none there. Kernel: fib_info_nh_uses_dev(). */
  memberBy(path: RoutePath, device: number): RoutePath | undefined {
    if (path.device === device) return path;
    const found = path.group?.members.find((index) => this.paths[index]!.device === device);
    return found === undefined ? undefined : this.paths[found];
  }

  /**
   * Index of the path, or NO_ROUTE. A path of type blackhole, unreachable or prohibit is an answer too.
   * Per packet: allocates nothing.
   */
  lookup(query: RouteQuery): number {
    if (this.#cacheable && query.outDevice === 0) {
      const key = query.destination[0]!;
      const known = this.#cache.find(key);
      if (known !== UNKNOWN) return known;
      const found = this.#plainLookup(query);
      this.#cache.set(key, found);
      return found;
    }
    return this.hasCustomRules ? this.#ruleLookup(query) : this.#plainLookup(query);
  }

  /** Path of the address in the local table alone (in IPv4 with main, where the two are one), or NO_ROUTE. */
  lookupLocal(query: RouteQuery): number {
    const table = this.hasCustomRules || this.family === 6 ? this.#tables.get(RT_TABLE_LOCAL) : this.#plain[0];
    const found = table === undefined ? NO_ROUTE : this.#search(table, query, -1);
    return found === NO_ROUTE || this.paths[found]!.type === RTN_THROW ? NO_ROUTE : found;
  }

  #plainLookup(query: RouteQuery): number {
    for (const table of this.#plain) {
      const found = this.#search(table, query, -1);
      if (found !== NO_ROUTE && this.paths[found]!.type !== RTN_THROW) return found;
    }
    return NO_ROUTE;
  }

  #ruleLookup(query: RouteQuery): number {
    for (const rule of this.#rules) {
      const { config } = rule;
      if (this.#ruleMatches(rule, query) === config.invert) continue;
      if (config.action === 'nop') continue;
      if (config.action !== 'table') return this.#refusal(config.action);
      if (rule.table === undefined) continue;
      const found = this.#search(rule.table, query, config.suppressBits);
      if (found !== NO_ROUTE && this.paths[found]!.type !== RTN_THROW) return found;
    }
    return NO_ROUTE;
  }

  #ruleMatches(rule: BoundRule, query: RouteQuery): boolean {
    const { config } = rule;
    if (rule.inDevice !== 0 && rule.inDevice !== query.inDevice) return false;
    if (rule.outDevice !== 0 && rule.outDevice !== query.outDevice) return false;
    if (config.mark !== undefined && ((query.mark ^ config.mark.value) & config.mark.mask) !== 0) return false;
    if (config.tos !== undefined && config.tos !== (query.tos & 0x1c)) return false;
    if (config.source !== undefined && !this.#within(query.source, config.source)) return false;
    return config.destination === undefined || this.#within(query.destination, config.destination);
  }

  #within(words: Uint32Array, prefix: { readonly address: Words6; readonly bits: number }): boolean {
    if (this.family === 4) return ((words[0]! ^ prefix.address[0]) & maskOf4(prefix.bits)) === 0;
    const mask = maskOf6(prefix.bits);
    for (let i = 0; i < 4; i++) if (((words[i]! ^ prefix.address[i]!) & mask[i]!) !== 0) return false;
    return true;
  }

  /** A path that stands for a rule's own refusal; made when first met. */
  #refusal(action: 'blackhole' | 'unreachable' | 'prohibit'): number {
    const type = { blackhole: RTN_BLACKHOLE, unreachable: RTN_UNREACHABLE, prohibit: RTN_PROHIBIT }[action];
    const known = this.paths.findIndex((path) => path.type === type && path.table === 0);
    if (known !== -1) return known;
    const path = { type, table: 0, bits: 0, tos: 0, metric: 0, scope: 0, device: 0, gatewayFamily: 0 } as const;
    const rest = { gateway: NONE, preferredSource: undefined, source: undefined, mtu: 0, hopLimit: 0 };
    this.paths.push({ index: this.paths.length, ...path, ...rest, dead: false, group: undefined });
    return this.paths.length - 1;
  }

  #search(table: PrefixTable, query: RouteQuery, suppressBits: number): number {
    const { destination, outDevice } = query;
    for (let level = 0; level < table.levelCount; level++) {
      let place = table.first(destination, 0, level);
      let second = NO_ROUTE;
      while (place !== -1) {
        const path = this.paths[table.value(place)]!;
        place = table.next(place);
        if (path.dead) continue;
        if (path.tos !== 0 && path.tos !== (query.tos & 0x1c)) continue;
        if (path.source !== undefined && !this.#within(query.source, path.source)) continue;
        // Routes that refuse belong to lo in IPv6: where the device is insisted on they do not count.
        const anyDevice = path.type > RTN_MULTICAST && !(this.family === 6 && query.strict);
        const member = outDevice === 0 ? path : this.memberBy(path, outDevice);
        if (member === undefined && !anyDevice) {
          // IPv6 prefers the device among routes of one metric, but insists on it only where it must.
          if (this.family === 4 || query.strict) continue;
          if (second === NO_ROUTE) second = path.index;
          continue;
        }
        if (second !== NO_ROUTE && path.metric > this.paths[second]!.metric) break;
        if (path.bits <= suppressBits) return NO_ROUTE;
        return (member ?? path).index;
      }
      if (second !== NO_ROUTE) return this.paths[second]!.bits <= suppressBits ? NO_ROUTE : second;
    }
    return NO_ROUTE;
  }
}

function isDefaultRule(rule: RuleConfig): boolean {
  const plain =
    !rule.invert &&
    rule.source === undefined &&
    rule.destination === undefined &&
    rule.mark === undefined &&
    rule.inDevice === undefined &&
    rule.outDevice === undefined &&
    rule.tos === undefined &&
    rule.suppressBits === -1 &&
    rule.action === 'table';
  if (!plain) return false;
  if (rule.table === RT_TABLE_LOCAL) return rule.priority === 0;
  if (rule.table === RT_TABLE_MAIN) return rule.priority === 32766;
  return rule.table === RT_TABLE_DEFAULT && rule.priority === 32767;
}

/** True if an address of the host accounts for the local route (its own /32, or its subnet on lo). */
function explained(route: RouteConfig, devices: Devices): boolean {
  for (const device of devices.list) {
    for (const a of device?.addresses4 ?? []) {
      if (a.address[0] === route.address[0] && route.bits === 32) return true;
      if (device!.isLoopback && a.bits === route.bits && (a.address[0] & maskOf4(a.bits)) >>> 0 === route.address[0]) {
        return true;
      }
    }
  }
  return false;
}

/**
 * The routes that the kernel makes for configured addresses: local table, subnet, broadcast, IPv6 multicast.
 * Kernel: fib_add_ifaddr(), addrconf_prefix_route(), addrconf_add_mroute().
 */
export function routesOfAddresses(config: Pick<HostConfig, 'devices'>, family: Family): RouteConfig[] {
  const routes: RouteConfig[] = [];
  const width = family === 4 ? 32 : 128;
  const add = (type: number, address: Words6, bits: number, device: string, more: Partial<RouteConfig> = {}) => {
    const table = type === RTN_UNICAST ? RT_TABLE_MAIN : RT_TABLE_LOCAL;
    const known = routes.some(
      (r) => r.table === table && r.bits === bits && r.address.join() === address.join() && r.type === type,
    );
    // The same IPv6 prefix may hang on several devices (fe80::/64, ff00::/8).
    if (known && (family === 4 || bits === width)) return;
    routes.push({
      family,
      table,
      type,
      address,
      bits,
      tos: 0,
      metric: family === 4 || type === RTN_LOCAL ? 0 : 256,
      scope: type === RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK,
      nextHops: [{ device, onlink: false, dead: false }],
      ...more,
    });
  };
  for (const device of config.devices) {
    for (const a of device.addresses) {
      if (a.family !== family) continue;
      add(RTN_LOCAL, a.address, width, device.name, family === 4 ? { preferredSource: a.address } : {});
      if (!device.up) continue;
      const mask = family === 4 ? ([maskOf4(a.bits), 0, 0, 0] as const) : maskOf6(a.bits);
      const base = a.peer ?? a.address;
      const subnet: Words6 = [
        (base[0] & mask[0]) >>> 0,
        (base[1] & mask[1]) >>> 0,
        (base[2] & mask[2]) >>> 0,
        (base[3] & mask[3]) >>> 0,
      ];
      if (device.kind === 'loopback') {
        if (family === 4 && a.bits < width) add(RTN_LOCAL, subnet, a.bits, device.name, { preferredSource: a.address });
        continue;
      }
      const source = family === 4 ? { preferredSource: a.address } : {};
      if (a.bits < width || a.peer !== undefined) add(RTN_UNICAST, subnet, a.bits, device.name, source);
      if (family === 4 && a.broadcast !== undefined) {
        add(RTN_BROADCAST, [a.broadcast, 0, 0, 0], 32, device.name, source);
      }
    }
    if (family === 6 && device.kind !== 'loopback' && device.up && device.addresses.some((a) => a.family === 6)) {
      add(RTN_MULTICAST, [0xff000000, 0, 0, 0], 8, device.name);
    }
  }
  return routes;
}
