/**
 * The rules of every node of a cluster, in one family. Nodes whose settings agree form a class; a class holds the rules
 * of each service port once, as a node has them that is nowhere special, and once more only where policy, hints or
 * source ranges make a node special. However many nodes, what does not differ exists once.
 */
import type { IpFamily } from './address.js';
import { fill, fillChanges, hasMarks, MARKS } from './detector-mark.js';
import { HeldPort, whyDiffers } from './held-port.js';
import { BlockBuilder, type PortBlock, SHARED_CHAINS } from './proxy/block.js';
import type { ProxyContext } from './proxy/context.js';
import { type ChainChange, diffBlocks } from './proxy/patch.js';
import { filterHead, natHead, restoreText } from './proxy/restore.js';
import { ServiceRuleWriter } from './proxy/service-rules.js';
import { displayName } from './service.js';
import { SharedCounts } from './shared-count.js';
import type { ClusterState } from './state.js';
import type { PortEntry } from './tracker.js';

function detectorText(context: ProxyContext): string {
  return context.detector?.isLocal ?? 'none';
}

/** Settings that make nodes of different classes, with words for a report. */
const SETTINGS: readonly { readonly name: string; readonly of: (context: ProxyContext) => string }[] = [
  { name: 'the local traffic detector', of: detectorText },
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

interface NodeOfClass {
  readonly context: ProxyContext;
  /** The same with marks in place of the detector. */
  readonly marked: ProxyContext;
  readonly nodeClass: NodeClass;
}

class NodeClass {
  readonly context: ProxyContext;
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
  readonly #nodes = new Map<string, NodeOfClass>();

  /** `state` has nothing pending; from here on its changes go through `checkout`. */
  constructor(state: ClusterState, nodes: Iterable<ProxyContext>) {
    this.#state = state;
    this.family = state.family;
    for (const context of nodes) this.#add(context);
  }

  #add(context: ProxyContext): void {
    const marked = context.detector === undefined ? context : { ...context, detector: MARKS };
    const signature = SETTINGS.map((setting) => setting.of(marked)).join('|');
    let nodeClass = this.#classes.get(signature);
    if (nodeClass === undefined) {
      nodeClass = new NodeClass(marked);
      const large = this.#state.largeCluster;
      for (const entry of this.#state.order) {
        nodeClass.insert(nodeClass.held.length, new HeldPort(entry, large, marked, this.#builder));
      }
      this.#classes.set(signature, nodeClass);
    }
    nodeClass.names.push(context.nodeName);
    this.#nodes.set(context.nodeName, { context, marked, nodeClass });
  }

  get nodeNames(): readonly string[] {
    return [...this.#nodes.keys()];
  }

  /** How many sets of settings there are among the nodes. */
  get classCount(): number {
    return this.#classes.size;
  }

  #node(name: string): NodeOfClass {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`bug: no node ${JSON.stringify(name)}`);
    return node;
  }

  #blocks({ marked, nodeClass }: NodeOfClass): PortBlock[] {
    return nodeClass.held.map((held) => held.block(marked));
  }

  /** The text of a full sync on a node. */
  text(name: string): string {
    const node = this.#node(name);
    return fill(
      restoreText(node.marked, this.#blocks(node), () => true, []),
      node.context.detector,
    );
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
    const markedChanges = ({ marked: context, nodeClass }: NodeOfClass): readonly ChainChange[] => {
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
    const forNode = (name: string): readonly ChainChange[] => {
      const node = this.#node(name);
      return fillChanges(markedChanges(node), node.context.detector);
    };
    const groups = (): PatchGroup[] => {
      const found: PatchGroup[] = [];
      for (const nodeClass of classes) {
        if (uniform && nodeClass.dependentCount === 0) {
          const changes = markedChanges(this.#node(nodeClass.names[0]!));
          if (!hasMarks(changes)) {
            found.push({ nodes: nodeClass.names, changes });
            continue;
          }
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
      const node = this.#node(name);
      const removed = markedChanges(node).filter((chain) => chain.kind === 'removed');
      const stale = removed.map((chain) => chain.chain).sort();
      const text = restoreText(node.marked, this.#blocks(node), (block) => updated.has(block.port.service), stale);
      return fill(text, node.context.detector);
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
    if (this.#nodes.size > 1) {
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
          const block = node.nodeClass.held[i]!.block(node.marked);
          return classes.length === 1 ? block : `${block.filter}\0${block.dispatch}\0${block.own}`;
        },
        (node) => node.context.nodeName,
      );
      if (groups.length < 2) return;
      const { info } = entry;
      found.push({ what: `${displayName(info)} ${info.protocol}`, why: whyDiffers(info, dependence), groups });
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
        return `${at}:${special[at]!.map((held) => numberOf(held.block(node.marked))).join(',')}:${detectorText(node.context)}`;
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
