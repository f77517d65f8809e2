/**
 * The rules of every node of a cluster, in one family. Nodes whose settings agree form a class; a class holds the rules
 * of each service port once, as a node has them that is nowhere special, and once more only where policy, hints or
 * source ranges make a node special. However many nodes, what does not differ exists once.
 */
import type { IpFamily } from './address.js';
import { rangeContains } from './address.js';
import type { Endpoint } from './endpoints.js';
import { BlockBuilder, type PortBlock, SHARED_CHAINS } from './proxy/block.js';
import type { ProxyContext } from './proxy/context.js';
import { type ChainChange, diffBlocks } from './proxy/patch.js';
import { filterHead, natHead, restoreText } from './proxy/restore.js';
import { ServiceRuleWriter } from './proxy/service-rules.js';
import { type ServicePortInfo, usesClusterEndpoints, usesLocalEndpoints } from './service.js';
import { SharedCounts } from './shared-count.js';
import type { ClusterState } from './state.js';
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
class HeldPort {
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

/** Settings that make nodes of different classes, with words for a report. */
const SETTINGS: readonly { readonly name: string; readonly of: (context: ProxyContext) => string }[] = [
  { name: 'the local traffic detector', of: (c) => c.detector?.isLocal ?? 'none' },
  {
    name: 'the addresses that accept node ports',
    of: (c) => (c.nodePortAddresses.matchAll ? 'all' : c.nodePortIps.join(' ')),
  },
  { name: 'node ports on loopback', of: (c) => String(c.localhostNodePorts) },
  { name: 'the masquerade mark', of: (c) => c.mark },
  { name: 'masqueradeAll', of: (c) => String(c.masqueradeAll) },
  { name: 'external IPs allowed', of: (c) => String(c.externalIpsAllowed) },
  { name: 'nfacct counters', of: (c) => `${c.nfacctInvalid} ${c.nfacctLocalhost}` },
  { name: 'liberal TCP tracking', of: (c) => String(c.tcpBeLiberal) },
  { name: 'the balance', of: (c) => c.balance },
];

class NodeClass {
  readonly context: ProxyContext;
  readonly nodes: ProxyContext[] = [];
  readonly names: string[] = [];
  /** In the canonical order of service ports, like the state's own list. */
  readonly held: HeldPort[] = [];
  /** Of the common blocks, in step with `held`. */
  readonly counts = new SharedCounts();
  /** How many of them are not the same on all nodes. */
  dependentCount = 0;

  constructor(context: ProxyContext) {
    this.context = context;
  }

  insert(at: number, port: HeldPort): void {
    this.held.splice(at, 0, port);
    this.counts.insert(at, port.common);
    if (port.dependence !== undefined) this.dependentCount++;
  }

  replace(at: number, port: HeldPort): void {
    if (this.held[at]!.dependence !== undefined) this.dependentCount--;
    if (port.dependence !== undefined) this.dependentCount++;
    this.held[at] = port;
    this.counts.replace(at, port.common);
  }

  remove(at: number): void {
    if (this.held[at]!.dependence !== undefined) this.dependentCount--;
    this.held.splice(at, 1);
    this.counts.remove(at);
  }
}

/** Nodes to which one list of changes applies. */
export interface PatchGroup {
  readonly nodes: readonly string[];
  readonly changes: readonly ChainChange[];
}

/** What a change does to the rules of the nodes. */
export interface ClusterPatch {
  readonly family: IpFamily;
  /** Services whose chains were rewritten. */
  readonly services: readonly string[];
  /** The change is the same on every node of a class, whatever the node. */
  readonly uniform: boolean;
  /** Stale UDP connections must be looked for. */
  readonly cleanup: boolean;
  /**
   * Changes of a node's chains, in order of application. Worked out when asked for, shared by nodes that are alike;
   * valid until the next check-out.
   */
  forNode(name: string): readonly ChainChange[];
  /** The same by nodes that are alike. Where the change is uniform it costs the same however many nodes there are. */
  groups(): readonly PatchGroup[];
  /** The text of the partial sync on a node, as kube-proxy would hand it to iptables-restore. */
  textFor(name: string): string;
}

export interface Difference {
  /** What differs: a service port's display name and protocol, or a setting. */
  readonly what: string;
  /** Why, in words. */
  readonly why: string;
  /** Nodes by equal rules; the largest group first. */
  readonly groups: readonly (readonly string[])[];
}

export class AllNodes {
  readonly family: IpFamily;
  readonly #state: ClusterState;
  readonly #builder = new BlockBuilder(new ServiceRuleWriter());
  readonly #classes = new Map<string, NodeClass>();
  readonly #nodes = new Map<string, { readonly context: ProxyContext; readonly nodeClass: NodeClass }>();

