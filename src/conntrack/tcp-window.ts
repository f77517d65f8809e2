/**
 * The window check: does a segment fit what both sides have announced and sent? The letters are the specification's steps
 * (6.6). Kernel: tcp_in_window(), net/netfilter/nf_conntrack_proto_tcp.c.
 */
import { IP_CT_DIR_REPLY } from '../net/netfilter.js';
import { TCP_SYN_RECV, TCP_SYN_SENT } from './settings.js';
import {
  END,
  FLAG_LIBERAL,
  FLAG_MAXACK,
  FLAG_SACK,
  FLAG_SCALE,
  FLAG_UNACKED,
  FLAGS,
  LAST_ACK,
  LAST_DIR,
  LAST_END,
  LAST_SEQ,
  LAST_WIN,
  MAXACK,
  MAXEND,
  MAXWIN,
  RETRANS,
  SCALE,
  SIDE_WORDS,
} from './tcp-record.js';
import { TCP_ACK, TCP_RST, TCP_SYN, type TcpSegment } from './tcp-segment.js';
import { CLASS_ACK } from './tcp-state.js';

export const WINDOW_ACCEPT = 0;
/** The packet keeps its entry; nothing else changes. */
export const WINDOW_IGNORE = 1;
export const WINDOW_INVALID = 2;
export type WindowResult = 0 | 1 | 2;

/** An acknowledgement may lag behind by so much, or the sender's largest window (kernel: MAXACKWINCONST). */
const MAX_ACK_WINDOW = 66000;

/** a before b in sequence space. */
export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** The sender's side from a SYN. Kernel: tcp_init_sender(). */
function initSender(w: Uint32Array, s: number, r: number, dir: number, segment: TcpSegment): void {
  w[s + END] = w[s + MAXEND] = segment.end;
  w[s + MAXWIN] = Math.max(segment.win, 1);
  segment.synOptions(w, s);
  // Scaling holds only if both sides offered it.
  if (dir === IP_CT_DIR_REPLY && (w[s + FLAGS]! & w[r + FLAGS]! & FLAG_SCALE) === 0) {
    w[s + SCALE] = 0;
    w[r + SCALE] = 0;
  }
}

/**
 * Checks the segment of class `packetClass` in direction `dir` against the record at w[at..] and brings the record up to date.
 * `state` is the connection's state before the packet. Per packet: allocates nothing.
 */
export function checkWindow(
  w: Uint32Array,
  at: number,
  dir: number,
  packetClass: number,
  segment: TcpSegment,
  state: number,
  beLiberal: boolean,
): WindowResult {
  const s = at + dir * SIDE_WORDS;
  const r = at + (dir ^ 1) * SIDE_WORDS;
  const { flags } = segment;
  const hasAck = (flags & TCP_ACK) !== 0;
  let { seq, ack, end } = segment;
  let sack = (w[r + FLAGS]! & FLAG_SACK) !== 0 ? segment.highestSack(ack) : ack;

  if (w[s + MAXWIN] === 0) {
    if ((flags & TCP_SYN) !== 0) {
      initSender(w, s, r, dir, segment);
      if (!hasAck) return WINDOW_ACCEPT;
    } else {
      // a: in the middle of a connection whose history is not known.
      w[s + END] = end;
      w[s + MAXWIN] = Math.max(segment.win << w[s + SCALE]!, 1);
      w[s + MAXEND] = end + w[s + MAXWIN]!;
      if (w[r + MAXWIN] === 0) {
        w[r + END] = w[r + MAXEND] = sack;
      } else if (sack === (w[r + END]! + 1) >>> 0) {
        w[r + END] = w[r + END]! + 1;
      }
    }
  } else if (
    (flags & TCP_SYN) !== 0 &&
    before(w[s + END]!, end) &&
    (state === TCP_SYN_SENT || state === TCP_SYN_RECV)
  ) {
    // b
    initSender(w, s, r, dir, segment);
    if (dir === IP_CT_DIR_REPLY && !hasAck) return WINDOW_ACCEPT;
  }

  // c
  if (!hasAck || ((flags & TCP_RST) !== 0 && ack === 0)) ack = sack = w[r + END]!;
  if ((flags & TCP_RST) !== 0 && seq === 0 && state === TCP_SYN_SENT) seq = end = w[s + END]!;

  const liberal = beLiberal || (w[s + FLAGS]! & FLAG_LIBERAL) !== 0;
  const { win } = segment;
  const scaled = (flags & TCP_SYN) !== 0 ? win : win << w[s + SCALE]!;
  return judge(
    w,
    at,
    dir,
    seq | 0,
    ack | 0,
    sack | 0,
    end | 0,
    win,
    scaled,
    hasAck,
    packetClass === CLASS_ACK,
    liberal,
  );
}

