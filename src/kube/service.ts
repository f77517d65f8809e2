/**
 * Service → service ports, the unit kube-proxy works in: one per entry of `spec.ports`, of one family.
 * kube-proxy: newBaseServiceInfo(), serviceToServiceMap(), pkg/proxy/serviceport.go, servicechangetracker.go.
 */
import { canonicalIp, type IpAddress, type IpFamily, type IpRange, parseIp, parseRange } from './address.js';
import { LABEL_PROXY_NAME, objectKey, type Service, type ServicePortSpec } from './objects.js';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export interface ServicePortInfo {
  /** `servicePortKey()`: sorts in the canonical order (namespace, name, port name, protocol). */
  readonly key: string;
  /** `namespace/name`. */
  readonly service: string;
  /** `namespace/name[:port name]`, as comments and hashes have it. */
  readonly display: string;
  readonly portName: string;
  readonly protocol: Protocol;
  /** Index into `spec.ports`. */
  readonly index: number;
  readonly clusterIp: string;
  readonly port: number;
  /** 0 if there is none. */
  readonly nodePort: number;
  /** Seconds of ClientIP affinity; 0 if it is off. */
  readonly affinitySeconds: number;
  readonly externalIps: readonly string[];
  readonly vips: readonly string[];
  /** Empty: no restriction. Undefined differs from empty only in comparison, as in kube-proxy. */
  readonly sourceRanges: readonly IpRange[] | undefined;
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  /** 0 if there is none. */
  readonly healthCheckNodePort: number;
  readonly externallyAccessible: boolean;
  readonly usesCluster: boolean;
  readonly usesLocal: boolean;
}

export type ServiceMap = ReadonlyMap<string, ServicePortInfo>;
const NO_PORTS: ServiceMap = new Map();

/** Key of a service port; its order by code units is the canonical order. `service` is `namespace/name`. */
export function servicePortKey(service: string, portName: string, protocol: string): string {
  return `${serviceSortKey(service)}\0${portName}\0${protocol}`;
}

/** `/` sorts behind `-` and `.`, so that `a/z` and `a-b/c` would come in the wrong order without this. */
export function serviceSortKey(service: string): string {
  return service.replace('/', '\0');
}

/** Whether kube-proxy's watch delivers the Service: no other proxy's label, not headless by field selector. */
export function isWatchedService(service: Service): boolean {
  return service.metadata.labels?.[LABEL_PROXY_NAME] === undefined && service.spec?.clusterIP !== 'None';
}

function clusterIpOf(service: Service, family: IpFamily): string | undefined {
  const { ipFamilies, clusterIP, clusterIPs } = service.spec ?? {};
  let text: string | undefined;
  if (ipFamilies === undefined || ipFamilies === null || ipFamilies.length === 0) text = clusterIP;
  else {
    const index = ipFamilies.indexOf(family);
    text = index === -1 ? undefined : (clusterIPs ?? [])[index];
    return text === undefined ? undefined : canonicalIp(text);
  }
  const address = text === undefined ? undefined : parseIp(text);
  return address?.family === family ? address.text : undefined;
}

function addressesOf(texts: readonly (string | undefined)[] | undefined | null, family: IpFamily): string[] {
  const found: string[] = [];
  for (const text of texts ?? []) {
    const address: IpAddress | undefined = text ? parseIp(text) : undefined;
    if (address?.family === family) found.push(address.text);
  }
  return found;
}

function sourceRangesOf(service: Service, family: IpFamily): readonly IpRange[] | undefined {
  const ranges: IpRange[] = [];
  for (const text of service.spec?.loadBalancerSourceRanges ?? []) {
    const range = parseRange(text.trim());
    if (range?.family === family) ranges.push(range);
  }
  if (ranges.length === 0) return undefined;
  return ranges.some((range) => range.length === 0) ? [] : ranges;
}

const DEFAULT_AFFINITY_SECONDS = 10_800;

