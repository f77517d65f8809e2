/** `ip -j addr`: devices and their addresses. */
import { parseIp4 } from '../net/ip4.js';
import { macOf, wordsOfAddress } from './address-text.js';
import {
  type AddressConfig,
  type DeviceConfig,
  type DeviceKind,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_SITE,
  RT_SCOPE_UNIVERSE,
} from './host-config.js';
import { isRow, type JsonReader, numberOf, type Row, rowsOf, textOf, wordsOf } from './json-reader.js';

const SCOPES: Readonly<Record<string, number>> = {
  global: RT_SCOPE_UNIVERSE,
  universe: RT_SCOPE_UNIVERSE,
  site: RT_SCOPE_SITE,
  link: RT_SCOPE_LINK,
  host: RT_SCOPE_HOST,
  nowhere: RT_SCOPE_NOWHERE,
};

/** Scope of an address or a route; a number where iproute2 has no name for it. */
export function scopeOf(row: Row, otherwise: number): number {
  const text = textOf(row, 'scope');
  return (text === undefined ? undefined : SCOPES[text]) ?? numberOf(row, 'scope') ?? otherwise;
}

/** In order of their kernel index. */
export function devicesOf(json: JsonReader): DeviceConfig[] {
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
      ...(flags.includes('NOARP') ? { noArp: true } : {}),
      ...(master === undefined || isVrf(row) ? {} : { master }),
      addresses: rowsOf(row, 'addr_info').flatMap((info) => addressOf(json, info)),
    });
  }
  return devices.sort((a, b) => a.order - b.order).map(({ order: _, ...device }) => device);
}

function addressOf(json: JsonReader, row: Row): AddressConfig[] {
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
      scope: scopeOf(row, RT_SCOPE_UNIVERSE),
      secondary: row.secondary === true,
      deprecated: row.deprecated === true,
      tentative: row.tentative === true || row.dadfailed === true,
    },
  ];
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
