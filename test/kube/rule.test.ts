/** Texts and names that the specification states. */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sha256 } from '../../src/base/sha256.js';
import { ChainNamer } from '../../src/kube/chain-name.js';
import type { EndpointSlice, Service } from '../../src/kube/objects.js';
import { KernelTables } from '../../src/kube/proxy/jumps.js';
import { Proxier } from '../../src/kube/proxy/proxier.js';
import { probability } from '../../src/kube/proxy/service-rules.js';
import { ClusterState } from '../../src/kube/state.js';
import { contextOf, NODE, service, slice, textOf } from './fixture.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('SHA-256', () => {
  it('agrees with the platform on any text', () => {
    const own = new Sha256();
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 300 }), fc.string({ unit: 'grapheme', maxLength: 200 })), (text) => {
        own.hash(text);
        const hex = [...own.words].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
        expect(hex).toBe(sha256(text));
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

describe('chain names (2.2)', () => {
  it.each([
    ['ns1/svc1:p80tcp', 'XPGD46QRK7WJZT7O'],
    ['kube-system/kube-dns:dns-tcptcp', 'ERIFXISQEP7F7OF4'],
    ['default/webtcp', 'LOLE4ISW44XBNF3G'],
    ['default/webudp', 'OITG2N52AJRCLORJ'],
    ['ns5/svc5:p80tcp10.180.0.3:80', 'I77PXRDZVX7PMWMN'],
    ['ns4/svc4:p8082tcp10.4.0.1:8082', 'SU5STNODRYEWJAUF'],
    ['default/webtcp[2001:db8::5]:8080', '2OOOB2OTO3H4A3TO'],
  ])('%s is %s', (text, hash) => expect(new ChainNamer().hash16(text)).toBe(hash));

  it('of an endpoint is its prefix and its hash', () => {
    expect(new ChainNamer().endpointChain('ns1/svc1:p80', 'tcp', '10.180.0.1:80')).toBe('KUBE-SEP-SXIVWICOYRO3J4NJ');
  });
});

describe('probabilities (4.6)', () => {
  it.each([
    [1, '1.0000000000'],
    [3, '0.3333333333'],
    [2048, '0.0004882812'],
    [100_000, '0.0000100000'],
    [100_001, '0.0000099999'],
  ])('of %i is %s', (k, text) => expect(probability(k)).toBe(text));
});

const p = (port: number, more: object = {}) => [{ name: 'p80', port, protocol: 'TCP', ...more }];
const ANNEX_A: readonly (Service | EndpointSlice)[] = [
  service('ns1/svc1', { type: 'ClusterIP', clusterIP: '172.30.0.41', ports: p(80) }),
  slice('ns1/svc1', p(80), ['10.180.0.1']),
  service(
    'ns2/svc2',
    {
      type: 'LoadBalancer',
      clusterIP: '172.30.0.42',
      ports: p(80, { nodePort: 3001 }),
      externalTrafficPolicy: 'Local',
      externalIPs: ['192.168.99.22'],
      healthCheckNodePort: 30000,
    },
    ['1.2.3.4'],
  ),
  slice('ns2/svc2', p(80), ['10.180.0.2']),
  service('ns3/svc3', { type: 'NodePort', clusterIP: '172.30.0.43', ports: p(80, { nodePort: 3003 }) }),
  slice('ns3/svc3', p(80), ['10.180.0.3']),
  service('ns4/svc4', { type: 'NodePort', clusterIP: '172.30.0.44', ports: p(80), externalIPs: ['192.168.99.33'] }),
  slice('ns4/svc4', p(80), ['10.180.0.4', '10.180.0.5 L']),
  service(
    'ns5/svc5',
    {
      type: 'LoadBalancer',
      clusterIP: '172.30.0.45',
      ports: p(80, { nodePort: 3002 }),
      loadBalancerSourceRanges: [' 203.0.113.0/25'],
      healthCheckNodePort: 30000,
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
    },
    ['5.6.7.8'],
  ),
  slice('ns5/svc5', p(80), ['10.180.0.3']),
  service('ns6/svc6', { type: 'ClusterIP', clusterIP: '172.30.0.46', ports: p(80) }),
];

describe('worked examples', () => {
  it('annex A: six Services', () => {
    const text = textOf(ANNEX_A);
    expect(text.length).toBe(8905);
    expect(sha256(text)).toBe('329deeae2c42001b8c451119502786cace9b88470339d6c1b0069bdd50a1b921');
  });

  it('annex B: affinity, IPv6', () => {
    const text = textOf(
      [
        service('ns1/svc1', {
          type: 'NodePort',
          clusterIP: 'fd00:172:30::41',
          ports: p(80, { nodePort: 30080 }),
          sessionAffinity: 'ClientIP',
        }),
        slice('ns1/svc1', p(80), ['fd00:10::1', 'fd00:10::2']),
      ],
      { family: 'IPv6', nfacct: false },
    );
    expect(text.length).toBe(2917);
    expect(sha256(text)).toBe('8eea72ab5af70749b96c031157721752474c1acd126f48f46108579b7823148b');
  });
});

describe('rule counts (10.1)', () => {
  const count = (text: string): string => {
    const [filter, nat] = text
      .split('*nat')
      .map((part) => part.split('\n').filter((line) => line.startsWith('-A ')).length);
    return `${filter} / ${nat}`;
  };
  it.each([
    [0, 0, '4 / 5', '4 / 5'],
    [1, 0, '5 / 5', '8 / 5'],
    [1, 1, '4 / 10', '5 / 18'],
    [1, 2, '4 / 13', '5 / 21'],
    [1, 10, '4 / 37', '5 / 45'],
    [10, 0, '14 / 5', '44 / 5'],
    [10, 1, '4 / 55', '14 / 135'],
    [10, 2, '4 / 85', '14 / 165'],
    [10, 10, '4 / 325', '14 / 405'],
  ])('%i Services x %i endpoints: %s, as load balancers %s', (n, m, clusterIp, balancer) => {
    const objects = (external: boolean) =>
      Array.from({ length: n }, (_, i) => i).flatMap((i) => [
        service(
          `ns${i}/svc${i}`,
          {
            type: external ? 'LoadBalancer' : 'ClusterIP',
            clusterIP: `172.30.0.${i + 1}`,
            ports: p(80, external ? { nodePort: 30000 + i } : {}),
            ...(external
              ? {
                  externalIPs: [`192.168.99.${i + 1}`],
                  loadBalancerSourceRanges: ['203.0.113.0/25'],
                  healthCheckNodePort: 31000,
                }
              : {}),
          },
          external ? [`1.2.3.${i + 1}`] : [],
        ),
        ...(m === 0
          ? []
          : [
              slice(
                `ns${i}/svc${i}`,
                p(80),
                Array.from({ length: m }, (_, j) => `10.0.${i}.${j + 1}`),
              ),
            ]),
      ]);
    expect(count(textOf(objects(false)))).toBe(clusterIp);
    expect(count(textOf(objects(true)))).toBe(balancer);
  });
});

describe('repeated syncs (7.8)', () => {
  it('write what changed, and try all again after a failure', () => {
    const state = new ClusterState('IPv4');
    const tables = new KernelTables();
    const proxier = new Proxier(state, contextOf(), NODE, tables, 30_000);
    let nowMs = 0;
    const take = (...objects: readonly (Service | EndpointSlice)[]): void => {
      for (const object of objects) object.kind === 'Service' ? state.service(object) : state.slice(object);
    };
    const svc = (n: number, port = 80) =>
      service(`ns${n}/svc${n}`, { clusterIP: `172.30.0.4${n}`, ports: [{ name: `p${port}`, port, protocol: 'TCP' }] });
    const eps = (n: number, port: number, ...ips: string[]) =>
      slice(`ns${n}/svc${n}`, [{ name: `p${port}`, port }], ips);
    const sync = (
      failRestore = false,
    ): { own: string[]; deleted: string[]; rules: number; full: boolean; text: string } => {
      nowMs += 1000;
      const result = proxier.sync({ nowMs, nfacctInvalid: true, nfacctLocalhost: true, failRestore });
      const nat = result.restore.split('*nat')[1]!.split('\n');
      return {
        own: nat.filter((line) => /^:KUBE-(SVC|SEP)/.test(line)).map((line) => line.slice(1).split(' ')[0]!),
        deleted: nat.filter((line) => line.startsWith('-X')).map((line) => line.slice(3)),
        rules: nat.filter((line) => line.startsWith('-A')).length,
        full: result.full,
        text: result.restore,
      };
    };
    take(svc(1), eps(1, 80, '10.0.1.1'), svc(2, 8080), eps(2, 8080, '10.0.2.1'));
    expect(sync()).toMatchObject({ rules: 15, full: true, deleted: [] });
    take(svc(3), eps(3, 80, '10.0.3.1'));
    expect(sync()).toMatchObject({
      own: ['KUBE-SVC-X27LE4BHSL4DOUIK', 'KUBE-SEP-BSWRHOQ77KEXZLNL'],
      rules: 12,
      full: false,
    });
    state.service(svc(2, 8080), true);
    expect(sync()).toMatchObject({ rules: 7, deleted: ['KUBE-SEP-UHEGFW77JX3KXTOV', 'KUBE-SVC-2VJB64SDSIJUP5T6'] });
    take(svc(4));
    expect(sync()).toMatchObject({ rules: 7, own: [], deleted: [] });
    take(eps(4, 80, '10.0.4.1'));
    expect(sync()).toMatchObject({ rules: 12, own: ['KUBE-SVC-4SW47YFZTEDKD3PK', 'KUBE-SEP-AYCN5HPXMIRJNJXU'] });
    take(eps(3, 80, '10.0.3.2'));
    expect(sync()).toMatchObject({ rules: 12, deleted: ['KUBE-SEP-BSWRHOQ77KEXZLNL'] });
    take(eps(3, 80, '10.0.3.2', '10.0.3.3'));
    expect(sync()).toMatchObject({ rules: 15, deleted: [] });
    expect(sync()).toMatchObject({ rules: 8, own: [] });
    state.service(svc(4), true);
    const stale = ['KUBE-SEP-AYCN5HPXMIRJNJXU', 'KUBE-SVC-4SW47YFZTEDKD3PK'];
    expect(sync(true)).toMatchObject({ full: false, deleted: stale });
    expect(sync()).toMatchObject({ rules: 18, full: true, deleted: stale });
  });

  it('annex C: a partial sync', () => {
    const state = new ClusterState('IPv4');
    const proxier = new Proxier(state, contextOf(), NODE, new KernelTables(), 30_000);
    const world = { nowMs: 0, nfacctInvalid: true, nfacctLocalhost: true };
    for (const [n, ip] of [
      [1, '10.0.1.1'],
      [3, '10.0.3.1'],
      [4, '10.0.4.1'],
    ] as const) {
      state.service(service(`ns${n}/svc${n}`, { clusterIP: `172.30.0.4${n}`, ports: p(80) }));
      state.slice(slice(`ns${n}/svc${n}`, p(80), [ip]));
    }
    proxier.sync(world);
    state.slice(slice('ns3/svc3', p(80), ['10.0.3.2']));
    const text = proxier.sync(world).restore;
    expect(text.length).toBe(2238);
    expect(sha256(text)).toBe('68bc0eba068eec239b40e094474fa0d2e47c558bfad7b573fa90a39371620477');
  });
});
