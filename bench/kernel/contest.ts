/** One workload, our engines and the kernel's tables in turns: what each table costs a packet. */
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import { enginePair, floorPair, type Marginal, measureMarginal, type Pair } from '../marginal.js';
import type { Workload } from '../workloads.js';
import { kernelLacks, Lab } from './lab.js';
import { type KernelPair, kernelPair } from './pair.js';
import { KERNEL_TABLES } from './table.js';

/** The reference walks every rule: it gets few packets, and above this many rules none. */
const REFERENCE_RULES = 100_000;
const REFERENCE_PACKETS = 200;

export interface ContestOptions {
  readonly rounds: number;
  /** Names of the kernel's contenders; all that can have the workload if undefined. */
  readonly tables?: readonly string[];
  readonly reference: boolean;
  /** Told what is under way: the largest tables take the kernel's programs a minute each. */
  readonly say?: (what: string) => void;
}

/** Without the kernel where this machine does not let us measure it: `kernelLacks` says why. */
export async function contest(workload: Workload, options: ContestOptions): Promise<Marginal[]> {
  const engines: Pair[] = [
    floorPair(workload),
    enginePair('compiled', workload, compiledEngine, workload.frames.length),
  ];
  if (options.reference && workload.ruleCount <= REFERENCE_RULES) {
    engines.push(enginePair('reference', workload, referenceEngine, REFERENCE_PACKETS));
  }
  if (kernelLacks() !== undefined) return measureMarginal(workload, engines, options.rounds);
  const lab = await Lab.open();
  try {
    await lab.load(workload.capture);
    const kernel: KernelPair[] = [];
    for (const table of KERNEL_TABLES) {
      if (options.tables?.includes(table.name) === false || table.refuses(workload) !== undefined) continue;
      options.say?.(`loading ${table.name}`);
      kernel.push(await kernelPair(lab, table, workload));
    }
    options.say?.(`${options.rounds} rounds`);
    // Batches find their length in the first rounds.
    await measureMarginal(workload, kernel, 2);
    const measured = await measureMarginal(workload, [...engines, ...kernel], options.rounds);
    options.say?.("reading the kernel's counters");
    for (const pair of kernel) pair.settle();
    return measured;
  } finally {
    lab.close();
  }
}