/**
 * `checkWindow` for a segment with ACK alone (or ACK and PSH) of an established connection both sides of which are known. Numbers
 * of sequence space as signed words; `sack`: its highest SACK edge, else `ack`. Per packet: allocates nothing.
 */
export function checkAck(
  w: Uint32Array,
  at: number,
  dir: number,
  seq: number,
  ack: number,
  sack: number,
  end: number,
  win: number,
  beLiberal: boolean,
): WindowResult {
  const s = at + dir * SIDE_WORDS;
  const liberal = beLiberal || (w[s + FLAGS]! & FLAG_LIBERAL) !== 0;
  return judge(w, at, dir, seq, ack, sack, end, win, win << w[s + SCALE]!, true, true, liberal);
}

/** Steps d to h. Sequence numbers come signed: unsigned ones would be boxed on the way. */
function judge(
  w: Uint32Array,
  at: number,
  dir: number,
  seq: number,
  ack: number,
  sack: number,
  end: number,
  rawWin: number,
  win: number,
  hasAck: boolean,
  isAckClass: boolean,
  liberal: boolean,
): WindowResult {
  const s = at + dir * SIDE_WORDS;
  const r = at + (dir ^ 1) * SIDE_WORDS;
  const sentEnd = w[s + END]! | 0;
  const maxEnd = w[s + MAXEND]! | 0;
  const otherEnd = w[r + END]! | 0;
  const receiverWin = w[r + MAXWIN]!;
  const ackFloor = (otherEnd - Math.max(w[s + MAXWIN]!, MAX_ACK_WINDOW) - 1) | 0;
  const ackIsSeen = before(sack, otherEnd + 1);
  const isInReceiveWindow = before(sentEnd - receiverWin - 1, end);

  // d
  if (!before(seq, maxEnd + 1)) {
    const over = (end - maxEnd + 1) >>> 0;
    if (receiverWin !== 0 && isInReceiveWindow && before(ackFloor, sack) && over <= receiverWin && ackIsSeen) {
      w[s + END] = end;
      w[s + FLAGS] = w[s + FLAGS]! | FLAG_UNACKED;
      return liberal ? WINDOW_ACCEPT : WINDOW_IGNORE;
    }
    return liberal ? WINDOW_ACCEPT : WINDOW_INVALID;
  }
  // e, f, g
  if (!ackIsSeen) return liberal ? WINDOW_ACCEPT : WINDOW_INVALID;
  if ((receiverWin !== 0 && !isInReceiveWindow) || !before(ackFloor, sack)) {
    return liberal ? WINDOW_ACCEPT : WINDOW_IGNORE;
  }

  // h
  const announced = (win + (sack - ack)) >>> 0;
  if (w[s + MAXWIN]! < announced) w[s + MAXWIN] = announced;
  if (before(sentEnd, end)) {
    w[s + END] = end;
    w[s + FLAGS] = w[s + FLAGS]! | FLAG_UNACKED;
  }
  if (hasAck) {
    if ((w[s + FLAGS]! & FLAG_MAXACK) === 0) {
      w[s + MAXACK] = ack;
      w[s + FLAGS] = w[s + FLAGS]! | FLAG_MAXACK;
    } else if (before(w[s + MAXACK]! | 0, ack)) {
      w[s + MAXACK] = ack;
    }
  }
  if (receiverWin !== 0 && before(maxEnd, end)) w[r + MAXWIN] = receiverWin + ((end - maxEnd) >>> 0);
  if (before((w[r + MAXEND]! | 0) - 1, sack + win)) w[r + MAXEND] = sack + win + (win === 0 ? 1 : 0);
  if (ack === otherEnd) w[r + FLAGS] = w[r + FLAGS]! & ~FLAG_UNACKED;

  if (isAckClass) {
    if (
      w[at + LAST_DIR] === dir &&
      (w[at + LAST_SEQ]! | 0) === seq &&
      (w[at + LAST_ACK]! | 0) === ack &&
      (w[at + LAST_END]! | 0) === end &&
      w[at + LAST_WIN] === rawWin
    ) {
      w[at + RETRANS] = (w[at + RETRANS]! + 1) & 255;
    } else {
      w[at + LAST_DIR] = dir;
      w[at + LAST_SEQ] = seq;
      w[at + LAST_ACK] = ack;
      w[at + LAST_END] = end;
      w[at + LAST_WIN] = rawWin;
      w[at + RETRANS] = 0;
    }
  }
  return WINDOW_ACCEPT;
}
