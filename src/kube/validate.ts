/**
 * Checks of objects from outside: types, ranges and what the API server would refuse, as far as it decides anything
 * here. Every fault names its field. Kubernetes: ValidateService(), ValidateEndpointSlice(), pkg/apis/core and discovery, validation.
 */
import { parseIp, parseRange } from './address.js';
import { type FieldError, type FieldPath, quoteValue } from './field.js';

type Fields = Readonly<Record<string, unknown>>;

const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const PORT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const MAX_NAME = 253;

/** Collects faults while it walks an object; `at` is the path of the object it stands in. */
class Walk {
  readonly errors: FieldError[] = [];

  fail(path: FieldPath, message: string, code: string, hint?: string): void {
    this.errors.push({ severity: 'error', code, path, message, ...(hint === undefined ? {} : { hint }) });
  }

  fields(value: unknown, path: FieldPath): Fields | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'object' && !Array.isArray(value)) return value as Fields; // JSON objects have text keys
    this.fail(path, `must be a mapping, not ${quoteValue(value)}`, 'bad-type');
    return undefined;
  }

  list(value: unknown, path: FieldPath): readonly unknown[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) {
      value.forEach((entry, i) => {
        if (entry === null) this.fail([...path, i], 'must not be null', 'bad-type');
      });
      return value;
    }
    this.fail(path, `must be a list, not ${quoteValue(value)}`, 'bad-type');
    return [];
  }

  text(value: unknown, path: FieldPath): string | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'string') return value;
    const hint = typeof value === 'number' || typeof value === 'boolean' ? 'put it in quotes' : undefined;
    this.fail(path, `must be a text, not ${quoteValue(value)}`, 'bad-type', hint);
    return undefined;
  }

  flag(value: unknown, path: FieldPath): void {
    if (value === undefined || value === null || typeof value === 'boolean') return;
    this.fail(path, `must be true or false, not ${quoteValue(value)}`, 'bad-type');
  }

  oneOf(value: unknown, path: FieldPath, allowed: readonly string[]): string | undefined {
    const text = this.text(value, path);
    if (text !== undefined && text !== '' && !allowed.includes(text)) {
      this.fail(path, `must be one of ${allowed.join(', ')}, not ${quoteValue(text)}`, 'bad-value');
    }
    return text;
  }

  whole(value: unknown, path: FieldPath, min: number, max: number): number | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    const type = typeof value === 'number' ? 'bad-value' : 'bad-type';
    this.fail(path, `must be a whole number from ${min} to ${max}, not ${quoteValue(value)}`, type);
    return undefined;
  }

  ip(value: unknown, path: FieldPath): void {
    const text = this.text(value, path);
    if (text !== undefined && parseIp(text) === undefined) {
      this.fail(path, `must be an IP address, not ${quoteValue(text)}`, 'bad-address');
    }
  }

  texts(value: unknown, path: FieldPath): void {
    const fields = this.fields(value, path);
    for (const [key, entry] of Object.entries(fields ?? {})) this.text(entry, [...path, key]);
  }
}

function checkMeta(walk: Walk, object: Fields): void {
  const path = ['metadata'];
  const meta = walk.fields(object.metadata, path);
  if (meta === undefined) {
    if (object.metadata === undefined || object.metadata === null) walk.fail([], 'has no metadata', 'missing-field');
    return;
  }
  for (const field of ['name', 'namespace'] as const) {
    const at = [...path, field];
    const text = walk.text(meta[field], at);
    if (text === undefined) {
      if (field === 'name' && (meta.name === undefined || meta.name === null)) {
        walk.fail(path, 'has no name', 'missing-field');
      }
    } else if (text.length > MAX_NAME || (!NAME.test(text) && !(field === 'namespace' && text === ''))) {
      walk.fail(at, `must be lower-case letters, digits, "-" and ".", not ${quoteValue(text)}`, 'bad-name');
    }
  }
  walk.texts(meta.labels, [...path, 'labels']);
  walk.texts(meta.annotations, [...path, 'annotations']);
}

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];
const POLICIES = ['Cluster', 'Local'];
const FAMILIES = ['IPv4', 'IPv6'];
const SERVICE_TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];
const DISTRIBUTIONS = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
const MAX_PORT = 65_535;
const MAX_AFFINITY_SECONDS = 86_400;

