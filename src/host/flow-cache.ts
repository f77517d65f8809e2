/**
 * The short way for packets of established connections: what the whole path did to one packet, it does to the next that
 * differs in nothing that any step looks at. A flow is an IPv4 TCP connection in one direction as it comes in by one
 * device with one TTL, TOS and set of flags (plain ACKs only); what is kept of it is where such packets go, what they
 * look like there, and which rules they count on. Tracking is done as ever: windows, state and timeouts move with
 * every packet; a packet that does not fit its connection takes the long way, and nothing has happened to it.
 *
 * A flow is noted when a packet has gone the long way and the engine says that its walk holds for others too
 * (WalkMemo). It ends with its connection's entry, or with the rule set.
 */
import { WordTable } from '../base/hash-table.js';
import type { ConntrackTable } from '../conntrack/conntrack-table.js';
import type { WalkMemo } from '../engine/engine.js';
import { fold, replaceSum, wordDifference } from '../net/checksum.js';
import {
  type Direction,
  IP_CT_ESTABLISHED,
  IP_CT_ESTABLISHED_REPLY,
  IPS_ASSURED,
  IPS_CONFIRMED,
  PACKET_HOST,
} from '../net/netfilter.js';
import { IPPROTO_TCP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_WIRE, L4_OK } from '../wire/packet.js';
import { sumView } from '../wire/transport-checksum.js';
import type { Devices } from './device.js';
import type { HostEvents, InFrame, SentFrame } from './event.js';
import { ETHERNET_SIZE, HostPacket } from './host-packet.js';

const TCP_ACK = 16;
const TCP_PSH = 8;
const IP_SIZE = 20;
const TCP_SIZE = 20;
/** Device numbers that fit into a key. */
const MAX_DEVICE = 255;
/** Flows kept; then all are forgotten, and noted again as their packets come. */
const MAX_FLOWS = 262_144;

/** Words of a flow. */
const ENTRY = 0;
const DIRECTION = 1;
const SERIAL = 2;
const STATUS = 3;
const OUT_DEVICE = 4;
const MTU = 5;
const SRC = 6;
const DST = 7;
const PORTS = 8;
/** What the checksums' sums grow by. */
const IP_CHANGE = 9;
const TCP_CHANGE = 10;
const MAC_HIGH = 11;
const MAC_LOW = 12;
const WALK = 13;
const CT_STATE = 14;
const FLOW_WORDS = 16;

/** What the cache asks of the pipeline. */
export interface FlowPort {
  readonly conntrack: ConntrackTable;
  readonly devices: Devices;
  readonly events: HostEvents;
  /** Frames that left, by device index. */
  readonly sentCounts: Float64Array;
  /** Of the hash of flows. */
  readonly seed: number;
  /** MTU of the packet's route. */
  mtuOf(packet: HostPacket): number;
  /** The neighbour that the packet goes to is known, not assumed. */
  knowsNeighbour(packet: HostPacket): boolean;
}

export class FlowCache {
  readonly #port: FlowPort;
  #memo: WalkMemo | undefined;
  #version = 0;
  #table: WordTable;
  #flows: Uint32Array = new Uint32Array(64 * FLOW_WORDS);
  #count = 0;
  readonly #key = new Int32Array(4);
  /** The packet on the long way that may become a flow, and how it came. */
  #pending: HostPacket | undefined;
  readonly #pendingKey = new Int32Array(4);
  #pendingLength = 0;
  #pendingIpSum = 0;
  #pendingTcpSum = 0;
  readonly #packet = new HostPacket();
  readonly #frame: SentFrame;