/** The service ports of a family that a Service makes; none if kube-proxy skips it. Keys are `servicePortKey()`. */
export function servicePorts(service: Service, family: IpFamily): ServiceMap {
  const spec = service.spec ?? {};
  if (!spec.clusterIP || spec.clusterIP === 'None' || spec.type === 'ExternalName') return NO_PORTS;
  const clusterIp = clusterIpOf(service, family);
  if (clusterIp === undefined) return NO_PORTS;
  const externalIps = addressesOf(spec.externalIPs, family);
  const vips = addressesOf(
    (service.status?.loadBalancer?.ingress ?? [])
      .filter((entry) => (entry.ipMode ?? 'VIP') === 'VIP')
      .map((entry) => entry.ip),
    family,
  );
  const isLocal = spec.externalTrafficPolicy === 'Local';
  const externalLocal =
    isLocal &&
    (spec.type === 'LoadBalancer' ||
      spec.type === 'NodePort' ||
      ((spec.type ?? 'ClusterIP') === 'ClusterIP' && (spec.externalIPs ?? []).length > 0));
  const shared = {
    service: objectKey(service),
    clusterIp,
    externalIps,
    vips,
    sourceRanges: sourceRangesOf(service, family),
    externalLocal,
    internalLocal: spec.internalTrafficPolicy === 'Local',
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
        : 0,
    healthCheckNodePort: spec.type === 'LoadBalancer' && isLocal ? (spec.healthCheckNodePort ?? 0) : 0,
  };
  const ports = new Map<string, ServicePortInfo>();
  (spec.ports ?? []).forEach((entry, index) => {
    const info = servicePort(entry, index, shared);
    ports.set(info.key, info);
  });
  return ports;
}

type SharedByPorts = Omit<
  ServicePortInfo,
  | 'key'
  | 'display'
  | 'portName'
  | 'protocol'
  | 'index'
  | 'port'
  | 'nodePort'
  | 'externallyAccessible'
  | 'usesCluster'
  | 'usesLocal'
>;

function servicePort(entry: ServicePortSpec, index: number, shared: SharedByPorts): ServicePortInfo {
  const portName = entry.name ?? '';
  const protocol = (entry.protocol ?? 'TCP') as Protocol; // loading has checked it
  const nodePort = entry.nodePort ?? 0;
  const externallyAccessible = nodePort !== 0 || shared.vips.length > 0 || shared.externalIps.length > 0;
  return {
    ...shared,
    key: servicePortKey(shared.service, portName, protocol),
    display: portName === '' ? shared.service : `${shared.service}:${portName}`,
    portName,
    protocol,
    index,
    port: entry.port,
    nodePort,
    externallyAccessible,
    usesCluster: !shared.internalLocal || externallyAccessible,
    usesLocal: shared.internalLocal || (shared.externalLocal && externallyAccessible),
  };
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

function sameRanges(a: readonly IpRange[] | undefined, b: readonly IpRange[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((range, i) => range.text === b[i]!.text);
}

/** Whether kube-proxy takes two service ports for equal: all derived properties. `index` is ours and does not count. */
export function sameServicePort(a: ServicePortInfo, b: ServicePortInfo): boolean {
  return (
    a.key === b.key &&
    a.clusterIp === b.clusterIp &&
    a.port === b.port &&
    a.nodePort === b.nodePort &&
    a.affinitySeconds === b.affinitySeconds &&
    a.externalLocal === b.externalLocal &&
    a.internalLocal === b.internalLocal &&
    a.healthCheckNodePort === b.healthCheckNodePort &&
    sameList(a.externalIps, b.externalIps) &&
    sameList(a.vips, b.vips) &&
    sameRanges(a.sourceRanges, b.sourceRanges)
  );
}

export function sameServiceMap(a: ServiceMap, b: ServiceMap): boolean {
  if (a.size !== b.size) return false;
  for (const [key, port] of a) {
    const other = b.get(key);
    if (other === undefined || !sameServicePort(port, other)) return false;
  }
  return true;
}
