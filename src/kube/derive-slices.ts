/**
 * EndpointSlices for Services that come without any, from the pods their selectors match, as the EndpointSlice
 * controller would make them. Kubernetes: reconciler.Reconcile(), podToEndpoint(), k8s.io/endpointslice;
 * trafficdist.ReconcileHintsForSlices().
 * Differs: a pod without `status.conditions` (hand-written, as a real one always has them) counts as ready.
 */
import { type IpFamily, parseIp } from './address.js';
import { serviceOfSlice } from './endpoints.js';
import {
  type EndpointSlice,
  type KubeNode,
  LABEL_HEADLESS,
  LABEL_PROXY_NAME,
  LABEL_SERVICE_NAME,
  LABEL_ZONE,
  objectKey,
  type Pod,
  type Service,
  type SliceEndpoint,
  type SlicePort,
} from './objects.js';

const MAX_ENDPOINTS = 100; // kube-controller-manager --max-endpoints-per-slice

function matches(selector: Readonly<Record<string, string>>, pod: Pod): boolean {
  return Object.entries(selector).every(([key, value]) => pod.metadata.labels?.[key] === value);
}

function familiesOf(service: Service): readonly IpFamily[] {
  const { ipFamilies, clusterIP, clusterIPs } = service.spec ?? {};
  if (ipFamilies && ipFamilies.length > 0) return ipFamilies as readonly IpFamily[]; // loading has checked them
  const families = [clusterIP, ...(clusterIPs ?? [])].map((ip) => (ip ? parseIp(ip)?.family : undefined));
  const found = [...new Set(families.filter((family) => family !== undefined))];
  return found.length > 0 ? found : ['IPv4'];
}

function podIpOf(pod: Pod, family: IpFamily): string | undefined {
  const ips = [...(pod.status?.podIPs ?? []).map((entry) => entry.ip), pod.status?.podIP];
  return ips.find((ip) => ip !== undefined && parseIp(ip)?.family === family);
}

function isReady(pod: Pod): boolean {
  const conditions = pod.status?.conditions;
  if (!conditions) return true;
  return conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
}

/** The number a Service's target port has in a pod; undefined if the pod has no port of that name. */
function targetPort(pod: Pod, port: NonNullable<NonNullable<Service['spec']>['ports']>[number]): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always');
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    for (const candidate of container.ports ?? []) {
      if (candidate.name === target && (candidate.protocol ?? 'TCP') === (port.protocol ?? 'TCP')) {
        return candidate.containerPort;
      }
    }
  }
  return undefined;
}

function slicePorts(service: Service, pod: Pod): SlicePort[] {
  const ports: SlicePort[] = [];
  for (const port of service.spec?.ports ?? []) {
    const number = targetPort(pod, port);
    if (number !== undefined) ports.push({ name: port.name ?? '', protocol: port.protocol ?? 'TCP', port: number });
  }
  return ports;
}

function endpointOf(service: Service, pod: Pod, ip: string, zones: ReadonlyMap<string, string>): SliceEndpoint {
  const serving = isReady(pod);
  const terminating = Boolean(pod.metadata.deletionTimestamp);
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const nodeName = pod.spec?.nodeName || undefined;
  const zone = nodeName === undefined ? undefined : zones.get(nodeName);
  const distribution = service.spec?.trafficDistribution || undefined;
  const hints =
    distribution === undefined || !ready
      ? undefined
      : {
          ...(zone === undefined ? {} : { forZones: [{ name: zone }] }),
          ...(distribution === 'PreferSameNode' && nodeName !== undefined ? { forNodes: [{ name: nodeName }] } : {}),
        };
  return {
    addresses: [ip],
    conditions: { ready, serving, terminating },
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(hints === undefined ? {} : { hints }),
    targetRef: { kind: 'Pod', name: pod.metadata.name, namespace: pod.metadata.namespace ?? 'default' },
  };
}

function slicesOf(service: Service, pods: readonly Pod[], zones: ReadonlyMap<string, string>): EndpointSlice[] {
  const slices: EndpointSlice[] = [];
  const namespace = service.metadata.namespace ?? 'default';
  for (const family of familiesOf(service)) {
    // Pods that resolve a named port differently cannot share a slice.
    const groups = new Map<string, { readonly ports: SlicePort[]; readonly endpoints: SliceEndpoint[] }>();
    for (const pod of pods) {
      const ip = podIpOf(pod, family);
      if (ip === undefined) continue;
      const ports = slicePorts(service, pod);
      const key = JSON.stringify(ports);
      const group = groups.get(key) ?? { ports, endpoints: [] };
      group.endpoints.push(endpointOf(service, pod, ip, zones));
      groups.set(key, group);
    }
    for (const { ports, endpoints } of groups.values()) {
      for (let at = 0; at < endpoints.length; at += MAX_ENDPOINTS) {
        const headless = service.spec?.clusterIP === 'None' ? { [LABEL_HEADLESS]: '' } : {};
        const proxy = service.metadata.labels?.[LABEL_PROXY_NAME];
        slices.push({
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            namespace,
            name: `${service.metadata.name}-${family.toLowerCase()}-${slices.length + 1}`,
            labels: {
              [LABEL_SERVICE_NAME]: service.metadata.name,
              ...headless,
              ...(proxy === undefined ? {} : { [LABEL_PROXY_NAME]: proxy }),
            },
          },
          addressType: family,
          ports,
          endpoints: endpoints.slice(at, at + MAX_ENDPOINTS),
        });
      }
    }
  }
  return slices;
}

/** Slices for every Service with a selector that no given slice belongs to. Pods that have ended are left out. */
export function deriveSlices(
  services: readonly Service[],
  given: readonly EndpointSlice[],
  pods: readonly Pod[],
  nodes: readonly KubeNode[],
): EndpointSlice[] {
  const served = new Set(given.map(serviceOfSlice));
  const zones = new Map<string, string>();
  for (const node of nodes) {
    const zone = node.metadata.labels?.[LABEL_ZONE];
    if (zone !== undefined) zones.set(node.metadata.name, zone);
  }
  const byNamespace = new Map<string, Pod[]>();
  for (const pod of pods) {
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') continue;
    const namespace = pod.metadata.namespace ?? 'default';
    const list = byNamespace.get(namespace);
    if (list === undefined) byNamespace.set(namespace, [pod]);
    else list.push(pod);
  }
  return services.flatMap((service) => {
    const selector = service.spec?.selector;
    if (!selector || Object.keys(selector).length === 0 || service.spec?.type === 'ExternalName') return [];
    if (served.has(objectKey(service))) return [];
    const candidates = byNamespace.get(service.metadata.namespace ?? 'default') ?? [];
    return slicesOf(
      service,
      candidates.filter((pod) => matches(selector, pod)),
      zones,
    );
  });
}
