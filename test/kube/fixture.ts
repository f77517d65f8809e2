/** The cluster of the published kube-proxy tests (specification 7.1): node, addresses, settings; short ways to write objects. */
import { parseIp } from '../../src/kube/address.js';
import { readConfig } from '../../src/kube/config.js';
import type {
  EndpointSlice,
  KubeNode,
  KubeProxyConfigurationObject,
  Service,
  SliceEndpoint,
} from '../../src/kube/objects.js';
import { makeContext, type ProxyContext } from '../../src/kube/proxy/context.js';
import { fullRestore } from '../../src/kube/proxy/full-text.js';
import { rawRules } from '../../src/kube/read-rules.js';
import type { RuleTexts } from '../../src/kube/rule-text.js';
import { ClusterState } from '../../src/kube/state.js';

export const NODE_NAME = 'test-node';
export const NODE_ADDRESSES = [
  '192.168.0.2',
  '192.168.1.2',
  '127.0.0.1',
  '192.168.99.11',
  '2001:db8::1',
  '2001:db8:1::2',
  '::1',
];

export const NODE: KubeNode = {
  kind: 'Node',
  metadata: { name: NODE_NAME },
  status: {
    addresses: [
      { type: 'InternalIP', address: '192.168.0.2' },
      { type: 'InternalIP', address: '2001:db8::1' },
    ],
  },
};

export type Family = 'IPv4' | 'IPv6';

export interface Settings {
  readonly config?: Partial<KubeProxyConfigurationObject>;
  readonly family?: Family;
  readonly nfacct?: boolean;
  readonly nfacctLocalhost?: boolean;
  readonly liberal?: boolean;
}

export function contextOf(settings: Settings = {}): ProxyContext {
  const clusterCIDR = '10.0.0.0/8,fd00:10::/64';
  const { config, errors } = readConfig({ kind: 'KubeProxyConfiguration', clusterCIDR, ...settings.config });
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  const nfacct = settings.nfacct ?? true;
  const host = {
    addresses: NODE_ADDRESSES,
    nfacctInvalid: nfacct,
    nfacctLocalhost: settings.nfacctLocalhost ?? nfacct,
    tcpBeLiberal: settings.liberal ?? false,
  };
  return makeContext(settings.family ?? 'IPv4', NODE_NAME, NODE, host, config);
}

type Spec = NonNullable<Service['spec']>;

/** A Service; `name` is `namespace/name`. */
export function service(name: string, spec: Spec, vips: readonly string[] = []): Service {
  const [namespace, own] = name.split('/') as [string, string];
  return {
    kind: 'Service',
    metadata: { namespace, name: own },
    spec,
    status: { loadBalancer: { ingress: vips.map((ip) => ({ ip })) } },
  };
}

/**
 * Endpoint in short: `10.180.0.1`, with marks behind it: `L` local, `R` ready (default without S and T), `S` serving and
 * terminating, `T` terminating only, `N` nothing of it.
 */
export function endpoint(text: string): SliceEndpoint {
  const [address = '', marks = ''] = text.split(' ');
  const conditions = marks.includes('S')
    ? { ready: false, serving: true, terminating: true }
    : marks.includes('T')
      ? { ready: false, serving: false, terminating: true }
      : marks.includes('N')
        ? { ready: false, serving: false, terminating: false }
        : { ready: true, serving: true, terminating: false };
  return { addresses: [address], conditions, nodeName: marks.includes('L') ? NODE_NAME : 'other-node' };
}

export interface SlicePortSpec {
  readonly name?: string;
  readonly port: number;
  readonly protocol?: string;
}

export function slice(
  service: string,
  ports: readonly SlicePortSpec[],
  endpoints: readonly string[],
  number = 1,
): EndpointSlice {
  const [namespace, own] = service.split('/') as [string, string];
  const first = parseIp((endpoints[0] ?? '0.0.0.0').split(' ')[0]!);
  return {
    kind: 'EndpointSlice',
    metadata: { namespace, name: `${own}-${number}`, labels: { 'kubernetes.io/service-name': own } },
    addressType: first?.family ?? 'IPv4',
    ports: ports.map((port) => ({ name: '', protocol: 'TCP', ...port })),
    endpoints: endpoints.map(endpoint),
  };
}

export function stateOf(objects: readonly (Service | EndpointSlice)[], family: Family = 'IPv4'): ClusterState {
  const state = new ClusterState(family);
  for (const object of objects) {
    if (object.kind === 'Service') state.service(object);
    else state.slice(object);
  }
  state.checkout();
  return state;
}

export function textOf(objects: readonly (Service | EndpointSlice)[], settings: Settings = {}): string {
  return fullRestore(stateOf(objects, settings.family), contextOf(settings));
}

export function rulesOf(objects: readonly (Service | EndpointSlice)[], settings: Settings = {}): RuleTexts {
  return rawRules(textOf(objects, settings));
}
