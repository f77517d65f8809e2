/** The connection table of one host: tracking, NAT and what matches and targets ask of it, behind one door. */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Rng } from '../base/rng.js';
import type { Source } from '../base/source.js';
import { type Direction, type Family, type Hook, IPS_CONFIRMED, type ManipType } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import type { Conntrack, NatRange, TupleView } from './conntrack.js';
import { updateCtState } from './ct-state.js';
import type { EntryTable } from './entry-table.js';
import { Nat } from './nat.js';
import type { ChooseOffset } from './nat-choose.js';
import { parseEntries } from './parse.js';
import { preloadEntries } from './preload.js';
import { printEntries } from './print.js';
import type { ConntrackSettings } from './settings.js';
import { type ConntrackOptions, Tracker } from './tracker.js';
import { T_PORTS, TUPLE_WORDS, tupleProtocol, tupleZone } from './tuple.js';
import { followUdp } from './udp.js';

const SECOND_US = 1_000_000;

export class ConntrackTable implements Conntrack {
  readonly #tracker: Tracker;
  readonly #nat: Nat;
  readonly #rng: Rng;

  constructor(options: ConntrackOptions) {
    this.#rng = options.rng;
    this.#tracker = new Tracker(options);
    this.#nat = new Nat(this.#tracker.table, options.rng, this.#tracker);
  }

  get entries(): EntryTable {
    return this.#tracker.table;
  }
  get settings(): ConntrackSettings {
    return this.#tracker.settings;
  }
  set settings(settings: ConntrackSettings) {
    this.#tracker.settings = settings;
  }

  /** What is drawn and made from now on belongs to turn `n`, and hangs on no draw before (see Host.beginTurn). */
  beginTurn(n: number): void {
    this.#rng.jump(n);
    this.entries.beginTurn(n);
  }

  /** Brings the table's time in step with the clock: needed before `entries` are looked at directly. */
  sync(): void {
    this.#tracker.syncClock();
  }

  /**
   * PREROUTING and OUTPUT: gives the packet its entry and follows its protocol; sets ct, ctDir, ctInfo and the state word. Returns NF_ACCEPT,
   * or NF_DROP if the table is full. Kernel: nf_conntrack_in().
   */
  track(packet: Packet, hook: Hook): number {
    return this.#tracker.track(packet, hook);
  }

  /**
   * Follows a TCP packet with ACK alone (or ACK and PSH) whose entry and direction the caller knows, and whose checksum it has verified;
   * `off`: its header, `seq` and `ack`: signed, sizes in bytes, `length`: of the IP packet. False: its connection is not in the
   * state for that, or it does not fit; then nothing has changed. Allocates nothing.
   */
  followAck(
    ct: number,
    dir: Direction,
    view: DataView,
    off: number,
    seq: number,
    ack: number,
    win: number,
    optionSize: number,
    dataSize: number,
    length: number,
  ): boolean {
    return this.#tracker.tcp.followAck(ct, dir, view, off, seq, ack, win, optionSize, dataSize, length);
  }

  /** The same for a UDP datagram of an assured connection. */
  followUdp(ct: number, dir: Direction, length: number): void {
    followUdp(this.#tracker, ct, dir, length);
  }

  /**
   * The last step at INPUT and POSTROUTING: enters the connection that the packet has begun. Returns NF_ACCEPT, or NF_DROP if its tuples
   * are taken. Kernel: nf_confirm().
   */
  confirm(packet: Packet): number {
    return this.#tracker.confirm(packet);
  }

  /** Hands the entry of `cause` to an answer that the host makes about it. Kernel: nf_conntrack_attach(). */
  attach(answer: Packet, cause: Packet): void {
    this.#tracker.attach(answer, cause);
  }

  /** To be called for each packet that is dropped: a connection that it had begun vanishes. */
  drop(packet: Packet): void {
    this.#tracker.drop(packet);
  }

  /** Exempts the packet from tracking (target NOTRACK, copies made by TEE). */
  untrack(packet: Packet): void {
    packet.untracked = true;
    updateCtState(packet, this.entries);
  }

  /**
   * Translates the packet by its entry; on a connection's first visit of a side `runNatTable` decides. Returns NF_ACCEPT, NF_DROP, or
   * what else the table said. Kernel: nf_nat_inet_fn().
   */
  nat(packet: Packet, hook: Hook, runNatTable: (packet: Packet) => number): number {
    return this.#nat.packet(packet, hook, runNatTable);
  }

  setupNat(packet: Packet, range: NatRange, manip: ManipType, hook: Hook): number {
    return this.#nat.setup(packet, range, manip, hook);
  }

  /** Pins the random start of port searches. */
  set chooseOffset(choose: ChooseOffset | undefined) {
    this.#nat.chooseOffset = choose;
  }

  setMasqueradeDevice(packet: Packet): void {
    if (packet.ct >= 0) this.entries.natDevice[packet.ct] = packet.f[Field.OutDev]!;
  }

  /**
   * Enters the connections of a listing (`conntrack -L`); they live their remaining seconds from now on. Where the clock still stands at 0,
   * "now" is the moment to which it is first advanced. Returns what could not be read or entered.
   */
  preload(source: Source): Diagnostic[] {
    const { entries, diagnostics } = parseEntries(source);
    const leftOut = preloadEntries(this.#tracker, entries);
    const left: Diagnostic[] = leftOut.map((index) => ({
      severity: 'warning',
      code: 'conntrack-clash',
      message: 'another connection in the listing has the same tuple in the same zone',
      span: entries[index]!.span,
      hint: 'the line is left out',
    }));
    return [...diagnostics, ...left];
  }

  /** The table as `conntrack -L -o extended` prints it, of one family if given. */
  print(family?: Family): string {
    this.sync();
    return printEntries(this.entries, family);
  }

  status(ct: number): number {
    return this.entries.status[ct]!;
  }
  mark(ct: number): number {
    return this.entries.mark[ct]!;
  }
  setMark(ct: number, mark: number): void {
    this.entries.mark[ct] = mark;
  }
  protocol(ct: number): number {
    return tupleProtocol(this.entries.tuples, ct * 2 * TUPLE_WORDS);
  }
  zone(ct: number, direction: Direction): number {
    return tupleZone(this.entries.tuples, (ct * 2 + direction) * TUPLE_WORDS);
  }
  tuple(ct: number, direction: Direction, out: TupleView): void {
    const { tuples } = this.entries;
    const at = (ct * 2 + direction) * TUPLE_WORDS;
    for (let i = 0; i < 8; i++) out.address[i] = tuples[at + i]!;
    out.protocol = tupleProtocol(tuples, at);
    out.srcPort = tuples[at + T_PORTS]! >>> 16;
    out.dstPort = tuples[at + T_PORTS]! & 0xffff;
  }
  expiresIn(ct: number): number {
    const { table } = this.#tracker;
    if ((table.status[ct]! & IPS_CONFIRMED) === 0) return 0;
    this.#tracker.syncClock();
    return Math.max(0, Math.floor((table.deadlineUs[ct]! - table.nowUs) / SECOND_US));
  }
  packets(ct: number, direction: Direction): number {
    return this.entries.packets[ct * 2 + direction]!;
  }
  bytes(ct: number, direction: Direction): number {
    return this.entries.bytes[ct * 2 + direction]!;
  }
  master(ct: number): number {
    return this.entries.master[ct]!;
  }

  /** A packet was answered by REJECT with a reset. Kernel: nf_ct_set_closing(). */
  rejectedByReset(packet: Packet): void {
    this.#tracker.rejectedByReset(packet);
  }
}
