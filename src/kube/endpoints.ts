/**
 * EndpointSlices → the endpoints of each service port, in kube-proxy's order.
 * kube-proxy: endpointInfoByServicePort(), addEndpoints(), pkg/proxy/endpointslicecache.go.
 */
import { canonicalIp } from './address.js';
import { type EndpointSlice, LABEL_HEADLESS, LABEL_SERVICE_NAME } from './objects.js';
import { servicePortKey } from './service.js';

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
  /** Name of the slice that names it. */
  readonly slice: string;
  /** Index into the slice's `endpoints`. */
  readonly index: number;
  /** Name of the KUBE-SEP chain, filled in when it is first asked for: hashing is most of what a text costs. */
  chain: string | undefined;
}

/** Endpoints by service port key, each list sorted by the bytes of `text`. */
export type EndpointsMap = ReadonlyMap<string, readonly Endpoint[]>;
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

/** Endpoint by text for one service port, while slices are merged. */
type Merging = Map<string, Endpoint>;

function addSlice(service: string, slice: EndpointSlice, into: Map<string, Merging>): void {
  for (const slicePort of slice.ports ?? []) {
    const port = slicePort.port;
    if (!port) continue;
    const key = servicePortKey(service, slicePort.name ?? '', slicePort.protocol ?? 'TCP');
    let merging = into.get(key);
    if (merging === undefined) {
      merging = new Map();
      into.set(key, merging);
    }
    const endpoints = slice.endpoints ?? [];
    for (let index = 0; index < endpoints.length; index++) {
      const entry = endpoints[index]!;
      const address = entry.addresses?.[0];
      const ip = address === undefined ? undefined : canonicalIp(address);
      if (ip === undefined) continue;
      const text = ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
      const terminating = entry.conditions?.terminating ?? false;
      if (terminating && merging.has(text)) continue;
      merging.set(text, {
        ip,
        port,
        text,
        ready: entry.conditions?.ready ?? true,
        serving: entry.conditions?.serving ?? true,
        terminating,
        nodeName: entry.nodeName ?? '',
        zoneHints: hintSet(entry.hints?.forZones),
        nodeHints: hintSet(entry.hints?.forNodes),
        slice: slice.metadata.name,
        index,
        chain: undefined,
      });
    }
  }
}

function compareText(a: Endpoint, b: Endpoint): number {
  return a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
}

/**
 * Endpoints of a Service from its slices, which must come sorted by name. Chain names are taken over from `before`,
 * where the endpoint is known.
 */
export function endpointsOf(service: string, slices: Iterable<EndpointSlice>, before?: EndpointsMap): EndpointsMap {
  const merged = new Map<string, Merging>();
  for (const slice of slices) addSlice(service, slice, merged);
  const result = new Map<string, readonly Endpoint[]>();
  for (const [key, merging] of merged) {
    if (merging.size === 0) continue;
    const list = [...merging.values()].sort(compareText);
    keepChainNames(list, before?.get(key));
    result.set(key, list);
  }
  return result;
}

/** Both lists are sorted by text. */
function keepChainNames(list: readonly Endpoint[], before: readonly Endpoint[] | undefined): void {
  if (before === undefined) return;
  let at = 0;
  for (const endpoint of list) {
    while (at < before.length && before[at]!.text < endpoint.text) at++;
    if (before[at]?.text === endpoint.text) endpoint.chain = before[at]!.chain;
  }
}
