/**
 * TCP. The numbers are the specification's steps (6.6). Kernel: nf_conntrack_tcp_packet(),
 * net/netfilter/nf_conntrack_proto_tcp.c. Differs: no SYNPROXY, no sequence adjustment (no helper needs one here).
 */
import {
  type Direction,
  type Hook,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_FIXED_TIMEOUT,
  IPS_SEEN_REPLY,
} from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import {
  hasBadChecksum,
  TRACK_ACCEPT,
  TRACK_INVALID,
  TRACK_REPEAT,
  type TrackContext,
  type TrackResult,
} from './handler.js';
import { refreshBy } from './refresh.js';
import {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT,
  TCP_LAST_ACK,
  TCP_NONE,
  TCP_RETRANS,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_SYN_SENT2,
  TCP_TIME_WAIT,
  TCP_UNACK,
} from './settings.js';
import * as R from './tcp-record.js';
import { TCP_RST, TcpSegment } from './tcp-segment.js';
import {
  CLASS_ACK,
  CLASS_FIN,
  CLASS_NONE,
  CLASS_RST,
  CLASS_SYN,
  CLASS_SYNACK,
  nextTcpState,
  TCP_IGNORE,
  TCP_INVALID,
  tcpClass,
} from './tcp-state.js';
import { before, checkAck, checkWindow, WINDOW_IGNORE, WINDOW_INVALID } from './tcp-window.js';

const { SIDE_WORDS } = R;
const TCP_HEADER_SIZE = 20;
/** A remaining lifetime below this is not shortened by invalid packets. */
const SHORT_LIFE_US = 120_000_000;

/** True for states in which a connection is on its way out. Kernel: tcp_can_early_drop(). */
export function isTcpClosing(state: number): boolean {
  return (
    state === TCP_FIN_WAIT ||
    state === TCP_LAST_ACK ||
    state === TCP_TIME_WAIT ||
    state === TCP_CLOSE ||
    state === TCP_CLOSE_WAIT
  );
}

/** What a reset means for the entry, before the window is looked at. */
const RST_CHECK = 0;
/** Accepted without window check. */
const RST_ACCEPT = 1;
/** The connection stays as it is, in case of a challenge ACK; the window is checked. */
const RST_STAY = 2;
/** As RST_STAY, without window check. */
const RST_STAY_ACCEPT = 3;
const RST_INVALID = 4;

export class TcpTracker {
  readonly records = new R.TcpRecords();
  readonly #context: TrackContext;
  readonly #segment = new TcpSegment();
  /** A side to read the options of an ignored SYN into. */
  readonly #options = new Uint32Array(SIDE_WORDS);

  constructor(context: TrackContext) {
    this.#context = context;
  }

