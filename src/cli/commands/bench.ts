/** `chainwalk bench RULES|BUNDLE CAPTURE…`: what these rules cost these packets, here. */
import { type Command, InvalidArgumentError } from 'commander';
import { compiledEngine } from '../../engine/compiled/engine.js';
import type { BuildEngine } from '../../engine/engine.js';
import { referenceEngine } from '../../engine/reference/walk.js';
import type { Host } from '../../host/host.js';
import type { Family } from '../../net/netfilter.js';
import { WENT_IN } from '../../replay/direction.js';
import { FrameSource } from '../../replay/frame-source.js';
import { PacketBatch } from '../../replay/packet-batch.js';
import { makeReplayHost } from '../../replay/replay-host.js';
import { type BenchResult, printBench } from '../../report/bench-text.js';
import type { RuleSet } from '../../ruleset/model.js';
import { parseRuleSet } from '../../ruleset/parse.js';
import {
  type CaptureArgument,
  forEachMerged,
  parseCaptureArguments,
  refuseStdinTwice,
  spoolStdin,
  surveyNames,
} from '../capture-input.js';
import { EXIT_BAD_INPUT, Failure } from '../failure.js';
import {
  addHostShapeOptions,
  type HostInput,
  type HostShapeOptions,
  readHostInput,
  replayHostOptions,
} from '../host-input.js';
import { printMessage, printResult } from '../output.js';

interface Options extends HostShapeOptions {
  readonly json?: boolean;
  readonly packets: number;
  readonly seconds: number;
}

/** Shorter rounds are lost in noise; in longer ones the reference gets only the first packets. */
const SHORTEST_ROUND_MS = 10;
const LONGEST_ROUND_MS = 250;
const WARM_MS = 300;
const FEWEST_PACKETS = 20;
const FEWEST_ROUNDS = 5;

export function register(program: Command): void {
  const command = program
    .command('bench')
    .description('measure what rules cost the packets of a capture: both engines, with the rules and without')
    .argument('<rules|bundle>', 'rule file (iptables-save, ip6tables-save) or bundle folder')
    .argument('<captures...>', 'pcap or pcapng, gzip too; IFACE=FILE names the interface; - is standard input')
    .option('--packets <n>', 'packets kept in memory, from the first on', parsePositive, 100_000)
    .option('--seconds <n>', 'how long to measure', parsePositive, 5)
    .option('--json', 'the figures as one JSON object')
    .addHelpText('after', '\nExample:\n  chainwalk bench rules/router/router pcaps/router/router/lan0.pcap');
  addHostShapeOptions(command).action(bench);
}

function parsePositive(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError('a number above 0');
  return value;
}

async function bench(rulesPath: string, captureWords: readonly string[], options: Options): Promise<void> {
  const named = parseCaptureArguments(captureWords);
  refuseStdinTwice(rulesPath, named);
  const { captures, done } = await spoolStdin(named);
  try {
    const names = await surveyNames(captures);
    const input = readHostInput(rulesPath, options, names.devices, names.bare);
    const { batch, passedOver, faults } = await gather(input, captures, options.packets);
    if (batch.count === 0) throw new Failure('error: no packet of the captures came in: there is nothing to measure');
    const result = { ...measure(input, batch, options), passedOver };
    printResult(options.json === true ? `${JSON.stringify(result)}\n` : printBench(result));
    for (const fault of faults) printMessage(fault);
    if (faults.length > 0) process.exitCode = EXIT_BAD_INPUT;
  } finally {
    done();
  }
}

/** Packets that came in, up to `most`; what else the captures hold is counted by reason. */
async function gather(
  input: HostInput,
  captures: readonly CaptureArgument[],
  most: number,
): Promise<{ batch: PacketBatch; passedOver: Record<string, number>; faults: string[] }> {
  const source = new FrameSource(input.config, captures, { inDevices: new Set(), local: false });
  const batch = new PacketBatch();
  const passedOver: Record<string, number> = {};
  const faults = await forEachMerged(
    captures,
    (i, record) => {
      const reason =
        source.take(i, record) ??
        (source.way !== WENT_IN || source.isLoopback
          ? 'sent by the host'
          : batch.count >= most
            ? 'beyond --packets'
            : undefined);
      if (reason === undefined) batch.add(source.frame, record.timeUs);
      else passedOver[reason] = (passedOver[reason] ?? 0) + 1;
    },
    () => {},
  );
  return { batch, passedOver, faults };
}

