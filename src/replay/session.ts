/**
 * Runs the records of captures through a host and keeps the books: what became of each packet, whether the capture shows
 * the same frames leaving, which connections were made. The caller reads files and prints.
 */

import { positionOf } from '../base/source.js';
import type { CaptureRecord } from '../capture/record.js';
import type { TupleView } from '../conntrack/conntrack.js';
import type { ConntrackTable } from '../conntrack/conntrack-table.js';
import type { DropCause, DropPlace, HostEvents, SentFrame } from '../host/event.js';
import type { Host } from '../host/host.js';
import type { HostPacket } from '../host/host-packet.js';
import { type Family, IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY, IP_CT_NEW, type TableName } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import { CSUM_PARTIAL, hasPorts, Packet } from '../wire/packet.js';
import {
  CHECKSUM_LEFT_PARTIAL,
  completeTransportChecksum,
  transportChecksumState,
} from '../wire/transport-checksum.js';
import type { CapturedSockets } from './captured-sockets.js';
import { describeAddress, describeCtState, describeEndpoint, describePacket, describeTuple } from './describe.js';
import { WENT_IN, WENT_OUT } from './direction.js';
import { type FrameKeys, keysOf } from './frame-key.js';
import { type FrameSource, SKIP_ARP, SKIP_LOOPBACK } from './frame-source.js';
import { CONFIRMED_EXACTLY, NOT_CONFIRMED, SentLedger } from './ledger.js';
import { restoreOwnTuple } from './own-tuple.js';
import type { PacketResult, RecordRole, SentResult } from './packet-result.js';
import type { ReplayHost } from './replay-host.js';
import type { DecidedBy, DropReason, Outcome, ReplayTotals } from './totals.js';
import { WireKey } from './wire-key.js';

/** What the caller may ask to be told; each costs time only where it is given. */
export interface SessionSinks {
  /** Every record, one call each. */
  packet?(result: PacketResult): void;
  /** Every frame that leaves a device other than loopback; stamps are those of the record that caused it. */
  frame?(frame: SentFrame, device: string, seconds: number, nanoseconds: number): void;
  /** A kernel log line (LOG, TRACE). */
  log?(level: number, line: string): void;
  /** A new connection of a kind that is not listed in the totals, as many are already. */
  unlisted?(original: string, translated: string | undefined): void;
}

/** Told of what the records of one part of a replay touch, so that parts can be shown not to have met (see footprint.ts). */
export interface SessionWatch {
  /** What follows is done for a record; for the datagrams that wait for more pieces. */
  beginRecord(): void;
  beginTimers(): void;
  /** A frame of this conversation left, or was captured leaving; undefined: it cannot be told which. */
  wire(key: WireKey | undefined): void;
  /** Something happened that may concern packets of any part. */
  cannotTellApart(why: string): void;
}

/** Connections listed by name; a flood of made-up ones is counted together. */
export const MAX_LISTED_CONNECTIONS = 2000;

export class ReplaySession {
  readonly totals: ReplayTotals;
  readonly #host: Host;
  readonly #conntrack: ConntrackTable;
  readonly #sockets: CapturedSockets;
  readonly #source: FrameSource;
  readonly #sinks: SessionSinks;
  readonly #ledger = new SentLedger();
  /** False while no record has gone out: then nothing can confirm, and sent frames need no keeping. */
  #keepsLedger = false;
  readonly #probe = new Packet();
  readonly #keys: FrameKeys = { exact: 0, loose: 0 };
  readonly #tuple: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
  readonly #reply: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
  /** Serial of the entry last counted in its place: a retransmitted first packet is no new connection. */
  readonly #known = new Map<number, number>();
  /** Of the captured frame at hand, and of the one sent last. */
  readonly #wire: WireKey;
  readonly #sentWire: WireKey;
  readonly #watch: SessionWatch | undefined;
  /** Number of the record at hand over all captures, from 1, and of what is done for it or before it (see Host.beginTurn). */
  #number = 0;
  #turn = 0;
  /** Time has begun. */
  #isStarted = false;

