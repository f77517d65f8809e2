/**
 * What a rule table costs a packet: the cost on a node that has it minus the cost on the same node without, measured in
 * turns, so that a busy machine is busy for both. Costs are processor time, not time by the clock: what other programs
 * take is not counted.
 */
import type { BuildEngine } from '../src/engine/engine.js';
import { parseRuleSet } from '../src/ruleset/parse.js';
import { floorCase } from './contenders.js';
import { Node } from './node.js';
import { wrongVerdict } from './verdict.js';
import type { Workload } from './workloads.js';

/** One node, ready to be measured. */
export interface Carrier {
  /** Carries one batch of packets, the next ones of the capture; nanoseconds a packet. */
  cost(): number | Promise<number>;
}

export interface Pair {
  readonly contender: string;
  readonly withTable: Carrier;
  readonly withoutTable: Carrier;
}

/** Nanoseconds a packet; medians over the rounds. */
export interface Marginal {
  readonly workload: string;
  readonly size: number;
  readonly rules: number;
  readonly contender: string;
  readonly withNs: number;
  readonly withoutNs: number;
  /** Median of the rounds' differences, and half the width of their middle half. */
  readonly marginalNs: number;
  readonly spreadNs: number;
  readonly rounds: number;
}

/** Packets that each contender must have treated rightly before it is measured. */
export const VERDICTS = 300;

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at % 1);
}

/** Measures the pairs in turns. */
export async function measureMarginal(workload: Workload, pairs: readonly Pair[], rounds: number): Promise<Marginal[]> {
  const costs = pairs.map(() => ({ with: [] as number[], without: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, { withTable, withoutTable }] of pairs.entries()) {
      // Whoever goes first finds the other's data in the caches.
      if (round & 1) costs[i]!.without.push(await withoutTable.cost());
      costs[i]!.with.push(await withTable.cost());
      if (!(round & 1)) costs[i]!.without.push(await withoutTable.cost());
    }
  }
  return pairs.map(({ contender }, i) => {
    const { with: dear, without: cheap } = costs[i]!;
    const differences = dear.map((ns, round) => ns - cheap[round]!);
    return {
      workload: workload.name,
      size: workload.size,
      rules: workload.ruleCount,
      contender,
      withNs: quantile(dear, 0.5),
      withoutNs: quantile(cheap, 0.5),
      marginalNs: quantile(differences, 0.5),
      spreadNs: (quantile(differences, 0.75) - quantile(differences, 0.25)) / 2,
      rounds,
    };
  });
}

const EMPTY = ':INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n';
const NAT =
  '*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n';
// Connections are tracked because there is a rule that asks for their state, also where no other does.
const END = '-A FORWARD -j DROP\n-A FORWARD -m conntrack --ctstate NEW -j ACCEPT\n';

/**
 * The rules with an end to every way in FORWARD: connections are never confirmed, each packet is the first of one.
 * Before the other rules of the filter table where that is not what is measured, after them where it is.
 */
export function endedRules(workload: Workload, withRules: boolean): string {
  const { table, rules } = workload;
  if (!withRules) return `*filter\n${EMPTY}${END}COMMIT\n${table === 'nat' ? NAT : ''}`;
  return table === 'nat' ? rules.replace('-A INPUT', `${END}-A INPUT`) : rules.replace(/^COMMIT$/m, `${END}COMMIT`);
}

function nodeOf(text: string, build: BuildEngine): Node {
  const { ruleSet, ok, diagnostics } = parseRuleSet({ name: 'bench', text }, { family: 4 });
  if (!ok) throw new Error(`bug: ${diagnostics[0]?.message}`);
  return new Node(ruleSet, 4, build);
}

/** Runs of the whole pipeline over the first `packets` of the workload's capture, which is copied before each. */
function nodeCarrier(workload: Workload, withRules: boolean, build: BuildEngine, packets: number): Carrier {
  const node = nodeOf(endedRules(workload, withRules), build);
  const size = workload.frames.slice(0, packets).reduce((sum, frame) => sum + 16 + frame.length, 24);
  const original = workload.capture.subarray(0, size);
  const capture = original.slice();
  const view = new DataView(capture.buffer);
  const count = Math.min(packets, workload.frames.length);
  const run = (): void => {
    capture.set(original);
    if (node.run(capture, view, workload.fromPods) !== 0) throw new Error(`bug: ${workload.name}: a packet left`);
  };
  return timed(run, count);
}

/** Warm, then timed call by call. Processor time of this process is of one thread, but for garbage and compilation. */
function timed(run: () => void, count: number): Carrier {
  for (let i = 0; i < 5; i++) run();
  return {
    cost: () => {
      const from = process.cpuUsage();
      run();
      const { user, system } = process.cpuUsage(from);
      return ((user + system) * 1000) / count;
    },
  };
}

/** The cheapest loop possible over the same capture (floor.ts), less nothing. */
export function floorPair(workload: Workload): Pair {
  const floor = floorCase(workload);
  return {
    contender: 'floor',
    withTable: timed(() => floor.run(), floor.items),
    withoutTable: { cost: () => 0 },
  };
}

/** An engine of ours on a workload, after its verdicts were looked at. */
export function enginePair(contender: string, workload: Workload, build: BuildEngine, packets: number): Pair {
  const node = nodeOf(workload.rules, build);
  const sent = workload.frames.slice(0, VERDICTS).map((frame) => node.carry(frame, false)[0]);
  const wrong = wrongVerdict(workload, sent);
  if (wrong !== undefined) throw new Error(`bug: ${contender}, ${workload.name}: ${wrong}`);
  return {
    contender,
    withTable: nodeCarrier(workload, true, build, packets),
    withoutTable: nodeCarrier(workload, false, build, packets),
  };
}
