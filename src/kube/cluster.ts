/** A cluster as its objects tell it, and what kube-proxy writes on a node at its first sync. */
import type { IpFamily } from './address.js';
import { defaultConfig, type ProxyConfig, readConfig } from './config.js';
import { deriveSlices } from './derive-slices.js';
import type { LoadedObjects } from './load.js';
import type { ProxyHost } from './node.js';
import type { EndpointSlice, KubeNode, Service } from './objects.js';
import { type Balance, makeContext, type ProxyContext } from './proxy/context.js';
import { ClusterState } from './state.js';

export interface KubeCluster {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly nodes: readonly KubeNode[];
  readonly config: ProxyConfig;
}

/** A cluster from loaded objects: slices that are missing follow from pods; without a configuration, the defaults. */
export function clusterOf(loaded: LoadedObjects, config?: ProxyConfig): KubeCluster {
  const { services, slices, pods, nodes, configs } = loaded;
  const object = configs.at(-1);
  return {
    services,
    slices: [...slices, ...deriveSlices(services, slices, pods, nodes)],
    nodes,
    config: config ?? (object === undefined ? defaultConfig() : readConfig(object).config),
  };
}

/** An ordinary machine: its interfaces have the node's internal addresses and loopback, nfacct counters work. */
export function ordinaryHost(node: KubeNode | undefined): ProxyHost {
  const own = (node?.status?.addresses ?? []).filter((entry) => entry.type === 'InternalIP');
  return {
    addresses: ['127.0.0.1', '::1', ...own.map((entry) => entry.address)],
    nfacctInvalid: true,
    nfacctLocalhost: true,
    tcpBeLiberal: false,
  };
}

const BATCH = 256;

/** The cluster's state in one family, with everything applied. */
export function clusterState(cluster: KubeCluster, family: IpFamily): ClusterState {
  const state = new ClusterState(family);
  // Applied in batches, so that what is only pending dies young.
  let count = 0;
  const step = (): void => {
    if (++count % BATCH === 0) state.checkout();
  };
  for (const service of cluster.services) {
    state.service(service);
    step();
  }
  for (const slice of cluster.slices) {
    state.slice(slice);
    step();
  }
  state.checkout();
  return state;
}

/** What decides the text on a node, besides Services and endpoints. */
export function nodeContext(
  cluster: KubeCluster,
  node: KubeNode | undefined,
  family: IpFamily,
  options: { readonly balance?: Balance; readonly host?: ProxyHost; readonly name?: string } = {},
): ProxyContext {
  const name = cluster.config.hostnameOverride || options.name || node?.metadata.name || 'node';
  const host = options.host ?? ordinaryHost(node);
  return makeContext(family, name.trim().toLowerCase(), node, host, cluster.config, options.balance);
}
