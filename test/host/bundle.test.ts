/** What a node prints → HostConfig; and the plain host of a rule file alone. */
import { describe, expect, it } from 'vitest';
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { parseBundle } from '../../src/host/bundle.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import { Devices } from '../../src/host/device.js';
import { RouteQuery, RouteTable } from '../../src/host/route.js';
import { deviceSettingsOf, parseSysctl } from '../../src/host/sysctl.js';
import { words } from './lab.js';

const ADDR = JSON.stringify([
  {},
  {
    ifindex: 1,
    ifname: 'lo',
    flags: ['LOOPBACK', 'UP'],
    mtu: 65536,
    link_type: 'loopback',
    address: '00:00:00:00:00:00',
    addr_info: [{ family: 'inet', local: '127.0.0.1', prefixlen: 8, scope: 'host' }],
  },
  {
    ifindex: 9,
    ifname: 'tun0',
    flags: ['POINTOPOINT', 'NOARP', 'UP'],
    mtu: 1400,
    link_type: 'none',
    addr_info: [{ family: 'inet', local: '10.77.0.1', address: '10.77.0.2', prefixlen: 32, scope: 'global' }],
  },
  {
    ifindex: 2,
    ifname: 'eth0.5',
    link: 'eth0',
    master: 'br0',
    flags: ['BROADCAST', 'UP'],
    mtu: 1500,
    link_type: 'ether',
    address: '02:00:00:00:00:07',
    addr_info: [
      { family: 'inet', local: '10.1.0.1', prefixlen: 24, broadcast: '10.1.0.255', scope: 'global' },
      { family: 'inet', local: '10.1.0.5', prefixlen: 24, scope: 'global', secondary: true },
      { family: 'inet6', local: 'fe80::1', prefixlen: 64, scope: 'link', tentative: true },
    ],
  },
]);
const ROUTES = JSON.stringify([
  { dst: 'default', gateway: '10.1.0.9', dev: 'eth0.5', flags: [] },
  {
    dst: '10.9.0.0/16',
    flags: [],
    nexthops: [
      { gateway: '10.1.0.2', dev: 'eth0.5', weight: 1, flags: ['dead'] },
      { gateway: '10.1.0.3', dev: 'eth0.5', weight: 1, flags: [] },
    ],
  },
  { dst: '10.20.0.0/16', via: { family: 'inet6', host: 'fe80::5' }, dev: 'eth0.5', flags: [] },
  {
    dst: '10.7.0.0/16',
    dev: 'eth0.5',
    table: 'vpn',
    scope: 'link',
    prefsrc: '10.1.0.1',
    metric: 50,
    flags: [],
    metrics: [{ mtu: 1400, hoplimit: 9 }],
  },
  { type: 'unreachable', dst: '10.8.0.0/16', flags: [] },
  {
    type: 'local',
    dst: '10.1.0.1',
    dev: 'eth0.5',
    table: 'local',
    protocol: 'kernel',
    scope: 'host',
    prefsrc: '10.1.0.1',
    flags: [],
  },
  { dst: 'default', gateway: 'fd00::9', dev: 'eth0.5', metric: 1024, flags: [], pref: 'medium' },
]);

function bundle(files: Readonly<Record<string, string>>) {
  return parseBundle(new Map(Object.entries(files).map(([name, text]) => [name, { name, text }])));
}
const messages = (made: ReturnType<typeof bundle>) => made.diagnostics.map((d) => renderDiagnostic(d).split('\n')[0]!);