  /** Follows the packet's connection; `off`: where the TCP header lies. Per packet: allocates nothing. */
  track(packet: Packet, off: number, hook: Hook): TrackResult {
    const context = this.#context;
    const { table, settings } = context;
    const segment = this.#segment;
    if (!segment.read(packet, off) || hasBadChecksum(context, packet, hook)) return TRACK_INVALID;
    const packetClass = tcpClass(segment.flags);
    if (packetClass === CLASS_NONE) return TRACK_INVALID;
    const ct = packet.ct;
    const at = this.records.at(ct);
    const w = this.records.words;
    if ((table.status[ct]! & IPS_CONFIRMED) === 0 && !this.#begin(ct, at, packetClass)) return TRACK_INVALID;

    const dir = packet.ctDir;
    const s = at + dir * SIDE_WORDS;
    const r = at + (dir ^ 1) * SIDE_WORDS;
    let old = table.state[ct]!;
    let next = nextTcpState(dir, packetClass, old);
    let checked = true;

    if (next === TCP_INVALID) return TRACK_INVALID;
    if (next === TCP_SYN_SENT && old >= TCP_TIME_WAIT) {
      // 1
      const closeStarted = ((w[s + R.FLAGS]! | w[r + R.FLAGS]!) & R.FLAG_CLOSE_INIT) !== 0;
      if (closeStarted || (w[at + R.LAST_DIR] === dir && w[at + R.LAST_CLASS] === CLASS_RST)) {
        table.remove(ct);
        return TRACK_REPEAT;
      }
      next = TCP_IGNORE;
    }
    if (next === TCP_IGNORE) {
      if (!this.#restarts(at, dir, packetClass)) {
        this.#rememberIgnored(at, dir, packetClass, old);
        return TRACK_ACCEPT;
      }
      this.#restart(at, dir);
      old = TCP_SYN_SENT;
      next = TCP_SYN_RECV;
    } else if (next === TCP_TIME_WAIT) {
      if (
        old === TCP_LAST_ACK &&
        packetClass === CLASS_ACK &&
        w[at + R.LAST_DIR] !== dir &&
        w[at + R.LAST_CLASS] === CLASS_SYN &&
        (w[at + R.LAST_FLAGS]! & R.FLAG_CHALLENGE) !== 0
      ) {
        w[at + R.LAST_FLAGS] = w[at + R.LAST_FLAGS]! & ~R.FLAG_CHALLENGE;
        return TRACK_ACCEPT;
      }
    } else if (next === TCP_SYN_SENT2) {
      w[at + R.LAST_FLAGS] = w[at + R.LAST_FLAGS]! | R.FLAG_SIMULTANEOUS;
    } else if (next === TCP_SYN_RECV) {
      const simultaneous = (w[at + R.LAST_FLAGS]! & R.FLAG_SIMULTANEOUS) !== 0;
      if (dir === IP_CT_DIR_REPLY && packetClass === CLASS_ACK && simultaneous) next = TCP_ESTABLISHED;
    } else if (next === TCP_CLOSE && packetClass === CLASS_RST) {
      const judged = this.#judgeReset(ct, at, dir, old);
      if (judged === RST_INVALID) return TRACK_INVALID;
      if (judged === RST_STAY || judged === RST_STAY_ACCEPT) next = old;
      checked = judged === RST_CHECK || judged === RST_STAY;
    }

    if (checked) {
      // 5
      const result = checkWindow(w, at, dir, packetClass, segment, table.state[ct]!, settings.tcpBeLiberal);
      if (result === WINDOW_IGNORE) return TRACK_ACCEPT;
      if (result === WINDOW_INVALID) {
        this.#afterInvalid(ct, at, dir, packetClass);
        return TRACK_INVALID;
      }
    }
    this.#enter(ct, dir, packet.f[Field.Length]!, at, packetClass, old, next);
    return TRACK_ACCEPT;
  }

  /**
   * `track` for a packet with ACK alone (or ACK and PSH) of a confirmed connection in ESTABLISHED with both sides known: there it comes
   * down to this. The caller has verified the checksum, and gives what the header says (seq, ack: signed), the sizes of
   * the options and of the data, and the IP length. False: refused, or not such a connection; then nothing has changed.
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
    const context = this.#context;
    if (context.table.state[ct] !== TCP_ESTABLISHED) return false;
    const at = this.records.at(ct);
    const w = this.records.words;
    if (w[at + R.MAXWIN] === 0 || w[at + SIDE_WORDS + R.MAXWIN] === 0) return false;
    let sack = ack;
    if (optionSize > 0 && (w[at + (dir ^ 1) * SIDE_WORDS + R.FLAGS]! & R.FLAG_SACK) !== 0) {
      const segment = this.#segment;
      const end = off + TCP_HEADER_SIZE + optionSize + dataSize;
      if (!segment.readAt(view, off, end, end)) return false;
      sack = segment.highestSack(segment.ack) | 0;
    }
    const result = checkAck(w, at, dir, seq, ack, sack, (seq + dataSize) | 0, win, context.settings.tcpBeLiberal);
    if (result === WINDOW_INVALID) return false;
    if (result !== WINDOW_IGNORE) this.#enter(ct, dir, length, at, CLASS_ACK, TCP_ESTABLISHED, TCP_ESTABLISHED);
    return true;
  }

  /** The first packet of a connection. Kernel: tcp_new(). */
  #begin(ct: number, at: number, packetClass: number): boolean {
    const w = this.records.words;
    const segment = this.#segment;
    const next = nextTcpState(IP_CT_DIR_ORIGINAL, packetClass, TCP_NONE);
    if (next === TCP_INVALID || (next !== TCP_SYN_SENT && !this.#context.settings.tcpLoose)) return false;
    for (let i = at; i < at + R.RECORD_WORDS; i++) w[i] = 0;
    this.#context.table.state[ct] = TCP_NONE;
    w[at + R.END] = segment.end;
    w[at + R.MAXWIN] = Math.max(segment.win, 1);
    if (next === TCP_SYN_SENT) {
      w[at + R.MAXEND] = segment.end;
      segment.synOptions(w, at);
    } else {
      // Picked up: scaling is not known, so windows cannot be judged.
      w[at + R.MAXEND] = segment.end + w[at + R.MAXWIN]!;
      w[at + R.FLAGS] = w[at + SIDE_WORDS + R.FLAGS] = R.FLAG_SACK | R.FLAG_LIBERAL;
    }
    w[at + R.LAST_CLASS] = CLASS_NONE;
    return true;
  }

  /** 2: a SYN+ACK that answers the SYN ignored last: both ends are in step, the entry is not. */
  #restarts(at: number, dir: number, packetClass: number): boolean {
    const w = this.records.words;
    return (
      packetClass === CLASS_SYNACK &&
      w[at + R.LAST_CLASS] === CLASS_SYN &&
      w[at + R.LAST_DIR] !== dir &&
      this.#segment.ack === w[at + R.LAST_END]
    );
  }

  #restart(at: number, dir: number): void {
    const w = this.records.words;
    const other = at + w[at + R.LAST_DIR]! * SIDE_WORDS;
    w[other + R.END] = w[other + R.MAXEND] = w[at + R.LAST_END]!;
    w[other + R.MAXWIN] = Math.max(w[at + R.LAST_WIN]!, 1);
    w[other + R.SCALE] = w[at + R.LAST_SCALE]!;
    w[at + R.LAST_FLAGS] = w[at + R.LAST_FLAGS]! & ~R.FLAG_CHALLENGE;
    w[other + R.FLAGS] = w[at + R.LAST_FLAGS]!;
    const own = at + dir * SIDE_WORDS;
    const liberal = w[own + R.FLAGS]! & R.FLAG_LIBERAL;
    w.fill(0, own, own + SIDE_WORDS);
    w[own + R.FLAGS] = liberal;
  }

