/**
 * EndpointSlices → the endpoints of each service port, in kube-proxy's order.
 * kube-proxy: endpointInfoByServicePort(), addEndpoints(), pkg/proxy/endpointslicecache.go.
 */
import { canonicalIp } from './address.js';
import { type EndpointSlice, LABEL_HEADLESS, LABEL_SERVICE_NAME } from './objects.js';

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
  /** `ip:port`, IPv6 `[ip]:port`. */
  readonly text: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Empty if unknown. */
  readonly nodeName: string;
  /** Undefined without zone hints. */
  readonly zoneHints: ReadonlySet<string> | undefined;
  /** Undefined without node hints. */
  readonly nodeHints: ReadonlySet<string> | undefined;
  /** The slice that names it. */
  readonly slice: EndpointSlice;
  /** Index into the slice's `endpoints`. */
  readonly index: number;
  /** Name of the KUBE-SEP chain, filled in when it is first asked for: hashing is most of what a text costs. */
  chain: string | undefined;
}

/** The endpoints of one service port, sorted by the bytes of `text`, each once. */
export interface PortEndpoints {
  readonly portName: string;
  readonly protocol: string;
  readonly endpoints: readonly Endpoint[];
}

export const NO_ENDPOINTS: readonly Endpoint[] = [];

/** Whether kube-proxy's watch delivers the slice. */
export function isWatchedSlice(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.[LABEL_HEADLESS] === undefined;
}

/** The Service, as `namespace/name`, whose endpoints a slice holds; undefined if it names none. */
export function serviceOfSlice(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[LABEL_SERVICE_NAME];
  const namespace = slice.metadata.namespace ?? 'default';
  return name && namespace && slice.metadata.name ? `${namespace}/${name}` : undefined;
}

function hintSet(hints: readonly { readonly name: string }[] | undefined | null): ReadonlySet<string> | undefined {
  return hints && hints.length > 0 ? new Set(hints.map((hint) => hint.name)) : undefined;
}

function endpointsOfSlice(slice: EndpointSlice, port: number): Endpoint[] {
  const entries = slice.endpoints ?? [];
  const found: Endpoint[] = [];
  for (let index = 0; index < entries.length; index++) {
    const entry = entries[index]!;
    const address = entry.addresses?.[0];
    const ip = address === undefined ? undefined : canonicalIp(address);
    if (ip === undefined) continue;
    const { conditions, hints } = entry;
    found.push({
      ip,
      port,
      text: ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`,
      ready: conditions?.ready ?? true,
      serving: conditions?.serving ?? true,
      terminating: conditions?.terminating ?? false,
      nodeName: entry.nodeName ?? '',
      zoneHints: hints ? hintSet(hints.forZones) : undefined,
      nodeHints: hints ? hintSet(hints.forNodes) : undefined,
      slice,
      index,
      chain: undefined,
    });
  }
  return found;
}

function compareText(a: Endpoint, b: Endpoint): number {
  return a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
}

/** Sorts, and of those with one text keeps the last that is not terminating, else the first. */
function sortedOnce(endpoints: Endpoint[]): readonly Endpoint[] {
  endpoints.sort(compareText); // stable
  let kept = 0;
  for (let i = 0; i < endpoints.length; i++) {
    const endpoint = endpoints[i]!;
    if (kept > 0 && endpoints[kept - 1]!.text === endpoint.text) {
      if (!endpoint.terminating) endpoints[kept - 1] = endpoint;
    } else endpoints[kept++] = endpoint;
  }
  return endpoints.slice(0, kept); // of exact length
}

/**
 * Endpoints of a Service from its slices, which must come sorted by name. Chain names are taken over from `before`,
 * where the endpoint is known.
 */
export function endpointsOf(
  slices: readonly EndpointSlice[],
  before: readonly PortEndpoints[],
): readonly PortEndpoints[] {
  const merging: { readonly portName: string; readonly protocol: string; endpoints: readonly Endpoint[] }[] = [];
  for (const slice of slices) {
    for (const { port, name, protocol = 'TCP' } of slice.ports ?? []) {
      if (!port) continue;
      const portName = name ?? '';
      const endpoints = endpointsOfSlice(slice, port);
      const entry = merging.find((other) => other.portName === portName && other.protocol === protocol);
      if (entry === undefined) merging.push({ portName, protocol, endpoints });
      else entry.endpoints = entry.endpoints.concat(endpoints);
    }
  }
  for (const entry of merging) {
    entry.endpoints = sortedOnce(entry.endpoints as Endpoint[]); // made above, and nobody else's
    const known = before.find((other) => other.portName === entry.portName && other.protocol === entry.protocol);
    if (known !== undefined) keepChainNames(entry.endpoints, known.endpoints);
  }
  return merging.filter((entry) => entry.endpoints.length > 0).slice();
}

/** Both lists are sorted by text. */
function keepChainNames(list: readonly Endpoint[], before: readonly Endpoint[]): void {
  let at = 0;
  for (const endpoint of list) {
    while (at < before.length && before[at]!.text < endpoint.text) at++;
    if (before[at]?.text === endpoint.text) endpoint.chain = before[at]!.chain;
  }
}