function checkServicePorts(walk: Walk, value: unknown): void {
  const ports = walk.list(value, ['spec', 'ports']);
  const names = new Set<string>();
  const numbers = new Set<string>();
  ports.forEach((entry, i) => {
    const path = ['spec', 'ports', i];
    const port = walk.fields(entry, path);
    if (port === undefined) return;
    const name = walk.text(port.name, [...path, 'name']) ?? '';
    if (name !== '' && !PORT_NAME.test(name)) {
      walk.fail([...path, 'name'], `must be lower-case letters, digits and "-", not ${quoteValue(name)}`, 'bad-name');
    }
    if (name === '' && ports.length > 1) {
      walk.fail(path, 'needs a name, as the Service has several ports', 'missing-field');
    } else if (names.has(name)) walk.fail([...path, 'name'], `"${name}" is taken by another port`, 'duplicate');
    names.add(name);
    const protocol = walk.oneOf(port.protocol, [...path, 'protocol'], PROTOCOLS) || 'TCP';
    if (port.port === undefined || port.port === null) walk.fail(path, 'has no port', 'missing-field');
    const number = walk.whole(port.port, [...path, 'port'], 1, MAX_PORT);
    if (number !== undefined) {
      const pair = `${protocol} ${number}`;
      if (numbers.has(pair)) walk.fail([...path, 'port'], `${pair} is taken by another port`, 'duplicate');
      numbers.add(pair);
    }
    walk.whole(port.nodePort, [...path, 'nodePort'], 0, MAX_PORT);
    if (typeof port.targetPort === 'number') walk.whole(port.targetPort, [...path, 'targetPort'], 0, MAX_PORT);
    else walk.text(port.targetPort, [...path, 'targetPort']);
  });
}

/** Faults of a Service. */
export function checkService(object: Fields): readonly FieldError[] {
  const walk = new Walk();
  checkMeta(walk, object);
  const spec = walk.fields(object.spec, ['spec']) ?? {};
  walk.oneOf(spec.type, ['spec', 'type'], SERVICE_TYPES);
  const clusterIp = walk.text(spec.clusterIP, ['spec', 'clusterIP']);
  if (clusterIp !== undefined && clusterIp !== '' && clusterIp !== 'None') walk.ip(clusterIp, ['spec', 'clusterIP']);
  walk.list(spec.clusterIPs, ['spec', 'clusterIPs']).forEach((ip, i) => {
    if (ip !== '' && ip !== 'None') walk.ip(ip, ['spec', 'clusterIPs', i]);
  });
  walk.list(spec.ipFamilies, ['spec', 'ipFamilies']).forEach((family, i) => {
    walk.oneOf(family, ['spec', 'ipFamilies', i], FAMILIES);
  });
  checkServicePorts(walk, spec.ports);
  walk.texts(spec.selector, ['spec', 'selector']);
  walk.oneOf(spec.sessionAffinity, ['spec', 'sessionAffinity'], ['None', 'ClientIP']);
  const configPath = ['spec', 'sessionAffinityConfig'];
  const clientIp = walk.fields(walk.fields(spec.sessionAffinityConfig, configPath)?.clientIP, [
    ...configPath,
    'clientIP',
  ]);
  walk.whole(clientIp?.timeoutSeconds, [...configPath, 'clientIP', 'timeoutSeconds'], 1, MAX_AFFINITY_SECONDS);
  walk.list(spec.externalIPs, ['spec', 'externalIPs']).forEach((ip, i) => {
    walk.ip(ip, ['spec', 'externalIPs', i]);
  });
  walk.list(spec.loadBalancerSourceRanges, ['spec', 'loadBalancerSourceRanges']).forEach((range, i) => {
    const path = ['spec', 'loadBalancerSourceRanges', i];
    const text = walk.text(range, path);
    if (text !== undefined && parseRange(text.trim()) === undefined) {
      walk.fail(path, `must be a range such as 203.0.113.0/24, not ${quoteValue(text)}`, 'bad-address');
    }
  });
  walk.oneOf(spec.externalTrafficPolicy, ['spec', 'externalTrafficPolicy'], POLICIES);
  walk.oneOf(spec.internalTrafficPolicy, ['spec', 'internalTrafficPolicy'], POLICIES);
  walk.oneOf(spec.trafficDistribution, ['spec', 'trafficDistribution'], DISTRIBUTIONS);
  walk.whole(spec.healthCheckNodePort, ['spec', 'healthCheckNodePort'], 0, MAX_PORT);
  walk.flag(spec.publishNotReadyAddresses, ['spec', 'publishNotReadyAddresses']);
  const balancer = walk.fields(walk.fields(object.status, ['status'])?.loadBalancer, ['status', 'loadBalancer']);
  walk.list(balancer?.ingress, ['status', 'loadBalancer', 'ingress']).forEach((entry, i) => {
    const path = ['status', 'loadBalancer', 'ingress', i];
    const ingress = walk.fields(entry, path);
    if (ingress?.ip !== '') walk.ip(ingress?.ip, [...path, 'ip']);
    walk.oneOf(ingress?.ipMode, [...path, 'ipMode'], ['VIP', 'Proxy']);
  });
  return walk.errors;
}

