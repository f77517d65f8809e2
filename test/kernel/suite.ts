/** Runs many generated cases in several namespaces at a time, shrinks what fails, and counts what agreed. */
import fc from 'fast-check';
import { Rng } from '../../src/base/rng.js';
import type { Family } from '../../src/net/netfilter.js';
import type { CaseRecord, HostOutcome } from './case-record.js';
import { compare, type Difference } from './compare.js';
import { type EngineName, emulate, loadAndSave } from './emulator.js';
import { Evidence } from './evidence.js';
import { reportFailure } from './failure.js';
import { writeEvidence } from './fidelity.js';
import { arbRuleSet, LOGGING, usesOf } from './generate/rule-set.js';
import { arbTraffic } from './generate/traffic.js';
import { arbWrongRules } from './generate/wrong.js';
import { type CaseSpec, loadWrong, playOnKernel, replayOnKernel } from './judge.js';
import { Kernel } from './kernel.js';
import { Mutex } from './mutex.js';

export interface SuiteOptions {
  readonly cases: number;
  readonly seed: number;
  readonly jobs: number;
  readonly families: readonly Family[];
  readonly only: string | undefined;
  readonly engines: readonly EngineName[];
  readonly selfCheck: boolean;
  readonly wrong: boolean;
  readonly outDir: string | undefined;
  readonly mostFailures: number;
  readonly evidence: boolean;
  readonly json: boolean;
  /** LOG lines can be had. */
  readonly log: boolean;
}

/** Cases between two looks at how far the other jobs are; also the unit that a seed of its own starts. */
const CHUNK = 25;
/** Longest time for a chunk with the shrinking of its failure, milliseconds. */
const SHRINK_MS = 15_000;

export interface Failure {
  readonly record: CaseRecord;
  readonly engine: string;
  readonly differences: readonly Difference[];
}

class CaseFailed extends Error {}

function arbCase(family: Family): fc.Arbitrary<CaseSpec> {
  return fc.record({
    rules: arbRuleSet(family),
    traffic: arbTraffic(family),
    fresh: fc.nat({ max: 11 }).map((n) => n === 1),
  });
}

/**
 * A port search with a random start may have happened (a target that asks for one, or a connection whose source port is
 * not what it was): the kernel need not agree with itself.
 */
function searchesPorts(record: CaseRecord): boolean {
  if (/--random|-j MASQUERADE .*--to-ports|--to-source \S*\d-\d/.test(record.rules)) return true;
  return record.kernel.connections.split('\n').some((line) => {
    const ports = [...line.matchAll(/ (?:sport|id)=(\d+)(?: dport=(\d+))?/g)];
    return ports.length === 2 && ports[0]![1] !== (ports[1]![2] ?? ports[1]![1]);
  });
}

class Suite {
  readonly #options: SuiteOptions;
  readonly evidence = new Evidence();
  readonly failures: Failure[] = [];
  readonly #logLock = new Mutex();
  readonly #turns = new Map<Kernel, Mutex>();
  #nextChunk = 0;
  /** Cases handed out to jobs. */
  #taken = 0;
  passed = 0;
  /** Cases whose difference did not come again: the machine's, or another's log line. */
  unstable = 0;
  #started = Date.now();