  constructor(port: FlowPort) {
    this.#port = port;
    this.#table = new WordTable(4, 64, port.seed);
    const packet = this.#packet;
    packet.reset();
    packet.family = 4;
    packet.l3Size = IP_SIZE;
    packet.l4State = L4_OK;
    packet.f[Field.Protocol] = IPPROTO_TCP;
    packet.f[Field.PktType] = PACKET_HOST;
    this.#frame = {
      device: 0,
      bytes: packet.bytes,
      start: 0,
      end: 0,
      originalEnd: 0,
      hasEthernet: true,
      origin: 'forwarded',
      packet,
    };
  }

  /** The memo of the engine in force for IPv4; undefined: there is none, and every packet goes the long way. */
  use(memo: WalkMemo | undefined): void {
    const { events, conntrack } = this.#port;
    // Who wants to see every step gets every step. Where checksums are not verified, a partial one would not be noticed.
    const isSeen = events.step !== undefined || events.routed !== undefined;
    this.#memo = isSeen || !conntrack.settings.checksum ? undefined : memo;
    this.#forget();
  }

  #forget(): void {
    this.#version = this.#memo?.version ?? 0;
    this.#table = new WordTable(4, 64, this.#port.seed);
    this.#count = 0;
    this.#pending = undefined;
  }

  /** Forwards the frame if it belongs to a flow; false: it must go the long way. Allocates nothing. */
  forward(frame: InFrame): boolean {
    const memo = this.#memo;
    if (memo === undefined || this.#count === 0) return false;
    if (memo.version !== this.#version) {
      this.#forget();
      return false;
    }
    const { view, l3Off, macOff } = frame;
    if (frame.family !== 4 || macOff < 0 || frame.offloaded || frame.device > MAX_DEVICE) return false;
    if (frame.capturedEnd - l3Off < IP_SIZE + TCP_SIZE || l3Off - frame.start < ETHERNET_SIZE) return false;
    const first = view.getUint32(l3Off);
    const length = first & 0xffff;
    if (first >>> 24 !== 0x45 || length < IP_SIZE + TCP_SIZE || l3Off + length > frame.capturedEnd) return false;
    const second = view.getUint32(l3Off + 4);
    const third = view.getUint32(l3Off + 8);
    if ((second & 0x3fff) !== 0 || ((third >>> 16) & 255) !== IPPROTO_TCP) return false;
    const src = view.getUint32(l3Off + 12);
    const dst = view.getUint32(l3Off + 16);
    const addresses = halves(src) + halves(dst);
    if (fold(addresses + halves(first) + halves(second) + halves(third)) !== 0xffff) return false;
    const l4Off = l3Off + IP_SIZE;
    const ports = view.getUint32(l4Off);
    const offsetAndFlags = view.getUint32(l4Off + 12);
    const flags = (offsetAndFlags >>> 16) & 255;
    if ((flags & ~TCP_PSH) !== TCP_ACK) return false;

    const key = this.#key;
    key[0] = src;
    key[1] = dst;
    key[2] = ports;
    key[3] = (frame.device << 24) | (first & 0xff0000) | ((third >>> 24) << 8) | flags;
    const flow = this.#table.find(key) * FLOW_WORDS;
    if (flow < 0) return false;
    const flows = this.#flows;
    const { conntrack, devices } = this.#port;
    if (frame.pktType !== PACKET_HOST) {
      const device = devices.at(frame.device)!;
      if (frame.pktType >= 0) return false;
      if (view.getUint16(macOff) !== device.macHigh || view.getUint32(macOff + 2) !== device.macLow) return false;
    }
    const entry = flows[flow + ENTRY]!;
    const { entries } = conntrack;
    conntrack.sync();
    if (entries.serial[entry] !== flows[flow + SERIAL]! || entries.status[entry] !== flows[flow + STATUS]!) {
      this.#table.delete(key);
      return false;
    }
    if (entries.nowUs >= entries.deadlineUs[entry]! || length > flows[flow + MTU]!) return false;

    const checksumAndUrgent = view.getUint32(l4Off + 16);
    let sum = addresses + IPPROTO_TCP + length - IP_SIZE + halves(ports) + halves(view.getUint32(l4Off + 4));
    sum += halves(view.getUint32(l4Off + 8)) + halves(offsetAndFlags) + halves(checksumAndUrgent);
    if (length > IP_SIZE + TCP_SIZE) sum += sumView(view, l4Off + TCP_SIZE, l3Off + length);
    if (fold(sum) !== 0xffff) return false;

    const p = this.#packet;
    const { f } = p;
    p.attach(frame.bytes, view);
    p.frameStart = frame.start;
    p.macOff = macOff;
    p.l3Off = l3Off;
    p.l4Off = l4Off;
    p.end = p.wireEnd = l3Off + length;
    p.ct = entry;
    p.ctDir = flows[flow + DIRECTION] as Direction; // written from one
    p.ctInfo = p.ctDir === 0 ? IP_CT_ESTABLISHED : IP_CT_ESTABLISHED_REPLY;
    f[Field.Src0] = src;
    f[Field.Dst0] = dst;
    f[Field.Length] = length;
    f[Field.CtState] = flows[flow + CT_STATE]!;
    if (!conntrack.followAck(p, l4Off)) return false;

    const ttl = (third >>> 24) - 1;
    const portsOut = flows[flow + PORTS]!;
    view.setUint16(l3Off + 8, (ttl << 8) | IPPROTO_TCP);
    view.setUint16(l3Off + 10, replaceSum(third & 0xffff, flows[flow + IP_CHANGE]!));
    view.setUint32(l3Off + 12, flows[flow + SRC]!);
    view.setUint32(l3Off + 16, flows[flow + DST]!);
    view.setUint32(l4Off, portsOut);
    view.setUint16(l4Off + 16, replaceSum(checksumAndUrgent >>> 16, flows[flow + TCP_CHANGE]!));
    const out = flows[flow + OUT_DEVICE]!;
    const device = devices.at(out)!;
    const start = l3Off - ETHERNET_SIZE;
    view.setUint16(start, flows[flow + MAC_HIGH]!);
    view.setUint32(start + 2, flows[flow + MAC_LOW]!);
    view.setUint16(start + 6, device.macHigh);
    view.setUint32(start + 8, device.macLow);
    view.setUint16(start + 12, 0x0800);
    memo.repeat(flows[flow + WALK]!, length);
    this.#port.sentCounts[out]!++;
    if (this.#port.events.sent === undefined) return true;
    f[Field.Src0] = flows[flow + SRC]!;
    f[Field.Dst0] = flows[flow + DST]!;
    f[Field.SrcPort] = portsOut >>> 16;
    f[Field.DstPort] = portsOut & 0xffff;
    f[Field.TcpFlags] = flags;
    f[Field.Tos] = (first >>> 16) & 255;
    f[Field.Ttl] = ttl;
    f[Field.InDev] = frame.device;
    f[Field.OutDev] = out;
    p.receivedOn = frame.device;
    p.outDevice = out;
    const sent = this.#frame;
    sent.device = out;
    sent.bytes = frame.bytes;
    sent.start = start;
    sent.end = sent.originalEnd = l3Off + length;
    this.#port.events.sent(sent);
    return true;
  }

  /** A packet goes the long way, from PREROUTING on. */
  begin(p: HostPacket): void {
    const memo = this.#memo;
    if (memo === undefined) return;
    const { f } = p;
    if (p.family !== 4 || f[Field.Protocol] !== IPPROTO_TCP || p.l3Size !== IP_SIZE || p.l4State !== L4_OK) return;
    const flags = f[Field.TcpFlags]!;
    if ((flags & ~TCP_PSH) !== TCP_ACK || p.isFragment || p.isCut || p.offloaded || p.csum !== CSUM_WIRE) return;
    if (p.macOff < 0 || p.receivedOn > MAX_DEVICE || f[Field.PktType] !== PACKET_HOST) return;
    const { view, l3Off, l4Off } = p;
    const key = this.#pendingKey;
    key[0] = f[Field.Src0]!;
    key[1] = f[Field.Dst0]!;
    key[2] = view.getUint32(l4Off);
    key[3] = (p.receivedOn << 24) | (p.tos << 16) | (p.ttl << 8) | flags;
    this.#pendingLength = p.length;
    this.#pendingIpSum = view.getUint16(l3Off + 10);
    this.#pendingTcpSum = view.getUint16(l4Off + 16);
    this.#pending = p;
    memo.begin(p);
  }

  /** A frame has left by the long way. */
  sent(frame: SentFrame): void {
    const p = frame.packet;
    if (p !== this.#pending) return;
    this.#pending = undefined;
    const memo = this.#memo!;
    const walk = memo.end();
    if (memo.version !== this.#version) this.#forget();
    if (walk >= 0 && this.#isSteady(p, frame)) this.#note(p, frame, walk);
  }

  /** The long way has ended. */
  end(): void {
    if (this.#pending === undefined) return;
    this.#pending = undefined;
    this.#memo!.end();
  }

  /** Whether the next such packet would fare the same, as far as the host's own steps go. */
  #isSteady(p: HostPacket, frame: SentFrame): boolean {
    const { entries } = this.#port.conntrack;
    const needed = IPS_ASSURED | IPS_CONFIRMED;
    return (
      p.ct >= 0 &&
      (p.ctInfo === IP_CT_ESTABLISHED || p.ctInfo === IP_CT_ESTABLISHED_REPLY) &&
      (entries.status[p.ct]! & needed) === needed &&
      p.mark === 0 &&
      !p.traced &&
      !p.redirect &&
      !p.hasTemplate &&
      p.maxPiece === 0 &&
      p.length === this.#pendingLength &&
      p.tos === ((this.#pendingKey[3]! >>> 16) & 255) &&
      p.ttl === ((this.#pendingKey[3]! >>> 8) & 255) - 1 &&
      frame.hasEthernet &&
      frame.bytes !== p.ownBytes &&
      frame.origin === 'forwarded' &&
      this.#port.knowsNeighbour(p)
    );
  }

  #note(p: HostPacket, frame: SentFrame, walk: number): void {
    const { view, l3Off, l4Off, f } = p;
    const key = this.#pendingKey;
    const ports = view.getUint32(l4Off);
    const ttl = (key[3]! >>> 8) & 255;
    // The pieces of the long way add up: ones' complement sums do not mind the order.
    const addresses = changeOf(key[0]! >>> 0, f[Field.Src0]!) + changeOf(key[1]! >>> 0, f[Field.Dst0]!);
    const ipChange = addresses + changeOf((ttl << 8) | IPPROTO_TCP, ((ttl - 1) << 8) | IPPROTO_TCP);
    const tcpChange = addresses + changeOf(key[2]! >>> 0, ports);
    // A target may have changed more than a flow can tell; then the sums do not come out.
    if (replaceSum(this.#pendingIpSum, ipChange) !== view.getUint16(l3Off + 10)) return;
    if (replaceSum(this.#pendingTcpSum, tcpChange) !== view.getUint16(l4Off + 16)) return;
    if (this.#count === MAX_FLOWS) this.#forget();
    if ((this.#count + 1) * FLOW_WORDS > this.#flows.length) {
      const grown = new Uint32Array(2 * this.#flows.length);
      grown.set(this.#flows);
      this.#flows = grown;
    }
    const known = this.#table.find(key);
    const index = known === -1 ? this.#count++ : known;
    this.#table.set(key, index);
    const flows = this.#flows;
    const at = index * FLOW_WORDS;
    const { entries } = this.#port.conntrack;
    flows[at + ENTRY] = p.ct;
    flows[at + DIRECTION] = p.ctDir;
    flows[at + SERIAL] = entries.serial[p.ct]!;
    flows[at + STATUS] = entries.status[p.ct]!;
    flows[at + OUT_DEVICE] = frame.device;
    flows[at + MTU] = Math.min(this.#port.mtuOf(p), this.#port.devices.at(p.receivedOn)!.mtu);
    flows[at + SRC] = f[Field.Src0]!;
    flows[at + DST] = f[Field.Dst0]!;
    flows[at + PORTS] = ports;
    flows[at + IP_CHANGE] = ipChange;
    flows[at + TCP_CHANGE] = tcpChange;
    flows[at + MAC_HIGH] = view.getUint16(frame.start);
    flows[at + MAC_LOW] = view.getUint32(frame.start + 2);
    flows[at + WALK] = walk;
    flows[at + CT_STATE] = f[Field.CtState]!;
  }
}

/** What a sum over a word grows by when it changes; nothing at all if it does not (kernel and mangle.ts leave it alone). */
function changeOf(before: number, after: number): number {
  return before === after ? 0 : wordDifference(before, after);
}

/** What a word adds to a sum of 16-bit words. */
function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}