  /** `state` has nothing pending; from here on its changes go through `checkout`. */
  constructor(state: ClusterState, nodes: Iterable<ProxyContext>) {
    this.#state = state;
    this.family = state.family;
    for (const context of nodes) this.#add(context);
  }

  #add(context: ProxyContext): void {
    const signature = SETTINGS.map((setting) => setting.of(context)).join('|');
    let nodeClass = this.#classes.get(signature);
    if (nodeClass === undefined) {
      nodeClass = new NodeClass(context);
      const large = this.#state.largeCluster;
      for (const entry of this.#state.order) {
        nodeClass.insert(nodeClass.held.length, new HeldPort(entry, large, context, this.#builder));
      }
      this.#classes.set(signature, nodeClass);
    }
    nodeClass.nodes.push(context);
    nodeClass.names.push(context.nodeName);
    this.#nodes.set(context.nodeName, { context, nodeClass });
  }

  get nodeNames(): readonly string[] {
    return [...this.#nodes.keys()];
  }

  /** How many sets of settings there are among the nodes. */
  get classCount(): number {
    return this.#classes.size;
  }

  #node(name: string): { readonly context: ProxyContext; readonly nodeClass: NodeClass } {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`bug: no node ${JSON.stringify(name)}`);
    return node;
  }

  /** Blocks of a node in canonical order. */
  blocks(name: string): PortBlock[] {
    const { context, nodeClass } = this.#node(name);
    return nodeClass.held.map((held) => held.block(context));
  }

  /** The text of a full sync on a node. */
  text(name: string): string {
    return restoreText(this.#node(name).context, this.blocks(name), () => true, []);
  }

  /** Applies the state's pending changes to all nodes. */
  checkout(): ClusterPatch {
    const { family } = this;
    const change = this.#state.checkout();
    const large = this.#state.largeCluster;
    const services = change.updated.map((record) => record.name);
    const touched = change.updated.flatMap((record) => record.entries);
    const moved = new Map<NodeClass, readonly MovedPort[]>();
    let uniform = true;
    for (const nodeClass of this.#classes.values()) {
      const ports = this.#move(nodeClass, touched, change.removed, large);
      moved.set(nodeClass, ports);
      uniform &&= ports.every((port) => !port.before?.dependence && !port.after?.dependence);
    }
    const known = new Map<string, readonly ChainChange[]>();
    const classes = [...this.#classes.values()];
    const forNode = (name: string): readonly ChainChange[] => {
      const { context, nodeClass } = this.#node(name);
      const ports = moved.get(nodeClass)!;
      const places = ports.flatMap((port) => [port.before?.placeKey(context), port.after?.placeKey(context)]);
      const key = [classes.indexOf(nodeClass), ...places].join('|');
      let changes = known.get(key);
      if (changes === undefined) {
        let counted = false;
        changes = ports.flatMap((port) =>
          diffBlocks(port.before?.block(context), port.after?.block(context), (table, chain) => {
            counted = true;
            return indexOf(nodeClass, context, port.key, table, chain);
          }),
        );
        // Where rules stand in a shared chain depends on all ports before them, special ones too.
        if (!counted || nodeClass.dependentCount === 0) known.set(key, changes);
      }
      return changes;
    };
    const groups = (): PatchGroup[] => {
      const found: PatchGroup[] = [];
      for (const nodeClass of classes) {
        const first = nodeClass.names[0]!;
        if (uniform && nodeClass.dependentCount === 0) {
          found.push({ nodes: nodeClass.names, changes: forNode(first) });
          continue;
        }
        const byChanges = new Map<readonly ChainChange[], string[]>();
        for (const name of nodeClass.names) {
          const changes = forNode(name);
          const group = byChanges.get(changes);
          if (group === undefined) byChanges.set(changes, [name]);
          else group.push(name);
        }
        for (const [changes, nodes] of byChanges) found.push({ nodes, changes });
      }
      return found;
    };
    const updated = new Set(services);
    const textFor = (name: string): string => {
      const { context } = this.#node(name);
      const removed = forNode(name).filter((chain) => chain.kind === 'removed');
      const stale = removed.map((chain) => chain.chain).sort();
      return restoreText(context, this.blocks(name), (block) => updated.has(block.port.service), stale);
    };
    return { family, services, uniform, cleanup: change.cleanup, forNode, groups, textFor };
  }

  /** Puts the new state of the touched ports into a class, in canonical order; its list stays in step with the state's. */
  #move(
    nodeClass: NodeClass,
    touched: readonly PortEntry[],
    removed: readonly PortEntry[],
    large: boolean,
  ): readonly MovedPort[] {
    const { held } = nodeClass;
    const moves: MovedPort[] = [];
    for (const { info } of removed) {
      const at = positionOf(held, info.key);
      const before = held[at];
      nodeClass.remove(at);
      moves.push({ key: info.key, before, after: undefined });
    }
    for (const entry of touched) {
      const { key } = entry.info;
      const at = positionOf(held, key);
      const known = held[at];
      const before = known?.info.key === key ? known : undefined;
      const after = new HeldPort(entry, large, nodeClass.context, this.#builder);
      if (before === undefined) nodeClass.insert(at, after);
      else nodeClass.replace(at, after);
      moves.push({ key, before, after });
    }
    return moves.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Where the rules of nodes differ, and why. Empty: all nodes have the same rules, byte for byte. */
  differences(): Difference[] {
    const found: Difference[] = [];
    const classes = [...this.#classes.values()];
    if (classes.length > 1) {
      for (const setting of SETTINGS) {
        const groups = groupBy(
          [...this.#nodes.values()],
          (node) => setting.of(node.context),
          (node) => node.context.nodeName,
        );
        if (groups.length > 1) found.push({ what: setting.name, why: 'a setting or an address of the node', groups });
      }
    }
    this.#state.order.forEach((entry, i) => {
      const dependence = classes[0]?.held[i]?.dependence;
      if (dependence === undefined) return;
      const nodes = [...this.#nodes.values()];
      // Within a class one block is one object; between classes the settings explain the rest.
      const groups = groupBy(
        nodes,
        (node) => {
          const block = node.nodeClass.held[i]!.block(node.context);
          return classes.length === 1 ? block : `${block.filter}\0${block.dispatch}\0${block.own}`;
        },
        (node) => node.context.nodeName,
      );
      if (groups.length < 2) return;
      const { info } = entry;
      const name = info.portName === '' ? info.service : `${info.service}:${info.portName}`;
      found.push({ what: `${name} ${info.protocol}`, why: whyDiffers(info, dependence), groups });
    });
    return found;
  }

  /** Nodes by equal rules, the largest group first. */
  groups(): (readonly string[])[] {
    const numbers = new Map<PortBlock, number>();
    const numberOf = (block: PortBlock): number => {
      const known = numbers.get(block);
      if (known !== undefined) return known;
      numbers.set(block, numbers.size);
      return numbers.size - 1;
    };
    const classes = [...this.#classes.values()];
    const special = classes.map((nodeClass) => nodeClass.held.filter((held) => held.dependence !== undefined));
    return groupBy(
      [...this.#nodes.values()],
      (node) => {
        const at = classes.indexOf(node.nodeClass);
        return `${at}:${special[at]!.map((held) => numberOf(held.block(node.context))).join(',')}`;
      },
      (node) => node.context.nodeName,
    );
  }
}

function positionOf(held: readonly HeldPort[], key: string): number {
  let low = 0;
  let high = held.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (held[middle]!.info.key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A service port before and after a change, on the nodes of one class. */
interface MovedPort {
  readonly key: string;
  readonly before: HeldPort | undefined;
  readonly after: HeldPort | undefined;
}

/**
 * Where the rules of a port begin in a shared chain. Moves are applied in canonical order, so that the ports before it
 * are as they are after the change.
 */
function indexOf(
  nodeClass: NodeClass,
  node: ProxyContext,
  key: string,
  table: 'filter' | 'nat',
  chain: string,
): number {
  const head = table === 'nat' ? natHead(node) : filterHead(node);
  const fixed = head.filter((rule) => rule.startsWith(`-A ${chain} `)).length;
  const shared = SHARED_CHAINS.findIndex((candidate) => candidate.table === table && candidate.chain === chain);
  const end = positionOf(nodeClass.held, key);
  let index = fixed + nodeClass.counts.sum(shared, end);
  if (nodeClass.dependentCount > 0) {
    const { countIn } = SHARED_CHAINS[shared]!;
    for (let i = 0; i < end; i++) {
      const held = nodeClass.held[i]!;
      if (held.dependence !== undefined) index += countIn(held.block(node)) - countIn(held.common);
    }
  }
  return index;
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => unknown, nameOf: (item: T) => string): string[][] {
  const groups = new Map<unknown, string[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [nameOf(item)]);
    else group.push(nameOf(item));
  }
  return [...groups.values()].sort((a, b) => b.length - a.length);
}

function whyDiffers(port: ServicePortInfo, dependence: Dependence): string {
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