/** Asks for states of connections where no packet comes by, so that a host without rules tracks them too. */
const TRACKING_ONLY =
  '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -o lo -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n';

function withoutRules(family: Family, isTracking: boolean): RuleSet | undefined {
  return isTracking ? parseRuleSet({ name: 'tracking', text: TRACKING_ONLY }, { family }).ruleSet : undefined;
}

function makeHost(
  input: HostInput,
  options: Options,
  ruleSets: readonly (RuleSet | undefined)[],
  build: BuildEngine,
): Host {
  const [ruleSet4, ruleSet6] = ruleSets;
  return makeReplayHost(input.config, replayHostOptions({ ruleSet4, ruleSet6, isPlain: input.isPlain }, options, build))
    .host;
}

class Contender {
  readonly name: string;
  /** Nanoseconds a packet, round by round. */
  readonly costs: number[] = [];
  /** Packets of a run, from the first on; and runs of a round. */
  packets: number;
  #runs = 1;
  readonly #run: (count: number) => void;

  constructor(name: string, packets: number, run: (count: number) => void) {
    this.name = name;
    this.#run = run;
    this.packets = packets;
  }

  /** Runs until the code is compiled, and finds how many packets and runs make a round. */
  warm(): void {
    const all = this.packets;
    let warmMs = 0;
    this.packets = Math.min(all, FEWEST_PACKETS);
    for (;;) {
      const ms = this.#time() / 1e6;
      warmMs += ms;
      if (ms > LONGEST_ROUND_MS / 2) return;
      if (this.packets < all) this.packets = Math.min(all, this.packets * 2);
      else if (ms < SHORTEST_ROUND_MS) this.#runs *= 2;
      else if (warmMs > WARM_MS) return;
    }
  }

  round(): void {
    this.costs.push(this.#time() / (this.packets * this.#runs));
  }

  #time(): number {
    const from = process.cpuUsage();
    for (let i = 0; i < this.#runs; i++) this.#run(this.packets);
    const { user, system } = process.cpuUsage(from);
    return (user + system) * 1000;
  }
}

function measure(input: HostInput, batch: PacketBatch, options: Options): BenchResult {
  const ruleSets = [input.ruleSet4, input.ruleSet6];
  const ruleCount = ruleSets.reduce((sum, set) => sum + (set === undefined ? 0 : countRules(set)), 0);
  const floor = batch.floor(ruleCount);
  const carried = (name: string, host: Host): Contender =>
    new Contender(name, batch.count, (count) => batch.run(host, count));
  const ruled = makeHost(input, options, ruleSets, compiledEngine);
  const empty = ([4, 6] as const).map((family) => withoutRules(family, ruled.isTracking(family)));
  const contenders = [
    new Contender('floor', batch.count, () => floor()),
    carried('compiled', ruled),
    carried('without rules', makeHost(input, options, empty, compiledEngine)),
    carried('reference', makeHost(input, options, ruleSets, referenceEngine)),
  ];
  for (const contender of contenders) contender.warm();
  const until = performance.now() + options.seconds * 1000;
  for (let round = 0; round < FEWEST_ROUNDS || performance.now() < until; round++) {
    for (const contender of contenders) contender.round();
  }
  const [, compiled, without, reference] = contenders.map(({ costs }) => costs);
  return {
    rules: ruleCount,
    packets: batch.count,
    contenders: contenders.map(({ name, packets, costs }) => ({
      name,
      packets,
      rounds: costs.length,
      ...summary(costs),
    })),
    marginal: {
      compiled: summary(compiled!.map((ns, i) => ns - without![i]!)),
      reference: summary(reference!.map((ns, i) => ns - without![i]!)),
    },
  };
}

function countRules(ruleSet: RuleSet): number {
  let count = 0;
  for (const table of ruleSet.tables) for (const chain of table.chains.values()) count += chain.rules.length;
  return count;
}

/** Median, and half the width of the middle half. */
function summary(values: readonly number[]): { medianNs: number; spreadNs: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!;
  return { medianNs: at(0.5), spreadNs: (at(0.75) - at(0.25)) / 2 };
}
