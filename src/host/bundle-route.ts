/** `ip -j route show table all` and `ip -j rule`, of both families: the routing tables and the rules that choose among them. */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';
import type { Family } from '../net/netfilter.js';
import { prefixOf, wordsOfAddress } from './address-text.js';
import { scopeOf } from './bundle-device.js';
import {
  type DeviceConfig,
  type NextHopConfig,
  type RouteConfig,
  RT_SCOPE_HOST,
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

/** Reads routes and rules: the names of tables are common to them. */
export class RouteReader {
  readonly #files: ReadonlyMap<string, Source>;
  readonly #diagnostics: Diagnostic[];
  readonly #assumed: string[];
  readonly #tableNumbers = new Map<string, number>(Object.entries(TABLES));

  /** `assumed`: takes a sentence for each thing that the files do not say. */
  constructor(files: ReadonlyMap<string, Source>, diagnostics: Diagnostic[], assumed: string[]) {
    this.#files = files;
    this.#diagnostics = diagnostics;
    this.#assumed = assumed;
  }

  routes(devices: readonly DeviceConfig[]): RouteConfig[] {
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
      const json = new JsonReader(source, this.#diagnostics);
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
      scope: scopeOf(row, type === RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE),
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
    const weight = numberOf(row, 'weight');
    return [
      {
        device,
        ...(gateway === undefined ? {} : { gateway: { family: gatewayFamily, address: gateway } }),
        onlink: flags.includes('onlink'),
        dead: flags.includes('dead'),
        ...(weight === undefined || weight < 1 ? {} : { weight }),
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

  rules(file: string, family: Family): RuleConfig[] {
    const source = this.#files.get(file);
    if (source === undefined) return [];
    const json = new JsonReader(source, this.#diagnostics);
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
}

function isAction(action: string): action is RuleConfig['action'] {
  return ['table', 'blackhole', 'unreachable', 'prohibit', 'nop'].includes(action);
}

/** IPv6 routes have a preference, or an address that tells. */
function familyOfRoute(row: Row): Family {
  if (row.pref !== undefined) return 6;
  for (const key of ['dst', 'gateway', 'prefsrc', 'from']) if (textOf(row, key)?.includes(':')) return 6;
  return 4;
}
