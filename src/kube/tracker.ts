/**
 * Change tracking of one family: object events in, service ports and endpoints out. Says at each check-out which
 * Services must be rewritten. kube-proxy: ServiceChangeTracker, EndpointsChangeTracker, EndpointSliceCache.
 */
import type { IpFamily } from './address.js';
import { type EndpointsMap, endpointsOf, isWatchedSlice, serviceOfSlice } from './endpoints.js';
import { type EndpointSlice, objectKey, type Service } from './objects.js';
import { isWatchedService, type ServiceMap, sameServiceMap, servicePorts } from './service.js';

const NO_PORTS: ServiceMap = new Map();

/** Deep equality of two JSON values; an absent member equals an undefined one. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = a as Record<string, unknown>; // arrays too have their members as keys
  const right = b as Record<string, unknown>;
  for (const key in left) if (!sameJson(left[key], right[key])) return false;
  for (const key in right) if (right[key] !== undefined && left[key] === undefined) return false;
  return true;
}

interface ServiceChange {
  readonly previous: ServiceMap;
  current: ServiceMap;
}

export class ServiceTracker {
  readonly #family: IpFamily;
  readonly #applied = new Map<string, ServiceMap>();
  readonly #changes = new Map<string, ServiceChange>();

  constructor(family: IpFamily) {
    this.#family = family;
  }

  /** Takes an addition, an update, or (`removed`) a deletion. Returns whether anything is pending at all. */
  update(service: Service, removed: boolean): boolean {
    const key = objectKey(service);
    const current = removed || !isWatchedService(service) ? NO_PORTS : servicePorts(service, this.#family);
    const change = this.#changes.get(key);
    if (change === undefined) {
      const previous = this.#applied.get(key) ?? NO_PORTS;
      if (!sameServiceMap(previous, current)) this.#changes.set(key, { previous, current });
    } else if (sameServiceMap(change.previous, current)) this.#changes.delete(key);
    else change.current = current;
    return this.#changes.size > 0;
  }

  get pending(): boolean {
    return this.#changes.size > 0;
  }

  /** Hands out the pending changes: service ports now, by Service; empties the tracker. */
  checkout(): ReadonlyMap<string, ServiceMap> {
    const result = new Map<string, ServiceMap>();
    for (const [key, change] of this.#changes) {
      result.set(key, change.current);
      if (change.current.size === 0) this.#applied.delete(key);
      else this.#applied.set(key, change.current);
    }
    this.#changes.clear();
    return result;
  }
}

interface PendingSlice {
  readonly slice: EndpointSlice;
  readonly removed: boolean;
}

interface ServiceSlices {
  readonly applied: Map<string, EndpointSlice>;
  readonly pending: Map<string, PendingSlice>;
  endpoints: EndpointsMap;
}

const NO_MAP: EndpointsMap = new Map();

export interface EndpointsChange {
  readonly previous: EndpointsMap;
  readonly current: EndpointsMap;
}

export class EndpointSliceTracker {
  readonly #services = new Map<string, ServiceSlices>();
  readonly #dirty = new Set<string>();

  /** Takes an addition, an update, or (`removed`) a deletion. Returns whether it became pending. */
  update(slice: EndpointSlice, removed: boolean): boolean {
    const service = serviceOfSlice(slice);
    if (service === undefined) return false;
    const gone = removed || !isWatchedSlice(slice);
    let state = this.#services.get(service);
    if (state === undefined) {
      if (gone) return false;
      state = { applied: new Map(), pending: new Map(), endpoints: NO_MAP };
      this.#services.set(service, state);
    }
    const { name } = slice.metadata;
    const pending = state.pending.get(name);
    const applied = state.applied.get(name);
    if (pending !== undefined) {
      if (pending.removed === gone && (gone || sameJson(pending.slice, slice))) return false;
    } else if (gone ? applied === undefined : applied !== undefined && sameJson(applied, slice)) return false;
    state.pending.set(name, { slice, removed: gone });
    this.#dirty.add(service);
    return true;
  }

  get pending(): boolean {
    return this.#dirty.size > 0;
  }

  /** Hands out the endpoints before and after, by Service touched; the changes are then applied. */
  checkout(): ReadonlyMap<string, EndpointsChange> {
    const result = new Map<string, EndpointsChange>();
    for (const service of this.#dirty) {
      const state = this.#services.get(service)!;
      for (const [name, change] of state.pending) {
        if (change.removed) state.applied.delete(name);
        else state.applied.set(name, change.slice);
      }
      state.pending.clear();
      const slices = [...state.applied.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
      const previous = state.endpoints;
      state.endpoints = endpointsOf(service, slices, previous);
      result.set(service, { previous, current: state.endpoints });
      if (state.applied.size === 0) this.#services.delete(service);
    }
    this.#dirty.clear();
    return result;
  }
}
