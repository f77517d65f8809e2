/** SCTP: states by chunks, verification tags. Kernel: nf_conntrack_sctp_packet(), net/netfilter/nf_conntrack_proto_sctp.c. */
import { growUint32 } from '../base/grow.js';
import { type Hook, IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY, IPS_ASSURED, IPS_CONFIRMED } from '../net/netfilter.js';
import type { Packet } from '../wire/packet.js';
import { hasBadChecksum, TRACK_ACCEPT, TRACK_INVALID, type TrackContext, type TrackResult } from './handler.js';
import { refresh } from './refresh.js';
import {
  CHUNK_ABORT,
  CHUNK_COOKIE_ACK,
  CHUNK_COOKIE_ECHO,
  CHUNK_DATA,
  CHUNK_HEARTBEAT,
  CHUNK_HEARTBEAT_ACK,
  CHUNK_INIT,
  CHUNK_INIT_ACK,
  CHUNK_SHUTDOWN_ACK,
  CHUNK_SHUTDOWN_COMPLETE,
  nextSctpState,
  SCTP_INVALID,
} from './sctp-state.js';
import { SCTP_CLOSED, SCTP_ESTABLISHED, SCTP_NONE } from './settings.js';

const HEADER_SIZE = 12;
const CHUNK_HEADER_SIZE = 4;
/** Initiate tag, window, streams, first TSN. */
const INIT_SIZE = 16;
/** ABORT, SHUTDOWN_COMPLETE: the tag is the peer's. */
const FLAG_T = 1;

const bit = (chunk: number): number => 1 << chunk;
/** Chunks that have rules of their own for the tag. */
const OWN_TAG_RULE =
  bit(CHUNK_INIT) |
  bit(CHUNK_SHUTDOWN_COMPLETE) |
  bit(CHUNK_COOKIE_ECHO) |
  bit(CHUNK_ABORT) |
  bit(CHUNK_SHUTDOWN_ACK) |
  bit(CHUNK_HEARTBEAT) |
  bit(CHUNK_HEARTBEAT_ACK);
/** Out of the blue these are for nobody. */
const NEVER_FIRST = bit(CHUNK_ABORT) | bit(CHUNK_SHUTDOWN_COMPLETE) | bit(CHUNK_COOKIE_ACK);
const ALONE = bit(CHUNK_INIT) | bit(CHUNK_INIT_ACK) | bit(CHUNK_SHUTDOWN_COMPLETE);
const FIRST = bit(CHUNK_COOKIE_ACK) | bit(CHUNK_COOKIE_ECHO);

/**
 * Words of an association's record: tags and "has sent INIT" by direction, a heartbeat's failed tag check, and bits of the directions whose tag is
 * to be learnt from the next packet.
 */
const RECORD_WORDS = 7;
const TAG = 0;
const INIT_SEEN = 2;
const TAG_FAILED = 4;
const TAG_FAILED_DIR = 5;
const TAG_UNKNOWN = 6;

export class SctpTracker {
  readonly #context: TrackContext;
  #records: Uint32Array = new Uint32Array(0);
  /** Kinds of chunks in the packet (types 0 to 31). */
  #kinds = 0;

  constructor(context: TrackContext) {
    this.#context = context;
  }

