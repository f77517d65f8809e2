/**
 * A node's own listings → HostConfig. Pure: takes the texts of a bundle's files; reading the folder is the command
 * line's. Formats: `ip -j addr`, `ip -j route show table all` (and -6), `ip -j rule` (and -6), `ip -j neigh`,
 * `sysctl -a`, `conntrack -L`, `nfacct list`, all as iproute2 5.x/6.x and their likes print them.
 */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';
import { parseIp4 } from '../net/ip4.js';
import { parseIp6, type Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import {
  type AddressConfig,
  type DeviceConfig,
  type DeviceKind,
  type HostConfig,
  type NeighbourConfig,
  type NextHopConfig,
  type NfacctConfig,
  type RouteConfig,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_SITE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN_ANYCAST,
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
import { isRow, JsonReader, numberOf, type Row, rowsOf, textOf, wordsOf } from './json-reader.js';
import { routesOfAddresses } from './route.js';
import { parseSysctl } from './sysctl.js';

/** Files of a bundle that describe the host; rule sets and sets are others' to read. */
export const HOST_FILES = [
  'addr.json',
  'route.json',
  'route6.json',
  'rule.json',
  'rule6.json',
  'neigh.json',
  'sysctl',
  'conntrack',
  'nfacct',
  'time',
] as const;
export type HostFile = (typeof HOST_FILES)[number];

export interface ParsedBundle {
  readonly config: HostConfig;
  readonly diagnostics: readonly Diagnostic[];
  /** What the bundle does not say and is taken for granted, one sentence each. */
  readonly assumed: readonly string[];
}

const TYPES: Readonly<Record<string, number>> = {
  unicast: RTN_UNICAST,
  local: RTN_LOCAL,
  broadcast: RTN_BROADCAST,
  anycast: RTN_ANYCAST,
  multicast: RTN_MULTICAST,
  blackhole: RTN_BLACKHOLE,
  unreachable: RTN_UNREACHABLE,
  prohibit: RTN_PROHIBIT,
  throw: RTN_THROW,
};
const SCOPES: Readonly<Record<string, number>> = {
  global: RT_SCOPE_UNIVERSE,
  universe: RT_SCOPE_UNIVERSE,
  site: RT_SCOPE_SITE,
  link: RT_SCOPE_LINK,
  host: RT_SCOPE_HOST,
  nowhere: RT_SCOPE_NOWHERE,
};
const TABLES: Readonly<Record<string, number>> = {
  default: RT_TABLE_DEFAULT,
  main: RT_TABLE_MAIN,
  local: RT_TABLE_LOCAL,
};
/** Names of /etc/iproute2/rt_tables get numbers that no table has. */
const FIRST_NAMED_TABLE = 0x1_0000_0000;

/** Selectors and actions of `ip rule` that a packet's path here cannot follow. */
const UNSUPPORTED_RULE = [
  'goto',
  'ipproto',
  'sport',
  'dport',
  'uid_start',
  'tun_id',
  'suppress_ifgroup',
  'l3mdev',
  'nat',
];

/** Reads the files that are there (`Source.text` by name). `addr.json` must be. */
export function parseBundle(files: ReadonlyMap<string, Source>): ParsedBundle {
  return new BundleReader(files).read();
}

class BundleReader {
  readonly #files: ReadonlyMap<string, Source>;
  readonly #diagnostics: Diagnostic[] = [];
  readonly #assumed: string[] = [];
  readonly #tableNumbers = new Map<string, number>(Object.entries(TABLES));

  constructor(files: ReadonlyMap<string, Source>) {
    this.#files = files;
  }

  read(): ParsedBundle {
    const addr = this.#files.get('addr.json');
    const devices = addr === undefined ? [] : this.#devices(this.#reader(addr));
    const rules = [...this.#rules('rule.json', 4), ...this.#rules('rule6.json', 6)];
    const sysctl = this.#files.get('sysctl');
    if (sysctl === undefined) this.#assumed.push('forwarding is on and every other setting has its default: no sysctl');
    if (this.#files.get('neigh.json') === undefined) {
      this.#assumed.push('hardware addresses of neighbours are those seen in the capture: no neigh.json');
    }
    const conntrack = this.#files.get('conntrack')?.text;
    const timeUs = this.#time();
    const nfacct = this.#nfacct();
    const config: HostConfig = {
      devices,
      routes: this.#routes(devices),
      neighbours: this.#neighbours(),
      sysctl: parseSysctl(sysctl?.text ?? ''),
      ...(rules.length > 0 ? { rules } : {}),
      ...(conntrack !== undefined && conntrack.trim() !== '' ? { conntrack } : {}),
      ...(timeUs === undefined ? {} : { timeUs }),
      ...(nfacct.size > 0 ? { nfacct } : {}),
    };
    return { config, diagnostics: this.#diagnostics, assumed: this.#assumed };
  }

  #reader(source: Source): JsonReader {
    return new JsonReader(source, this.#diagnostics);
  }

  // ---- addr.json

  #devices(json: JsonReader): DeviceConfig[] {
    const devices: (DeviceConfig & { readonly order: number })[] = [];
    for (const row of json.rows()) {
      const name = textOf(row, 'ifname');
      // `ip addr` prints {} for what a filter hides.
      if (name === undefined) continue;
      const index = numberOf(row, 'ifindex');
      const flags = wordsOf(row, 'flags');
      const master = textOf(row, 'master');
      devices.push({
        order: index ?? devices.length,
        name,
        ...(index === undefined ? {} : { kernelIndex: index }),
        kind: kindOf(textOf(row, 'link_type'), flags),
        mac: textOf(row, 'link_type') === 'ether' ? macOf(textOf(row, 'address')) : undefined,
        mtu: numberOf(row, 'mtu') ?? 1500,
        up: flags.includes('UP'),
        ...(master === undefined || isVrf(row) ? {} : { master }),
        addresses: rowsOf(row, 'addr_info').flatMap((info) => this.#address(json, info)),
      });
    }
    return devices.sort((a, b) => a.order - b.order).map(({ order: _, ...device }) => device);
  }

  #address(json: JsonReader, row: Row): AddressConfig[] {
    const local = textOf(row, 'local');
    const family = textOf(row, 'family') === 'inet6' ? 6 : 4;
    if (local === undefined) return [];
    const address = wordsOfAddress(local, family);
    if (address === undefined) {
      json.fault('error', 'bad-address', `not an address: "${local}"`, local);
      return [];
    }
    const peer = wordsOfAddress(textOf(row, 'address') ?? '', family);
    const broadcast = parseIp4(textOf(row, 'broadcast') ?? '');
    return [
      {
        family,
        address,
        bits: numberOf(row, 'prefixlen') ?? (family === 4 ? 32 : 128),
        ...(peer === undefined ? {} : { peer }),
        ...(broadcast === undefined || family === 6 ? {} : { broadcast }),
        scope: this.#scope(row, RT_SCOPE_UNIVERSE),
        secondary: row.secondary === true,
        deprecated: row.deprecated === true,
        tentative: row.tentative === true || row.dadfailed === true,
      },
    ];
  }

  #scope(row: Row, otherwise: number): number {
    const text = textOf(row, 'scope');
    return (text === undefined ? undefined : SCOPES[text]) ?? numberOf(row, 'scope') ?? otherwise;
  }

  // ---- route.json, route6.json

  #routes(devices: readonly DeviceConfig[]): RouteConfig[] {
    const routes: RouteConfig[] = [];
    const seen = new Set<string>();
    const families = new Set<Family>();
    for (const [file, family] of [
      ['route.json', undefined],
      ['route6.json', 6],
    ] as const) {
      const source = this.#files.get(file);
      if (source === undefined) continue;
      if (file === 'route.json') families.add(4);
      else families.add(6);
      const json = this.#reader(source);
      for (const row of json.rows()) {
        const route = this.#route(json, row, family ?? familyOfRoute(row), devices);
        if (route === undefined) continue;
        if (route.family === 6) families.add(6);
        // `table all` without a family lists IPv6 too: what both files have is one route.
        const key = JSON.stringify(route);
        if (route.family === 6 && seen.has(key)) continue;
        seen.add(key);
        routes.push(route);
      }
    }
    for (const family of [4, 6] as const) {
      if (families.has(family)) continue;
      const made = routesOfAddresses({ devices }, family);
      if (made.length === 0) continue;
      routes.push(...made);
      this.#assumed.push(
        `IPv${family} routes are those of its addresses alone: no route${family === 4 ? '' : '6'}.json`,
      );
    }
    return routes;
  }

  #route(json: JsonReader, row: Row, family: Family, devices: readonly DeviceConfig[]): RouteConfig | undefined {
    const dst = textOf(row, 'dst') ?? 'default';
    const prefix = prefixOf(dst, family);
    const typeName = textOf(row, 'type') ?? 'unicast';
    const type = TYPES[typeName];
    if (prefix === undefined || type === undefined) {
      const what = prefix === undefined ? `destination "${dst}"` : `route type "${typeName}"`;
      json.fault('error', 'bad-route', `unknown ${what}`, prefix === undefined ? dst : typeName);
      return undefined;
    }
    if (row.encap !== undefined) {
      json.fault('warning', 'unsupported-encap', `route "${dst}" encapsulates: its packets are dropped`, `"${dst}"`);
    }
    const metrics = Object.assign({}, ...rowsOf(row, 'metrics')) as Row; // Rows are objects; later keys win.
    const hops = rowsOf(row, 'nexthops');
    const from = textOf(row, 'from');
    const source = from === undefined ? undefined : prefixOf(from, family);
    const preferredSource = wordsOfAddress(textOf(row, 'prefsrc') ?? '', family);
    const mtu = numberOf(metrics, 'mtu') ?? numberOf(row, 'mtu');
    const hopLimit = numberOf(metrics, 'hoplimit');
    const refuses = type >= RTN_BLACKHOLE || row.encap !== undefined;
    return {
      family,
      table: this.#tableNumber(textOf(row, 'table') ?? String(numberOf(row, 'table') ?? 'main')),
      type: row.encap !== undefined ? RTN_BLACKHOLE : type,
      ...prefix,
      ...(source === undefined ? {} : { source }),
      tos: numberOf(row, 'tos') ?? 0,
      metric: numberOf(row, 'metric') ?? 0,
      scope: this.#scope(row, type === RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE),
      ...(preferredSource === undefined ? {} : { preferredSource }),
      nextHops: refuses
        ? []
        : (hops.length > 0 ? hops : [row]).flatMap((hop) => this.#nextHop(json, hop, family, devices)),
      ...(mtu === undefined ? {} : { mtu }),
      ...(hopLimit === undefined ? {} : { hopLimit }),
    };
  }

  #nextHop(json: JsonReader, row: Row, family: Family, devices: readonly DeviceConfig[]): NextHopConfig[] {
    const device = textOf(row, 'dev');
    if (device === undefined) return [];
    if (!devices.some((d) => d.name === device)) {
      json.fault(
        'warning',
        'unknown-device',
        `route by device "${device}", which addr.json does not have`,
        `"${device}"`,
      );
    }
    const via = isRow(row.via) ? row.via : undefined;
    const gatewayFamily = via === undefined ? family : textOf(via, 'family') === 'inet6' ? 6 : 4;
    const gateway = wordsOfAddress(textOf(via ?? row, via === undefined ? 'gateway' : 'host') ?? '', gatewayFamily);
    const flags = wordsOf(row, 'flags');
    return [
      {
        device,
        ...(gateway === undefined ? {} : { gateway: { family: gatewayFamily, address: gateway } }),
        onlink: flags.includes('onlink'),
        dead: flags.includes('dead'),
      },
    ];
  }

  #tableNumber(name: string): number {
    if (/^\d{1,10}$/.test(name)) return Number(name);
    let number = this.#tableNumbers.get(name);
    if (number === undefined) {
      number = FIRST_NAMED_TABLE + this.#tableNumbers.size;
      this.#tableNumbers.set(name, number);
    }
    return number;
  }

  // ---- rule.json, rule6.json

  #rules(file: HostFile, family: Family): RuleConfig[] {
    const source = this.#files.get(file);
    if (source === undefined) return [];
    const json = this.#reader(source);
    return json.rows().flatMap((row) => {
      const priority = numberOf(row, 'priority') ?? 0;
      const odd = UNSUPPORTED_RULE.find((key) => row[key] !== undefined);
      if (odd !== undefined) {
        const message = `routing rule ${priority} uses "${odd}", which is not supported: the rule is passed over`;
        json.fault('warning', 'unsupported-rule', message, `"${odd}"`);
        return [];
      }
      const action = textOf(row, 'action') ?? 'table';
      if (!isAction(action)) {
        json.fault(
          'warning',
          'unsupported-rule',
          `action "${action}" of routing rule ${priority} is not supported`,
          action,
        );
        return [];
      }
      return [this.#rule(row, family, priority, action)];
    });
  }

  #rule(row: Row, family: Family, priority: number, action: RuleConfig['action']): RuleConfig {
    const prefix = (key: string) => {
      const text = textOf(row, key);
      if (text === undefined || text === 'all') return undefined;
      const bits = numberOf(row, `${key}len`);
      return prefixOf(bits === undefined ? text : `${text}/${bits}`, family);
    };
    const source = prefix('src');
    const destination = prefix('dst');
    const mark = numberOf(row, 'fwmark');
    const inDevice = textOf(row, 'iif');
    const outDevice = textOf(row, 'oif');
    const tos = numberOf(row, 'tos');
    return {
      family,
      priority,
      invert: 'not' in row,
      ...(source === undefined ? {} : { source }),
      ...(destination === undefined ? {} : { destination }),
      ...(mark === undefined ? {} : { mark: { value: mark, mask: numberOf(row, 'fwmask') ?? 0xffffffff } }),
      ...(inDevice === undefined ? {} : { inDevice }),
      ...(outDevice === undefined ? {} : { outDevice }),
      ...(tos === undefined ? {} : { tos }),
      action,
      table: this.#tableNumber(textOf(row, 'table') ?? 'main'),
      suppressBits: numberOf(row, 'suppress_prefixlen') ?? -1,
    };
  }

  // ---- the rest

  #neighbours(): NeighbourConfig[] {
    const source = this.#files.get('neigh.json');
    if (source === undefined) return [];
    const json = this.#reader(source);
    return json.rows().flatMap((row) => {
      const dst = textOf(row, 'dst') ?? '';
      const device = textOf(row, 'dev');
      const mac = macOf(textOf(row, 'lladdr'));
      const family = dst.includes(':') ? 6 : 4;
      const address = wordsOfAddress(dst, family);
      if (device === undefined || mac === undefined || address === undefined) return [];
      return [{ family, device, address, mac }];
    });
  }

  /** `time`: seconds since the epoch, with a fraction or without. */
  #time(): number | undefined {
    const text = this.#files.get('time')?.text.trim();
    const found = /^(\d{1,11})(?:\.(\d{1,9}))?$/.exec(text ?? '');
    if (found === null) return undefined;
    return Number(found[1]) * 1_000_000 + Math.floor(Number(`0.${found[2] ?? '0'}`) * 1_000_000);
  }

  /** `nfacct list`: `{ pkts = 0, bytes = 0, quota = 10, mode = packet } = name;` */
  #nfacct(): Map<string, NfacctConfig> {
    const made = new Map<string, NfacctConfig>();
    for (const line of this.#files.get('nfacct')?.text.split('\n') ?? []) {
      const found = /^\s*\{(.*)\}\s*=\s*(\S+?);?\s*$/.exec(line);
      if (found === null) continue;
      const quota = /quota\s*=\s*(\d+)/.exec(found[1]!);
      const unit = /packet/.test(/mode\s*=\s*(\w+)/.exec(found[1]!)?.[1] ?? '') ? 'packets' : 'bytes';
      made.set(found[2]!, quota === null ? {} : { quota: Number(quota[1]), unit });
    }
    return made;
  }
}

