/** The host under test as chainwalk's configuration: topology.ts once more, in the words of a host. */
import {
  type AddressConfig,
  type DeviceConfig,
  type HostConfig,
  type NeighbourConfig,
  type RouteConfig,
  RT_SCOPE_HOST,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_BLACKHOLE,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '../../src/host/host-config.js';
import { routesOfAddresses } from '../../src/host/route.js';
import type { Words6 } from '../../src/net/ip6.js';
import type { Family } from '../../src/net/netfilter.js';
import { addressBytes } from './frame.js';
import { address, GATEWAY_HOST, LINKS, SECOND_ADDRESS_HOST, SUBNET_LENGTH } from './topology.js';

function wordsOf(text: string): Words6 {
  const b = addressBytes(text);
  const word = (i: number) =>
    i + 3 < b.length ? ((b[i]! << 24) | (b[i + 1]! << 16) | (b[i + 2]! << 8) | b[i + 3]!) >>> 0 : 0;
  return [word(0), word(4), word(8), word(12)];
}

const familyOf = (text: string): Family => (text.includes(':') ? 6 : 4);

function addressOf(text: string, bits: number, secondary: boolean, scope: number = RT_SCOPE_UNIVERSE): AddressConfig {
  const family = familyOf(text);
  const words = wordsOf(text);
  const broadcast =
    family === 4 && scope === RT_SCOPE_UNIVERSE ? { broadcast: (words[0] | (0xffffffff >>> bits)) >>> 0 } : {};
  return { family, address: words, bits, ...broadcast, scope, secondary, deprecated: false, tentative: false };
}

const macOf = (text: string) => Uint8Array.from(text.split(':').map((x) => Number.parseInt(x, 16)));

function devices(): DeviceConfig[] {
  const lo: DeviceConfig = {
    name: 'lo',
    kind: 'loopback',
    mac: undefined,
    mtu: 65536,
    up: true,
    addresses: [addressOf('127.0.0.1', 8, false, RT_SCOPE_HOST), addressOf('::1', 128, false, RT_SCOPE_HOST)],
  };
  const links = LINKS.map((link, i): DeviceConfig => {
    const addresses: AddressConfig[] = [];
    for (const family of [4, 6] as const) {
      const bits = SUBNET_LENGTH[family];
      const first = addressOf(address(family, i, 1), bits, false);
      const second = addressOf(address(family, i, SECOND_ADDRESS_HOST), bits, family === 4);
      // The kernel lists an interface's IPv6 addresses newest first.
      addresses.push(...(i !== 0 ? [first] : family === 4 ? [first, second] : [second, first]));
    }
    return { name: link.name, kind: 'ethernet', mac: macOf(link.mac), mtu: link.mtu, up: true, addresses };
  });
  return [lo, ...links];
}

function via(destination: string, bits: number, gateway: string, device: string): RouteConfig {
  const family = familyOf(gateway);
  const hop = { device, onlink: false, dead: false, gateway: { family, address: wordsOf(gateway) } };
  return { ...base(destination, bits, RTN_UNICAST), nextHops: [hop] };
}

function base(destination: string, bits: number, type: number): RouteConfig {
  const family = familyOf(destination);
  return {
    family,
    table: RT_TABLE_MAIN,
    type,
    address: wordsOf(destination),
    bits,
    tos: 0,
    metric: family === 4 ? 0 : 1024,
    scope: RT_SCOPE_UNIVERSE,
    nextHops: [],
  };
}

function neighbours(): NeighbourConfig[] {
  const list: NeighbourConfig[] = [];
  for (const [i, link] of LINKS.entries()) {
    for (const family of [4, 6] as const) {
      for (let host = 2; host <= (family === 4 ? 14 : 15); host++) {
        if (i === 0 && host === SECOND_ADDRESS_HOST) continue;
        list.push({ family, device: link.name, address: wordsOf(address(family, i, host)), mac: macOf(link.peerMac) });
      }
    }
  }
  return list;
}

/** `sysctl`: as the bundle's file of this name says. */
export function hostUnderTest(sysctl: ReadonlyMap<string, string>): HostConfig {
  const all = devices();
  return {
    devices: all,
    routes: [
      ...routesOfAddresses({ devices: all }, 4),
      ...routesOfAddresses({ devices: all }, 6),
      via('0.0.0.0', 0, address(4, 2, GATEWAY_HOST), 'eth2'),
      via('192.0.2.0', 24, address(4, 1, 9), 'eth1'),
      base('10.66.0.0', 16, RTN_UNREACHABLE),
      base('10.67.0.0', 16, RTN_PROHIBIT),
      base('10.68.0.0', 16, RTN_BLACKHOLE),
      via('::', 0, address(6, 2, GATEWAY_HOST), 'eth2'),
      via('2001:db8:2::', 64, address(6, 1, 9), 'eth1'),
      base('fd00:66::', 64, RTN_UNREACHABLE),
      base('fd00:67::', 64, RTN_PROHIBIT),
      base('fd00:68::', 64, RTN_BLACKHOLE),
    ],
    neighbours: neighbours(),
    sysctl,
  };
}
