/**
 * A plain host for a rule file that comes alone: devices that the rules and captures name, addresses and routes as the
 * command line gives them, the rest assumed and said.
 */
import type { Family } from '../net/netfilter.js';
import { prefixOf, wordsOfAddress } from './address-text.js';
import {
  type AddressConfig,
  type DeviceConfig,
  type HostConfig,
  type RouteConfig,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
} from './host-config.js';
import { routesOfAddresses } from './route.js';

export interface DefaultHostOptions {
  /** Devices that captures or rules name, without `lo`. */
  readonly devices: readonly string[];
  /** `IFACE=ADDR/LEN`, any number. */
  readonly addresses?: readonly string[];
  /** `DEST,VIA,IFACE`; VIA may be empty, DEST `default`. */
  readonly routes?: readonly string[];
  /** Own hardware addresses by device, where something tells them. */
  readonly macs?: ReadonlyMap<string, Uint8Array>;
  /** Devices whose captures have no link header. */
  readonly bare?: ReadonlySet<string>;
}

export interface DefaultHost {
  readonly config: HostConfig;
  /** What is wrong with the options, one message each; the option's text is quoted. */
  readonly faults: readonly string[];
  readonly assumed: readonly string[];
}

export function makeDefaultHost(options: DefaultHostOptions): DefaultHost {
  const faults: string[] = [];
  const assumed: string[] = [];
  const sysctl = new Map<string, string>();
  const addresses = new Map<string, AddressConfig[]>();
  for (const text of options.addresses ?? []) {
    const made = parseAddressOption(text);
    if (made === undefined) faults.push(`"${text}" is not IFACE=ADDR/LEN`);
    else addresses.set(made.device, [...(addresses.get(made.device) ?? []), made.address]);
  }
  const routed: { route: RouteConfig; device: string }[] = [];
  for (const text of options.routes ?? []) {
    const made = parseRouteOption(text);
    if (made === undefined) faults.push(`"${text}" is not DEST,VIA,IFACE`);
    else routed.push(made);
  }
  const names = [...new Set([...options.devices, ...addresses.keys(), ...routed.map((r) => r.device)])];
  const others = names.filter((name) => name !== 'lo');
  if (others.length === 0) {
    others.push('eth0');
    assumed.push('the host has one interface, eth0');
  }
  const devices: DeviceConfig[] = [
    loopback(),
    ...others.map((name, i) => deviceOf(name, i, options, addresses.get(name) ?? [])),
  ];
  for (const family of [4, 6] as const) {
    for (const device of devices) markSecondary(device, family);
  }
  if (![...addresses.values()].some((list) => list.length > 0)) {
    assumed.push(
      'the host has no address but those of lo: it forwards what comes in (--addr IFACE=ADDR/LEN gives one)',
    );
    // With nothing known of its links, advice to use a nearer router would be made up.
    for (const name of ['all', ...others]) sysctl.set(`net.ipv4.conf.${name}.send_redirects`, '0');
  }
  const routes = [
    ...routesOfAddresses({ devices }, 4),
    ...routesOfAddresses({ devices }, 6),
    ...routed.map((r) => r.route),
  ];
  for (const family of [4, 6] as const) addAssumedDefault(family, devices, routes, assumed);
  assumed.push('forwarding is on, and so is every kernel setting at its default');
  return { config: { devices, routes, neighbours: [], sysctl }, faults, assumed };
}

/** Without a word about routes, what is not local goes by the only device there is, or by the last of several. */
function addAssumedDefault(
  family: Family,
  devices: readonly DeviceConfig[],
  routes: RouteConfig[],
  assumed: string[],
): void {
  if (routes.some((route) => route.family === family && route.bits === 0)) return;
  const last = devices[devices.length - 1]!;
  if (last.kind === 'loopback') return;
  routes.push(routeOf(family, [0, 0, 0, 0], 0, undefined, last.name));
  if (family === 4)
    assumed.push(`what no route leads to leaves by ${last.name}: --route DEST,VIA,IFACE says otherwise`);
}

function loopback(): DeviceConfig {
  const base = { scope: RT_SCOPE_HOST, secondary: false, deprecated: false, tentative: false };
  return {
    name: 'lo',
    kind: 'loopback',
    mac: undefined,
    mtu: 65536,
    up: true,
    addresses: [
      { family: 4, address: [0x7f000001, 0, 0, 0], bits: 8, ...base },
      { family: 6, address: [0, 0, 0, 1], bits: 128, ...base },
    ],
  };
}

function deviceOf(
  name: string,
  place: number,
  options: DefaultHostOptions,
  addresses: readonly AddressConfig[],
): DeviceConfig {
  const isBare = options.bare?.has(name) ?? false;
  return {
    name,
    kind: isBare ? 'none' : 'ethernet',
    mac: isBare ? undefined : (options.macs?.get(name) ?? Uint8Array.of(2, 0, 0, 0, 1, place + 1)),
    mtu: 1500,
    up: true,
    addresses,
  };
}

function markSecondary(device: DeviceConfig, family: Family): void {
  if (family === 6) return;
  const seen = new Set<string>();
  const list = device.addresses as AddressConfig[]; // Made above, and not yet handed out.
  list.forEach((a, i) => {
    if (a.family !== 4) return;
    const shift = 32 - a.bits;
    const subnet = `${a.bits === 0 ? 0 : (a.address[0] >>> shift) >>> 0}/${a.bits}`;
    if (seen.has(subnet)) list[i] = { ...a, secondary: true };
    seen.add(subnet);
  });
}

function parseAddressOption(text: string): { device: string; address: AddressConfig } | undefined {
  const equals = text.indexOf('=');
  if (equals < 1) return undefined;
  const rest = text.slice(equals + 1);
  const family = rest.includes(':') ? 6 : 4;
  const prefix = prefixOf(rest, family);
  if (prefix === undefined || !/^[\d.:a-f/]+$/i.test(rest)) return undefined;
  const { address, bits } = prefix;
  const isLink = family === 6 ? address[0] >>> 22 === 0x3fa : false;
  return {
    device: text.slice(0, equals),
    address: {
      family,
      address,
      bits,
      ...(family === 4 && bits < 31 ? { broadcast: (address[0] | (0xffffffff >>> bits)) >>> 0 } : {}),
      scope: isLink ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
      secondary: false,
      deprecated: false,
      tentative: false,
    },
  };
}

function parseRouteOption(text: string): { route: RouteConfig; device: string } | undefined {
  const parts = text.split(',');
  if (parts.length !== 3) return undefined;
  const [dest, via, device] = parts as [string, string, string];
  const family = dest.includes(':') || via.includes(':') ? 6 : 4;
  const prefix = prefixOf(dest, family);
  const gateway = via === '' ? undefined : wordsOfAddress(via, family);
  if (prefix === undefined || device === '' || (via !== '' && gateway === undefined)) return undefined;
  return { route: routeOf(family, prefix.address, prefix.bits, gateway, device), device };
}

function routeOf(
  family: Family,
  address: RouteConfig['address'],
  bits: number,
  gateway: RouteConfig['address'] | undefined,
  device: string,
): RouteConfig {
  return {
    family,
    table: RT_TABLE_MAIN,
    type: RTN_UNICAST,
    address,
    bits,
    tos: 0,
    metric: family === 4 ? 0 : 1024,
    scope: gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    nextHops: [
      {
        device,
        onlink: false,
        dead: false,
        ...(gateway === undefined ? {} : { gateway: { family, address: gateway } }),
      },
    ],
  };
}