function checkHints(walk: Walk, value: unknown, path: FieldPath): void {
  const hints = walk.fields(value, path);
  for (const field of ['forZones', 'forNodes'] as const) {
    walk.list(hints?.[field], [...path, field]).forEach((entry, i) => {
      const at = [...path, field, i];
      const hint = walk.fields(entry, at);
      if (
        hint !== undefined &&
        walk.text(hint.name, [...at, 'name']) === undefined &&
        (hint.name ?? undefined) === undefined
      ) {
        walk.fail(at, 'has no name', 'missing-field');
      }
    });
  }
}

/** Faults of an EndpointSlice. */
export function checkSlice(object: Fields): readonly FieldError[] {
  const walk = new Walk();
  checkMeta(walk, object);
  if (object.addressType === undefined || object.addressType === null) {
    walk.fail([], 'has no addressType', 'missing-field');
  }
  const type = walk.oneOf(object.addressType, ['addressType'], [...FAMILIES, 'FQDN']);
  walk.list(object.ports, ['ports']).forEach((entry, i) => {
    const path = ['ports', i];
    const port = walk.fields(entry, path);
    walk.text(port?.name, [...path, 'name']);
    walk.oneOf(port?.protocol, [...path, 'protocol'], PROTOCOLS);
    walk.whole(port?.port, [...path, 'port'], 0, MAX_PORT);
  });
  walk.list(object.endpoints, ['endpoints']).forEach((entry, i) => {
    const path = ['endpoints', i];
    const endpoint = walk.fields(entry, path);
    walk.list(endpoint?.addresses, [...path, 'addresses']).forEach((address, j) => {
      if (type === 'FQDN') walk.text(address, [...path, 'addresses', j]);
      else walk.ip(address, [...path, 'addresses', j]);
    });
    const conditions = walk.fields(endpoint?.conditions, [...path, 'conditions']);
    for (const field of ['ready', 'serving', 'terminating'])
      walk.flag(conditions?.[field], [...path, 'conditions', field]);
    walk.text(endpoint?.nodeName, [...path, 'nodeName']);
    walk.text(endpoint?.zone, [...path, 'zone']);
    if (endpoint?.hints) checkHints(walk, endpoint.hints, [...path, 'hints']);
  });
  return walk.errors;
}

/** Faults of a Node. */
export function checkNode(object: Fields): readonly FieldError[] {
  const walk = new Walk();
  checkMeta(walk, object);
  const spec = walk.fields(object.spec, ['spec']);
  walk.list(spec?.podCIDRs, ['spec', 'podCIDRs']).forEach((range, i) => {
    const text = walk.text(range, ['spec', 'podCIDRs', i]);
    if (text !== undefined && parseRange(text) === undefined) {
      walk.fail(
        ['spec', 'podCIDRs', i],
        `must be a range such as 10.244.0.0/24, not ${quoteValue(text)}`,
        'bad-address',
      );
    }
  });
  const status = walk.fields(object.status, ['status']);
  walk.list(status?.addresses, ['status', 'addresses']).forEach((entry, i) => {
    const path = ['status', 'addresses', i];
    const address = walk.fields(entry, path);
    const type = walk.text(address?.type, [...path, 'type']);
    if (type === 'InternalIP' || type === 'ExternalIP') walk.ip(address?.address, [...path, 'address']);
  });
  return walk.errors;
}

function checkContainers(walk: Walk, value: unknown, path: FieldPath): void {
  walk.list(value, path).forEach((entry, i) => {
    const container = walk.fields(entry, [...path, i]);
    walk.list(container?.ports, [...path, i, 'ports']).forEach((portEntry, j) => {
      const at = [...path, i, 'ports', j];
      const port = walk.fields(portEntry, at);
      walk.text(port?.name, [...at, 'name']);
      walk.whole(port?.containerPort, [...at, 'containerPort'], 1, MAX_PORT);
      walk.oneOf(port?.protocol, [...at, 'protocol'], PROTOCOLS);
    });
  });
}

/** Faults of a Pod. */
export function checkPod(object: Fields): readonly FieldError[] {
  const walk = new Walk();
  checkMeta(walk, object);
  const spec = walk.fields(object.spec, ['spec']);
  walk.text(spec?.nodeName, ['spec', 'nodeName']);
  checkContainers(walk, spec?.containers, ['spec', 'containers']);
  checkContainers(walk, spec?.initContainers, ['spec', 'initContainers']);
  const status = walk.fields(object.status, ['status']);
  if (status?.podIP !== '') walk.ip(status?.podIP, ['status', 'podIP']);
  walk.text(status?.phase, ['status', 'phase']);
  walk.list(status?.podIPs, ['status', 'podIPs']).forEach((entry, i) => {
    walk.ip(walk.fields(entry, ['status', 'podIPs', i])?.ip, ['status', 'podIPs', i, 'ip']);
  });
  walk.list(status?.conditions, ['status', 'conditions']).forEach((entry, i) => {
    const path = ['status', 'conditions', i];
    const condition = walk.fields(entry, path);
    walk.text(condition?.type, [...path, 'type']);
    walk.text(condition?.status, [...path, 'status']);
  });
  return walk.errors;
}