  /** Follows the packet's association; `off`: where the SCTP header lies. Per packet: allocates nothing. */
  track(packet: Packet, off: number, hook: Hook): TrackResult {
    const { table, settings } = this.#context;
    const { ct, ctDir: dir, view } = packet;
    if (off + HEADER_SIZE > packet.end || hasBadChecksum(this.#context, packet, hook)) return TRACK_INVALID;
    if (!this.#readKinds(packet, off)) return TRACK_INVALID;
    const at = this.#recordAt(ct);
    const w = this.#records;
    const confirmed = (table.status[ct]! & IPS_CONFIRMED) !== 0;
    if (!confirmed && ((this.#kinds & NEVER_FIRST) !== 0 || !this.#begin(packet, off, at))) return TRACK_INVALID;
    const tag = view.getUint32(off + 4);
    if ((w[at + TAG_UNKNOWN]! & (1 << dir)) !== 0 && (this.#kinds & bit(CHUNK_INIT)) === 0) {
      w[at + TAG_UNKNOWN] = w[at + TAG_UNKNOWN]! & ~(1 << dir);
      w[at + TAG + dir] = tag;
    }
    if ((this.#kinds & OWN_TAG_RULE) === 0 && tag !== w[at + TAG + dir]) return TRACK_INVALID;

    let next = SCTP_NONE;
    let ignore = false;
    for (let chunk = off + HEADER_SIZE; chunk + CHUNK_HEADER_SIZE <= packet.end; chunk = nextChunk(view, chunk)) {
      const type = view.getUint8(chunk);
      if (!this.#isTagRight(at, dir, type, view.getUint8(chunk + 1), tag)) return TRACK_INVALID;
      if (type === CHUNK_COOKIE_ACK) w[at + INIT_SEEN] = w[at + INIT_SEEN + 1] = 0;
      const old = table.state[ct]!;
      next = nextSctpState(dir, type, old);
      if (next === SCTP_INVALID) return TRACK_INVALID;
      // An INIT sent again does not refresh.
      if (type === CHUNK_INIT && next === SCTP_CLOSED && old === SCTP_CLOSED && confirmed) ignore = true;
      if (type === CHUNK_INIT || type === CHUNK_INIT_ACK) {
        if (chunk + CHUNK_HEADER_SIZE + INIT_SIZE > packet.end) return TRACK_INVALID;
        if (!this.#noteInit(at, dir, type, view.getUint32(chunk + CHUNK_HEADER_SIZE))) return TRACK_INVALID;
      } else if (type === CHUNK_HEARTBEAT || type === CHUNK_HEARTBEAT_ACK) {
        if (w[at + TAG + dir] === 0) {
          w[at + TAG + dir] = tag;
        } else if (tag !== w[at + TAG + dir]) {
          if ((this.#kinds & bit(CHUNK_DATA)) !== 0 || ignore) return TRACK_INVALID;
          if (type === CHUNK_HEARTBEAT) {
            w[at + TAG_FAILED] = 1;
            w[at + TAG_FAILED_DIR] = dir;
            ignore = true;
            continue;
          }
          if (w[at + TAG_FAILED] === 0 || w[at + TAG_FAILED_DIR] === dir) return TRACK_INVALID;
          w[at + TAG_FAILED] = 0;
          w[at + TAG + dir] = tag;
          w[at + TAG + (dir ^ 1)] = 0;
        } else {
          w[at + TAG_FAILED] = 0;
        }
      }
      table.state[ct] = next;
      if (old !== next && next === SCTP_ESTABLISHED) table.status[ct] = table.status[ct]! | IPS_ASSURED;
    }
    if (!ignore) refresh(table, ct, packet, settings.sctpTimeoutUs[next]!);
    return TRACK_ACCEPT;
  }

  /** An association whose beginning was not seen: its tags are learnt from the next packet of each side. */
  adopt(ct: number): void {
    const at = this.#recordAt(ct);
    this.#records.fill(0, at, at + RECORD_WORDS);
    this.#records[at + TAG_UNKNOWN] = 3;
  }

  #recordAt(ct: number): number {
    const at = ct * RECORD_WORDS;
    if (at + RECORD_WORDS > this.#records.length) this.#records = growUint32(this.#records, at + 64 * RECORD_WORDS);
    return at;
  }

  /** Kernel: do_basic_checks(). */
  #readKinds(packet: Packet, off: number): boolean {
    const { view } = packet;
    let count = 0;
    let mustBeAlone = false;
    this.#kinds = 0;
    for (let chunk = off + HEADER_SIZE; chunk + CHUNK_HEADER_SIZE <= packet.end; chunk = nextChunk(view, chunk)) {
      const type = view.getUint8(chunk);
      const kind = type < 32 ? bit(type) : 0;
      if ((kind & ALONE) !== 0) mustBeAlone = true;
      if (((kind & FIRST) !== 0 || mustBeAlone) && count !== 0) return false;
      if (view.getUint16(chunk + 2) === 0) return false;
      this.#kinds |= kind;
      count++;
    }
    return count !== 0;
  }

  /** Kernel: sctp_new(). */
  #begin(packet: Packet, off: number, at: number): boolean {
    const { view } = packet;
    const w = this.#records;
    w.fill(0, at, at + RECORD_WORDS);
    this.#context.table.state[packet.ct] = SCTP_NONE;
    const tag = view.getUint32(off + 4);
    for (let chunk = off + HEADER_SIZE; chunk + CHUNK_HEADER_SIZE <= packet.end; chunk = nextChunk(view, chunk)) {
      const type = view.getUint8(chunk);
      const next = nextSctpState(IP_CT_DIR_ORIGINAL, type, SCTP_NONE);
      if (next === SCTP_NONE || next === SCTP_INVALID) return false;
      if (type === CHUNK_INIT) {
        if (chunk + CHUNK_HEADER_SIZE + INIT_SIZE > packet.end) return false;
        w[at + TAG + IP_CT_DIR_REPLY] = view.getUint32(chunk + CHUNK_HEADER_SIZE);
      } else if (type === CHUNK_HEARTBEAT || type === CHUNK_HEARTBEAT_ACK) {
        w[at + TAG + IP_CT_DIR_ORIGINAL] = tag;
      } else {
        w[at + TAG + IP_CT_DIR_REPLY] = tag;
      }
    }
    return true;
  }

  /** RFC 9260, 8.5.1: chunks with rules of their own. */
  #isTagRight(at: number, dir: number, type: number, flags: number, tag: number): boolean {
    const w = this.#records;
    switch (type) {
      case CHUNK_INIT:
        return tag === 0;
      case CHUNK_ABORT:
      case CHUNK_SHUTDOWN_COMPLETE:
        return tag === w[at + TAG + ((flags & FLAG_T) !== 0 ? dir ^ 1 : dir)];
      case CHUNK_COOKIE_ECHO:
        return tag === w[at + TAG + dir];
      default:
        return true;
    }
  }

  /** The initiate tag of INIT or INIT_ACK is what the other side must send. */
  #noteInit(at: number, dir: number, type: number, initTag: number): boolean {
    const w = this.#records;
    const other = dir ^ 1;
    if (type === CHUNK_INIT) {
      if (w[at + INIT_SEEN + dir] !== 0 && w[at + INIT_SEEN + other] !== 0) w[at + INIT_SEEN + other] = 0;
      w[at + INIT_SEEN + dir] = 1;
    } else {
      const known = w[at + TAG + other]!;
      if (w[at + INIT_SEEN + other] === 0 && known !== 0 && known !== initTag) return false;
      // Both sides sent INIT at once: the tags must stay.
      if (w[at + INIT_SEEN + dir] !== 0 && w[at + INIT_SEEN + other] !== 0 && known !== initTag) return false;
    }
    w[at + TAG + other] = initTag;
    return true;
  }
}

/** Chunks are padded to four bytes; the length is never 0 here. */
function nextChunk(view: DataView, chunk: number): number {
  return chunk + ((view.getUint16(chunk + 2) + 3) & ~3);
}
