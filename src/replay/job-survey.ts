/**
 * The first look at all records of a replay that is to be spread over jobs, in their order: which part each belongs to, what
 * teaches hardware addresses, what tells of sockets, and whether there is anything to confirm.
 */
import { growUint32 } from '../base/grow.js';
import type { CaptureRecord } from '../capture/record.js';
import { IPPROTO_TCP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { L4_OK, Packet } from '../wire/packet.js';
import type { SeenSockets } from './captured-sockets.js';
import { WENT_IN, WENT_OUT } from './direction.js';
import { type FrameSource, SKIP_ARP } from './frame-source.js';
import { Partition, REST } from './partition.js';
import type { ReplayHost } from './replay-host.js';
import { WireKey } from './wire-key.js';

/** In place of a part: the record is passed over. */
export const PASSED_OVER = 0xffffffff;
const TCP_SYN = 2;
const TCP_SYN_ACK = 18;
const TCP_SYN_MASK = 0x17;

/** Plain data that tells each worker which records are its own. */
export interface JobPlan {
  /** Part of each record in their order, or PASSED_OVER. */
  readonly partOf: Uint32Array;
  /** Worker of each part. */
  readonly workerOf: Uint8Array;
  readonly partCount: number;
  readonly workerCount: number;
  /** Numbers of the records, from 1 and growing, that tell a hardware address that was not known. */
  readonly teaching: Uint32Array;
  readonly keepsLedger: boolean;
  readonly sockets: SeenSockets;
  readonly seed: number;
}

export class JobSurvey {
  readonly partition: Partition;
  readonly #made: ReplayHost;
  readonly #source: FrameSource;
  readonly #wire: WireKey;
  readonly #probe = new Packet();
  #partOf: Uint32Array = new Uint32Array(1024);
  #count = 0;
  readonly #teaching: number[] = [];
  #keepsLedger = false;

  /** `made`: a host as the workers will make them, of which only what it learns is used; it needs no rules. */
  constructor(made: ReplayHost, source: FrameSource, translated: boolean) {
    this.#made = made;
    this.#source = source;
    this.#wire = new WireKey(made.seed);
    this.partition = new Partition(made.seed, translated);
  }

  get recordCount(): number {
    return this.#count;
  }

  /** The next record. */
  visit(capture: number, record: CaptureRecord): void {
    if (this.#count === this.#partOf.length) this.#partOf = growUint32(this.#partOf, this.#count + 1);
    const at = this.#count++;
    const skipped = this.#source.take(capture, record);
    if (skipped === undefined) this.#partOf[at] = this.#partOfFrame();
    else if (skipped === SKIP_ARP && this.#source.arp.device !== 0) {
      const { device, address, macHigh, macLow } = this.#source.arp;
      this.#partOf[at] = this.partition.add(undefined);
      if (this.#made.host.learnNeighbour(device, 4, address, macHigh, macLow)) this.#teaching.push(at + 1);
    } else this.#partOf[at] = PASSED_OVER;
  }

  #partOfFrame(): number {
    const { frame, way, isLoopback } = this.#source;
    const probe = this.#probe;
    probe.reset();
    probe.attach(frame.bytes, frame.view);
    const fault =
      frame.family === 4
        ? probe.parse4(frame.l3Off, frame.capturedEnd, frame.originalEnd)
        : probe.parse6(frame.l3Off, frame.capturedEnd, frame.originalEnd);
    const { host, sockets } = this.#made;
    if (way === WENT_OUT) {
      this.#keepsLedger = true;
      if (fault === 0) sockets.sawSent(probe);
      if (fault === 0 && host.learnFromSent(frame)) this.#teaching.push(this.#count);
    } else if (!isLoopback && host.learn(frame)) this.#teaching.push(this.#count);
    if (fault !== 0 || (way === WENT_IN && isLoopback)) return this.partition.add(undefined);
    const { partition } = this;
    if (!this.#wire.read(frame.family, frame.view, frame.l3Off, probe.end)) return partition.add(undefined);
    const part = partition.add(this.#wire);
    if (probe.protocol === IPPROTO_TCP && probe.l4State === L4_OK) {
      const flags = probe.f[Field.TcpFlags]! & TCP_SYN_MASK;
      if (flags === TCP_SYN) partition.noteSequence(part, (frame.view.getUint32(probe.l4Off + 4) + 1) >>> 0);
      else if (flags === TCP_SYN_ACK) partition.noteSequence(part, frame.view.getUint32(probe.l4Off + 8));
    }
    return part;
  }

  /** Deals the parts, as far as they are known to be apart, to workers. Undefined: one worker would have nearly all. */
  plan(workerCount: number): JobPlan | undefined {
    const { parts } = this.partition;
    const workerOf = this.partition.deal(workerCount);
    if (workerOf === undefined) return undefined;
    const partOf = this.#partOf.slice(0, this.#count);
    for (let i = 0; i < partOf.length; i++) if (partOf[i] !== PASSED_OVER) partOf[i] = parts.find(partOf[i]!);
    return {
      partOf,
      workerOf,
      partCount: parts.count,
      workerCount,
      teaching: Uint32Array.from(this.#teaching),
      keepsLedger: this.#keepsLedger,
      sockets: this.#made.sockets.seen,
      seed: this.#made.seed,
    };
  }
}

/** Worker that a record is for. */
export function workerOfRecord(plan: JobPlan, part: number): number {
  return plan.workerOf[part === PASSED_OVER ? REST : part]!;
}
