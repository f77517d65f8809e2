/** `chainwalk replay RULES|BUNDLE CAPTURE…`: what the host does to each packet of the captures. */
import { statSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { LINKTYPE_ETHERNET, LINKTYPE_RAW } from '../../capture/link-type.js';
import { PcapngWriter } from '../../capture/pcapng-writer.js';
import { printEntries } from '../../conntrack/print.js';
import type { SentFrame } from '../../host/event.js';
import { FrameSource } from '../../replay/frame-source.js';
import { makeReplayHost } from '../../replay/replay-host.js';
import { ReplaySession, type SessionSinks } from '../../replay/session.js';
import { emptyTotals } from '../../replay/totals.js';
import { printReplaySummary } from '../../report/replay-text.js';
import type { RuleSet } from '../../ruleset/model.js';
import { printRuleSet } from '../../ruleset/print.js';
import {
  type CaptureArgument,
  forEachMerged,
  forEachRecord,
  parseCaptureArguments,
  refuseStdinTwice,
  spoolStdin,
  surveyNames,
} from '../capture-input.js';
import { paintFor } from '../colour.js';
import { EXIT_BAD_INPUT, Failure } from '../failure.js';
import { addHostOptions, buildEngineOf, type HostInputOptions, readHostInput } from '../host-input.js';
import { OutputFile, printDiagnostics, printMessage, printResult } from '../output.js';
import { startProgress } from '../progress.js';

interface Options extends HostInputOptions {
  readonly write?: string;
  readonly save?: string;
  readonly save6?: string;
  readonly conntrack?: string;
  readonly json?: boolean;
  readonly in?: readonly string[];
  readonly local?: boolean;
  readonly rules: number;
  readonly log?: boolean;
}

/** Bytes of frames that may wait in memory before they are written. */
const WRITE_AT = 1 << 20;
const PCAPNG_OUTBOUND = 2;

export function register(program: Command): void {
  const command = program
    .command('replay')
    .description('run captures through a rule file or a bundle, as the host would')
    .argument(
      '<rules|bundle>',
      'rule file (iptables-save, ip6tables-save) or bundle folder (chainwalk collect makes one)',
    )
    .argument(
      '<captures...>',
      'pcap or pcapng, gzip too; IFACE=FILE names the interface of one that does not say it; - is standard input',
    )
    .option('--write <file>', 'frames that leave, as pcapng')
    .option('--save <file>', 'rules with their counters after the replay, as iptables-save -c')
    .option('--save6 <file>', 'the same for IPv6, where the bundle has both families')
    .option('--conntrack <file>', 'connections after the replay, as conntrack -L -o extended')
    .option('--json', 'one JSON object a packet instead of the summary')
    .option('--log', 'print what LOG and TRACE write, to stderr')
    .option(
      '--in <iface>',
      'every frame of this interface came in (repeatable)',
      (text: string, before: readonly string[] = []) => [...before, text],
    )
    .option('--local', "frames whose direction the capture does not tell are the host's own")
    .option('--rules <n>', 'rules that the summary lists; 0 lists all that counted', parseCount, 10)
    .addHelpText(
      'after',
      '\nExample:\n  chainwalk replay rules/router/router pcaps/router/router/lan0.pcap pcaps/router/router/wan0.pcap --write out.pcapng',
    );
  addHostOptions(command).action(replay);
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('a whole number, 0 or more');
  return value;
}

async function replay(rulesPath: string, captureWords: readonly string[], options: Options): Promise<void> {
  const outputs = [options.write, options.save, options.save6, options.conntrack].filter((path) => path === '-').length;
  if (outputs > 1 || (outputs > 0 && options.json === true))
    throw new Failure('error: only one result can go to standard output');
  const named = parseCaptureArguments(captureWords);
  refuseStdinTwice(rulesPath, named);
  const { captures, done } = await spoolStdin(named);
  try {
    await run(rulesPath, captures, options, outputs > 0);
  } finally {
    done();
  }
}

async function run(
  rulesPath: string,
  captures: readonly CaptureArgument[],
  options: Options,
  stdoutTaken: boolean,
): Promise<void> {
  const names = await surveyNames(captures);
  const input = readHostInput(rulesPath, options, names.devices, names.bare);
  const known = new Set(input.config.devices.map((d) => d.name));
  for (const name of [...captures.flatMap((c) => c.device ?? []), ...(options.in ?? [])]) {
    if (!known.has(name))
      throw new Failure(`error: the host has no interface "${name}" (it has ${[...known].join(', ')})`);
  }
  const made = makeReplayHost(input.config, {
    ruleSet4: input.ruleSet4,
    ruleSet6: input.ruleSet6,
    buildEngine: buildEngineOf(options),
    seed: options.seed,
    hz: options.hz,
    assumeNeighbours: input.isPlain,
  });
  printDiagnostics(made.host.diagnostics);
  const before = [input.ruleSet4, input.ruleSet6].filter((r): r is RuleSet => r !== undefined);
  const writer = options.write === undefined ? undefined : new FrameWriter(options.write);
  const sinks: SessionSinks = {};
  if (writer !== undefined)
    sinks.frame = (frame, device, seconds, nanoseconds) => writer.add(frame, device, seconds, nanoseconds);
  if (options.json === true) sinks.packet = (result) => printResult(`${JSON.stringify(result)}\n`);
  if (options.log === true) sinks.log = (_level, line) => printMessage(line);
  const direction = { inDevices: new Set(options.in ?? []), local: options.local === true };
  const source = new FrameSource(input.config, captures, direction);
  const totals = emptyTotals();
  totals.captures.push(...captures.map((c) => ({ name: c.name, device: c.device ?? '', records: 0 })));
  totals.assumptions.push(...input.assumed);
  const session = new ReplaySession(made, source, totals, sinks);
  await forEachRecord(captures, (i, record) => session.survey(i, record));
  const progress = startProgress(captures.reduce((sum, c) => sum + statSync(c.path).size, 0));
  const faults = await forEachMerged(
    captures,
    (i, record) => session.replay(i, record),
    (bytes) => progress.update(bytes, totals.records),
  );
  progress.stop();
  session.finish();
  writer?.close();
  save(options, totals.ruleSets);
  if (options.conntrack !== undefined) writeText(options.conntrack, printEntries(made.conntrack.entries));
  if (options.json !== true) {
    const text = printReplaySummary(totals, before, {
      paint: paintFor(stdoutTaken ? process.stderr : process.stdout),
      topRules: options.rules === 0 ? Number.POSITIVE_INFINITY : options.rules,
    });
    if (stdoutTaken) printMessage(text.trimEnd());
    else printResult(text);
  }
  for (const fault of faults) printMessage(fault);
  if (faults.length > 0) process.exitCode = EXIT_BAD_INPUT;
}

function save(options: Options, ruleSets: readonly RuleSet[]): void {
  const first = ruleSets.find((r) => r.family === 4) ?? ruleSets[0];
  if (options.save !== undefined && first !== undefined)
    writeText(options.save, printRuleSet(first, { counters: true }));
  if (options.save6 === undefined) return;
  const second = ruleSets.find((r) => r.family === 6);
  if (second === undefined) throw new Failure('error: --save6: there are no IPv6 rules');
  writeText(options.save6, printRuleSet(second, { counters: true }));
}

function writeText(path: string, text: string): void {
  const file = new OutputFile(path);
  file.write(text);
  file.close();
}

/** Frames that leave → pcapng, one interface a device, described when it first sends. */
class FrameWriter {
  readonly #file: OutputFile;
  readonly #pcapng = new PcapngWriter();
  readonly #interfaces = new Map<string, number>();

  constructor(path: string) {
    this.#file = new OutputFile(path);
  }

  add(frame: SentFrame, device: string, seconds: number, nanoseconds: number): void {
    let index = this.#interfaces.get(device);
    if (index === undefined) {
      index = this.#pcapng.addInterface(device, frame.hasEthernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW);
      this.#interfaces.set(device, index);
    }
    const { bytes, start, end, originalEnd } = frame;
    this.#pcapng.addPacket(
      index,
      seconds,
      nanoseconds,
      bytes,
      start,
      end - start,
      originalEnd - start,
      PCAPNG_OUTBOUND,
    );
    if (this.#pcapng.size >= WRITE_AT) this.#file.write(this.#pcapng.take());
  }

  close(): void {
    this.#file.write(this.#pcapng.take());
    this.#file.close();
  }
}
