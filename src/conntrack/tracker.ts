/**
 * Gives packets their entry at PREROUTING and OUTPUT, and enters new connections at the end of their first packet's way.
 * Kernel: nf_conntrack_in(), resolve_normal_ct(), __nf_conntrack_confirm().
 */
import type { Clock } from '../base/clock.js';
import type { Rng } from '../base/rng.js';
import {
  type Direction,
  type Hook,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IP_CT_ESTABLISHED,
  IP_CT_ESTABLISHED_REPLY,
  IP_CT_IS_REPLY,
  IP_CT_NEW,
  IP_CT_RELATED,
  IP_CT_RELATED_REPLY,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_DST_NAT_DONE,
  IPS_EXPECTED,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT_DONE,
  NF_ACCEPT,
  NF_DROP,
} from '../net/netfilter.js';
import {
  IPPROTO_GRE,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import type { Packet } from '../wire/packet.js';
import { updateCtState } from './ct-state.js';
import { EntryTable } from './entry-table.js';
import { TRACK_ACCEPT, TRACK_INVALID, type TrackContext, type TrackResult } from './handler.js';
import { findInZones, ICMP_INVALID, ICMP_SETTLED, IcmpErrors, isIcmp } from './icmp-error.js';
import { trackGeneric, trackGre, trackIcmp, trackIcmpv6 } from './plain.js';
import { SctpTracker } from './sctp.js';
import { type ConntrackSettings, defaultConntrackSettings } from './settings.js';
import { isTcpClosing, TcpTracker } from './tcp.js';
import {
  invertTuple,
  setTupleZone,
  TransportPlace,
  TUPLE_WORDS,
  tupleOfPacketAt,
  tupleProtocol,
  tupleZone,
} from './tuple.js';
import { trackUdp, trackUdplite } from './udp.js';

export interface ConntrackOptions {
  readonly clock: Clock;
  /** Kernel ticks a second: deadlines lie on ticks. */
  readonly hz: number;
  readonly rng: Rng;
  readonly settings?: ConntrackSettings;
}

/** Indices looked at for expired entries at each new one: the whole table is gone through once in so many connections. */
const SWEEP_STEP = 4;
const SECOND_US = 1_000_000;

export class Tracker implements TrackContext {
  readonly table: EntryTable;
  settings: ConntrackSettings;

  readonly #clock: Clock;
  readonly #tickUs: number;
  readonly tcp: TcpTracker;
  readonly sctp: SctpTracker;
  readonly #icmpErrors: IcmpErrors;
  readonly #place = new TransportPlace();
  readonly #words = new Uint32Array(2 * TUPLE_WORDS);
  #clockUs = -1;
  #hasTracked = false;
  #sweepAt = 0;
  #fullSweepUs = -1;

  constructor(options: ConntrackOptions) {
    this.#clock = options.clock;
    this.#tickUs = SECOND_US / options.hz;
    this.settings = options.settings ?? defaultConntrackSettings();
    this.table = new EntryTable(options.rng.u32());
    this.tcp = new TcpTracker(this);
    this.sctp = new SctpTracker(this);
    this.#icmpErrors = new IcmpErrors(this);
    this.syncClock();
  }

  /** Brings the table's time to the last tick of the clock. */
  syncClock(): void {
    const { nowUs } = this.#clock;
    if (nowUs === this.#clockUs) return;
    // Within the tick nothing moves, and division is dear.
    if (nowUs > this.#clockUs && nowUs < this.table.nowUs + this.#tickUs && this.#hasTracked) {
      this.#clockUs = nowUs;
      return;
    }
    const tickUs = Math.floor(nowUs / this.#tickUs) * this.#tickUs;
    // Before the first packet a clock at 0 has not been started: what was entered lives from its first moment on.
    if (this.#clockUs === 0 && !this.#hasTracked) this.table.shift(tickUs);
    this.#clockUs = nowUs;
    this.table.nowUs = tickUs;
  }

  /**
   * Finds or makes the packet's entry and follows its protocol. Sets ct, ctDir, ctInfo and the state word. Returns NF_ACCEPT, or
   * NF_DROP if the table is full. Per packet of a known connection: allocates nothing.
   */
  track(packet: Packet, hook: Hook): number {
    if (packet.ct >= 0 || packet.untracked) {
      updateCtState(packet, this.table);
      return NF_ACCEPT;
    }
    this.syncClock();
    this.#hasTracked = true;
    if (packet.templateZoneFromMark !== 0) takeZoneFromMark(packet);
    const verdict = this.#track(packet, hook);
    if (packet.hasTemplate) forgetTemplate(packet);
    updateCtState(packet, this.table);
    return verdict;
  }

  #track(packet: Packet, hook: Hook): number {
    const place = this.#place;
    if (!place.find(packet)) return NF_ACCEPT;
    if (isIcmp(place.protocol)) {
      const judged = this.#icmpErrors.judge(packet, place.protocol, place.off, hook);
      if (judged === ICMP_INVALID || judged === ICMP_SETTLED) return NF_ACCEPT;
    }
    for (;;) {
      const verdict = this.#resolve(packet);
      if (packet.ct < 0) return verdict;
      const result = this.#handle(packet, hook);
      if (result === TRACK_ACCEPT) break;
      this.#letGo(packet);
      if (result === TRACK_INVALID) return NF_ACCEPT;
    }
    if (packet.ctInfo === IP_CT_ESTABLISHED_REPLY) {
      this.table.status[packet.ct] = this.table.status[packet.ct]! | IPS_SEEN_REPLY;
    }
    return NF_ACCEPT;
  }

  /** Entry, direction and state by tuple. Kernel: resolve_normal_ct(). */
  #resolve(packet: Packet): number {
    const { table } = this;
    const words = this.#words;
    if (!tupleOfPacketAt(packet, this.#place, words, 0)) return NF_ACCEPT;
    const node = findInZones(this, packet, words, 0);
    if (node === -1) return this.#begin(packet);
    packet.ct = node >> 1;
    packet.ctDir = (node & 1) as Direction;
    if (packet.ctDir === IP_CT_DIR_REPLY) {
      packet.ctInfo = IP_CT_ESTABLISHED_REPLY;
    } else {
      const status = table.status[packet.ct]!;
      packet.ctInfo =
        (status & IPS_SEEN_REPLY) !== 0 ? IP_CT_ESTABLISHED : (status & IPS_EXPECTED) !== 0 ? IP_CT_RELATED : IP_CT_NEW;
    }
    return NF_ACCEPT;
  }

  /** Makes an unconfirmed entry from the tuple in #words. Kernel: init_conntrack(). */
  #begin(packet: Packet): number {
    const { table } = this;
    const words = this.#words;
    if (!invertTuple(words, 0, words, TUPLE_WORDS)) return NF_ACCEPT;
    setTupleZone(words, TUPLE_WORDS, packet.templateZoneReply);
    this.#sweepAt = table.sweep(this.#sweepAt, SWEEP_STEP);
    if (this.settings.max !== 0 && table.count >= this.settings.max && !this.#makeRoom()) return NF_DROP;
    const entry = table.allocate();
    const { tuples } = table;
    const at = entry * 2 * TUPLE_WORDS;
    for (let i = 0; i < 2 * TUPLE_WORDS; i++) tuples[at + i] = words[i]!;
    if (this.settings.accounting) {
      table.packets.fill(0, entry * 2, entry * 2 + 2);
      table.bytes.fill(0, entry * 2, entry * 2 + 2);
    }
    packet.ct = entry;
    packet.ctDir = IP_CT_DIR_ORIGINAL;
    packet.ctInfo = IP_CT_NEW;
    return NF_ACCEPT;
  }

  #makeRoom(): boolean {
    const { table } = this;
    // What has expired is gone before anything alive is; once a second at most, so that a flood does not pay for it.
    if (table.nowUs >= this.#fullSweepUs + SECOND_US) {
      this.#fullSweepUs = table.nowUs;
      table.sweep(0, table.limit);
      if (table.count < this.settings.max) return true;
    }
    return table.evict(this.#words, 0, this.settings.buckets, this.#mayGo);
  }

  /** Whether a full table may lose the entry: not ASSURED, or a TCP connection on its way out. */
  readonly #mayGo = (entry: number): boolean =>
    (this.table.status[entry]! & IPS_ASSURED) === 0 ||
    (tupleProtocol(this.table.tuples, entry * 2 * TUPLE_WORDS) === IPPROTO_TCP &&
      isTcpClosing(this.table.state[entry]!));

  #handle(packet: Packet, hook: Hook): TrackResult {
    const { off } = this.#place;
    switch (this.#place.protocol) {
      case IPPROTO_TCP:
        return this.tcp.track(packet, off, hook);
      case IPPROTO_SCTP:
        return this.sctp.track(packet, off, hook);
      case IPPROTO_UDP:
        return trackUdp(this, packet, off, hook);
      case IPPROTO_UDPLITE:
        return trackUdplite(this, packet, off, hook);
      case IPPROTO_ICMP:
        return trackIcmp(this, packet);
      case IPPROTO_ICMPV6:
        return trackIcmpv6(this, packet);
      case IPPROTO_GRE:
        return trackGre(this, packet);
      default:
        return trackGeneric(this, packet);
    }
  }

  /** The packet leaves its entry; one that it had just begun vanishes. */
  #letGo(packet: Packet): void {
    if (packet.ct >= 0 && packet.ctInfo < IP_CT_IS_REPLY && (this.table.status[packet.ct]! & IPS_CONFIRMED) === 0) {
      this.table.free(packet.ct);
    }
    packet.ct = -1;
    packet.ctInfo = 0;
    packet.ctDir = 0;
    packet.settledWithout = false;
  }

  /**
   * Enters the connection that the packet has begun; the last step at INPUT and POSTROUTING. Returns NF_ACCEPT, or NF_DROP if its tuples
   * are taken. Nothing happens to packets of known connections. Kernel: nf_confirm(), nf_ct_resolve_clash().
   */
  confirm(packet: Packet): number {
    const { table } = this;
    const { ct } = packet;
    if (ct < 0 || (table.status[ct]! & IPS_CONFIRMED) !== 0 || packet.ctInfo >= IP_CT_IS_REPLY) return NF_ACCEPT;
    this.syncClock();
    const at = ct * 2 * TUPLE_WORDS;
    // Where zones differ by direction each tuple meets its own kind only.
    const split = tupleZone(table.tuples, at) !== tupleZone(table.tuples, at + TUPLE_WORDS);
    let clash = split ? table.findDirection(table.tuples, at, 0) : table.findOwn(ct * 2);
    const sameOriginal = clash !== -1;
    if (clash === -1) {
      clash = split ? table.findDirection(table.tuples, at + TUPLE_WORDS, 1) : table.findOwn(ct * 2 + 1);
    }
    if (clash !== -1) return this.#resolveClash(packet, clash >> 1, sameOriginal);
    table.deadlineUs[ct] = table.nowUs + table.deadlineUs[ct]!;
    if (split) table.insert(ct);
    else table.insertHashed(ct);
    return NF_ACCEPT;
  }

  /**
   * Racing packets of one connection share the entry that was first, where nothing speaks against it. Connections of two
   * zones that would share their replies are not one.
   */
  #resolveClash(packet: Packet, winner: number, sameOriginal: boolean): number {
    const { table } = this;
    const loser = packet.ct;
    const natDone = (table.status[winner]! & (IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE)) !== 0;
    const protocol = tupleProtocol(table.tuples, loser * 2 * TUPLE_WORDS);
    const mayShare = sameOriginal && (!natDone || this.#sameTuples(winner, loser));
    if (protocol === IPPROTO_TCP || protocol === IPPROTO_SCTP || !mayShare) {
      this.#letGo(packet);
      updateCtState(packet, table);
      return NF_DROP;
    }
    for (let d = 0; d < 2; d++) {
      if (table.packets[winner * 2 + d]! < 0 || table.packets[loser * 2 + d]! < 0) continue;
      table.packets[winner * 2 + d] = table.packets[winner * 2 + d]! + table.packets[loser * 2 + d]!;
      table.bytes[winner * 2 + d] = table.bytes[winner * 2 + d]! + table.bytes[loser * 2 + d]!;
    }
    table.free(loser);
    packet.ct = winner;
    updateCtState(packet, table);
    return NF_ACCEPT;
  }

  #sameTuples(a: number, b: number): boolean {
    const { tuples } = this.table;
    for (let i = 0; i < 2 * TUPLE_WORDS; i++) {
      if (tuples[a * 2 * TUPLE_WORDS + i] !== tuples[b * 2 * TUPLE_WORDS + i]) return false;
    }
    return true;
  }

  /**
   * Hands the entry of `cause` to an answer that the host makes about it (REJECT, ICMP errors): opposite direction, RELATED. Without
   * an entry the answer is looked up at OUTPUT; one about an exempted packet can no more be exempted itself. Kernel: nf_conntrack_attach().
   */
  attach(answer: Packet, cause: Packet): void {
    if (cause.ct < 0) {
      answer.settledWithout = cause.untracked || cause.settledWithout;
      return;
    }
    answer.ct = cause.ct;
    answer.ctDir = cause.ctDir === IP_CT_DIR_ORIGINAL ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL;
    answer.ctInfo = answer.ctDir === IP_CT_DIR_ORIGINAL ? IP_CT_RELATED : IP_CT_RELATED_REPLY;
    updateCtState(answer, this.table);
  }

  /** The packet ends before its connection was entered: an entry that it had begun vanishes. */
  drop(packet: Packet): void {
    this.#letGo(packet);
  }

  /** Number of the protocol's state, as NAT asks for. */
  state(entry: number): number {
    return this.table.state[entry]!;
  }

  hasAdvanced(old: number, fresh: number): boolean {
    return this.tcp.hasAdvanced(old, fresh);
  }

  /** A TCP connection whose packet was rejected with a reset closes. */
  rejectedByReset(packet: Packet): void {
    if (packet.ct < 0 || tupleProtocol(this.table.tuples, packet.ct * 2 * TUPLE_WORDS) !== IPPROTO_TCP) return;
    this.syncClock();
    this.tcp.setClosing(packet.ct);
  }
}

/** A template is used once: a packet that stays without a connection and comes back by lo is looked up without it. */
function forgetTemplate(packet: Packet): void {
  packet.hasTemplate = false;
  packet.templateZoneOriginal = 0;
  packet.templateZoneReply = 0;
  packet.templateZoneFromMark = 0;
}

/** Kernel: nf_ct_zone_tmpl(): the mark counts as it is now, not as it was when the target CT ran. */
function takeZoneFromMark(packet: Packet): void {
  const zone = packet.mark & 0xffff;
  if ((packet.templateZoneFromMark & 1) !== 0) packet.templateZoneOriginal = zone;
  if ((packet.templateZoneFromMark & 2) !== 0) packet.templateZoneReply = zone;
}
