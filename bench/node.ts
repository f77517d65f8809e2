/** The node of the workloads as a host, and captures carried through its whole pipeline. */
import { VirtualClock } from '../src/base/clock.js';
import type { BuildEngine } from '../src/engine/engine.js';
import { makeDefaultHost } from '../src/host/default-host.js';
import { emptyFrame, type InFrame, type SentFrame } from '../src/host/event.js';
import { Host } from '../src/host/host.js';
import type { RuleSet } from '../src/ruleset/model.js';
import { parseRuleSet } from '../src/ruleset/parse.js';
import { pcapOf } from './frame.js';
import { ACK, BENCH_HOST, SYN, type Workload } from './workloads.js';

const PCAP_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;
const ETHERNET_SIZE = 14;

export function ruleSetOf(workload: Workload): RuleSet {
  const { ruleSet, ok, diagnostics } = parseRuleSet(
    { name: workload.name, text: workload.rules },
    { family: workload.family },
  );
  if (!ok) throw new Error(`bug: workload ${workload.name}: ${diagnostics[0]?.message}`);
  return ruleSet;
}

function macOf(text: string): Uint8Array {
  return Uint8Array.from(text.split(':').map((part) => Number.parseInt(part, 16)));
}

export class Node {
  readonly host: Host;
  readonly #clock = new VirtualClock();
  readonly #frame: InFrame;
  /** What left, counted; the last frame is copied while somebody looks. */
  sentCount = 0;
  #copyTo: Uint8Array[] | undefined;

  constructor(ruleSet: RuleSet | undefined, family: 4 | 6, buildEngine: BuildEngine) {
    const { config, faults } = makeDefaultHost({
      devices: BENCH_HOST.devices.map(({ name }) => name),
      addresses: BENCH_HOST.devices.flatMap(({ name, addresses }) => [
        `${name}=${addresses[4]}`,
        `${name}=${addresses[6]}`,
      ]),
      macs: new Map(BENCH_HOST.devices.map(({ name, mac }) => [name, macOf(mac)])),
    });
    if (faults.length > 0) throw new Error(`bug: bench host: ${faults[0]}`);
    const sent = (frame: SentFrame): void => {
      this.sentCount++;
      this.#copyTo?.push(frame.bytes.slice(frame.start, frame.end));
    };
    this.#clock.advanceTo(1_700_000_000_000_000);
    this.host = new Host(
      { ...config, sysctl: new Map([['net.netfilter.nf_conntrack_max', '4000000']]) },
      {
        ruleSet4: family === 4 ? ruleSet : undefined,
        ruleSet6: family === 6 ? ruleSet : undefined,
        buildEngine,
        seed: 1,
        events: { sent },
        clock: this.#clock,
        assumeNeighbours: true,
      },
    );
    this.#frame = emptyFrame();
    this.#frame.family = family;
  }

  /** Lets virtual time go by. */
  pause(us: number): void {
    this.#clock.advanceTo(this.#clock.nowUs + us);
  }

  /** Carries every record of a classic pcap through the host; its bytes are changed. `fromPods[i]` is 1 for frames that come in by cni0. Returns how many frames left. */
  run(capture: Uint8Array, view: DataView, fromPods: Uint8Array): number {
    const before = this.sentCount;
    const frame = this.#frame;
    const eth0 = this.host.deviceIndex('eth0');
    const cni0 = this.host.deviceIndex('cni0');
    frame.bytes = capture;
    frame.view = view;
    let index = 0;
    for (let at = PCAP_HEADER_SIZE; at < capture.length; index++) {
      const size = view.getUint32(at + 8, true);
      this.#clock.advanceTo(this.#clock.nowUs + 1);
      const start = at + RECORD_HEADER_SIZE;
      frame.start = frame.macOff = start;
      frame.l3Off = start + ETHERNET_SIZE;
      frame.capturedEnd = frame.originalEnd = start + size;
      frame.device = fromPods[index] === 1 ? cni0 : eth0;
      this.host.receive(frame);
      at = start + size;
    }
    return this.sentCount - before;
  }

