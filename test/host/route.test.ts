/** Longest prefix, tables, rules, source selection. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Devices } from '../../src/host/device.js';
import { PrefixTable } from '../../src/host/prefix-table.js';
import { NO_ROUTE, RouteQuery, RouteTable } from '../../src/host/route.js';
import { maskOf4 } from '../../src/net/ip4.js';
import { printIp6 } from '../../src/net/ip6.js';
import { configOf, words } from './lab.js';

describe('PrefixTable', () => {
  it('finds what a search through all prefixes finds', () => {
    // Few bits vary, so that prefixes nest and addresses meet them.
    const word = fc.integer({ min: 0, max: 255 }).map((n) => ((n << 24) | (n << 4)) >>> 0);
    const prefix = fc.record({ address: word, bits: fc.constantFrom(0, 1, 4, 8, 24, 28, 30, 32) });
    fc.assert(
      fc.property(
        fc.array(prefix, { maxLength: 60 }),
        fc.array(word, { minLength: 1, maxLength: 30 }),
        (prefixes, probes) => {
          const table = new PrefixTable(1);
          for (const [i, { address, bits }] of prefixes.entries())
            table.add([(address & maskOf4(bits)) >>> 0], bits, i);
          for (const probe of probes) {
            let found = -1;
            for (let level = 0; level < table.levelCount && found === -1; level++) {
              const place = table.first([probe], 0, level);
              if (place !== -1) found = table.value(place);
            }
            let best = -1;
            prefixes.forEach(({ address, bits }, i) => {
              const hit = ((address ^ probe) & maskOf4(bits)) === 0;
              if (hit && (best === -1 || bits > prefixes[best]!.bits)) best = i;
            });
            expect(found).toBe(best);
          }
        },
      ),
      { seed: 7, numRuns: 300 },
    );
  });
});

describe('RouteTable', () => {
  const make = (routes: readonly string[]) => {
    const config = configOf({ routes });
    const devices = new Devices(config);
    return { table: new RouteTable(4, config, devices), devices };
  };
  const find = (table: RouteTable, dst: string, more: Partial<RouteQuery> = {}) => {
    const query = Object.assign(new RouteQuery(), more);
    query.destination.set(words(dst));
    return table.lookup(query);
  };

  it('local and main are one table while there are no rules: the longer prefix wins', () => {
    const { table, devices } = make(['127.1.0.0/16 via 10.1.0.9 eth1']);
    expect(devices.at(table.paths[find(table, '127.1.0.1')]!.device)!.name).toBe('eth1');
    expect(table.paths[find(table, '127.2.0.1')]!.type).toBe(2);
  });

  it('an own address comes before a host route of main', () => {
    const { table } = make(['10.0.0.1/32 dev eth1']);
    expect(table.paths[find(table, '10.0.0.1')]!.type).toBe(2);
  });

  it('a refusing route hides the shorter ones', () => {
    const { table } = make(['0.0.0.0/0 via 10.0.0.9 eth0', 'unreachable 10.8.0.0/16']);
    expect(table.paths[find(table, '10.8.1.1')]!.type).toBe(7);
    expect(find(make([]).table, '10.8.1.1')).toBe(NO_ROUTE);
  });

  it('asked for a device, takes the next longest prefix that has it', () => {
    const { table, devices } = make(['10.5.0.0/16 via 10.1.0.9 eth1', '10.0.0.0/8 via 10.0.0.9 eth0']);
    const path = table.paths[find(table, '10.5.0.1', { outDevice: devices.indexOf('eth0') })]!;
    expect([path.bits, devices.at(path.device)!.name]).toEqual([8, 'eth0']);
  });
});

describe('source addresses', () => {
  const config = configOf({
    devices: [
      { name: 'lo', addresses: ['127.0.0.1/8', '::1/128'], kind: 'loopback' },
      { name: 'eth0', addresses: ['10.0.0.1/24', '192.168.0.1/16', 'fe80::1/64', 'fd00:a::1/64', '2001:db8::1/64'] },
      { name: 'eth1', addresses: ['fe80::2/64'] },
    ],
  });
  const devices = new Devices(config);

  it.each([
    ['192.168.7.7', 'eth0', '192.168.0.1'],
    ['8.8.8.8', 'eth0', '10.0.0.1'],
    ['8.8.8.8', 'eth1', '10.0.0.1'],
  ])('IPv4 to %s by %s: %s', (dst, device, source) => {
    expect(devices.selectAddress4(devices.indexOf(device), words(dst)[0], 0)).toBe(words(source)[0]);
  });

  it.each([
    ['fe80::9', 'eth0', 'fe80::1'],
    ['fe80::9', 'eth1', 'fe80::2'],
    ['ff02::1', 'eth1', 'fe80::2'],
    ['fd00:b::9', 'eth0', 'fd00:a::1'],
    ['2001:db8:1::9', 'eth0', '2001:db8::1'],
    ['2001:db8:1::9', 'eth1', '2001:db8::1'],
    ['fd00:a::1', 'eth0', 'fd00:a::1'],
  ])('IPv6 to %s by %s: %s', (dst, device, source) => {
    const found = devices.selectAddress6(devices.indexOf(device), words(dst));
    expect(found === undefined ? undefined : printIp6(...found)).toBe(source);
  });
});
