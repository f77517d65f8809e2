/**
 * The cluster as one family of kube-proxy sees it, on whatever node: service ports in canonical order with their
 * endpoints, kept up to date by events. Cost of a change: that of the Services it touches.
 */
import type { IpFamily } from './address.js';
import { type Endpoint, NO_ENDPOINTS } from './endpoints.js';
import type { EndpointSlice, Service } from './objects.js';
import type { ServicePortInfo } from './service.js';
import { EndpointSliceTracker, ServiceTracker } from './tracker.js';

/** Above this many endpoints over all service ports, comments are left out (kube-proxy: largeClusterEndpointsThreshold). */
export const LARGE_CLUSTER_ENDPOINTS = 1000;

export interface StateChange {
  /** Services (`namespace/name`) whose chains must be rewritten. */
  readonly updated: ReadonlySet<string>;
  /** Keys of service ports that exist no more, or did not exist before. */
  readonly removed: readonly string[];
  readonly added: readonly string[];
  /** A touched Service had or has UDP endpoints: stale connections must go. */
  readonly cleanup: boolean;
}

export class ClusterState {
  readonly family: IpFamily;
  readonly #serviceTracker: ServiceTracker;
  readonly #sliceTracker = new EndpointSliceTracker();
  readonly #ports = new Map<string, ServicePortInfo>();
  readonly #keysByService = new Map<string, readonly string[]>();
  readonly #endpoints = new Map<string, readonly Endpoint[]>();
  #order: string[] = [];
  #endpointCount = 0;

  constructor(family: IpFamily) {
    this.family = family;
    this.#serviceTracker = new ServiceTracker(family);
  }

  /** Takes a Service event; false if nothing at all is pending afterwards. */
  service(service: Service, removed = false): boolean {
    return this.#serviceTracker.update(service, removed);
  }

  /** Takes an EndpointSlice event; slices of another family are passed over. */
  slice(slice: EndpointSlice, removed = false): boolean {
    return slice.addressType === this.family && this.#sliceTracker.update(slice, removed);
  }

  get pending(): boolean {
    return this.#serviceTracker.pending || this.#sliceTracker.pending;
  }

  /** Applies what is pending. */
  checkout(): StateChange {
    const updated = new Set<string>();
    const removed: string[] = [];
    const added: string[] = [];
    for (const [service, current] of this.#serviceTracker.checkout()) {
      updated.add(service);
      const before = this.#keysByService.get(service) ?? [];
      for (const key of before) {
        this.#endpointCount -= this.endpoints(key).length;
        if (!current.has(key)) {
          this.#ports.delete(key);
          removed.push(key);
        }
      }
      for (const [key, port] of current) {
        if (!this.#ports.has(key)) added.push(key);
        this.#ports.set(key, port);
        this.#endpointCount += this.endpoints(key).length;
      }
      if (current.size === 0) this.#keysByService.delete(service);
      else this.#keysByService.set(service, [...current.keys()]);
    }
    this.#reorder(added, removed);
    let cleanup = false;
    for (const [service, { previous, current }] of this.#sliceTracker.checkout()) {
      updated.add(service);
      for (const key of previous.keys()) {
        cleanup ||= key.endsWith('\0UDP');
        this.#setEndpoints(key, NO_ENDPOINTS);
      }
      for (const [key, list] of current) {
        cleanup ||= key.endsWith('\0UDP');
        this.#setEndpoints(key, list);
      }
    }
    return { updated, removed, added, cleanup };
  }

  #setEndpoints(key: string, list: readonly Endpoint[]): void {
    if (this.#ports.has(key)) this.#endpointCount += list.length - this.endpoints(key).length;
    if (list.length === 0) this.#endpoints.delete(key);
    else this.#endpoints.set(key, list);
  }

  #reorder(added: readonly string[], removed: readonly string[]): void {
    if (added.length + removed.length > 16) {
      this.#order = [...this.#ports.keys()].sort();
      return;
    }
    for (const key of removed) this.#order.splice(this.position(key), 1);
    for (const key of added) this.#order.splice(this.position(key), 0, key);
  }

  /** Where a key stands, or would stand, in `order`. */
  position(key: string): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Keys of all service ports in canonical order. */
  get order(): readonly string[] {
    return this.#order;
  }

  /** Keys of a Service's ports. */
  keysOf(service: string): readonly string[] {
    return this.#keysByService.get(service) ?? [];
  }

  port(key: string): ServicePortInfo | undefined {
    return this.#ports.get(key);
  }

  endpoints(key: string): readonly Endpoint[] {
    return this.#endpoints.get(key) ?? NO_ENDPOINTS;
  }

  /** All endpoints by service port key, those of unknown Services too. */
  get allEndpoints(): ReadonlyMap<string, readonly Endpoint[]> {
    return this.#endpoints;
  }

  /** Sum over service ports of their endpoints, ready or not. */
  get endpointCount(): number {
    return this.#endpointCount;
  }

  get largeCluster(): boolean {
    return this.#endpointCount > LARGE_CLUSTER_ENDPOINTS;
  }
}