  /** Carries one frame and returns copies of what left. */
  carry(bytes: Uint8Array, fromPod: boolean): Uint8Array[] {
    const capture = pcapOf([bytes], 0, 0);
    const out: Uint8Array[] = [];
    this.#copyTo = out;
    this.run(capture, new DataView(capture.buffer), Uint8Array.of(fromPod ? 1 : 0));
    this.#copyTo = undefined;
    return out;
  }
}

/** The TCP frame with other flags and numbers, checksum renewed. */
function retold(frame: Uint8Array, family: 4 | 6, flags: number, seq: number, ack: number): Uint8Array {
  const out = frame.slice();
  const view = new DataView(out.buffer);
  const l4 = ETHERNET_SIZE + (family === 4 ? 20 : 40);
  view.setUint32(l4 + 4, seq);
  view.setUint32(l4 + 8, ack);
  out[l4 + 13] = flags;
  view.setUint16(l4 + 16, 0);
  const addressSize = family === 4 ? 8 : 32;
  let sum = 6 + (out.length - l4);
  for (let i = l4 - addressSize; i < l4; i += 2) sum += view.getUint16(i);
  for (let i = l4; i + 1 < out.length; i += 2) sum += view.getUint16(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  view.setUint16(l4 + 16, ~sum & 0xffff);
  return out;
}

/** The frame as its receiver would answer it: addresses and ports exchanged. */
function answered(frame: Uint8Array, family: 4 | 6, srcMac: string, dstMac: string): Uint8Array {
  const out = frame.slice();
  const l3 = ETHERNET_SIZE;
  const size = family === 4 ? 4 : 16;
  const at = l3 + (family === 4 ? 12 : 8);
  const l4 = l3 + (family === 4 ? 20 : 40);
  out.set(macOf(dstMac), 0);
  out.set(macOf(srcMac), 6);
  out.set(frame.subarray(at + size, at + 2 * size), at);
  out.set(frame.subarray(at, at + size), at + size);
  out.set(frame.subarray(l4 + 2, l4 + 4), l4);
  out.set(frame.subarray(l4, l4 + 2), l4 + 2);
  return out;
}

/**
 * Makes of a workload of first packets one of established connections: the first `connections` of them shake hands on
 * `node`, and the capture is `packets` more of theirs, to and fro. It is good for that node only: the ways back are
 * those that its NAT chose.
 */
export function establish(node: Node, workload: Workload, connections: number, packets: number): Workload {
  const { family } = workload;
  const pairs: { readonly there: Uint8Array; readonly back: Uint8Array }[] = [];
  for (const syn of workload.frames.slice(0, connections)) {
    const [forwarded] = node.carry(syn, false);
    if (forwarded === undefined) throw new Error(`bug: ${workload.name}: a first packet did not leave`);
    const reply = answered(forwarded, family, BENCH_HOST.podMac, BENCH_HOST.devices[1].mac);
    node.carry(retold(reply, family, SYN | ACK, 5000, 1001), true);
    const there = retold(syn, family, ACK, 1001, 5001);
    const back = retold(reply, family, ACK, 5001, 1001);
    if (node.carry(there, false).length !== 1 || node.carry(back, true).length !== 1) {
      throw new Error(`bug: ${workload.name}: a connection was not established`);
    }
    pairs.push({ there, back });
  }
  const frames: Uint8Array[] = [];
  const fromPods = new Uint8Array(packets);
  for (let i = 0; i < packets; i++) {
    const pair = pairs[(i >> 1) % pairs.length]!;
    fromPods[i] = i & 1;
    frames.push(i & 1 ? pair.back : pair.there);
  }
  return {
    ...workload,
    name: workload.name.replace('new', 'established'),
    frames,
    fromPods,
    expected: frames.map(() => 'forward'),
    capture: pcapOf(frames, 1_700_000_000_000_000, 10),
  };
}
