/**
 * kube-proxy's iptables proxier of one family on one node: what every sync writes and does, full or partial.
 * kube-proxy: Proxier.syncProxyRules(), pkg/proxy/iptables/proxier.go. Time is virtual, the kernel is `KernelTables`.
 */
import { isServiceChain } from '../chain-name.js';
import { type KubeNode, LABEL_ZONE } from '../objects.js';
import type { ClusterState } from '../state.js';
import type { PortEntry } from '../tracker.js';
import { BlockBuilder, type PortBlock } from './block.js';
import { type Flow, staleFlows } from './conntrack.js';
import type { ProxyContext } from './context.js';
import { ensureJumps, type KernelTables } from './jumps.js';
import { filterFixedChains, NAT_FIXED_CHAINS, restoreText } from './restore.js';
import { ServiceRuleWriter } from './service-rules.js';

const FULL_SYNC_INTERVAL_MS = 3_600_000;

/** What goes wrong around one sync, and what the host holds at that time. */
export interface SyncWorld {
  readonly nowMs: number;
  readonly nfacctInvalid: boolean;
  readonly nfacctLocalhost: boolean;
  readonly flows?: readonly Flow[] | undefined;
  /** Number, from 0, of the ensuring command that fails. */
  readonly failJump?: number | undefined;
  /** iptables-save fails. */
  readonly failSave?: boolean | undefined;
  /** The connection table can't be listed. */
  readonly failList?: boolean | undefined;
  /** iptables-restore refuses the text. */
  readonly failRestore?: boolean | undefined;
}

export interface SyncResult {
  readonly full: boolean;
  readonly failed: boolean;
  readonly ensured: readonly string[];
  /** Empty if the sync ended before there was one. */
  readonly restore: string;
  readonly deletedFlows: readonly number[];
  readonly healthPorts: Readonly<Record<string, number>>;
  readonly localEndpoints: Readonly<Record<string, number>>;
}

export class Proxier {
  readonly #state: ClusterState;
  readonly #tables: KernelTables;
  readonly #builder = new BlockBuilder(new ServiceRuleWriter());
  readonly #blocks = new Map<PortEntry, PortBlock>();
  readonly #syncPeriodMs: number;
  #context: ProxyContext;
  #zone: string | undefined;
  #needFull = true;
  #lastFullMs = 0;
  #lastStaleMs = Number.NEGATIVE_INFINITY;
  #large = false;
  #healthPorts: Readonly<Record<string, number>> = {};
  #localEndpoints: Readonly<Record<string, number>> = {};

  constructor(
    state: ClusterState,
    context: ProxyContext,
    node: KubeNode | undefined,
    tables: KernelTables,
    syncPeriodMs: number,
  ) {
    this.#state = state;
    this.#context = context;
    this.#zone = node?.metadata.labels?.[LABEL_ZONE];
    this.#tables = tables;
    this.#syncPeriodMs = syncPeriodMs;
  }

