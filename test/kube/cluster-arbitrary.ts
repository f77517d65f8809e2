/** Random clusters and events for property tests: few names, addresses and nodes, so that things meet. */
import * as fc from 'fast-check';
import type { EndpointSlice, KubeNode, Service } from '../../src/kube/objects.js';

const NAMESPACES = ['default', 'shop'];
const NAMES = ['a', 'a-b', 'web'];
export const NODE_NAMES = ['n1', 'n2', 'n3'];
const ZONES = ['za', 'zb'];
const PORTS = [
  { name: 'http', port: 80, protocol: 'TCP' },
  { name: 'dns', port: 53, protocol: 'UDP' },
  { name: 'sig', port: 3868, protocol: 'SCTP' },
];

const maybe = <T>(arb: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arb, { nil: undefined });

/** The address of a Service follows from its name, so that no two share one. */
function clusterIpOf(namespace: string, name: string): string {
  return `172.30.${NAMESPACES.indexOf(namespace)}.${NAMES.indexOf(name) + 1}`;
}

export const arbService: fc.Arbitrary<Service> = fc
  .record({
    namespace: fc.constantFrom(...NAMESPACES),
    name: fc.constantFrom(...NAMES),
    ports: fc.subarray(PORTS, { minLength: 1 }),
    type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
    nodePort: fc.boolean(),
    vips: fc.subarray(['203.0.113.1', '203.0.113.2']),
    externalIPs: fc.subarray(['192.168.99.1']),
    ranges: fc.subarray(['198.51.100.0/24', '192.168.0.0/24', '0.0.0.0/0']),
    externalLocal: fc.boolean(),
    internalLocal: fc.boolean(),
    affinity: fc.boolean(),
  })
  .map((s) => ({
    kind: 'Service' as const,
    metadata: { namespace: s.namespace, name: s.name },
    spec: {
      type: s.type,
      clusterIP: clusterIpOf(s.namespace, s.name),
      ports: s.ports.map((port, i) => ({
        ...port,
        ...(s.nodePort
          ? { nodePort: 30_000 + 100 * NAMESPACES.indexOf(s.namespace) + 10 * NAMES.indexOf(s.name) + i }
          : {}),
      })),
      externalIPs: s.externalIPs,
      loadBalancerSourceRanges: s.ranges,
      externalTrafficPolicy: s.externalLocal ? 'Local' : 'Cluster',
      internalTrafficPolicy: s.internalLocal ? 'Local' : 'Cluster',
      sessionAffinity: s.affinity ? 'ClientIP' : 'None',
      ...(s.externalLocal && s.type === 'LoadBalancer' ? { healthCheckNodePort: 31_000 + NAMES.indexOf(s.name) } : {}),
    },
    status: { loadBalancer: { ingress: s.vips.map((ip) => ({ ip })) } },
  }));

export const arbSlice: fc.Arbitrary<EndpointSlice> = fc
  .record({
    namespace: fc.constantFrom(...NAMESPACES),
    service: fc.constantFrom(...NAMES),
    number: fc.constantFrom(1, 2),
    ports: fc.subarray(PORTS, { minLength: 1 }),
    endpoints: fc.array(
      fc.record({
        host: fc.integer({ min: 1, max: 12 }),
        ready: maybe(fc.boolean()),
        serving: maybe(fc.boolean()),
        terminating: maybe(fc.boolean()),
        nodeName: maybe(fc.constantFrom(...NODE_NAMES)),
        zones: fc.subarray(ZONES),
        nodes: fc.subarray(NODE_NAMES),
      }),
      { maxLength: 5 },
    ),
    hints: fc.constantFrom('none', 'zones', 'nodes', 'both'),
  })
  .map((s) => ({
    kind: 'EndpointSlice' as const,
    metadata: {
      namespace: s.namespace,
      name: `${s.service}-${s.number}`,
      labels: { 'kubernetes.io/service-name': s.service },
    },
    addressType: 'IPv4',
    ports: s.ports.map((port) => ({ ...port, port: port.port + 8000 })),
    endpoints: s.endpoints.map((e) => ({
      // Each slice has addresses of its own: which of two slices names an endpoint is chance in the real program.
      addresses: [`10.1.${s.number}.${e.host}`],
      conditions: {
        ...(e.ready === undefined ? {} : { ready: e.ready }),
        ...(e.serving === undefined ? {} : { serving: e.serving }),
        ...(e.terminating === undefined ? {} : { terminating: e.terminating }),
      },
      ...(e.nodeName === undefined ? {} : { nodeName: e.nodeName }),
      hints: {
        ...(s.hints === 'zones' || s.hints === 'both' ? { forZones: s2names(e.zones) } : {}),
        ...(s.hints === 'nodes' || s.hints === 'both' ? { forNodes: s2names(e.nodes) } : {}),
      },
    })),
  }));

function s2names(names: readonly string[]): { name: string }[] {
  return names.map((name) => ({ name }));
}

export interface ClusterEvent {
  readonly object: Service | EndpointSlice;
  readonly removed: boolean;
}

/** Steps of several events each. */
export const arbHistory: fc.Arbitrary<readonly (readonly ClusterEvent[])[]> = fc.array(
  fc.array(
    fc.record({
      object: fc.oneof(arbService, arbSlice, arbSlice),
      removed: fc.constantFrom(false, false, false, true),
    }),
    { maxLength: 4 },
  ),
  { minLength: 1, maxLength: 8 },
);

/** Three nodes; the second and third share a zone, the third has no address in 192.168.0.0/24. */
export const NODES: readonly KubeNode[] = NODE_NAMES.map((name, i) => ({
  kind: 'Node',
  metadata: { name, labels: { 'topology.kubernetes.io/zone': ZONES[Math.min(i, 1)]! } },
  spec: { podCIDRs: [`10.1.${i}.0/24`] },
  status: { addresses: [{ type: 'InternalIP', address: i === 2 ? '192.168.7.3' : `192.168.0.${i + 1}` }] },
}));
