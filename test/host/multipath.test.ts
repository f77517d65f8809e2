/**
 * Routes with several next hops. What Linux 6.18 did with `nexthop … weight 3 nexthop … weight 1` and 800 packets of 400
 * destinations: 607 and 195 (IPv4), 619 and 183 (IPv6) forwarded, 601 and 201, 607 and 195 of its own; no IPv4 flow on
 * both, each own packet from the address of its next hop's device, IPv6 flows told apart by their flow label too.
 */
import { describe, expect, it } from 'vitest';
import { parseBundle } from '../../src/host/bundle.js';
import { type NextHopConfig, RT_SCOPE_UNIVERSE, RT_TABLE_MAIN, RTN_UNICAST } from '../../src/host/host-config.js';
import { boundsOf } from '../../src/host/multipath.js';
import { icmpBody, ipBytes, udpBody } from '../support/craft.js';
import { configOf, type Lab, type LabDevice, type LabOptions, makeLab, words } from './lab.js';

const DEVICES: readonly LabDevice[] = [
  { name: 'lo', addresses: ['127.0.0.1/8', '::1/128'], kind: 'loopback', mtu: 65536 },
  { name: 'eth0', addresses: ['10.0.0.1/24', 'fd00:a::1/64', 'fe80::1/64'] },
  { name: 'eth1', addresses: ['10.1.0.1/24', 'fd00:b::1/64', 'fe80::2/64'] },
  { name: 'eth2', addresses: ['10.2.0.1/24', 'fd00:c::1/64', 'fe80::3/64'] },
];

function router(weights: readonly [number, number], more: LabOptions & { readonly dead?: string } = {}): Lab {
  const hops = (family: 4 | 6): NextHopConfig[] =>
    ['eth1', 'eth2'].map((device, i) => ({
      device,
      gateway: { family, address: words(family === 4 ? `10.${i + 1}.0.2` : `fd00:${'bc'[i]}::2`) },
      onlink: false,
      dead: more.dead === device,
      weight: weights[i]!,
    }));
  const route = (family: 4 | 6, address: string, bits: number) => ({
    family,
    table: RT_TABLE_MAIN,
    type: RTN_UNICAST,
    address: words(address),
    bits,
    tos: 0,
    metric: family === 4 ? 0 : 1024,
    scope: RT_SCOPE_UNIVERSE,
    nextHops: hops(family),
  });
  const base = configOf({ devices: DEVICES });
  const routes = [...base.routes, route(4, '10.50.0.0', 16), route(6, 'fd00:50::', 32)];
  return makeLab({ ...more, devices: DEVICES, config: { routes } });
}

const destination = (family: 4 | 6, i: number) =>
  family === 4 ? `10.50.${i >> 8}.${i & 255}` : `fd00:50::${(i + 1).toString(16)}`;
const CLIENT = { 4: '10.0.0.2', 6: 'fd00:a::2' } as const;
const udp = (src: string, dst: string, sport = 5000) => ipBytes({ src, dst, protocol: 17, body: udpBody(sport, 7) });

const devicesOf = (lab: Lab) => lab.sent.map((f) => f.device);

