/** Clusters of any size for the kube-proxy benchmarks: plain ClusterIP Services, endpoints spread over nodes. */
import type { KubeCluster } from '../src/kube/cluster.js';
import { readConfig } from '../src/kube/config.js';
import type { EndpointSlice, KubeNode, KubeProxyConfigurationObject, Service } from '../src/kube/objects.js';

const NODE_COUNT = 5000;
const octets = (n: number): string => `${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;

export function makeService(i: number): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'default', name: `svc-${i}` },
    spec: {
      type: 'ClusterIP',
      clusterIP: `172.${16 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    },
  };
}

/** A slice of Service `i` with `count` endpoints; `first` numbers their addresses. */
export function makeSlice(i: number, count: number, first = i * count): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace: 'default',
      name: `svc-${i}-x`,
      labels: { 'kubernetes.io/service-name': `svc-${i}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: count }, (_, j) => ({
      addresses: [`10.${octets(first + j)}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${(first + j) % NODE_COUNT}`,
    })),
  };
}

export function makeNodes(count: number): KubeNode[] {
  return Array.from({ length: count }, (_, i) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `node-${i}`, labels: { 'topology.kubernetes.io/zone': `zone-${i % 3}` } },
    spec: { podCIDRs: [`10.${(i >> 8) & 255}.${i & 255}.0/24`] },
    status: { addresses: [{ type: 'InternalIP', address: `192.${168 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` }] },
  }));
}

export function makeCluster(
  services: number,
  endpoints: number,
  nodes = 1,
  more: Partial<KubeProxyConfigurationObject> = {},
): KubeCluster {
  const { config } = readConfig({ kind: 'KubeProxyConfiguration', clusterCIDR: '10.0.0.0/8', ...more });
  return {
    services: Array.from({ length: services }, (_, i) => makeService(i)),
    slices: endpoints === 0 ? [] : Array.from({ length: services }, (_, i) => makeSlice(i, endpoints)),
    nodes: makeNodes(nodes),
    config,
  };
}
