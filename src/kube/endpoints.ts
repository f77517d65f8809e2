/**
 * EndpointSlices → the endpoints of each service port, in kube-proxy's order.
 * kube-proxy: endpointInfoByServicePort(), addEndpoints(), pkg/proxy/endpointslicecache.go.
 */
import { canonicalIp } from './address.js';
import { type EndpointSlice, LABEL_HEADLESS, LABEL_SERVICE_NAME } from './objects.js';

const READY = 1;
const SERVING = 2;
const TERMINATING = 4;

/** An endpoint of one service port. There may be hundreds of thousands: what the slice can tell is not held twice. */
export class Endpoint {
  readonly ip: string;
  readonly port: number;
  /** The slice that names it, and where. */
  readonly slice: EndpointSlice;
  readonly index: number;
  /** Name of the KUBE-SEP chain, once somebody has worked it out. */
  chain: string | undefined = undefined;
  readonly #conditions: number;

  constructor(ip: string, port: number, slice: EndpointSlice, index: number) {
    this.ip = ip;
    this.port = port;
    this.slice = slice;
    this.index = index;
    const conditions = slice.endpoints![index]!.conditions;
    this.#conditions =
      ((conditions?.ready ?? true) ? READY : 0) |
      ((conditions?.serving ?? true) ? SERVING : 0) |
      ((conditions?.terminating ?? false) ? TERMINATING : 0);
  }

  /** `ip:port`, IPv6 `[ip]:port`. */
  get text(): string {
    return this.ip.includes(':') ? `[${this.ip}]:${this.port}` : `${this.ip}:${this.port}`;
  }

  get ready(): boolean {
    return (this.#conditions & READY) !== 0;
  }

  get serving(): boolean {
    return (this.#conditions & SERVING) !== 0;
  }

  get terminating(): boolean {
    return (this.#conditions & TERMINATING) !== 0;
  }

  /** Empty if unknown. */
  get nodeName(): string {
    return this.slice.endpoints![this.index]!.nodeName ?? '';
  }

  /** Names of the zones it is meant for; undefined without zone hints. */
  get zoneHints(): readonly string[] | undefined {
    return hintNames(this.slice.endpoints![this.index]!.hints?.forZones);
  }

  /** Names of the nodes it is meant for; undefined without node hints. */
  get nodeHints(): readonly string[] | undefined {
    return hintNames(this.slice.endpoints![this.index]!.hints?.forNodes);
  }
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

function hintNames(hints: readonly { readonly name: string }[] | undefined | null): readonly string[] | undefined {
  return hints && hints.length > 0 ? hints.map((hint) => hint.name) : undefined;
}

function endpointsOfSlice(slice: EndpointSlice, port: number): Endpoint[] {
  const entries = slice.endpoints ?? [];
  const found: Endpoint[] = [];
  for (let index = 0; index < entries.length; index++) {
    const address = entries[index]!.addresses?.[0];
    const ip = address === undefined ? undefined : canonicalIp(address);
    if (ip !== undefined) found.push(new Endpoint(ip, port, slice, index));
  }
  return found;
}

/** Order by the bytes of `text`, which is made only where one address begins with the other. */
function compareText(a: Endpoint, b: Endpoint): number {
  if (!a.ip.startsWith(b.ip) && !b.ip.startsWith(a.ip)) return a.ip < b.ip ? -1 : 1;
  const left = a.text;
  const right = b.text;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Sorts, and of those with one text keeps the last that is not terminating, else the first. */
function sortedOnce(endpoints: Endpoint[]): readonly Endpoint[] {
  endpoints.sort(compareText); // stable
  let kept = 0;
  for (let i = 0; i < endpoints.length; i++) {
    const endpoint = endpoints[i]!;
    if (kept > 0 && compareText(endpoints[kept - 1]!, endpoint) === 0) {
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
    while (at < before.length && compareText(before[at]!, endpoint) < 0) at++;
    const known = before[at];
    if (known !== undefined && compareText(known, endpoint) === 0) endpoint.chain = known.chain;
  }
}