  /** Takes this node's object; a changed zone forces a full sync. */
  node(node: KubeNode): void {
    const zone = node.metadata.labels?.[LABEL_ZONE];
    if (zone === this.#zone) return;
    this.#zone = zone;
    this.#context = { ...this.#context, zone: zone ?? '' };
    this.#blocks.clear();
    this.#needFull = true;
  }

  /** The canary was gone: the next sync is full. */
  flushed(): void {
    this.#needFull = true;
  }

  sync(world: SyncWorld): SyncResult {
    const full = this.#needFull || (!this.#large && world.nowMs - this.#lastFullMs > FULL_SYNC_INTERVAL_MS);
    const change = this.#state.checkout();
    for (const entry of change.removed) this.#blocks.delete(entry);
    let ensured: readonly string[] = [];
    if (full) {
      const result = ensureJumps(this.#tables, world.failJump);
      ensured = result.commands;
      if (result.failed) {
        this.#needFull = true;
        return this.#result(full, true, ensured, '', []);
      }
      this.#setCounters(world);
    }
    this.#large = this.#state.largeCluster;
    const blocks = this.#currentBlocks(full);
    const stale = this.#staleChains(blocks, world);
    const updated = new Set(full ? [] : change.updated.map((record) => record.name));
    const restore = restoreText(this.#context, blocks, (block) => full || updated.has(block.port.service), stale);
    if (world.failRestore) {
      this.#needFull = true;
      return this.#result(full, true, ensured, restore, []);
    }
    this.#applied(blocks, stale);
    this.#needFull = false;
    if (full) this.#lastFullMs = world.nowMs;
    this.#healthPorts = this.#countHealthPorts();
    this.#localEndpoints = this.#countLocalEndpoints();
    const clean = change.cleanup && !world.failList;
    const deleted = clean ? staleFlows(this.#state, world.flows ?? [], this.#context.externalIpsAllowed) : [];
    return this.#result(full, false, ensured, restore, deleted);
  }

  #result(
    full: boolean,
    failed: boolean,
    ensured: readonly string[],
    restore: string,
    deletedFlows: readonly number[],
  ): SyncResult {
    const { healthPorts, localEndpoints } = { healthPorts: this.#healthPorts, localEndpoints: this.#localEndpoints };
    return { full, failed, ensured, restore, deletedFlows, healthPorts, localEndpoints };
  }

  #setCounters(world: SyncWorld): void {
    const { nfacctInvalid, nfacctLocalhost } = world;
    if (this.#context.nfacctInvalid === nfacctInvalid && this.#context.nfacctLocalhost === nfacctLocalhost) return;
    this.#context = { ...this.#context, nfacctInvalid, nfacctLocalhost };
    this.#blocks.clear();
  }

  /** Blocks in canonical order. One that no event touched is kept; a full sync renews those of the other comment mode. */
  #currentBlocks(full: boolean): PortBlock[] {
    const blocks: PortBlock[] = [];
    for (const entry of this.#state.order) {
      const { info: port, endpoints } = entry;
      let block = this.#blocks.get(entry);
      if (
        block === undefined ||
        block.port !== port ||
        block.endpoints !== endpoints ||
        (full && block.large !== this.#large)
      ) {
        block = this.#builder.build(port, endpoints, this.#context, this.#context, this.#large);
        this.#blocks.set(entry, block);
      }
      blocks.push(block);
    }
    return blocks;
  }

  #staleChains(blocks: readonly PortBlock[], world: SyncWorld): string[] {
    if (this.#large && world.nowMs - this.#lastStaleMs <= this.#syncPeriodMs) return [];
    if (world.failSave) return [];
    this.#lastStaleMs = world.nowMs;
    const active = new Set<string>();
    for (const block of blocks) for (const chain of block.chains) active.add(chain);
    const stale: string[] = [];
    for (const chain of this.#tables.chains.nat) {
      if (isServiceChain(chain) && !active.has(chain)) stale.push(chain);
    }
    return stale.sort();
  }

  #applied(blocks: readonly PortBlock[], stale: readonly string[]): void {
    const { filter, nat } = this.#tables.chains;
    for (const chain of filterFixedChains(this.#context)) filter.add(chain);
    for (const chain of NAT_FIXED_CHAINS) nat.add(chain);
    for (const block of blocks) for (const chain of block.chains) nat.add(chain);
    for (const chain of stale) nat.delete(chain);
  }

  #countHealthPorts(): Record<string, number> {
    const ports: Record<string, number> = {};
    for (const { info: port } of this.#state.order) {
      if (port.healthCheckNodePort !== 0) ports[port.service] = port.healthCheckNodePort;
    }
    return ports;
  }

  /** Distinct addresses of ready endpoints on this node, by Service; also of Services that do not exist. */
  #countLocalEndpoints(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const record of this.#state.services.values()) {
      const ips = new Set<string>();
      for (const { endpoints } of record.endpoints) {
        for (const endpoint of endpoints) {
          const isLocal = endpoint.nodeName !== '' && endpoint.nodeName === this.#context.nodeName;
          if (isLocal && endpoint.ready) ips.add(endpoint.ip);
        }
      }
      if (ips.size > 0) counts[record.name] = ips.size;
    }
    return counts;
  }
}
