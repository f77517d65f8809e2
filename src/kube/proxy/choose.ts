/**
 * Which endpoints of a service port a node uses, by policy, topology hints and readiness.
 * kube-proxy: CategorizeEndpoints(), topologyModeFromHints(), pkg/proxy/topology.go.
 */
import { type Endpoint, NO_ENDPOINTS } from '../endpoints.js';
import { type ServicePortInfo, usesClusterEndpoints, usesLocalEndpoints } from '../service.js';

/** What of a node decides the choice. */
export interface NodePlace {
  readonly nodeName: string;
  /** Empty if the node has no zone. */
  readonly zone: string;
}

export interface Choice {
  /** Endpoints for traffic under the Cluster policy. */
  readonly cluster: readonly Endpoint[];
  /** Endpoints for traffic under the Local policy. */
  readonly local: readonly Endpoint[];
  /** Endpoints that need a chain; a union is sorted (the real program leaves its order to chance). */
  readonly reachable: readonly Endpoint[];
  readonly hasEndpoints: boolean;
}

const NOTHING: Choice = { cluster: NO_ENDPOINTS, local: NO_ENDPOINTS, reachable: NO_ENDPOINTS, hasEndpoints: false };

export type TopologyMode = 'none' | 'same-node' | 'same-zone';

/** One ready endpoint without hints switches the mode off for all. */
export function topologyMode(endpoints: readonly Endpoint[], place: NodePlace): TopologyMode {
  let anyReady = false;
  let allNodes = true;
  let allZones = true;
  let thisNode = false;
  let thisZone = false;
  for (const endpoint of endpoints) {
    if (!endpoint.ready) continue;
    anyReady = true;
    const { nodeHints, zoneHints } = endpoint;
    if (nodeHints === undefined) allNodes = false;
    else thisNode ||= nodeHints.includes(place.nodeName);
    if (zoneHints === undefined) allZones = false;
    else thisZone ||= zoneHints.includes(place.zone);
    if (!allNodes && !allZones) return 'none';
  }
  if (!anyReady) return 'none';
  if (allNodes && thisNode) return 'same-node';
  return allZones && thisZone ? 'same-zone' : 'none';
}

function isLastResort(endpoint: Endpoint): boolean {
  return endpoint.serving && endpoint.terminating;
}

export function chooseEndpoints(port: ServicePortInfo, endpoints: readonly Endpoint[], place: NodePlace): Choice {
  if (endpoints.length === 0) return NOTHING;
  let cluster: readonly Endpoint[] = NO_ENDPOINTS;
  let mode: TopologyMode = 'none';
  let hasEndpoints = false;
  const usesCluster = usesClusterEndpoints(port);
  if (usesCluster) {
    mode = topologyMode(endpoints, place);
    cluster = admitted(endpoints, mode, place);
    if (cluster.length === 0) cluster = endpoints.filter(isLastResort);
    hasEndpoints = cluster.length > 0;
  }
  if (!usesLocalEndpoints(port)) return { cluster, local: NO_ENDPOINTS, reachable: cluster, hasEndpoints };

  let local: Endpoint[] = [];
  const localLastResort: Endpoint[] = [];
  for (const endpoint of endpoints) {
    const isLocal = endpoint.nodeName !== '' && endpoint.nodeName === place.nodeName;
    if (endpoint.ready) {
      hasEndpoints = true;
      if (isLocal) local.push(endpoint);
    } else if (isLastResort(endpoint)) {
      hasEndpoints = true;
      if (isLocal) localLastResort.push(endpoint);
    }
  }
  const fellBack = local.length === 0 && localLastResort.length > 0;
  if (fellBack) local = localLastResort;
  if (!usesCluster) return { cluster, local, reachable: local, hasEndpoints };
  if (mode === 'none' && !fellBack) return { cluster, local, reachable: cluster, hasEndpoints };
  return { cluster, local, reachable: union(cluster, local), hasEndpoints };
}

function admitted(endpoints: readonly Endpoint[], mode: TopologyMode, place: NodePlace): readonly Endpoint[] {
  switch (mode) {
    case 'same-node':
      return endpoints.filter((e) => e.ready && e.nodeHints!.includes(place.nodeName));
    case 'same-zone':
      return endpoints.filter((e) => e.ready && e.zoneHints!.includes(place.zone));
    case 'none':
      return endpoints.every((e) => e.ready) ? endpoints : endpoints.filter((e) => e.ready);
  }
}

function union(a: readonly Endpoint[], b: readonly Endpoint[]): Endpoint[] {
  const byText = new Map<string, Endpoint>();
  for (const endpoint of a) byText.set(endpoint.text, endpoint);
  for (const endpoint of b) byText.set(endpoint.text, endpoint);
  return [...byText.values()].sort((x, y) => (x.text < y.text ? -1 : 1));
}