function isAction(action: string): action is RuleConfig['action'] {
  return ['table', 'blackhole', 'unreachable', 'prohibit', 'nop'].includes(action);
}

function kindOf(linkType: string | undefined, flags: readonly string[]): DeviceKind {
  if (linkType === 'loopback' || flags.includes('LOOPBACK')) return 'loopback';
  return linkType === 'ether' ? 'ethernet' : 'none';
}

/** Devices of a VRF carry packets themselves; `ip -d` says so. */
function isVrf(row: Row): boolean {
  const info = row.linkinfo;
  return isRow(info) && textOf(info, 'info_slave_kind') === 'vrf';
}

/** IPv6 routes have a preference, or an address that tells. */
function familyOfRoute(row: Row): Family {
  if (row.pref !== undefined) return 6;
  for (const key of ['dst', 'gateway', 'prefsrc', 'from']) if (textOf(row, key)?.includes(':')) return 6;
  return 4;
}

function macOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined || !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}

/** Words as in Field.Src0, or undefined if the text is no address of the family. */
export function wordsOfAddress(text: string, family: Family): Words6 | undefined {
  if (family === 6) return parseIp6(text);
  const word = parseIp4(text);
  return word === undefined ? undefined : [word, 0, 0, 0];
}

/** `default`, `a`, `a/len`: the address as written (bits beyond the length stay) and the length. */
export function prefixOf(
  text: string,
  family: Family,
): { readonly address: Words6; readonly bits: number } | undefined {
  if (text === 'default' || text === 'all' || text === 'any') return { address: [0, 0, 0, 0], bits: 0 };
  const slash = text.indexOf('/');
  const most = family === 4 ? 32 : 128;
  const address = wordsOfAddress(slash === -1 ? text : text.slice(0, slash), family);
  const length = slash === -1 ? String(most) : text.slice(slash + 1);
  if (address === undefined || !/^\d{1,3}$/.test(length) || Number(length) > most) return undefined;
  return { address, bits: Number(length) };
}
