/**
 * Service → service ports, the unit kube-proxy works in: one per entry of `spec.ports`, of one family.
 * kube-proxy: newBaseServiceInfo(), serviceToServiceMap(), pkg/proxy/serviceport.go, servicechangetracker.go.
 */
import { canonicalIp, type IpAddress, type IpFamily, type IpRange, parseIp, parseRange } from './address.js';
import { LABEL_PROXY_NAME, objectKey, type Service } from './objects.js';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export interface ServicePortInfo {
  /** Namespace, name, port name and protocol, parted by NUL: sorted by code units it is in canonical order. */
  readonly key: string;
  /** `namespace/name`. */
  readonly service: string;
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
  /** Hash in the names of SVC, SVL, EXT and FW; filled in when it is first asked for. */
  hash: string | undefined;
}

/** `namespace/name[:port name]`, as comments and hashes have it. */
export function displayName(port: ServicePortInfo): string {
  return port.portName === '' ? port.service : `${port.service}:${port.portName}`;
}

export function isExternallyAccessible(port: ServicePortInfo): boolean {
  return port.nodePort !== 0 || port.vips.length > 0 || port.externalIps.length > 0;
}

/** Some traffic goes to endpoints anywhere. */
export function usesClusterEndpoints(port: ServicePortInfo): boolean {
  return !port.internalLocal || isExternallyAccessible(port);
}

/** Some traffic goes to endpoints of this node only. */
export function usesLocalEndpoints(port: ServicePortInfo): boolean {
  return port.internalLocal || (port.externalLocal && isExternallyAccessible(port));
}

const NO_PORTS: readonly ServicePortInfo[] = [];

/** Whether kube-proxy's watch delivers the Service: no other proxy's label, not headless by field selector. */
export function isWatchedService(service: Service): boolean {
  return service.metadata.labels?.[LABEL_PROXY_NAME] === undefined && service.spec?.clusterIP !== 'None';
}

function clusterIpOf(service: Service, family: IpFamily): string | undefined {
  const { ipFamilies, clusterIP, clusterIPs } = service.spec ?? {};
  if (ipFamilies && ipFamilies.length > 0) {
    const index = ipFamilies.indexOf(family);
    const text = index === -1 ? undefined : clusterIPs?.[index];
    return text ? canonicalIp(text) : undefined;
  }
  const text = clusterIP ? canonicalIp(clusterIP) : undefined;
  return text !== undefined && text.includes(':') === (family === 'IPv6') ? text : undefined;
}

const NO_ADDRESSES: readonly string[] = [];

function addressesOf(texts: readonly (string | undefined)[] | undefined | null, family: IpFamily): readonly string[] {
  if (!texts || texts.length === 0) return NO_ADDRESSES;
  const found: string[] = [];
  for (const text of texts) {
    const address: IpAddress | undefined = text ? parseIp(text) : undefined;
    if (address?.family === family) found.push(address.text);
  }
  return found;
}

function sourceRangesOf(service: Service, family: IpFamily): readonly IpRange[] | undefined {
  const texts = service.spec?.loadBalancerSourceRanges;
  if (!texts || texts.length === 0) return undefined;
  const ranges: IpRange[] = [];
  for (const text of texts) {
    const range = parseRange(text.trim());
    if (range?.family === family) ranges.push(range);
  }
  if (ranges.length === 0) return undefined;
  return ranges.some((range) => range.length === 0) ? [] : ranges;
}

const DEFAULT_AFFINITY_SECONDS = 10_800;

/**
 * The service ports of a family that a Service makes; none if kube-proxy skips it. Of two ports with one key the later
 * counts. `name` is the Service's `namespace/name`, to be shared by those that have it already.
 */
export function servicePorts(
  service: Service,
  family: IpFamily,
  name = objectKey(service),
): readonly ServicePortInfo[] {
  const spec = service.spec ?? {};
  if (!spec.clusterIP || spec.clusterIP === 'None' || spec.type === 'ExternalName') return NO_PORTS;
  const clusterIp = clusterIpOf(service, family);
  if (clusterIp === undefined) return NO_PORTS;
  const externalIps = addressesOf(spec.externalIPs, family);
  const vips = addressesOf(
    service.status?.loadBalancer?.ingress
      ?.filter((entry) => (entry.ipMode ?? 'VIP') === 'VIP')
      .map((entry) => entry.ip),
    family,
  );
  const sourceRanges = sourceRangesOf(service, family);
  const isLocal = spec.externalTrafficPolicy === 'Local';
  const externalLocal =
    isLocal &&
    (spec.type === 'LoadBalancer' ||
      spec.type === 'NodePort' ||
      ((spec.type ?? 'ClusterIP') === 'ClusterIP' && (spec.externalIPs ?? []).length > 0));
  const internalLocal = spec.internalTrafficPolicy === 'Local';
  const affinitySeconds =
    spec.sessionAffinity === 'ClientIP'
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
      : 0;
  const healthCheckNodePort = spec.type === 'LoadBalancer' && isLocal ? (spec.healthCheckNodePort ?? 0) : 0;
  const namespace = service.metadata.namespace ?? 'default';
  const ports: ServicePortInfo[] = [];
  const entries = spec.ports ?? [];
  for (let index = 0; index < entries.length; index++) {
    const entry = entries[index]!;
    const portName = entry.name ?? '';
    const protocol = (entry.protocol ?? 'TCP') as Protocol; // loading has checked it
    const nodePort = entry.nodePort ?? 0;
    const info: ServicePortInfo = {
      key: `${namespace}\0${service.metadata.name}\0${portName}\0${protocol}`,
      service: name,
      portName,
      protocol,
      index,
      clusterIp,
      port: entry.port,
      nodePort,
      affinitySeconds,
      externalIps,
      vips,
      sourceRanges,
      externalLocal,
      internalLocal,
      healthCheckNodePort,
      hash: undefined,
    };
    const twin = ports.findIndex((other) => other.key === info.key);
    if (twin === -1) ports.push(info);
    else ports[twin] = info;
  }
  return ports.slice(); // of exact length: a list that grew has room for 17
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

/** Whether two Services have the same service ports, in whatever order. */
export function sameServicePorts(a: readonly ServicePortInfo[], b: readonly ServicePortInfo[]): boolean {
  return (
    a.length === b.length &&
    a.every((port) => {
      const other = b.find((candidate) => candidate.key === port.key);
      return other !== undefined && sameServicePort(port, other);
    })
  );
}