  #rememberIgnored(at: number, dir: number, packetClass: number, old: number): void {
    const w = this.records.words;
    const segment = this.#segment;
    w[at + R.LAST_CLASS] = packetClass;
    w[at + R.LAST_DIR] = dir;
    w[at + R.LAST_SEQ] = segment.seq;
    w[at + R.LAST_END] = segment.end;
    w[at + R.LAST_WIN] = segment.win;
    if (packetClass === CLASS_SYN && dir === IP_CT_DIR_ORIGINAL) {
      const scratch = this.#options;
      scratch.fill(0);
      segment.synOptions(scratch, 0);
      w[at + R.LAST_SCALE] = scratch[R.SCALE]!;
      w[at + R.LAST_FLAGS] = scratch[R.FLAGS]! | (old === TCP_LAST_ACK ? R.FLAG_CHALLENGE : 0);
    }
    if (old === TCP_SYN_SENT && packetClass === CLASS_ACK && dir === IP_CT_DIR_REPLY) {
      w[at + R.LAST_ACK] = segment.ack;
    }
  }

  /** 4: a reset that would close the connection. */
  #judgeReset(ct: number, at: number, dir: number, old: number): number {
    const { table, settings } = this.#context;
    const w = this.records.words;
    const { seq, ack } = this.#segment;
    if (isTcpClosing(old)) return RST_ACCEPT;
    const status = table.status[ct]!;
    const isFull = old === TCP_ESTABLISHED && (status & IPS_ASSURED) !== 0;
    const other = at + (dir ^ 1) * SIDE_WORDS;
    const lastClass = w[at + R.LAST_CLASS]!;
    const lastDir = w[at + R.LAST_DIR]!;
    let stays = false;
    if ((w[other + R.FLAGS]! & R.FLAG_MAXACK) !== 0 && lastClass !== CLASS_SYN) {
      if (seq === 0 && !isFull) return RST_CHECK;
      const highest = w[other + R.MAXACK]!;
      if (before(seq, highest) && !settings.tcpIgnoreInvalidRst) return RST_INVALID;
      if (!isFull || seq === highest) return RST_CHECK;
      if (lastClass === CLASS_ACK && lastDir === dir && seq === w[at + R.LAST_END]) return RST_CHECK;
      stays = true;
    }
    const answersSyn = (status & IPS_SEEN_REPLY) !== 0 && lastClass === CLASS_SYN && lastDir !== dir;
    const answersAck = (status & IPS_ASSURED) === 0 && lastClass === CLASS_ACK;
    if ((answersSyn || answersAck) && ack === w[at + R.LAST_END]) return stays ? RST_STAY_ACCEPT : RST_ACCEPT;
    if (old === TCP_SYN_SENT && lastClass === CLASS_ACK && lastDir === IP_CT_DIR_REPLY && seq === w[at + R.LAST_ACK]) {
      return RST_ACCEPT;
    }
    return stays ? RST_STAY : RST_CHECK;
  }

  /** 5: a FIN or RST out of window hints that the connection is dead. Kernel: nf_tcp_handle_invalid(). */
  #afterInvalid(ct: number, at: number, dir: number, packetClass: number): void {
    const { table, settings } = this.#context;
    const w = this.records.words;
    if ((table.status[ct]! & (IPS_ASSURED | IPS_FIXED_TIMEOUT)) !== IPS_ASSURED) return;
    if (packetClass !== CLASS_RST && packetClass !== CLASS_FIN) return;
    const lastClass = w[at + R.LAST_CLASS];
    if (w[at + R.LAST_DIR] !== dir && (lastClass === CLASS_FIN || lastClass === CLASS_RST)) {
      const left = table.deadlineUs[ct]! - table.nowUs;
      const shorter = settings.tcpTimeoutUs[TCP_UNACK]!;
      if (left >= SHORT_LIFE_US && left > shorter) table.deadlineUs[ct] = table.nowUs + shorter;
    } else {
      w[at + R.LAST_CLASS] = packetClass;
      w[at + R.LAST_DIR] = dir;
    }
  }

  /** 6 to 8: the new state, its timeout, ASSURED. */
  #enter(ct: number, dir: Direction, length: number, at: number, packetClass: number, old: number, next: number): void {
    const { table, settings } = this.#context;
    const w = this.records.words;
    const timeouts = settings.tcpTimeoutUs;
    w[at + R.LAST_CLASS] = packetClass;
    w[at + R.LAST_DIR] = dir;
    table.state[ct] = next;
    if (old !== next && next === TCP_FIN_WAIT) {
      const flags = at + dir * SIDE_WORDS + R.FLAGS;
      w[flags] = w[flags]! | R.FLAG_CLOSE_INIT;
    }
    const unacked = ((w[at + R.FLAGS]! | w[at + SIDE_WORDS + R.FLAGS]!) & R.FLAG_UNACKED) !== 0;
    let timeout = timeouts[next]!;
    if (w[at + R.RETRANS]! >= settings.tcpMaxRetrans && timeout > timeouts[TCP_RETRANS]!)
      timeout = timeouts[TCP_RETRANS]!;
    else if (packetClass === CLASS_RST) timeout = timeouts[TCP_CLOSE]!;
    else if (unacked && timeout > timeouts[TCP_UNACK]!) timeout = timeouts[TCP_UNACK]!;
    else if (w[at + R.LAST_WIN] === 0 && timeout > timeouts[TCP_RETRANS]!) timeout = timeouts[TCP_RETRANS]!;

    const status = table.status[ct]!;
    if ((status & IPS_SEEN_REPLY) === 0) {
      if ((this.#segment.flags & TCP_RST) !== 0) {
        table.remove(ct);
        return;
      }
      if (packetClass === CLASS_SYN && old === TCP_SYN_SENT) return;
      if (next === TCP_ESTABLISHED && timeout > timeouts[TCP_UNACK]!) timeout = timeouts[TCP_UNACK]!;
    } else if (
      (status & IPS_ASSURED) === 0 &&
      (old === TCP_SYN_RECV || old === TCP_ESTABLISHED) &&
      next === TCP_ESTABLISHED
    ) {
      table.status[ct] = status | IPS_ASSURED;
    }
    refreshBy(table, ct, dir, length, timeout);
  }

  /**
   * A connection whose beginning was not seen: both sides liberal, as the kernel does it for picked-up ones. `state` is the state
   * that it is in.
   */
  adopt(ct: number, state: number): void {
    const at = this.records.at(ct);
    const w = this.records.words;
    w.fill(0, at, at + R.RECORD_WORDS);
    this.#context.table.state[ct] = state;
    const closing = state >= TCP_FIN_WAIT && state <= TCP_TIME_WAIT ? R.FLAG_CLOSE_INIT : 0;
    w[at + R.FLAGS] = w[at + SIDE_WORDS + R.FLAGS] = R.FLAG_SACK | R.FLAG_LIBERAL | closing;
    w[at + R.LAST_CLASS] = CLASS_NONE;
    w[at + R.LAST_WIN] = 1;
  }

  /** A packet of the connection was rejected with a reset. Kernel: nf_conntrack_tcp_set_closing(). */
  setClosing(ct: number): void {
    const { table, settings } = this.#context;
    const status = table.status[ct]!;
    if ((status & IPS_CONFIRMED) === 0) return;
    const old = table.state[ct]!;
    table.state[ct] = TCP_CLOSE;
    if (old === TCP_CLOSE || (status & IPS_FIXED_TIMEOUT) !== 0) return;
    table.deadlineUs[ct] = table.nowUs + settings.tcpTimeoutUs[TCP_CLOSE]!;
  }

  /** The sequence space of the connection `fresh` lies ahead of that of `old`. Kernel: nf_seq_has_advanced(). */
  hasAdvanced(old: number, fresh: number): boolean {
    const oldAt = this.records.at(old);
    const freshAt = this.records.at(fresh);
    return before(this.records.words[oldAt + R.END]!, this.records.words[freshAt + R.END]!);
  }
}
