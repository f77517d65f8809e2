/**
 * The short way for packets of established connections: what the whole path did to one packet, it does to the next that
 * differs in nothing that any step looks at. A flow is a TCP (plain ACKs only) or UDP connection in one direction as it
 * comes in by one device with one TTL and TOS; what is kept of it is where such packets go, what they look like there,
 * and which rules they count on. Tracking is done as ever: windows, state and timeouts move with every packet; a packet
 * that does not fit its connection takes the long way, and nothing has happened to it.
 *
 * A flow is noted when a packet has gone the long way and the engine says that its walk holds for others too
 * (WalkMemo). It ends with its connection's entry, its status or its mark, or with the rule set.
 */
import type { ConntrackTable } from '../conntrack/conntrack-table.js';
import type { EntryTable } from '../conntrack/entry-table.js';
import type { WalkMemo } from '../engine/engine.js';
import { fold, foldsToOnes, replaceFolded, wordDifference } from '../net/checksum.js';
import {
  type Direction,
  type Family,
  IP_CT_ESTABLISHED,
  IP_CT_ESTABLISHED_REPLY,
  IPS_ASSURED,
  IPS_CONFIRMED,
  PACKET_HOST,
} from '../net/netfilter.js';
import { IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_WIRE, L4_OK } from '../wire/packet.js';
import { sumView } from '../wire/transport-checksum.js';
import type { Device, Devices } from './device.js';
import type { HostEvents, InFrame, SentFrame } from './event.js';
import { FlowFrame } from './flow-frame.js';
import * as F from './flow-table.js';
import { FlowTable } from './flow-table.js';
import { ETHERNET_SIZE, type HostPacket } from './host-packet.js';

const TCP_ACK = 16;
const TCP_PSH = 8;
const IP4_SIZE = 20;
const IP6_SIZE = 40;
const TCP_SIZE = 20;
const UDP_SIZE = 8;
/** Device numbers that fit into a key. */
const MAX_DEVICE = 255;
/** Kinds of packets, part of a key. */
const KIND_ACK = 1;
const KIND_ACK_PSH = 2;
const KIND_UDP = 3;
/** IPv4: without checksum. */
const KIND_UDP_BARE = 4;

/** Most packets that are let go by between two recordings. */
const MAX_PATIENCE = 1023;

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

/** Flows of one family. */
export class FlowCache {
  readonly family: Family;
  readonly #port: FlowPort;
  readonly #entries: EntryTable;
  readonly #table: FlowTable;
  #memo: WalkMemo | undefined;
  #version = 0;
  readonly #sent = new FlowFrame();
  /** The packet on the long way that is looked at, whether its walk is recorded, and how it came. */
  #pending: HostPacket | undefined;
  #isRecorded = false;
  readonly #pendingKey = new Uint32Array(F.KEY_WORDS);
  #pendingLength = 0;
  #pendingTos = 0;
  #pendingTtl = 0;
  #pendingIpSum = 0;
  #pendingL4Sum = 0;

  constructor(family: Family, port: FlowPort) {
    this.family = family;
    this.#port = port;
    this.#entries = port.conntrack.entries;
    this.#table = new FlowTable(port.seed);
  }

  /** The memo of the engine in force; undefined: there is none, and every packet goes the long way. */
  use(memo: WalkMemo | undefined): void {
    const { events, conntrack } = this.#port;
    // Who wants to see every step gets every step. Where checksums are not verified, a partial one would not be noticed.
    const isSeen = events.step !== undefined || events.routed !== undefined;
    this.#memo = isSeen || !conntrack.settings.checksum ? undefined : memo;
    this.#forget();
  }

