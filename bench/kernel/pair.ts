/** The kernel's contenders, ready to be measured: verdicts looked at first, packets counted afterwards. */
import { type Carrier, type Pair, VERDICTS } from '../marginal.js';
import { wrongVerdict } from '../verdict.js';
import type { Workload } from '../workloads.js';
import type { KernelNode, Lab } from './lab.js';
import { endOfWay } from './nft-text.js';
import type { KernelTable } from './table.js';

/** Processor time that a batch should take. */
const BATCH_NS = 30e6;
const FEWEST = 100;

export interface KernelPair extends Pair {
  /** Throws if the kernel has not seen, to its end, every packet that was sent. */
  settle(): void;
  remove(): void;
}

class KernelCarrier implements Carrier {
  readonly node: KernelNode;
  readonly #lab: Lab;
  readonly #most: number;
  #batch = FEWEST;
  #at = 0;
  sentCount = 0;

  constructor(lab: Lab, node: KernelNode, most: number) {
    this.#lab = lab;
    this.node = node;
    this.#most = most;
  }

  async cost(): Promise<number> {
    // The first packets find cold caches.
    await this.#send(Math.ceil(this.#batch / 10));
    const batch = this.#batch;
    const ns = (await this.#send(batch)) / batch;
    this.#batch = Math.round(Math.min(this.#most, Math.max(FEWEST, BATCH_NS / ns)));
    return ns;
  }

  async #send(count: number): Promise<number> {
    const { cpuNs } = await this.#lab.run(this.node, this.#at, count);
    this.#at += count;
    this.sentCount += count;
    return cpuNs;
  }
}

/** Packets that `iptables`' own rules and ours at the end have stopped. */
function ended(lab: Lab, node: KernelNode): number {
  const listed = lab.exec(node, 'nft', ['list', 'table', 'ip', 'cwbk']);
  return Number(/counter packets (\d+)/.exec(listed)![1]);
}

/** Of the first `count` packets sent round and round, how many get to FORWARD's end: in a blacklist not all do. */
function reaching(workload: Workload, count: number): number | undefined {
  if (workload.table === 'nat') return count;
  if (workload.expected.length === 0) return undefined;
  const isForwarded = workload.expected.map((e) => (e === 'forward' ? 1 : 0) as number);
  const whole = isForwarded.reduce((a, b) => a + b, 0);
  const rest = isForwarded.slice(0, count % isForwarded.length).reduce((a, b) => a + b, 0);
  return Math.floor(count / isForwarded.length) * whole + rest;
}

/** Loads a table on a new node and the same without rules on another, and looks at verdicts. Frames must be loaded. */
export async function kernelPair(lab: Lab, table: KernelTable, workload: Workload): Promise<KernelPair> {
  const carriers: KernelCarrier[] = [];
  for (const withRules of [true, false]) {
    const node = lab.node();
    table.load(lab, node, workload, withRules);
    if (withRules) {
      const wrong = wrongVerdict(workload, await lab.look(node, VERDICTS));
      if (wrong !== undefined) throw new Error(`${table.name}, ${workload.name}: ${wrong}`);
      lab.exec(node, 'conntrack', ['-F']);
    }
    lab.exec(node, 'nft', ['-f', '-'], endOfWay(workload.table));
    carriers.push(new KernelCarrier(lab, node, workload.frames.length));
  }
  const [withTable, withoutTable] = carriers as [KernelCarrier, KernelCarrier];
  return {
    contender: table.name,
    withTable,
    withoutTable,
    settle: () => {
      for (const carrier of carriers) {
        const seen = ended(lab, carrier.node);
        const sent = carrier === withTable ? reaching(workload, carrier.sentCount) : carrier.sentCount;
        if (sent !== undefined && seen !== sent) {
          throw new Error(`${table.name}, ${workload.name}: ${seen} packets came to their end, not ${sent}`);
        }
      }
    },
    remove: () => {
      for (const { node } of carriers) lab.remove(node);
    },
  };
}
