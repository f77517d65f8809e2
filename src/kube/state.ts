/**
 * The cluster as one family of kube-proxy sees it, on whatever node: service ports in canonical order with their
 * endpoints, kept up to date by events. A change costs what the Services it touches cost.
 */
import type { IpFamily } from './address.js';
import { NO_ENDPOINTS, serviceOfSlice } from './endpoints.js';
import { type EndpointSlice, objectKey, type Service } from './objects.js';
import type { ServicePortInfo } from './service.js';
import { type PortEntry, ServiceRecord } from './tracker.js';

/** Above this many endpoints over all service ports, comments are left out (kube-proxy: largeClusterEndpointsThreshold). */
export const LARGE_CLUSTER_ENDPOINTS = 1000;

export interface StateChange {
  /** Services whose chains must be rewritten, each once. */
  readonly updated: readonly ServiceRecord[];
  readonly added: readonly PortEntry[];
  /** Service ports that exist no more. */
  readonly removed: readonly PortEntry[];
  /** A touched Service had or has UDP endpoints: stale connections must go. */
  readonly cleanup: boolean;
}

/** Beyond this many additions and removals at once, sorting anew beats moving the tail of the list for each. */
const MAX_MOVES = 16;

export class ClusterState {
  readonly family: IpFamily;
  readonly #services = new Map<string, ServiceRecord>();
  /** Services with events since the last check-out; an event may have been taken back. */
  #changed: ServiceRecord[] = [];
  /** Pending Services and pending slices' Services. */
  #pendingCount = 0;
  #order: PortEntry[] = [];
  /** Additions and removals that `#order` does not show yet. */
  #added: PortEntry[] = [];
  #removed: PortEntry[] = [];
  #endpointCount = 0;

  constructor(family: IpFamily) {
    this.family = family;
  }

  #record(name: string): ServiceRecord {
    let record = this.#services.get(name);
    if (record === undefined) {
      record = new ServiceRecord(name);
      this.#services.set(name, record);
    }
    return record;
  }

  /** Takes a Service event; returns whether anything at all is pending afterwards. */
  service(service: Service, removed = false): boolean {
    const record = this.#record(objectKey(service));
    const before = record.servicePending;
    record.service(service, removed, this.family);
    this.#pendingCount += Number(record.servicePending) - Number(before);
    this.#list(record);
    return this.pending;
  }

  /** Takes an EndpointSlice event; slices of another family are passed over. Returns whether it became pending. */
  slice(slice: EndpointSlice, removed = false): boolean {
    if (slice.addressType !== this.family) return false;
    const name = serviceOfSlice(slice);
    if (name === undefined) return false;
    const record = this.#record(name);
    const before = record.slicesPending;
    const pending = record.slice(slice, removed);
    this.#pendingCount += Number(record.slicesPending) - Number(before);
    this.#list(record);
    return pending;
  }

  #list(record: ServiceRecord): void {
    if (record.listed) return;
    record.listed = true;
    this.#changed.push(record);
  }

  get pending(): boolean {
    return this.#pendingCount > 0;
  }

  /** Applies what is pending. */
  checkout(): StateChange {
    const updated: ServiceRecord[] = [];
    const added: PortEntry[] = [];
    const removed: PortEntry[] = [];
    let cleanup = false;
    for (const record of this.#changed) {
      record.listed = false;
      if (record.servicePending || record.slicesPending) updated.push(record);
      const ports = record.takePorts();
      if (ports !== undefined) this.#replaceEntries(record, ports, added, removed);
      if (record.slicesPending) {
        cleanup ||= record.endpoints.some((port) => port.protocol === 'UDP');
        record.applySlices();
        cleanup ||= record.endpoints.some((port) => port.protocol === 'UDP');
        for (const entry of record.entries) {
          const endpoints = record.endpointsOf(entry.info);
          this.#endpointCount += endpoints.length - entry.endpoints.length;
          entry.endpoints = endpoints;
        }
      }
      if (record.empty) this.#services.delete(record.name);
    }
    this.#changed = [];
    this.#pendingCount = 0;
    this.#reorder(added, removed);
    return { updated, added, removed, cleanup };
  }

  #replaceEntries(
    record: ServiceRecord,
    ports: readonly ServicePortInfo[],
    added: PortEntry[],
    removed: PortEntry[],
  ): void {
    const before = record.entries;
    for (const entry of before) {
      if (ports.some((port) => port.key === entry.info.key)) continue;
      this.#endpointCount -= entry.endpoints.length;
      removed.push(entry);
    }
    record.entries = ports.map((info) => {
      const known = before.find((entry) => entry.info.key === info.key);
      if (known !== undefined) {
        known.info = info;
        return known;
      }
      const entry = { info, endpoints: record.endpoints.length === 0 ? NO_ENDPOINTS : record.endpointsOf(info) };
      this.#endpointCount += entry.endpoints.length;
      added.push(entry);
      return entry;
    });
  }

  /** Few changes are put in their place at once; many wait until somebody asks for the order. */
  #reorder(added: readonly PortEntry[], removed: readonly PortEntry[]): void {
    if (added.length + removed.length > MAX_MOVES || this.#added.length + this.#removed.length > 0) {
      for (const entry of removed) this.#removed.push(entry);
      for (const entry of added) this.#added.push(entry);
      return;
    }
    for (const entry of removed) this.#order.splice(this.position(entry.info.key), 1);
    for (const entry of added) this.#order.splice(this.position(entry.info.key), 0, entry);
  }

  #sort(): void {
    if (this.#added.length + this.#removed.length === 0) return;
    const gone = new Set(this.#removed);
    const kept = gone.size === 0 ? this.#order : this.#order.filter((entry) => !gone.has(entry));
    for (const entry of this.#added) if (!gone.has(entry)) kept.push(entry);
    this.#order = kept.sort((a, b) => (a.info.key < b.info.key ? -1 : 1));
    this.#added = [];
    this.#removed = [];
  }

  /** Where a key stands, or would stand, in `order`. */
  position(key: string): number {
    this.#sort();
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order[middle]!.info.key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** All service ports in canonical order. */
  get order(): readonly PortEntry[] {
    this.#sort();
    return this.#order;
  }

  /** Every Service that has ports or slices. */
  get services(): ReadonlyMap<string, ServiceRecord> {
    return this.#services;
  }

  /** Ports of a Service, in the order of its spec. */
  portsOf(service: string): readonly PortEntry[] {
    return this.#services.get(service)?.entries ?? [];
  }

  /** Sum over service ports of their endpoints, ready or not. */
  get endpointCount(): number {
    return this.#endpointCount;
  }

  get largeCluster(): boolean {
    return this.#endpointCount > LARGE_CLUSTER_ENDPOINTS;
  }
}
