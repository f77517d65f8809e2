import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { positionOf } from '../../src/base/source.js';
import { parseIp, parseRange } from '../../src/kube/address.js';
import { clusterOf, clusterState, nodeContext } from '../../src/kube/cluster.js';
import { parseDuration, readConfig } from '../../src/kube/config.js';
import { deriveSlices } from '../../src/kube/derive-slices.js';
import { printPath } from '../../src/kube/field.js';
import { type LoadedObjects, loadObjects } from '../../src/kube/load.js';
import { nodeIps, nodePortAddresses } from '../../src/kube/node.js';
import type { KubeNode, KubeProxyConfigurationObject } from '../../src/kube/objects.js';
import { fullRestore } from '../../src/kube/proxy/full-text.js';

const load = (...texts: readonly string[]): LoadedObjects =>
  loadObjects(texts.map((text, i) => ({ name: `f${i + 1}.yaml`, text })));

function faults(loaded: LoadedObjects): string[] {
  return loaded.diagnostics.map(({ span, severity, message, code }) => {
    const { line, column } = positionOf(span.source, span.start);
    return `${span.source.name}:${line}:${column} ${severity} ${message} [${code}]`;
  });
}

describe('loading objects', () => {
  const service =
    'apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n';
  const json = JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: [
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'shop' }, spec: {} },
      { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' } },
    ],
  });
  const typed = JSON.stringify({
    apiVersion: 'v1',
    kind: 'ServiceList',
    items: [{ metadata: { name: 'a' }, spec: {} }],
  });

  it.each([
    ['one document', [service], 1, 0],
    ['several documents, empty ones too', [`---\n${service}---\n---\n${service.replace('web', 'api')}...\n`], 2, 0],
    ['several files', [service, service.replace('web', 'api')], 2, 0],
    ['a List in JSON, with kinds passed over', [json], 1, 1],
    ['a typed list whose items do not say their kind', [typed], 1, 0],
    ['nothing', [''], 0, 0],
    ['comments alone', ['# nothing here\n'], 0, 0],
  ])('takes %s', (_, texts, services, passedOver) => {
    const loaded = load(...texts);
    expect(faults(loaded)).toEqual([]);
    expect(loaded.services).toHaveLength(services);
    expect([...loaded.passedOver.values()].reduce((a, b) => a + b, 0)).toBe(passedOver);
  });

  it.each([
    ['a: [1', 'f1.yaml:1:6 error document 1: flow sequence'],
    ['- 1\n', 'f1.yaml:1:3 error must be a Kubernetes object, not 1 [bad-type]'],
    ['kind: Service\n', 'f1.yaml:1:1 error Service: has no metadata [missing-field]'],
    ['metadata: {name: x}\n', 'f1.yaml:1:1 error has no kind [missing-field]'],
    ['kind: Service\nmetadata: {name: X_y}\n', 'f1.yaml:2:18 error Service X_y: metadata.name: must be lower-case'],
    [
      'kind: Service\nmetadata: {name: 12}\n',
      'f1.yaml:2:18 error Service: metadata.name: must be a text, not 12 [bad-type]',
    ],
    [
      `${service}---\n${service.replace('80', '0')}`,
      'f1.yaml:9:44 error document 2, Service web: spec.ports[0].port: must be a whole number from 1 to 65535, not 0 [bad-value]',
    ],
    [
      service.replace('10.0.0.1', '10.0.0.x'),
      'f1.yaml:4:19 error Service web: spec.clusterIP: must be an IP address, not "10.0.0.x" [bad-address]',
    ],
    [
      service.replace('{port: 80}', '{port: 80}, {port: 81}'),
      'f1.yaml:4:37 error Service web: spec.ports[0]: needs a name, as the Service has several ports [missing-field]',
    ],
    [
      service.replace('{port: 80}', '{name: a, port: 80}, {name: b, port: 80}'),
      'error Service web: spec.ports[1].port: TCP 80 is taken by another port [duplicate]',
    ],
    [
      service.replace('{port: 80}', '{port: 80, protocol: tcp}'),
      'spec.ports[0].protocol: must be one of TCP, UDP, SCTP, not "tcp" [bad-value]',
    ],
    [
      service.replace('v1', 'v2'),
      'f1.yaml:1:13 error apiVersion: Service web must be of v1, not "v2" [unknown-version]',
    ],
    ['kind: EndpointSlice\nmetadata: {name: s}\n', 'EndpointSlice s: has no addressType [missing-field]'],
    [
      'kind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\nendpoints: [{addresses: [nowhere]}]\n',
      'endpoints[0].addresses[0]: must be an IP address, not "nowhere"',
    ],
    [
      'kind: KubeProxyConfiguration\nclusterCIDR: 10.0.0.0\n',
      'KubeProxyConfiguration: clusterCIDR: must be ranges such as',
    ],
    [
      'kind: KubeProxyConfiguration\niptables: {masqueradeBit: 32}\n',
      'iptables.masqueradeBit: must be a whole number from 0 to 31, not 32',
    ],
    [
      '{"kind": "Service", "metadata": {"name": 5}}',
      'f1.yaml:1:42 error Service: metadata.name: must be a text, not 5',
    ],
    [
      `a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c]\n`,
      'excessive alias count',
    ],
  ])('refuses %j', (text, fault) => {
    const loaded = load(text);
    expect(faults(loaded).join('\n')).toContain(fault);
    expect(loaded.diagnostics.some((d) => d.severity === 'error')).toBe(true);
  });

  it('leaves out the object that is invalid, and keeps the others', () => {
    const loaded = load(`${service.replace('80', '99999')}---\n${service.replace('web', 'api')}`);
    expect(loaded.services.map((s) => s.metadata.name)).toEqual(['api']);
  });

  it('warns of an object that stands twice; the later counts', () => {
    const loaded = load(service, service.replace('80', '81'));
    expect(faults(loaded)).toEqual([
      'f2.yaml:1:1 warning Service web: stands a second time; this one counts [duplicate]',
    ]);
    expect(loaded.services[0]!.spec!.ports![0]!.port).toBe(81);
  });

  it('prints paths', () => {
    expect(printPath(['spec', 'ports', 0, 'port'])).toBe('spec.ports[0].port');
    expect(printPath(['metadata', 'labels', 'a/b'])).toBe('metadata.labels["a/b"]');
  });
});