describe('bundle', () => {
  it('reads devices in kernel order', () => {
    const { devices } = bundle({ 'addr.json': ADDR }).config;
    expect(devices.map((d) => [d.name, d.kind, d.kernelIndex, d.master, d.mtu])).toEqual([
      ['lo', 'loopback', 1, undefined, 65536],
      ['eth0.5', 'ethernet', 2, 'br0', 1500],
      ['tun0', 'none', 9, undefined, 1400],
    ]);
    expect([...devices[1]!.mac!]).toEqual([2, 0, 0, 0, 0, 7]);
    expect(devices[1]!.addresses.map((a) => [a.family, a.bits, a.secondary, a.tentative])).toEqual([
      [4, 24, false, false],
      [4, 24, true, false],
      [6, 64, false, true],
    ]);
    expect(devices[2]!.addresses[0]!.peer).toEqual(words('10.77.0.2'));
  });

  it('reads routes of both families once, though both files list the IPv6 ones', () => {
    const six = JSON.stringify([
      { dst: 'default', gateway: 'fd00::9', dev: 'eth0.5', metric: 1024, flags: [], pref: 'medium' },
    ]);
    const { config, diagnostics } = bundle({ 'addr.json': ADDR, 'route.json': ROUTES, 'route6.json': six });
    expect(diagnostics).toEqual([]);
    expect(config.routes.map((r) => [r.family, r.type, r.bits, r.nextHops.length])).toEqual([
      [4, 1, 0, 1],
      [4, 1, 16, 2],
      [4, 1, 16, 1],
      [4, 1, 16, 1],
      [4, 7, 16, 0],
      [4, 2, 32, 1],
      [6, 1, 0, 1],
    ]);
    expect(config.routes[2]!.nextHops[0]!.gateway).toEqual({ family: 6, address: words('fe80::5') });
    expect([config.routes[3]!.mtu, config.routes[3]!.hopLimit, config.routes[3]!.metric]).toEqual([1400, 9, 50]);
  });

  it('gives a table without a number the same one in routes and rules', () => {
    const rules = JSON.stringify([
      { priority: 0, src: 'all', table: 'local' },
      {
        priority: 100,
        not: null,
        src: '10.0.0.0',
        srclen: 8,
        fwmark: '0x10',
        fwmask: '0xff',
        iif: 'tun0',
        table: 'vpn',
      },
    ]);
    const { config } = bundle({ 'addr.json': ADDR, 'route.json': ROUTES, 'rule.json': rules });
    expect(config.rules![1]).toMatchObject({
      invert: true,
      mark: { value: 16, mask: 255 },
      inDevice: 'tun0',
      source: { bits: 8 },
    });
    expect(config.rules![1]!.table).toBe(config.routes[3]!.table);
  });

  it.each([
    ['addr.json', 'eth0: <UP>', 'addr.json:1:1: error: not JSON [bad-json]'],
    ['addr.json', '{"a":1}', 'addr.json:1:1: error: not a JSON array [bad-json]'],
    [
      'route.json',
      '[{"dst":"10.0.0.0/99","dev":"lo"}]',
      'route.json:1:10: error: unknown destination "10.0.0.0/99" [bad-route]',
    ],
    [
      'route.json',
      '[{"dst":"default","dev":"gone"}]',
      'route.json:1:25: warning: route by device "gone", which addr.json does not have [unknown-device]',
    ],
    [
      'rule.json',
      '[{"priority":7,"src":"all","ipproto":"tcp","table":"7"}]',
      'rule.json:1:28: warning: routing rule 7 uses "ipproto", which is not supported: the rule is passed over [unsupported-rule]',
    ],
  ])('%s: %s', (file, text, message) => {
    expect(messages(bundle({ 'addr.json': ADDR, [file]: text }))).toEqual([message]);
  });

  it('says what it takes for granted', () => {
    expect(bundle({ 'addr.json': ADDR }).assumed).toEqual([
      'forwarding is on and every other setting has its default: no sysctl',
      'hardware addresses of neighbours are those seen in the capture: no neigh.json',
      'IPv4 routes are those of its addresses alone: no route.json',
      'IPv6 routes are those of its addresses alone: no route6.json',
    ]);
  });

  it('reads the time with its fraction', () => {
    expect(bundle({ 'addr.json': ADDR, time: '1795403181.062924174\n' }).config.timeUs).toBe(1_795_403_181_062_924);
  });
});

describe('sysctl', () => {
  it('combines a device with all as the kernel does', () => {
    const sysctl = parseSysctl(
      'net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.rp_filter = 2\nnet.ipv4.conf.eth0/5.rp_filter = 1\nsysctl: error = x\nnet.ipv4.conf.all.send_redirects = 0\nnet.ipv4.conf.eth0/5.send_redirects = 0\nnet.ipv4.conf.eth0/5.forwarding = 0\n',
    );
    const config = { devices: [], routes: [], neighbours: [], sysctl };
    const settings = deviceSettingsOf(config, 'eth0.5');
    expect([settings.rpFilter, settings.sendRedirects, settings.forwarding4]).toEqual([2, false, false]);
    expect(deviceSettingsOf(config, 'eth1').forwarding4).toBe(true);
  });
});

describe('default host', () => {
  it('takes addresses and routes, names what is wrong, says what it assumed', () => {
    const made = makeDefaultHost({
      devices: ['eth0', 'eth1'],
      addresses: ['eth0=10.0.0.1/24', 'eth0=10.0.0.2/24', 'wan=fd00::1/64', 'eth0', 'eth0=10.0.0.300/24'],
      routes: ['default,10.0.0.9,eth0', '10.5.0.0/16,,eth1', 'x,y'],
    });
    expect(made.faults).toEqual([
      '"eth0" is not IFACE=ADDR/LEN',
      '"eth0=10.0.0.300/24" is not IFACE=ADDR/LEN',
      '"x,y" is not DEST,VIA,IFACE',
    ]);
    expect(made.config.devices.map((d) => d.name)).toEqual(['lo', 'eth0', 'eth1', 'wan']);
    expect(made.config.devices[1]!.addresses.map((a) => a.secondary)).toEqual([false, true]);
    const devices = new Devices(made.config);
    const table = new RouteTable(4, made.config, devices);
    const query = new RouteQuery();
    const device = (text: string) => {
      query.destination.set(words(text));
      return devices.at(table.paths[table.lookup(query)]!.device)!.name;
    };
    expect(['10.0.0.7', '10.5.1.1', '8.8.8.8', '127.0.0.3', '10.0.0.2'].map(device)).toEqual([
      'eth0',
      'eth1',
      'eth0',
      'lo',
      'eth0',
    ]);
  });

  it('without addresses sends what is not local by the last device', () => {
    const made = makeDefaultHost({ devices: ['eth0'] });
    expect(made.assumed).toHaveLength(3);
    expect(made.config.routes.some((r) => r.bits === 0 && r.family === 4)).toBe(true);
  });
});