  // The record at hand.
  #record: CaptureRecord | undefined;
  #outcome: Outcome = 'held';
  #reason = '';
  #decidedBy: DecidedBy | undefined;
  #sent: SentResult[] = [];
  #rules: DecidedBy[] = [];
  #answersBefore = 0;
  #state = 0;
  #mark = 0;
  #connection = '';
  #translated: string | undefined;
  /** What happens now was due before the record came. */
  #inTimers = false;

  constructor(
    made: ReplayHost,
    source: FrameSource,
    totals: ReplayTotals,
    sinks: SessionSinks,
    watch?: SessionWatch | undefined,
  ) {
    this.#watch = watch;
    this.#wire = new WireKey(made.seed);
    this.#sentWire = new WireKey(made.seed);
    this.#host = made.host;
    this.#conntrack = made.conntrack;
    this.#sockets = made.sockets;
    this.#source = source;
    this.#sinks = sinks;
    this.totals = totals;
    made.connect(this.#events());
  }

  /**
   * First look at a record, before any is replayed: what the host was seen to send tells its sockets, and that there is
   * something to confirm.
   */
  survey(capture: number, record: CaptureRecord): void {
    if (this.#source.take(capture, record) !== undefined || this.#source.way !== WENT_OUT) return;
    this.#keepsLedger = true;
    if (this.#parseProbe()) this.#sockets.sawSent(this.#probe);
  }

  /** There are records that go out, as `survey` would have found: sent frames wait to be confirmed. */
  keepLedger(): void {
    this.#keepsLedger = true;
  }

  /** Number of the record at hand, from 1, and the turn that it is part of. */
  get number(): number {
    return this.#number;
  }
  get turn(): number {
    return this.#turn;
  }

  /**
   * A record that somebody else replays goes by: time moves on, if its packet is one that is `taken`; its sender's hardware
   * address is learnt if it `teaches` one.
   */
  pass(capture: number, record: CaptureRecord, taken: boolean, teaches: boolean): void {
    this.#next(record);
    if (!taken) return;
    this.#advance(record);
    this.#runTimers(capture, record);
    if (!teaches) return;
    this.#begin(record);
    this.learnFrom(capture, record);
  }

  /** Replays one record. Its bytes may be changed. */
  replay(capture: number, record: CaptureRecord): void {
    const { totals } = this;
    this.#next(record);
    totals.records++;
    totals.captures[capture]!.records++;
    const skipped = this.#source.take(capture, record);
    if (skipped !== undefined) {
      this.#begin(record);
      if (skipped === SKIP_ARP) this.#replayArp(capture, record);
      this.#skip(capture, record, skipped);
      return;
    }
    const { frame } = this.#source;
    this.#advance(record);
    this.#runTimers(capture, record);
    this.#begin(record);
    this.#watch?.beginRecord();
    this.#beginTurn(2 * this.#number + 1);
    if (frame.capturedEnd < frame.originalEnd) totals.cut++;
    if (this.#source.way === WENT_IN) {
      if (this.#source.isLoopback) {
        this.#skip(capture, record, SKIP_LOOPBACK);
        return;
      }
      const words = this.#words();
      totals.replayed++;
      this.#outcome = 'held';
      this.#host.receive(frame);
      totals.outcomes[this.#outcome]++;
      this.#report(capture, record, 'received', words);
      return;
    }
    this.#replayOutgoing(capture, record);
  }

  /**
   * What a record shows of neighbours' hardware addresses: the sender of a frame that came in or of an ARP packet, the next
   * hop of a frame that went out. Packets that waited for them go. True: something new.
   */
  learnFrom(capture: number, record: CaptureRecord): boolean {
    const skipped = this.#source.take(capture, record);
    const { arp, frame, way } = this.#source;
    if (skipped === SKIP_ARP && arp.device !== 0) {
      return this.#host.learnNeighbour(arp.device, 4, arp.address, arp.macHigh, arp.macLow);
    }
    if (skipped !== undefined) return false;
    return way === WENT_OUT ? this.#host.learnFromSent(frame) : this.#host.learn(frame);
  }

  #replayArp(capture: number, record: CaptureRecord): void {
    const { arp } = this.#source;
    if (arp.device === 0) return;
    this.#advance(record);
    this.#runTimers(capture, record);
    this.#begin(record);
    this.#beginTurn(2 * this.#number + 1);
    this.#host.learnNeighbour(arp.device, 4, arp.address, arp.macHigh, arp.macLow);
  }

  #next(record: CaptureRecord): void {
    const { totals } = this;
    this.#number++;
    this.#turn = 2 * this.#number + 1;
    if (totals.firstUs === 0) this.#start(record.timeUs);
    if (record.timeUs > totals.lastUs) totals.lastUs = record.timeUs;
  }

  #advance(record: CaptureRecord): void {
    this.#host.clock.advanceTo(record.timeUs);
    if (this.#isStarted) return;
    // Connections from before live on from the first moment, whosever packet comes first.
    this.#conntrack.sync();
    this.#isStarted = true;
  }

  #beginTurn(turn: number): void {
    this.#turn = turn;
    this.#host.beginTurn(turn);
  }

  /** What was due before the record came is no part of what becomes of it. */
  #runTimers(capture: number, record: CaptureRecord): void {
    if (!this.#host.hasTimers) return;
    this.#watch?.beginTimers();
    this.#begin(record);
    this.#beginTurn(2 * this.#number);
    this.#inTimers = true;
    this.#host.runTimers();
    this.#inTimers = false;
    const reason = this.#reason;
    if (this.#sinks.packet === undefined || reason === '') return;
    const { number, name, time } = this.#stamp(capture, record);
    this.#sinks.packet({ number, capture: name, time, device: '', role: 'timer', reason, sent: this.#sent });
  }

  /** Connections that the host had live on from when they were listed, if that was before the capture. */
  #start(firstUs: number): void {
    this.totals.firstUs = firstUs;
    const listedUs = this.#host.config.timeUs;
    if (listedUs !== undefined && listedUs < firstUs) this.#host.clock.advanceTo(listedUs);
  }

  /** After the last record. `untilUs`: time goes on to there (a listing taken later), running timers. */
  finish(untilUs?: number): ReplayTotals {
    if (untilUs !== undefined) this.#host.clock.advanceTo(untilUs);
    this.#watch?.beginTimers();
    this.#beginTurn(2 * this.#number + 2);
    this.#host.runTimers();
    this.#conntrack.entries.nowUs = this.#host.clock.nowUs;
    const { totals } = this;
    totals.agreement.sentOnly = this.#ledger.unconfirmed;
    totals.assumptions.push(...this.#source.assumptions);
    totals.ruleSets = ([4, 6] as const).flatMap((family) => this.#host.engine(family)?.snapshot() ?? []);
    return totals;
  }

  #replayOutgoing(capture: number, record: CaptureRecord): void {
    const { agreement } = this.totals;
    const { frame } = this.#source;
    if (!this.#parseProbe()) {
      this.#skip(capture, record, 'outgoing, malformed');
      return;
    }
    const probe = this.#probe;
    // A card's work not yet done when the frame was captured: finish it, as the emulator does when it sends.
    if (transportChecksumState(probe) === CHECKSUM_LEFT_PARTIAL) {
      probe.csum = CSUM_PARTIAL;
      completeTransportChecksum(probe);
    }
    const words = this.#sinks.packet === undefined ? '' : describePacket(probe);
    // The frame left: whoever it went to was known. Packets that waited for that go first.
    this.#host.learnFromSent(frame);
    keysOf(probe.bytes, probe.l3Off, probe.end, this.#keys);
    const wire = this.#readWire(this.#wire, probe, probe.end);
    const confirmed = this.#ledger.confirm(frame.device, this.#keys, wire, this.#turn);
    if (confirmed !== NOT_CONFIRMED) {
      if (confirmed === CONFIRMED_EXACTLY) agreement.exact++;
      else agreement.loose++;
      this.#report(capture, record, 'confirms', words, confirmed === CONFIRMED_EXACTLY);
      return;
    }
    if (!this.#isOwnSource(probe)) {
      agreement.unexplained++;
      this.#report(capture, record, 'unexplained', words);
      return;
    }
    // What left may be what POSTROUTING made of it: the process itself spoke the connection's own tuple.
    restoreOwnTuple(probe, this.#conntrack.entries);
    this.totals.replayed++;
    agreement.own++;
    this.#outcome = 'held';
    this.#host.sendLocal(frame);
    this.totals.outcomes[this.#outcome]++;
    const same = this.#ledger.confirm(frame.device, this.#keys, wire, this.#turn);
    if (same === CONFIRMED_EXACTLY) agreement.exact++;
    else if (same !== NOT_CONFIRMED) agreement.loose++;
    this.#report(capture, record, 'own', words, same === CONFIRMED_EXACTLY);
  }

  #readWire(key: WireKey, packet: Packet, end: number): WireKey | undefined {
    const wire = key.read(packet.family, packet.view, packet.l3Off, end) ? key : undefined;
    this.#watch?.wire(wire);
    return wire;
  }

  #isOwnSource(p: Packet): boolean {
    const { devices } = this.#host;
    if (p.family === 4) return p.src === 0 || this.#source.isLoopback || devices.isOwn4(p.src);
    const { f } = p;
    const isSource = (words: ArrayLike<number>) =>
      words[0] === f[Field.Src0] &&
      words[1] === f[Field.Src1] &&
      words[2] === f[Field.Src2] &&
      words[3] === f[Field.Src3];
    return isSource([0, 0, 0, 0]) || devices.list.some((d) => d?.addresses6.some((a) => isSource(a.address)) === true);
  }

  #parseProbe(): boolean {
    const { frame } = this.#source;
    const probe = this.#probe;
    probe.reset();
    probe.attach(frame.bytes, frame.view);
    return frame.family === 4
      ? probe.parse4(frame.l3Off, frame.capturedEnd, frame.originalEnd) === 0
      : probe.parse6(frame.l3Off, frame.capturedEnd, frame.originalEnd) === 0;
  }

  #begin(record: CaptureRecord): void {
    this.#record = record;
    this.#answersBefore = this.totals.answers;
    this.#reason = '';
    this.#decidedBy = undefined;
    this.#state = 0;
    this.#mark = 0;
    this.#connection = '';
    this.#translated = undefined;
    if (this.#sinks.packet === undefined) return;
    this.#sent = [];
    this.#rules = [];
  }

  /** The packet in words before the host changes it; only where somebody will read them. */
  #words(): string {
    return this.#sinks.packet !== undefined && this.#parseProbe() ? describePacket(this.#probe) : '';
  }

  #events(): HostEvents {
    const events: HostEvents = {
      sent: (frame) => this.#onSent(frame),
      delivered: (packet) => {
        if (packet.origin !== 'answer') this.#settle(packet, 'delivered');
      },
      held: (packet, waitsFor) => {
        if (packet.origin !== 'answer' && waitsFor === 'neighbour') this.#reason = 'its next hop is not known yet';
      },
      dropped: (packet, place, reason, cause) => this.#onDropped(packet, place, reason, cause),
    };
    const watch = this.#watch;
    if (watch !== undefined) {
      events.held = (_packet, waitsFor) => {
        if (waitsFor === 'neighbour') watch.cannotTellApart('packets wait for the hardware address of a neighbour');
      };
    }
    if (this.#sinks.log !== undefined) events.log = this.#sinks.log.bind(this.#sinks);
    if (this.#sinks.packet !== undefined) {
      events.step = (packet, _hook, _kind, table, verdict, walked) => {
        if (packet.origin === 'answer' || table === undefined || verdict === undefined || !walked) return;
        if (this.#host.engine(packet.family)?.decision.chain === undefined) return;
        this.#rules.push(this.#placeOf(packet.family, table));
      };
    }
    return events;
  }

  #onSent(frame: SentFrame): void {
    const { packet, device } = frame;
    const isLoopback = this.#host.devices.at(device)?.isLoopback === true;
    if (this.#keepsLedger) {
      const loose = frame.origin === 'answer' || packet.fragmentHeaderOff >= 0;
      const wire = this.#readWire(this.#sentWire, packet, frame.end);
      this.#ledger.add(device, frame.bytes, packet.l3Off, frame.end, loose, wire, this.#turn);
    }
    if (frame.origin === 'answer') this.totals.answers++;
    if (!isLoopback) {
      this.totals.framesSent++;
      const record = this.#record;
      this.#sinks.frame?.(frame, this.#source.deviceName(device), record?.seconds ?? 0, record?.nanoseconds ?? 0);
    }
    if (this.#sinks.packet !== undefined) {
      const { origin } = frame;
      this.#sent.push({
        device: this.#source.deviceName(device),
        origin,
        packet: describePacket(packet),
        length: packet.length,
      });
    }
    if (frame.origin !== 'answer') this.#settle(packet, frame.origin === 'own' ? 'sent' : 'forwarded');
  }

  #onDropped(packet: HostPacket, place: DropPlace, reason: string, cause: DropCause | undefined): void {
    if (packet.origin === 'answer') return;
    if (place === 'local end') {
      // It was delivered, and nobody was there: what the stack did about it is an answer of its own.
      this.#reason = reason;
      return;
    }
    const isRejected = reason === 'rule' && this.totals.answers > this.#answersBefore;
    this.#settle(packet, isRejected ? 'rejected' : 'dropped');
    const isAtHand = !packet.waited || this.#inTimers;
    if (isAtHand) this.#reason = reason;
    const by = cause === undefined ? undefined : this.#placeOf(packet.family, cause.table, cause);
    if (isAtHand) this.#decidedBy = by;
    const key = by === undefined ? reason : `${packet.family} ${by.table} ${by.chain} ${by.ruleNumber}`;
    const known: DropReason | undefined = this.totals.drops.get(key);
    if (known === undefined) this.totals.drops.set(key, { reason, by, count: 1, firstTurn: this.#turn });
    else known.count++;
  }

  /** The packet's fate is known: keeps what is told of it, and counts the connection if it is a new one. */
  #settle(packet: HostPacket, outcome: Outcome): void {
    if (packet.waited) {
      if (packet.isLaterPiece) return;
      // An earlier record's packet, which counted as held.
      this.totals.outcomes.held--;
      this.totals.outcomes[outcome]++;
    } else this.#outcome = outcome;
    if (
      packet.ct >= 0 &&
      packet.ctInfo === IP_CT_NEW &&
      (outcome === 'forwarded' || outcome === 'delivered' || outcome === 'sent')
    ) {
      this.#countConnection(packet);
    }
    if (this.#sinks.packet === undefined || packet.waited) return;
    this.#state = this.#host.isTracking(packet.family) ? packet.f[Field.CtState]! : 0;
    this.#mark = packet.mark;
    if (packet.ct < 0) return;
    this.#readTuples(packet);
    this.#connection = describeTuple(packet.family, this.#tuple);
    this.#translated = this.#translation(packet.family);
  }

  #readTuples(packet: HostPacket): void {
    this.#conntrack.tuple(packet.ct, IP_CT_DIR_ORIGINAL, this.#tuple);
    this.#conntrack.tuple(packet.ct, IP_CT_DIR_REPLY, this.#reply);
  }

  #countConnection(packet: HostPacket): void {
    const serial = this.#conntrack.entries.serial[packet.ct]!;
    if (this.#known.get(packet.ct) === serial) return;
    this.#known.set(packet.ct, serial);
    const { connections } = this.totals;
    this.#readTuples(packet);
    const original = describeTuple(packet.family, this.#tuple, false);
    const translated = this.#translation(packet.family);
    const key = `${original} ${translated ?? ''}`;
    const listed = connections.get(key);
    if (listed !== undefined) listed.count++;
    else if (connections.size < MAX_LISTED_CONNECTIONS)
      connections.set(key, { original, translated, count: 1, firstTurn: this.#turn });
    else {
      this.totals.unlistedConnections++;
      this.#sinks.unlisted?.(original, translated);
    }
  }

  /** Where the connection really goes and whom it seems to come from; undefined if nothing is translated. */
  #translation(family: Family): string | undefined {
    const original = this.#tuple;
    const reply = this.#reply;
    const differs = (at: number, back: number) =>
      [0, 1, 2, 3].some((i) => original.address[at + i] !== reply.address[back + i]);
    const ports = hasPorts(original.protocol);
    const newTarget = differs(4, 0) || (ports && original.dstPort !== reply.srcPort);
    const newSource = differs(0, 4);
    const parts: string[] = [];
    if (newTarget) {
      const target = reply.address;
      parts.push(ports ? describeEndpoint(family, target, 0, reply.srcPort) : describeAddress(family, target, 0));
    }
    if (newSource) parts.push(`as ${describeAddress(family, reply.address, 4)}`);
    else if (ports && original.srcPort !== reply.dstPort) parts.push(`as port ${reply.dstPort}`);
    return parts.length === 0 ? undefined : parts.join(' ');
  }

  #skip(capture: number, record: CaptureRecord, reason: string): void {
    const { skipped } = this.totals;
    skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
    if (this.#sinks.packet === undefined) return;
    const { number, name, time } = this.#stamp(capture, record);
    this.#sinks.packet({
      number,
      capture: name,
      time,
      device: '',
      role: 'skipped',
      skipped: reason,
      ...this.#sentMeanwhile(),
    });
  }

  /** Frames that a record passed over has set off. */
  #sentMeanwhile(): { sent?: readonly SentResult[] } {
    return this.#sent.length > 0 ? { sent: this.#sent } : {};
  }

  #stamp(capture: number, record: CaptureRecord): { number: number; name: string; time: string } {
    const time = `${record.seconds}.${String(record.nanoseconds).padStart(9, '0')}`;
    return { number: this.#number, name: this.totals.captures[capture]!.name, time };
  }

  #report(capture: number, record: CaptureRecord, role: RecordRole, packet: string, exact?: boolean): void {
    if (this.#sinks.packet === undefined) return;
    const { number, name, time } = this.#stamp(capture, record);
    const { frame } = this.#source;
    const base: PacketResult = {
      number,
      capture: name,
      time,
      device: this.#source.deviceName(frame.device),
      role,
      packet,
    };
    const isCut = frame.capturedEnd < frame.originalEnd ? { cut: true } : {};
    if (role === 'confirms' || role === 'unexplained') {
      this.#sinks.packet({ ...base, ...(exact === undefined ? {} : { exact }), ...isCut });
      return;
    }
    this.#sinks.packet({
      ...base,
      outcome: this.#outcome,
      ...(this.#reason === '' ? {} : { reason: this.#reason }),
      ...(this.#decidedBy === undefined ? {} : { decidedBy: this.#decidedBy }),
      rules: this.#rules,
      mark: this.#mark,
      ...(this.#state === 0 ? {} : { ctstate: describeCtState(this.#state) }),
      ...(this.#connection === '' ? {} : { connection: this.#connection }),
      ...(this.#translated === undefined ? {} : { translated: this.#translated }),
      sent: this.#sent,
      ...(role === 'own' ? { exact: exact === true } : {}),
      ...isCut,
    });
  }

  #placeOf(family: Family, table: TableName, cause?: DropCause): DecidedBy {
    const decision = cause?.decision ?? this.#host.engine(family)!.decision;
    const { chain, ruleIndex } = decision;
    const span = ruleIndex < 0 ? undefined : chain?.rules[ruleIndex]?.span;
    const line = span === undefined ? undefined : positionOf(span.source, span.start).line;
    return { table, chain: chain?.name ?? '', ruleNumber: ruleIndex + 1, line };
  }
}
