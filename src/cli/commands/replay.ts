/** `chainwalk replay RULES|BUNDLE CAPTURE…`: what the host does to each packet of the captures. */
import { statSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { printEntries } from '../../conntrack/print.js';
import { FrameSource } from '../../replay/frame-source.js';
import { makeReplayHost } from '../../replay/replay-host.js';
import { ReplaySession, type SessionSinks } from '../../replay/session.js';
import { spanningRules } from '../../replay/spread.js';
import { emptyTotals, type ReplayTotals } from '../../replay/totals.js';
import { printReplaySummary } from '../../report/replay-text.js';
import type { RuleSet } from '../../ruleset/model.js';
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
import {
  addHostOptions,
  buildEngineOf,
  type HostInput,
  type HostInputOptions,
  makeHostInput,
  readHostSources,
  replayHostOptions,
  wholeNumber,
} from '../host-input.js';
import { printDiagnostics, printMessage, printResult } from '../output.js';
import { startProgress } from '../progress.js';
import { replayAsJobs } from '../replay-jobs.js';
import { FrameWriter, saveRules, writeText } from '../replay-output.js';

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
  readonly jobs: number;
}

/** What a replay comes to, however many have done it. */
interface Replayed {
  readonly totals: ReplayTotals;
  /** As `conntrack -L` lists them; asked for only where it is wanted. */
  readonly connections: () => string;
  /** What was wrong with the captures, rendered. */
  readonly faults: readonly string[];
}

/** Worker threads that a replay may have. */
const MOST_JOBS = 64;
/** Rules that are named where they keep a replay from being spread. */
const MOST_NAMED = 5;

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
    .option(
      '--jobs <n>',
      'worker threads that share the packets, by connection; the result is that of one job',
      wholeNumber(1, MOST_JOBS),
      1,
    )
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
  const sources = readHostSources(rulesPath, options);
  const input = makeHostInput(sources, options, names.devices, names.bare);
  const known = new Set(input.config.devices.map((d) => d.name));
  for (const name of [...captures.flatMap((c) => c.device ?? []), ...(options.in ?? [])]) {
    if (!known.has(name))
      throw new Failure(`error: the host has no interface "${name}" (it has ${[...known].join(', ')})`);
  }
  const writer = options.write === undefined ? undefined : new FrameWriter(options.write);
  const { totals, connections, faults } =
    options.jobs > 1 && mayBeSpread(input, options)
      ? await replayAsJobs({
          setup: {
            sources,
            options,
            devices: names.devices,
            bare: names.bare,
            captures,
            inDevices: new Set(options.in ?? []),
            local: options.local === true,
            wants: {
              frames: writer !== undefined,
              results: options.json === true,
              log: options.log === true,
              list: options.conntrack !== undefined,
            },
          },
          input,
          jobs: options.jobs,
          writer,
          asOne: () => replayAsOne(input, captures, options, writer),
        })
      : await replayAsOne(input, captures, options, writer);
  writer?.close();
  saveRules(options, totals.ruleSets);
  if (options.conntrack !== undefined) writeText(options.conntrack, connections());
  if (options.json !== true) {
    const text = printReplaySummary(totals, ruleSetsOf(input), {
      paint: paintFor(stdoutTaken ? process.stderr : process.stdout),
      topRules: options.rules === 0 ? Number.POSITIVE_INFINITY : options.rules,
    });
    if (stdoutTaken) printMessage(text.trimEnd());
    else printResult(text);
  }
  for (const fault of faults) printMessage(fault);
  if (faults.length > 0) process.exitCode = EXIT_BAD_INPUT;
}

const ruleSetsOf = (input: HostInput): RuleSet[] =>
  [input.ruleSet4, input.ruleSet6].filter((r): r is RuleSet => r !== undefined);

/** False, and said why: rules keep state that all packets share. */
function mayBeSpread(input: HostInput, options: Options): boolean {
  const spanning = spanningRules(ruleSetsOf(input), input.config.nfacct);
  if (spanning.length === 0) return true;
  printMessage(`note: --jobs ${options.jobs} runs as one job, as these rules keep state that spans connections:`);
  for (const rule of spanning.slice(0, MOST_NAMED)) printMessage(`  ${rule}`);
  if (spanning.length > MOST_NAMED) printMessage(`  … and ${spanning.length - MOST_NAMED} more`);
  return false;
}

async function replayAsOne(
  input: HostInput,
  captures: readonly CaptureArgument[],
  options: Options,
  writer: FrameWriter | undefined,
): Promise<Replayed> {
  const made = makeReplayHost(input.config, replayHostOptions(input, options, buildEngineOf(options)));
  printDiagnostics(made.host.diagnostics);
  const sinks: SessionSinks = {};
  if (writer !== undefined) {
    sinks.frame = ({ hasEthernet, bytes, start, end, originalEnd }, device, seconds, nanoseconds) =>
      writer.add(device, hasEthernet, seconds, nanoseconds, bytes, start, end - start, originalEnd - start);
  }
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
  return { totals, connections: () => printEntries(made.conntrack.entries), faults };
}
