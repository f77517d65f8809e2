/**
 * Change tracking by Service: what is applied, what is pending, and when an event is none. One record holds a Service's
 * ports and its slices, whichever came first. kube-proxy: ServiceChangeTracker, EndpointSliceCache.
 */
import type { IpFamily } from './address.js';
import { type Endpoint, endpointsOf, isWatchedSlice, NO_ENDPOINTS, type PortEndpoints } from './endpoints.js';
import type { EndpointSlice, Service } from './objects.js';
import { isWatchedService, type ServicePortInfo, sameServicePorts, servicePorts } from './service.js';

/** One service port in the cluster's list; the same object for as long as the port exists. */
export interface PortEntry {
  info: ServicePortInfo;
  endpoints: readonly Endpoint[];
}

interface PendingSlice {
  readonly slice: EndpointSlice;
  readonly removed: boolean;
}

const NO_PORTS: readonly ServicePortInfo[] = [];
const NO_ENTRIES: readonly PortEntry[] = [];
const NO_SLICES: readonly EndpointSlice[] = [];
const NO_PENDING: readonly PendingSlice[] = [];
const NO_PORT_ENDPOINTS: readonly PortEndpoints[] = [];

/**
 * A Service by name. Its lists are short and there are many of them: they are replaced by lists of exact length rather
 * than grown, as a grown list has room for 17.
 */
export class ServiceRecord {
  /** `namespace/name`. */
  readonly name: string;
  /** Ports that are applied. */
  entries: readonly PortEntry[] = NO_ENTRIES;
  /** Endpoints that are applied, by port; also where no Service is. */
  endpoints: readonly PortEndpoints[] = NO_PORT_ENDPOINTS;
  /** The cluster has it on its list of changes. */
  listed = false;
  #pendingPorts: readonly ServicePortInfo[] | undefined;
  /** Sorted by name. */
  #slices: readonly EndpointSlice[] = NO_SLICES;
  #pendingSlices: readonly PendingSlice[] = NO_PENDING;

  constructor(name: string) {
    this.name = name;
  }

  get servicePending(): boolean {
    return this.#pendingPorts !== undefined;
  }

  get slicesPending(): boolean {
    return this.#pendingSlices.length > 0;
  }

  /** Nothing is left to know of it. */
  get empty(): boolean {
    return this.entries.length === 0 && this.#slices.length === 0 && !this.servicePending && !this.slicesPending;
  }

  /** Takes a Service event. What returns to the applied state is no longer pending. */
  service(service: Service, removed: boolean, family: IpFamily): void {
    const current = removed || !isWatchedService(service) ? NO_PORTS : servicePorts(service, family, this.name);
    const applied = this.entries.length === 0 ? NO_PORTS : this.entries.map((entry) => entry.info);
    this.#pendingPorts = sameServicePorts(applied, current) ? undefined : current;
  }

  /** Takes an EndpointSlice event; false if it changes nothing that is pending or applied. */
  slice(slice: EndpointSlice, removed: boolean): boolean {
    const gone = removed || !isWatchedSlice(slice);
    const { name } = slice.metadata;
    const change = { slice, removed: gone };
    const at = this.#pendingSlices.findIndex((pending) => pending.slice.metadata.name === name);
    if (at !== -1) {
      const pending = this.#pendingSlices[at]!;
      if (pending.removed === gone && (gone || sameSlice(pending.slice, slice))) return false;
      this.#pendingSlices = this.#pendingSlices.with(at, change);
      return true;
    }
    const applied = this.#slices.find((other) => other.metadata.name === name);
    if (gone ? applied === undefined : applied !== undefined && sameSlice(applied, slice)) return false;
    this.#pendingSlices = this.#pendingSlices.length === 0 ? [change] : [...this.#pendingSlices, change];
    return true;
  }

  /** Hands out the pending ports, if the Service changed; nothing is pending then. */
  takePorts(): readonly ServicePortInfo[] | undefined {
    const ports = this.#pendingPorts;
    this.#pendingPorts = undefined;
    return ports;
  }

  /** Applies the pending slices to `endpoints`. */
  applySlices(): void {
    const pending = this.#pendingSlices;
    this.#pendingSlices = NO_PENDING;
    if (this.#slices.length === 0 && pending.length === 1 && !pending[0]!.removed) this.#slices = [pending[0]!.slice];
    else {
      const names = new Set(pending.map((change) => change.slice.metadata.name));
      const kept = this.#slices.filter((slice) => !names.has(slice.metadata.name));
      for (const change of pending) if (!change.removed) kept.push(change.slice);
      this.#slices = kept.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)).slice();
    }
    this.endpoints = endpointsOf(this.#slices, this.endpoints);
  }

  /** Applied endpoints of a port. */
  endpointsOf(port: ServicePortInfo): readonly Endpoint[] {
    for (const candidate of this.endpoints) {
      if (candidate.portName === port.portName && candidate.protocol === port.protocol) return candidate.endpoints;
    }
    return NO_ENDPOINTS;
  }
}

/** Equality as kube-proxy sees it: whole objects, after the API server has filled in the defaults of ports. */
function sameSlice(a: EndpointSlice, b: EndpointSlice): boolean {
  return sameJson(withDefaults(a), withDefaults(b));
}

function withDefaults(slice: EndpointSlice): EndpointSlice {
  const incomplete = slice.ports?.some((port) => port.name === undefined || port.protocol === undefined) ?? false;
  if (!incomplete) return slice;
  return { ...slice, ports: slice.ports!.map((port) => ({ name: '', protocol: 'TCP', ...port })) };
}

/** Deep equality of two JSON values; an absent member equals null. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = a as Record<string, unknown>; // arrays too have their members as keys
  const right = b as Record<string, unknown>;
  for (const key in left) if (!sameJson(left[key] ?? undefined, right[key] ?? undefined)) return false;
  for (const key in right) if ((right[key] ?? undefined) !== undefined && left[key] === undefined) return false;
  return !Array.isArray(a) || left.length === right.length;
}
