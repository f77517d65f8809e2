/** The rules of one service port on many nodes: once in common, and once more for each place that is special. */
import { type IpFamily, rangeContains } from './address.js';
import type { Endpoint } from './endpoints.js';
import type { BlockBuilder, PortBlock } from './proxy/block.js';
import type { ProxyContext } from './proxy/context.js';
import { type ServicePortInfo, usesClusterEndpoints, usesLocalEndpoints } from './service.js';
import type { PortEntry } from './tracker.js';

/** What of a node may make its rules for a service port differ from those of other nodes of its class. */
export interface Dependence {
  /** Nodes that are special: they have local endpoints, or hints name them. */
  readonly nodes: ReadonlySet<string>;
  /** Zones that hints name. */
  readonly zones: ReadonlySet<string>;
  /** Whether the node's own address lies in the source ranges matters. */
  readonly address: boolean;
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** Undefined if the rules are the same on all nodes of a class. */
export function dependenceOf(port: ServicePortInfo, endpoints: readonly Endpoint[]): Dependence | undefined {
  const address = port.vips.length > 0 && (port.sourceRanges?.length ?? 0) > 0;
  let nodes: Set<string> | undefined;
  let zones: Set<string> | undefined;
  if (usesLocalEndpoints(port)) {
    nodes = new Set();
    for (const { nodeName } of endpoints) if (nodeName !== '') nodes.add(nodeName);
  }
  if (usesClusterEndpoints(port)) {
    const ready = endpoints.filter((endpoint) => endpoint.ready);
    if (ready.length > 0 && ready.every((endpoint) => endpoint.nodeHints !== undefined)) {
      nodes ??= new Set();
      for (const { nodeHints } of ready) for (const name of nodeHints!) nodes.add(name);
    }
    if (ready.length > 0 && ready.every((endpoint) => endpoint.zoneHints !== undefined)) {
      zones = new Set();
      for (const { zoneHints } of ready) for (const name of zoneHints!) zones.add(name);
    }
  }
  if (!address && (nodes?.size ?? 0) === 0 && (zones?.size ?? 0) === 0) return undefined;
  return { nodes: nodes ?? NO_NAMES, zones: zones ?? NO_NAMES, address };
}

/** A node that nothing names, in a zone that nothing names. */
const NOWHERE = { nodeName: '', zone: '' };

/** The rules of one service port on the nodes of one class. */
export class HeldPort {
  readonly info: ServicePortInfo;
  readonly endpoints: readonly Endpoint[];
  readonly large: boolean;
  readonly dependence: Dependence | undefined;
  readonly #builder: BlockBuilder;
  readonly #common: PortBlock;
  #special: Map<string, PortBlock> | undefined;

  constructor(entry: PortEntry, large: boolean, context: ProxyContext, builder: BlockBuilder) {
    this.info = entry.info;
    this.endpoints = entry.endpoints;
    this.large = large;
    this.dependence = dependenceOf(entry.info, entry.endpoints);
    this.#builder = builder;
    const nowhere = this.dependence?.address ? { ...context, nodeIp: NO_NODE_IP[context.family] } : context;
    this.#common = builder.build(entry.info, entry.endpoints, nowhere, NOWHERE, large);
  }

  /** What of a node is special here; empty for the common case. */
  placeKey(node: ProxyContext): string {
    const { dependence } = this;
    if (dependence === undefined) return '';
    const name = dependence.nodes.has(node.nodeName) ? `node ${node.nodeName} ` : '';
    const zone = dependence.zones.has(node.zone) ? `zone ${node.zone} ` : '';
    const inRange = dependence.address && this.info.sourceRanges!.some((range) => rangeContains(range, node.nodeIp));
    return `${name}${zone}${inRange ? 'in range' : ''}`;
  }

  block(node: ProxyContext): PortBlock {
    const key = this.placeKey(node);
    if (key === '') return this.#common;
    let block = this.#special?.get(key);
    if (block === undefined) {
      block = this.#builder.build(this.info, this.endpoints, node, node, this.large);
      for (const other of [this.#common, ...(this.#special?.values() ?? [])]) {
        if (!sameRules(block, other)) continue;
        block = other;
        break;
      }
      this.#special ??= new Map();
      this.#special.set(key, block);
    }
    return block;
  }

  get common(): PortBlock {
    return this.#common;
  }
}

/** An address that lies in no range anybody writes: it makes the block of a node outside the source ranges. */
const NO_NODE_IP: Readonly<Record<IpFamily, ProxyContext['nodeIp']>> = {
  IPv4: { family: 'IPv6', bytes: [], text: '' },
  IPv6: { family: 'IPv4', bytes: [], text: '' },
};

function sameRules(a: PortBlock, b: PortBlock): boolean {
  return a.own === b.own && a.dispatch === b.dispatch && a.filter === b.filter;
}

/** Why the rules of a port differ between nodes, in words. */
export function whyDiffers(port: ServicePortInfo, dependence: Dependence): string {
  const reasons: string[] = [];
  if (usesLocalEndpoints(port)) {
    const fields = [
      ...(port.internalLocal ? ['spec.internalTrafficPolicy: Local'] : []),
      ...(port.externalLocal ? ['spec.externalTrafficPolicy: Local'] : []),
    ];
    reasons.push(`${fields.join(', ')}: each node uses its own endpoints`);
  }
  if (dependence.zones.size > 0) reasons.push('hints.forZones in its EndpointSlices: each zone uses its own endpoints');
  else if (dependence.nodes.size > 0 && !usesLocalEndpoints(port)) {
    reasons.push('hints.forNodes in its EndpointSlices: each node uses its own endpoints');
  }
  if (dependence.address) reasons.push('spec.loadBalancerSourceRanges: the address of some nodes lies in them');
  return reasons.join('; ');
}