describe.each([4, 6] as const)('IPv%d', (family) => {
  it.each([
    [1, 1],
    [3, 1],
    [1, 3],
    [10, 1],
  ] as const)('weights %d and %d share the flows', (a, b) => {
    const lab = router([a, b]);
    const count = 2000;
    for (let i = 0; i < count; i++) lab.receive('eth0', udp(CLIENT[family], destination(family, i)));
    const first = devicesOf(lab).filter((d) => d === 'eth1').length;
    const expected = (count * a) / (a + b);
    const deviation = Math.sqrt((count * a * b) / (a + b) ** 2);
    expect(Math.abs(first - expected)).toBeLessThan(4 * deviation);
    expect(lab.sent).toHaveLength(count);
  });

  it('a flow stays on its next hop', () => {
    const lab = router([1, 1]);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 50; i++) lab.receive('eth0', udp(CLIENT[family], destination(family, i)));
    }
    const all = devicesOf(lab);
    expect(all.slice(50, 100)).toEqual(all.slice(0, 50));
    expect(all.slice(100)).toEqual(all.slice(0, 50));
    expect(new Set(all)).toEqual(new Set(['eth1', 'eth2']));
  });

  it('another seed, another choice', () => {
    const choice = (seed: number) => {
      const lab = router([1, 1], { options: { seed } });
      for (let i = 0; i < 50; i++) lab.receive('eth0', udp(CLIENT[family], destination(family, i)));
      return devicesOf(lab).join(' ');
    };
    expect(choice(1)).toBe(choice(1));
    expect(choice(1)).not.toBe(choice(2));
  });

  it('ports count only under policy 1', () => {
    const devices = (policy: string) => {
      const lab = router([1, 1], { sysctl: { [`net.ipv${family}.fib_multipath_hash_policy`]: policy } });
      for (let i = 0; i < 50; i++) lab.receive('eth0', udp(CLIENT[family], destination(family, 1), 4000 + i));
      return new Set(devicesOf(lab)).size;
    };
    expect(devices('0')).toBe(1);
    expect(devices('1')).toBe(2);
  });

  it('a next hop out of service has no share', () => {
    const lab = router([1, 1], { dead: 'eth1' });
    for (let i = 0; i < 50; i++) lab.receive('eth0', udp(CLIENT[family], destination(family, i)));
    expect(new Set(devicesOf(lab))).toEqual(new Set(['eth2']));
  });

  it('an own packet leaves by the next hop of its source address, or by the device that it was seen on', () => {
    const lab = router([1, 1]);
    for (let i = 0; i < 30; i++) {
      for (const [device, source] of [
        ['eth1', family === 4 ? '10.1.0.1' : 'fd00:b::1'],
        ['eth2', family === 4 ? '10.2.0.1' : 'fd00:c::1'],
      ] as const) {
        lab.send(udp(source, destination(family, i)), family === 4 ? undefined : device);
        expect(lab.sent.at(-1)!.device).toBe(device);
      }
    }
  });

  it('an error goes the way of what it is about', () => {
    const lab = router([1, 1]);
    for (let i = 0; i < 40; i++) {
      // The quoted packet went from the host beyond the route to the client: its addresses are the key.
      const server = destination(family, i);
      const quoted = udp(CLIENT[family], server);
      const [type, protocol] = family === 4 ? [3, 1] : [1, 58];
      const body = icmpBody(type!, 3, 0, 0, 0, 0, quoted);
      lab.receive('eth0', quoted);
      lab.receive('eth0', ipBytes({ src: CLIENT[family], dst: destination(family, 900), protocol: protocol!, body }));
    }
    const all = devicesOf(lab);
    expect(all).toHaveLength(80);
    for (let i = 0; i < 80; i += 2) expect(all[i + 1]).toBe(all[i]);
  });
});

it('strict reverse path filtering takes any of the next hops for the way back', () => {
  const lab = router([1, 1], { sysctl: { 'net.ipv4.conf.all.rp_filter': '1' } });
  for (const device of ['eth1', 'eth2']) lab.receive(device, udp('10.50.0.7', CLIENT[4]));
  expect(lab.sent).toHaveLength(2);
  lab.receive('eth0', udp('10.50.0.7', CLIENT[4]));
  expect(lab.dropped).toEqual(['routing: martian source']);
});

it('bounds are cumulative shares of 31 bits', () => {
  expect(boundsOf([1, 1])).toEqual([0x3fffffff, 0x7fffffff]);
  expect(boundsOf([3, 1])).toEqual([0x5fffffff, 0x7fffffff]);
  expect(boundsOf([1, 1, 1])).toEqual([715827882, 1431655764, 2147483647]);
});

it('a bundle tells the weights', () => {
  const text = JSON.stringify([
    {
      dst: '10.50.0.0/16',
      flags: [],
      nexthops: [
        { gateway: '10.1.0.2', dev: 'eth1', weight: 3, flags: [] },
        { gateway: '10.2.0.2', dev: 'eth2', weight: 1, flags: [] },
      ],
    },
  ]);
  const { config } = parseBundle(new Map([['route.json', { name: 'route.json', text }]]));
  expect(config.routes[0]!.nextHops.map((hop) => hop.weight)).toEqual([3, 1]);
});