  #forget(): void {
    this.#version = this.#memo?.version ?? 0;
    this.#table.clear();
    this.#pending = undefined;
  }

  /** Forwards the frame if it belongs to a flow; false: it must go the long way. Allocates nothing. */
  forward(frame: InFrame): boolean {
    const memo = this.#memo;
    if (memo === undefined || this.#table.count === 0) return false;
    if (memo.version !== this.#version) {
      this.#forget();
      return false;
    }
    if (frame.macOff < 0 || frame.offloaded || frame.device > MAX_DEVICE) return false;
    if (frame.l3Off - frame.start < ETHERNET_SIZE) return false;
    return this.family === 4 ? this.#forward4(frame, memo) : this.#forward6(frame, memo);
  }

  #forward4(frame: InFrame, memo: WalkMemo): boolean {
    const { view, l3Off } = frame;
    if (frame.capturedEnd - l3Off < IP4_SIZE + UDP_SIZE) return false;
    const first = view.getUint32(l3Off);
    const length = first & 0xffff;
    const end = l3Off + length;
    if (first >>> 24 !== 0x45 || end > frame.capturedEnd) return false;
    const second = view.getUint32(l3Off + 4);
    const third = view.getUint32(l3Off + 8);
    if ((second & 0x3fff) !== 0) return false;
    const src = view.getUint32(l3Off + 12);
    const dst = view.getUint32(l3Off + 16);
    const addresses = halves(src) + halves(dst);
    if (!foldsToOnes(addresses + halves(first) + halves(second) + halves(third))) return false;
    const protocol = (third >>> 16) & 255;
    const l4Off = l3Off + IP4_SIZE;
    const kind = kindOf(view, protocol, l4Off, end);
    if (kind === 0) return false;
    const meta = (frame.device << 24) | ((third >>> 24) << 16) | ((first >>> 8) & 0xff00) | kind;
    const flow = this.#table.find4(meta, view.getUint32(l4Off), src, dst);
    if (flow < 0 || !this.#isToMe(frame)) return false;
    const { words } = this.#table;
    if (length > words[flow + F.MTU]! || !this.#isAlive(words, flow)) return false;
    const pseudo = addresses + protocol + length - IP4_SIZE;
    const follows =
      kind <= KIND_ACK_PSH
        ? this.#followTcp(words, flow, view, l4Off, end, length, pseudo)
        : this.#followUdp(words, flow, kind, view, l4Off, end, length, pseudo);
    if (!follows) return false;

    const ipSum = replaceFolded(third & 0xffff, words[flow + F.IP_CHANGE]!);
    view.setUint32(l3Off + 8, ((third & 0xffff0000) - 0x01000000) | ipSum);
    view.setUint32(l3Off + 12, words[flow + F.SRC_OUT]!);
    view.setUint32(l3Off + 16, words[flow + F.DST_OUT]!);
    this.#leave(frame, memo, words, flow, length, end, 0x0800);
    return true;
  }

  #forward6(frame: InFrame, memo: WalkMemo): boolean {
    const { view, l3Off } = frame;
    if (frame.capturedEnd - l3Off < IP6_SIZE + UDP_SIZE) return false;
    const head = view.getUint32(l3Off);
    const second = view.getUint32(l3Off + 4);
    const payload = second >>> 16;
    const l4Off = l3Off + IP6_SIZE;
    const end = l4Off + payload;
    if (head >>> 28 !== 6 || end > frame.capturedEnd) return false;
    const protocol = (second >>> 8) & 255;
    const kind = kindOf(view, protocol, l4Off, end);
    if (kind === 0 || kind === KIND_UDP_BARE) return false;
    const meta = (frame.device << 24) | ((second & 255) << 16) | kind;
    const flow = this.#table.find6(meta, view.getUint32(l4Off), head, view, l3Off + 8);
    if (flow < 0 || !this.#isToMe(frame)) return false;
    const { words } = this.#table;
    const length = IP6_SIZE + payload;
    if (length > words[flow + F.MTU]! || !this.#isAlive(words, flow)) return false;
    const pseudo = protocol + payload + sumView(view, l3Off + 8, l4Off);
    const follows =
      kind <= KIND_ACK_PSH
        ? this.#followTcp(words, flow, view, l4Off, end, length, pseudo)
        : this.#followUdp(words, flow, kind, view, l4Off, end, length, pseudo);
    if (!follows) return false;

    view.setUint8(l3Off + 7, (second & 255) - 1);
    for (let i = 0; i < 8; i++) view.setUint32(l3Off + 8 + (i << 2), words[flow + F.SRC_OUT + i]!);
    this.#leave(frame, memo, words, flow, length, end, 0x86dd);
    return true;
  }

  /** The frame's hardware address is that of the device it came in by. */
  #isToMe(frame: InFrame): boolean {
    if (frame.pktType === PACKET_HOST) return true;
    if (frame.pktType >= 0) return false;
    const { view, macOff } = frame;
    const device = this.#port.devices.at(frame.device)!;
    return view.getUint16(macOff) === device.macHigh && view.getUint32(macOff + 2) === device.macLow;
  }

  /** The connection is still the one that the flow was noted for. */
  #isAlive(words: Uint32Array, flow: number): boolean {
    const entries = this.#entries;
    const entry = words[flow + F.NODE]! >>> 1;
    this.#port.conntrack.sync();
    return (
      entries.serial[entry] === words[flow + F.SERIAL]! &&
      entries.status[entry] === words[flow + F.STATUS]! &&
      entries.mark[entry] === words[flow + F.CT_MARK]! &&
      entries.nowUs < entries.deadlineUs[entry]!
    );
  }

  /** Checksum, tracking, ports. False: the packet does not fit, and nothing has happened. */
  #followTcp(
    words: Uint32Array,
    flow: number,
    view: DataView,
    l4Off: number,
    end: number,
    length: number,
    pseudo: number,
  ): boolean {
    const ports = view.getInt32(l4Off);
    const seq = view.getInt32(l4Off + 4);
    const ack = view.getInt32(l4Off + 8);
    const fourth = view.getInt32(l4Off + 12);
    const fifth = view.getInt32(l4Off + 16);
    const optionSize = ((fourth >>> 28) << 2) - TCP_SIZE;
    const dataSize = end - l4Off - TCP_SIZE - optionSize;
    if (optionSize < 0 || dataSize < 0) return false;
    let sum = pseudo + halves(ports) + halves(seq) + halves(ack) + halves(fourth) + halves(fifth);
    if (end > l4Off + TCP_SIZE) sum += sumView(view, l4Off + TCP_SIZE, end);
    if (!foldsToOnes(sum)) return false;
    const node = words[flow + F.NODE]!;
    const dir = (node & 1) as Direction; // a node's last bit
    const { conntrack } = this.#port;
    const win = fourth & 0xffff;
    if (!conntrack.followAck(node >>> 1, dir, view, l4Off, seq, ack, win, optionSize, dataSize, length)) return false;
    view.setUint32(l4Off, words[flow + F.PORTS_OUT]!);
    view.setUint16(l4Off + 16, replaceFolded(fifth >>> 16, words[flow + F.L4_CHANGE]!));
    return true;
  }

  /** The same of a datagram. */
  #followUdp(
    words: Uint32Array,
    flow: number,
    kind: number,
    view: DataView,
    l4Off: number,
    end: number,
    length: number,
    pseudo: number,
  ): boolean {
    if (kind === KIND_UDP && !foldsToOnes(pseudo + sumView(view, l4Off, end))) return false;
    const node = words[flow + F.NODE]!;
    this.#port.conntrack.followUdp(node >>> 1, (node & 1) as Direction, length); // a node's last bit
    view.setUint32(l4Off, words[flow + F.PORTS_OUT]!);
    view.setUint16(l4Off + 6, replaceTransportSum(view.getUint16(l4Off + 6), words[flow + F.L4_CHANGE]!, kind));
    return true;
  }

  /** The rewritten packet goes out. */
  #leave(
    frame: InFrame,
    memo: WalkMemo,
    words: Uint32Array,
    flow: number,
    length: number,
    end: number,
    etherType: number,
  ): void {
    const { view } = frame;
    const { devices, sentCounts, events } = this.#port;
    const outAndMac = words[flow + F.OUT_AND_MAC]!;
    const out = outAndMac >>> 16;
    const device: Device = devices.at(out)!;
    const start = frame.l3Off - ETHERNET_SIZE;
    view.setUint16(start, outAndMac & 0xffff);
    view.setUint32(start + 2, words[flow + F.MAC_LOW]!);
    view.setUint16(start + 6, device.macHigh);
    view.setUint32(start + 8, device.macLow);
    view.setUint16(start + 12, etherType);
    memo.repeat(words[flow + F.WALK]!, length);
    sentCounts[out]!++;
    if (events.sent === undefined) return;
    const sent = this.#sent;
    sent.become(frame, end, words, flow);
    events.sent(sent);
  }

  /** A packet goes the long way, from PREROUTING on. */
  begin(p: HostPacket): void {
    const memo = this.#memo;
    if (memo === undefined) return;
    const { f, view, l3Off, l4Off } = p;
    if (p.l4State !== L4_OK || p.isFragment || p.isCut || p.offloaded || p.csum !== CSUM_WIRE) return;
    if (l4Off !== l3Off + (p.family === 4 ? IP4_SIZE : IP6_SIZE) || f[Field.Mark] !== 0) return;
    if (p.macOff < 0 || p.receivedOn > MAX_DEVICE || f[Field.PktType] !== PACKET_HOST) return;
    const protocol = f[Field.Protocol]!;
    const kind = kindOf(view, protocol, l4Off, p.end);
    if (kind === 0 || (kind === KIND_UDP_BARE && p.family === 6)) return;
    const key = this.#pendingKey;
    const tos = p.family === 4 ? p.tos : 0;
    key[F.META] = (p.receivedOn << 24) | (p.ttl << 16) | (tos << 8) | kind;
    key[F.PORTS] = view.getUint32(l4Off);
    key[F.HEAD] = p.family === 4 ? 0 : view.getUint32(l3Off);
    for (let i = 0; i < 8; i++) key[F.SRC + i] = f[Field.Src0 + i]!;
    this.#pendingLength = p.length;
    this.#pendingTos = p.tos;
    this.#pendingTtl = p.ttl;
    this.#pendingIpSum = p.family === 4 ? view.getUint16(l3Off + 10) : 0;
    this.#pendingL4Sum = view.getUint16(l4Off + checksumOffset(kind));
    this.#pending = p;
    const { words } = this.#table;
    const flow = this.#table.find(key);
    this.#isRecorded = flow >= 0 && (words[flow + F.SERIAL] !== 0 || words[flow + F.WALK] === 0);
    if (this.#isRecorded) memo.begin(p);
  }

  /** A frame has left by the long way. */
  sent(frame: SentFrame): void {
    const p = frame.packet;
    if (p !== this.#pending) return;
    this.#pending = undefined;
    if (!this.#isRecorded) {
      if (this.#isAssured(p)) this.#watch();
      return;
    }
    const memo = this.#memo!;
    const walk = memo.end();
    if (memo.version !== this.#version) this.#forget();
    if (walk < 0 || !this.#isSteady(p, frame) || !this.#note(p, frame, walk)) this.#giveUp();
  }

  /** The long way has ended. */
  end(): void {
    if (this.#pending === undefined) return;
    this.#pending = undefined;
    if (!this.#isRecorded) return;
    this.#memo!.end();
    this.#giveUp();
  }

  /**
   * The packet's key is a candidate, nearer to being recorded. Recording costs more than the long way itself, so it waits for an
   * assured connection's second packet, and longer and longer after each recording that was of no use.
   */
  #watch(): void {
    const flow = this.#table.put(this.#pendingKey);
    const { words } = this.#table;
    if (words[flow + F.SERIAL] === 0 && words[flow + F.WALK]! > 0) words[flow + F.WALK]!--;
  }

  /** The last recording was of no use. */
  #giveUp(): void {
    const flow = this.#table.put(this.#pendingKey);
    const { words } = this.#table;
    const patience = words[flow + F.SERIAL] === 0 ? words[flow + F.CT_STATE]! : 0;
    words[flow + F.SERIAL] = 0;
    words[flow + F.CT_STATE] = words[flow + F.WALK] = Math.min(2 * patience + 1, MAX_PATIENCE);
  }

  #isAssured(p: HostPacket): boolean {
    const needed = IPS_ASSURED | IPS_CONFIRMED;
    return (
      p.ct >= 0 &&
      (p.ctInfo === IP_CT_ESTABLISHED || p.ctInfo === IP_CT_ESTABLISHED_REPLY) &&
      (this.#entries.status[p.ct]! & needed) === needed
    );
  }

  /** Whether the next such packet would fare the same, as far as the host's own steps go. */
  #isSteady(p: HostPacket, frame: SentFrame): boolean {
    return (
      this.#isAssured(p) &&
      !p.traced &&
      !p.redirect &&
      !p.hasTemplate &&
      p.maxPiece === 0 &&
      p.length === this.#pendingLength &&
      p.tos === this.#pendingTos &&
      p.ttl === this.#pendingTtl - 1 &&
      p.l4Off === p.l3Off + (p.family === 4 ? IP4_SIZE : IP6_SIZE) &&
      frame.hasEthernet &&
      frame.bytes !== p.ownBytes &&
      frame.origin === 'forwarded' &&
      this.#port.knowsNeighbour(p)
    );
  }

  /** False: a flow cannot tell what became of the packet. */
  #note(p: HostPacket, frame: SentFrame, walk: number): boolean {
    const { view, l3Off, l4Off, f } = p;
    const key = this.#pendingKey;
    const kind = key[F.META]! & 255;
    const ports = view.getUint32(l4Off);
    if (p.family === 6 && view.getUint32(l3Off) !== key[F.HEAD]!) return false;
    // The pieces of the long way add up: ones' complement sums do not mind the order.
    let addresses = 0;
    for (let i = 0; i < 8; i++) addresses += changeOf(key[F.SRC + i]!, f[Field.Src0 + i]!);
    const protocol = f[Field.Protocol]!;
    const ttl = this.#pendingTtl;
    const ipChange = fold(addresses + changeOf((ttl << 8) | protocol, ((ttl - 1) << 8) | protocol));
    const l4Change = fold(addresses + changeOf(key[F.PORTS]!, ports));
    // A target may have changed more than a flow can tell; then the sums do not come out.
    if (p.family === 4 && replaceFolded(this.#pendingIpSum, ipChange) !== view.getUint16(l3Off + 10)) return false;
    const l4Sum = view.getUint16(l4Off + checksumOffset(kind));
    if (replaceTransportSum(this.#pendingL4Sum, l4Change, kind) !== l4Sum) return false;
    const flow = this.#table.put(key);
    const { words } = this.#table;
    const entries = this.#entries;
    words[flow + F.NODE] = (p.ct << 1) | p.ctDir;
    words[flow + F.SERIAL] = entries.serial[p.ct]!;
    words[flow + F.STATUS] = entries.status[p.ct]!;
    words[flow + F.CT_MARK] = entries.mark[p.ct]!;
    words[flow + F.MTU] = Math.min(this.#port.mtuOf(p), this.#port.devices.at(p.receivedOn)!.mtu);
    words[flow + F.WALK] = walk;
    words[flow + F.CT_STATE] = f[Field.CtState]!;
    words[flow + F.MARK] = f[Field.Mark]!;
    words[flow + F.OUT_AND_MAC] = (frame.device << 16) | view.getUint16(frame.start);
    words[flow + F.MAC_LOW] = view.getUint32(frame.start + 2);
    words[flow + F.IP_CHANGE] = ipChange;
    words[flow + F.L4_CHANGE] = l4Change;
    words[flow + F.PORTS_OUT] = ports;
    for (let i = 0; i < 8; i++) words[flow + F.SRC_OUT + i] = f[Field.Src0 + i]!;
    return true;
  }
}

/** Kind of a packet that may have a flow, its transport header at `off`; 0: none. */
function kindOf(view: DataView, protocol: number, off: number, end: number): number {
  if (protocol === IPPROTO_TCP) {
    if (off + TCP_SIZE > end) return 0;
    const flags = view.getUint8(off + 13);
    return (flags & ~TCP_PSH) !== TCP_ACK ? 0 : flags === TCP_ACK ? KIND_ACK : KIND_ACK_PSH;
  }
  if (protocol !== IPPROTO_UDP || off + UDP_SIZE > end || view.getUint16(off + 4) !== end - off) return 0;
  return view.getUint16(off + 6) === 0 ? KIND_UDP_BARE : KIND_UDP;
}

function checksumOffset(kind: number): number {
  return kind <= KIND_ACK_PSH ? 16 : 6;
}

/** The transport's checksum after its sum grew; UDP's is never 0 but where there is none. */
function replaceTransportSum(checksum: number, change: number, kind: number): number {
  if (kind === KIND_UDP_BARE) return 0;
  const replaced = replaceFolded(checksum, change);
  return replaced === 0 && kind === KIND_UDP && change !== 0 ? 0xffff : replaced;
}

/** What a sum over a word grows by when it changes; nothing at all if it does not (kernel and mangle.ts leave it alone). */
function changeOf(before: number, after: number): number {
  return before === after ? 0 : wordDifference(before, after);
}

/** What a word adds to a sum of 16-bit words. */
function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}
