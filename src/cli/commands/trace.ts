/** `chainwalk trace RULES|BUNDLE PACKET`: the walk of one packet, told step by step. */
import { type Command, InvalidArgumentError } from 'commander';
import { referenceEngine } from '../../engine/reference/walk.js';
import type { InFrame } from '../../host/event.js';
import type { Host } from '../../host/host.js';
import { WENT_OUT } from '../../replay/direction.js';
import { FrameSource } from '../../replay/frame-source.js';
import type { RecordRole } from '../../replay/packet-result.js';
import { type DescribedPacket, parsePacketText } from '../../replay/packet-text.js';
import { makeReplayHost, type ReplayHost } from '../../replay/replay-host.js';
import { ReplaySession } from '../../replay/session.js';
import { emptyTotals } from '../../replay/totals.js';
import { describeDetails, lookAt } from '../../report/packet-look.js';
import { TraceStory } from '../../report/trace-text.js';
import { Packet } from '../../wire/packet.js';
import { emitIp, sizeOf } from '../../wire/repr.js';
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
  type HostInput,
  type HostInputOptions,
  readHostInput,
  replayHostOptions,
} from '../host-input.js';
import { printDiagnostics, printMessage, printResult } from '../output.js';

interface Options extends HostInputOptions {
  readonly read?: readonly string[];
  readonly packet?: number;
  readonly in?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Room before the IP packet for a link header. */
const HEADROOM = 64;
/** When a described packet comes, where the bundle does not say its time: 2023-11-14. */
const A_MOMENT_US = 1_700_000_000_000_000;

export function register(program: Command): void {
  const command = program
    .command('trace')
    .description('explain one packet: every hook, table, chain and rule it meets, what matched and why not')
    .argument('<rules|bundle>', 'rule file or bundle folder')
    .argument('[packet]', 'the packet in words; or take it from a capture with -r')
    .option(
      '-r, --read <capture>',
      'capture that holds the packet; those before it are replayed first (repeatable, IFACE=FILE)',
      (text: string, before: readonly string[] = []) => [...before, text],
    )
    .option('--packet <n>', 'number of the packet in the capture, from 1', (text) => {
      const value = Number(text);
      if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number, 1 or more');
      return value;
    })
    .option('--in <iface>', 'interface that the packet comes in by (default: the one that leads to its source)')
    .option('--all', 'every rule that did not match on a line of its own')
    .option('--json', 'the steps as JSON')
    .addHelpText(
      'after',
      `
A packet in words: PROTOCOL SOURCE[:PORT] > DESTINATION[:PORT] [words]
  words: TCP flags (syn, ack, …), echo-request, local (sent by the host itself, as
  all with its own source address unless in= is said), df,
  in=IFACE ttl= tos= mark= len= seq= ack= win= mss= id= type= code=

Examples:
  chainwalk trace rules/kubernetes/node1 "tcp 172.30.0.178:40000 > 172.30.1.1:30100 syn"
  chainwalk trace rules/router/router -r pcaps/router/router/any.pcap --packet 12`,
    );
  addHostOptions(command).action(trace);
}

async function trace(rulesPath: string, packetText: string | undefined, options: Options): Promise<void> {
  const captures = parseCaptureArguments(options.read ?? []);
  if ((packetText === undefined) === (captures.length === 0))
    throw new Failure('error: say the packet in words, or a capture with -r CAPTURE --packet N');
  if (captures.length > 0 && options.packet === undefined)
    throw new Failure('error: -r needs --packet N, the number of the packet');
  if (captures.length === 0 && options.packet !== undefined)
    throw new Failure('error: --packet is the number of a packet in a capture: it needs -r CAPTURE');
  if (captures.length > 0) {
    refuseStdinTwice(rulesPath, captures);
    const spooled = await spoolStdin(captures);
    try {
      return await traceCaptured(rulesPath, spooled.captures, options);
    } finally {
      spooled.done();
    }
  }
  const { packet, diagnostics } = parsePacketText(packetText!);
  printDiagnostics(diagnostics);
  if (packet === undefined) {
    process.exitCode = EXIT_BAD_INPUT;
    return;
  }
  const named = options.in ?? packet.inDevice;
  const input = readHostInput(rulesPath, options, named === undefined ? [] : [named], new Set());
  const made = makeHost(input, options);
  const { host } = made;
  // Limits on answers fill up with time: at the beginning of all time there would be none.
  host.clock.advanceTo(input.config.timeUs ?? A_MOMENT_US);
  const story = listen(made, options);
  const isOwn = packet.isLocal || (named === undefined && isOwnAddress(host, packet));
  const frame = frameOf(packet, isOwn, host, named);
  const view = new Packet();
  view.attach(frame.bytes, frame.view);
  if (frame.family === 4) view.parse4(frame.l3Off, frame.capturedEnd, frame.originalEnd);
  else view.parse6(frame.l3Off, frame.capturedEnd, frame.originalEnd);
  const how = isOwn ? "the host's own" : `in by ${host.devices.at(frame.device)?.name ?? '?'}`;
  const before = lookAt(view, -1);
  tell(story, options, `${before.words}, ${describeDetails(before)}`, how, input.assumed, () => {
    if (isOwn) host.sendLocal(frame);
    else host.receive(frame);
  });
}

async function traceCaptured(rulesPath: string, captures: readonly CaptureArgument[], options: Options): Promise<void> {
  const names = await surveyNames(captures);
  const input = readHostInput(rulesPath, options, names.devices, names.bare);
  const made = makeHost(input, options);
  const source = new FrameSource(input.config, captures, {
    inDevices: new Set(options.in === undefined ? [] : [options.in]),
    local: false,
  });
  const totals = emptyTotals();
  totals.captures.push(...captures.map((c) => ({ name: c.name, device: c.device ?? '', records: 0 })));
  // Which packet a frame that left came of, by device and words; and what the session took the packet for.
  const causes = new Map<string, number>();
  let role: RecordRole = 'skipped';
  const session = new ReplaySession(made, source, totals, {
    packet: (result) => {
      role = result.role;
      for (const { device, packet } of result.sent ?? []) causes.set(`${device} ${packet}`, result.number);
    },
  });
  await forEachRecord(captures, (i, record) => session.survey(i, record));
  let found = false;
  const probe = new Packet();
  const faults = await forEachMerged(
    captures,
    (i, record) => {
      if (found) return;
      if (totals.records + 1 !== options.packet) {
        session.replay(i, record);
        return;
      }
      found = true;
      const skipped = source.take(i, record);
      if (skipped !== undefined) throw new Failure(`error: packet ${options.packet} is passed over: ${skipped}`);
      const { frame, way } = source;
      probe.reset();
      probe.attach(frame.bytes, frame.view);
      const malformed =
        frame.family === 4
          ? probe.parse4(frame.l3Off, frame.capturedEnd, frame.originalEnd)
          : probe.parse6(frame.l3Off, frame.capturedEnd, frame.originalEnd);
      const device = source.deviceName(frame.device);
      const look = malformed === 0 ? lookAt(probe, -1) : undefined;
      const words = look === undefined ? 'malformed' : `${look.words}, ${describeDetails(look)}`;
      const how = way === WENT_OUT ? `sent by ${device}` : `in by ${device}`;
      const cause = causes.get(`${device} ${look?.words}`);
      const story = listen(made, options);
      tell(story, options, words, `packet ${options.packet}, ${how}`, [...input.assumed, ...source.assumptions], () => {
        session.replay(i, record);
        if (role === 'confirms') story.ends.push(toldBefore(cause));
        else if (role === 'unexplained')
          story.ends.push('the capture shows that it left, and nothing that came before explains it');
      });
    },
    () => {},
  );
  for (const fault of faults) printMessage(fault);
  if (faults.length > 0) process.exitCode = EXIT_BAD_INPUT;
  if (!found) throw new Failure(`error: there is no packet ${options.packet}: the captures hold ${totals.records}`);
}

const toldBefore = (cause: number | undefined): string =>
  cause === undefined
    ? 'the host sent it on the way of a packet before'
    : `the host sent it when packet ${cause} came: trace that one (--packet ${cause})`;

function makeHost(input: HostInput, options: Options): ReplayHost {
  const made = makeReplayHost(input.config, replayHostOptions(input, options, referenceEngine));
  printDiagnostics(made.host.diagnostics);
  return made;
}

function listen(made: ReplayHost, options: Options): TraceStory {
  const story = new TraceStory(made.conntrack, {
    paint: paintFor(process.stdout),
    all: options.all === true,
    deviceName: (index) => made.host.devices.at(index)?.name ?? '',
  });
  story.attach([made.host.engine(4), made.host.engine(6)]);
  made.connect(story.events());
  return story;
}

/** `before`: the packet in words; `how`: where it comes from. The walk happens between. */
function tell(
  story: TraceStory,
  options: Options,
  before: string,
  how: string,
  assumed: readonly string[],
  walk: () => void,
): void {
  walk();
  const ends = story.ends.length > 0 ? story.ends : ['nothing more was seen of it'];
  if (options.json === true) {
    printResult(`${JSON.stringify({ packet: before, how, assumed, steps: story.steps, ends })}\n`);
    return;
  }
  const paint = paintFor(process.stdout);
  const lines = [`${paint.bold(before)}, ${how}`];
  if (story.lines.length > 0) lines.push('', ...story.lines);
  lines.push('', `before  ${before}`, ...ends.map((end, i) => `${i === 0 ? 'after   ' : '        '}${end}`));
  if (assumed.length > 0) lines.push('', ...assumed.map((sentence) => paint.dim(`assumed: ${sentence}`)));
  printResult(`${lines.join('\n')}\n`);
}

/** Nobody else may send with the host's own address: such a packet is the host's own, unless an interface is named. */
function isOwnAddress(host: Host, packet: DescribedPacket): boolean {
  const { src, family } = packet.ip;
  return host.devices.list.some(
    (device) =>
      (family === 4 && device?.isLoopback === true && src[0] >>> 24 === 127) ||
      (family === 4 ? device?.addresses4 : device?.addresses6)?.some((a) => a.address.every((w, i) => w === src[i])) ===
        true,
  );
}

/** The described packet as a frame on the device that it comes in by: the one named, or the one that its source is behind. */
function frameOf(packet: DescribedPacket, isOwn: boolean, host: Host, named: string | undefined): InFrame {
  const size = sizeOf(packet.ip);
  const bytes = new Uint8Array(HEADROOM + size + HEADROOM);
  emitIp(packet.ip, bytes, HEADROOM);
  let device = named === undefined ? 0 : host.deviceIndex(named);
  if (named !== undefined && device === 0) throw new Failure(`error: the host has no interface "${named}"`);
  if (device === 0) device = host.deviceTowards(packet.ip.family, isOwn ? packet.ip.dst : packet.ip.src);
  if (device === 0) throw new Failure('error: no route tells the interface of the packet: say it with --in IFACE');
  return {
    bytes,
    view: new DataView(bytes.buffer),
    start: 0,
    l3Off: HEADROOM,
    capturedEnd: HEADROOM + size,
    originalEnd: HEADROOM + size,
    family: packet.ip.family,
    device,
    macOff: -1,
    pktType: 0,
    offloaded: false,
    ...(packet.mark === 0 ? {} : { mark: packet.mark }),
  };
}