  constructor(options: SuiteOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { jobs } = this.#options;
    await Promise.all(Array.from({ length: jobs }, (_, job) => this.#job(job)));
  }

  async #job(job: number): Promise<void> {
    const kernels = new Map<Family, Kernel>();
    const kernelFor = async (family: Family) => {
      const kernel = kernels.get(family) ?? (await Kernel.start(family, { log: this.#options.log }));
      kernels.set(family, kernel);
      return kernel;
    };
    try {
      while (this.#taken < this.#options.cases && this.failures.length < this.#options.mostFailures) {
        const chunk = this.#nextChunk++;
        const { families } = this.#options;
        const family = families.length === 1 ? families[0]! : chunk % 5 < 3 ? 4 : 6;
        const size = Math.min(CHUNK, this.#options.cases - this.#taken);
        this.#taken += size;
        await this.#chunk(await kernelFor(family), chunk, size);
        this.#progress(job);
      }
    } finally {
      for (const kernel of kernels.values()) kernel.stop();
    }
  }

  async #chunk(kernel: Kernel, chunk: number, size: number): Promise<void> {
    const seed = (this.#options.seed + chunk * 7919) | 0;
    const rng = new Rng(seed);
    const random = () => rng.u32() / 0x100000000;
    let failure: Failure | undefined;
    const judged = async (record: CaseRecord, again: () => Promise<CaseRecord>) => {
      const first = await this.#judge(kernel, record);
      if (first === undefined) return;
      // A second opinion before anything is called a difference, or a smaller case the same.
      const found = await this.#judge(kernel, await again());
      if (found !== undefined) {
        failure = found;
        throw new CaseFailed(found.differences[0]!.text);
      }
      if (failure !== undefined) return;
      this.unstable++;
      if (!this.#options.json) process.stdout.write(`not the same twice: ${first.differences[0]!.text}\n`);
    };
    const turn = this.#turns.get(kernel) ?? new Mutex();
    this.#turns.set(kernel, turn);
    const count = (record: CaseRecord) => {
      if (failure !== undefined) return;
      this.passed++;
      this.evidence.add(record);
    };
    const name = `seed ${this.#options.seed}, chunk ${chunk}`;
    const property: fc.IAsyncProperty<[string]> | fc.IAsyncProperty<[CaseSpec]> = this.#options.wrong
      ? fc.asyncProperty(arbWrongRules(kernel.family), async (rules) => {
          const load = () => turn.hold(() => loadWrong(kernel, rules, name));
          const record = await load();
          await judged(record, load);
          count(record);
        })
      : fc.asyncProperty(arbCase(kernel.family), async (spec) => {
          const { only } = this.#options;
          if (only !== undefined && !usesOf(spec.rules).has(only)) return;
          const play = () => playOnKernel(kernel, spec, random, name);
          const run = async () => {
            const record = await play();
            await judged(record, play);
            count(record);
          };
          const logs = LOGGING.some((l) => usesOf(spec.rules).has(l));
          // A case that shrinking has given up may still be on its way: one at a time in each namespace.
          const alone = () => turn.hold(run);
          await (logs && this.#options.log ? this.#logLock.hold(alone) : alone());
        });
    const result = await fc.check<unknown>(property as fc.IAsyncProperty<unknown>, {
      seed,
      numRuns: size,
      // A failing case is made smaller for so long.
      interruptAfterTimeLimit: SHRINK_MS,
      markInterruptAsFailure: false,
    });
    if (result.failed && failure !== undefined) {
      this.failures.push(failure);
      reportFailure(failure, this.#options);
    } else if (result.errorInstance instanceof Error && !(result.errorInstance instanceof CaseFailed)) {
      throw result.errorInstance;
    }
  }

  /** Undefined: agreed. */
  async #judge(kernel: Kernel, record: CaseRecord): Promise<Failure | undefined> {
    if (this.#options.selfCheck) {
      const fresh = record.fresh;
      const again = await replayOnKernel(kernel, record, fresh);
      const differences = compare(record, again.kernel);
      if (differences.length === 0) return undefined;
      if (searchesPorts(record)) {
        this.evidence.selfCheckFreeChoices++;
        return undefined;
      }
      return { record, engine: 'the kernel again', differences };
    }
    if (this.#options.wrong) {
      const differences = compare(record, loadAndSave(record));
      return differences.length === 0 ? undefined : { record, engine: 'reading and printing', differences };
    }
    for (const engine of this.#options.engines) {
      let outcome: HostOutcome;
      try {
        outcome = emulate(record, engine);
      } catch (e) {
        const text = e instanceof Error ? (e.stack ?? e.message) : String(e);
        return { record, engine, differences: [{ where: 'frames', text: `exception: ${text}` }] };
      }
      const differences = compare(record, outcome);
      if (differences.length > 0) return { record, engine, differences };
    }
    return undefined;
  }

  #progress(job: number): void {
    if (this.#options.json || job !== 0 || !process.stderr.isTTY) return;
    const seconds = (Date.now() - this.#started) / 1000;
    process.stderr.write(`\r${this.passed} cases, ${(this.passed / seconds).toFixed(1)}/s `);
  }

  get seconds(): number {
    return (Date.now() - this.#started) / 1000;
  }
}

export async function runSuite(options: SuiteOptions): Promise<number> {
  if (!options.json) process.stdout.write(`kernel suite: seed ${options.seed}\n`);
  const suite = new Suite(options);
  await suite.run();
  const { evidence, failures, passed, unstable } = suite;
  const rate = passed / suite.seconds;
  if (options.evidence) writeEvidence(evidence, options, { passed, failed: failures.length, unstable, rate });
  if (options.json) {
    const summary = {
      seed: options.seed,
      passed,
      failed: failures.length,
      unstable,
      packets: evidence.packets,
      frames: evidence.frames,
      refused: evidence.refused,
      casesPerSecond: Number(rate.toFixed(1)),
      parts: Object.fromEntries(evidence.parts),
      features: Object.fromEntries([...evidence.features].sort()),
    };
    process.stdout.write(`${JSON.stringify(summary)}\n`);
  } else {
    process.stdout.write(
      `${evidence.packets} packets in, ${evidence.frames} frames out, ${evidence.refused} rule sets refused, ` +
        `${rate.toFixed(1)} cases a second${unstable > 0 ? `, ${unstable} not the same twice` : ''}\n` +
        `${passed} passed, ${failures.length} failed (seed ${options.seed})\n`,
    );
  }
  return failures.length === 0 ? 0 : 1;
}