describe('lenient addresses (1.3)', () => {
  it.each([
    ['172.30.0.041', '172.30.0.41'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:0a00:0001', '10.0.0.1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['1::', '1::'],
    ['10.0.0', undefined],
    ['10.0.0.256', undefined],
    ['1::2::3', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['fe80::1%eth0', undefined],
    ['', undefined],
  ])('%s is %s', (text, canonical) => expect(parseIp(text)?.text).toBe(canonical));
  it.each([
    ['203.0.113.000/025', '203.0.113.0/25'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['2001:db8::1/32', '2001:db8::/32'],
    ['10.0.0.0/33', undefined],
    ['10.0.0.0', undefined],
  ])('%s is %s', (text, canonical) => expect(parseRange(text)?.text).toBe(canonical));
});

describe('configuration (1.6)', () => {
  const read = (fields: object) =>
    readConfig({ kind: 'KubeProxyConfiguration', ...fields } as KubeProxyConfigurationObject);
  it.each([
    ['1h0m0s', 3_600_000],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['250ms', 250],
    ['0', 0],
    ['0s', 0],
    ['-1s', -1000],
    ['5', undefined],
    ['s', undefined],
  ])('reads duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it('has defaults for null and zero', () => {
    const { config, errors } = read({
      mode: '',
      iptables: { masqueradeBit: null, syncPeriod: '0s' },
      nodePortAddresses: null,
    });
    expect(errors).toEqual([]);
    expect(config).toMatchObject({
      mode: 'iptables',
      masqueradeBit: 14,
      syncPeriodMs: 30_000,
      localhostNodePorts: true,
    });
  });

  it('warns of fields it does not know', () => {
    expect(read({ unknownField: 1 }).errors).toMatchObject([{ severity: 'warning', path: ['unknownField'] }]);
  });

  const node: KubeNode = {
    kind: 'Node',
    metadata: { name: 'n' },
    status: {
      addresses: [
        { type: 'ExternalIP', address: '203.0.113.9' },
        { type: 'InternalIP', address: '2001:db8::9' },
        { type: 'InternalIP', address: '192.168.0.9' },
      ],
    },
  };
  it.each([
    [{}, 'IPv6', '192.168.0.9', '2001:db8::9'],
    [{ bindAddress: '192.168.0.77' }, 'IPv4', '192.168.0.77', '2001:db8::9'],
    [{ bindAddress: '::' }, 'IPv6', '192.168.0.9', '2001:db8::9'],
  ])('takes node addresses with %j', (fields, primary, four, six) => {
    const ips = nodeIps(node, read(fields).config);
    expect([ips.primary, ips.IPv4.text, ips.IPv6.text]).toEqual([primary, four, six]);
  });

  it.each([
    [undefined, 'IPv4', true, true, '0.0.0.0/0'],
    [['primary'], 'IPv4', false, false, '192.168.0.9/32'],
    [['localhost'], 'IPv4', false, true, '127.0.0.0/8'],
    [['126.0.0.0/7'], 'IPv4', false, true, '126.0.0.0/7'],
    [['192.168.0.0/24'], 'IPv6', true, false, '::/0'],
    [['192.168.0.0/24', '0.0.0.0/0'], 'IPv4', true, true, '0.0.0.0/0'],
  ] as const)('takes node-port addresses %j for %s', (nodePortList, family, matchAll, containsLoopback, ranges) => {
    const { config } = read({ nodePortAddresses: nodePortList });
    const got = nodePortAddresses(config, nodeIps(node, config), family);
    expect({ ...got, ranges: got.ranges.map((r) => r.text).join() }).toEqual({ matchAll, containsLoopback, ranges });
  });
});

describe('slices from pods', () => {
  const cluster = (more = '', pods = '') => `
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.20.0.3, selector: {app: web}, ports: [{port: 80, targetPort: http}]${more}}
---
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: za}}
---
kind: Pod
metadata: {name: web-1, labels: {app: web, x: y}}
spec: {nodeName: n1, containers: [{ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.10.0.4, conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {name: web-2, labels: {app: web}}
spec: {nodeName: n1, containers: [{ports: [{name: http, containerPort: 9090}]}]}
status: {podIP: 10.10.0.5}
---
kind: Pod
metadata: {name: web-3, labels: {app: web}}
status: {podIP: 10.10.0.6, conditions: [{type: Ready, status: "False"}]}
---
kind: Pod
metadata: {name: web-4, labels: {app: web}}
status: {podIP: 10.10.0.7, phase: Succeeded}
---
kind: Pod
metadata: {name: other, labels: {app: other}}
status: {podIP: 10.10.0.8}
${pods}`;
  const derive = (text: string) => {
    const loaded = load(text);
    expect(faults(loaded)).toEqual([]);
    return { loaded, slices: deriveSlices(loaded.services, loaded.slices, loaded.pods, loaded.nodes) };
  };

  it('follow selectors, readiness and named ports', () => {
    const { slices } = derive(cluster());
    const endpoints = slices.flatMap((slice) =>
      slice.endpoints!.map(
        (e) => `${e.addresses![0]} ${slice.ports!.map((p) => p.port).join()} ${e.conditions!.ready} ${e.nodeName}`,
      ),
    );
    expect(endpoints).toEqual(['10.10.0.4 8080 true n1', '10.10.0.5 9090 true n1', '10.10.0.6  false undefined']);
  });

  it('reach the rules', () => {
    const { loaded } = derive(cluster());
    const made = clusterOf(loaded);
    const text = fullRestore(clusterState(made, 'IPv4'), nodeContext(made, made.nodes[0], 'IPv4'));
    expect(text.match(/--to-destination \S+/g)).toEqual([
      '--to-destination 10.10.0.4:8080',
      '--to-destination 10.10.0.5:9090',
    ]);
  });

  it('take not-ready pods where the Service says so, and hints from trafficDistribution', () => {
    const { slices } = derive(cluster(', publishNotReadyAddresses: true, trafficDistribution: PreferClose'));
    const [first, , third] = slices.flatMap((slice) => slice.endpoints!);
    expect(first).toMatchObject({ zone: 'za', hints: { forZones: [{ name: 'za' }] } });
    expect(third).toMatchObject({ conditions: { ready: true, serving: false } });
  });

  it('are not made where slices were given', () => {
    const given =
      '---\nkind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\n';
    expect(derive(cluster('', given)).slices).toEqual([]);
  });
});

describe('damaged objects', () => {
  const folder = 'test/golden/kube-proxy/clusters';
  const pod = {
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'produccion', labels: { app: 'apaches' }, deletionTimestamp: null },
    spec: { nodeName: 'nodo1', containers: [{ ports: [{ name: 'http', containerPort: 80 }] }], initContainers: [] },
    status: { podIP: '10.10.0.77', podIPs: [{ ip: '10.10.0.77' }], conditions: [{ type: 'Ready', status: 'True' }] },
  };
  const objects = ['course-notes', 'kubeadm', 'three-zones'].flatMap((name) =>
    ['objects.yaml', 'config.yaml'].flatMap((file) => {
      const value = parse(readFileSync(`${folder}/${name}/${file}`, 'utf8')) as { items?: object[] };
      return value.items ?? [value];
    }),
  );
  const damages: readonly unknown[] = [null, 0, -1, 1.5, '', 'x', '10.0.0.1', [], {}, [null], [{}], true, 'None'];

  /** Every place in a value, as keys from its root. */
  function places(value: unknown, path: readonly string[] = []): (readonly string[])[] {
    if (typeof value !== 'object' || value === null) return [path];
    return [path, ...Object.entries(value).flatMap(([key, inner]) => places(inner, [...path, key]))];
  }

  function damaged(value: unknown, path: readonly string[], damage: unknown): unknown {
    const [key, ...rest] = path;
    if (key === undefined) return damage;
    const copy = Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) };
    Object.assign(copy, { [key]: damaged((value as Record<string, unknown>)[key], rest, damage) });
    return copy;
  }

  it('are refused or read, but never break anything', () => {
    const all = [...objects, pod];
    const slices = all.filter((object) => (object as { kind: string }).kind !== 'EndpointSlice');
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.constantFrom(...damages), fc.boolean(), (which, where, damage, withSlices) => {
        const index = which % all.length;
        const paths = places(all[index]);
        const broken = damaged(all[index], paths[where % paths.length]!, damage);
        const others = (withSlices ? all : slices).filter((object) => object !== all[index]);
        const loaded = load(JSON.stringify({ kind: 'List', items: [...others.slice(0, 12), broken] }));
        const cluster = clusterOf(loaded);
        for (const family of ['IPv4', 'IPv6'] as const) {
          const text = fullRestore(clusterState(cluster, family), nodeContext(cluster, cluster.nodes[0], family));
          expect(text).not.toMatch(/undefined|null|NaN|\[object/);
        }
      }),
      { seed: 5, numRuns: 300 },
    );
  }, 60_000);
});
