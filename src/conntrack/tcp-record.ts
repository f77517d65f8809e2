/**
 * What TCP tracking remembers of each connection, RECORD_WORDS words an entry, indexed by entry. Kernel: struct ip_ct_tcp.
 *
 * Layout: the two sides (SIDE_WORDS each, side d at d × SIDE_WORDS), then what is known of the last packet.
 */
import { growUint32 } from '../base/grow.js';

export const RECORD_WORDS = 24;
export const SIDE_WORDS = 6;
/** Highest sequence end that the side sent. */
export const END = 0;
/** Highest sequence end that it may send. */
export const MAXEND = 1;
/** Largest window that it announced, scaled, at least 1; 0: nothing was seen from it. */
export const MAXWIN = 2;
/** Highest acknowledgement that it sent; valid with FLAG_MAXACK. */
export const MAXACK = 3;
export const SCALE = 4;
export const FLAGS = 5;

export const LAST_DIR = 12;
export const LAST_CLASS = 13;
export const LAST_SEQ = 14;
export const LAST_ACK = 15;
export const LAST_END = 16;
/** Window as it stood in the packet. */
export const LAST_WIN = 17;
export const LAST_FLAGS = 18;
export const LAST_SCALE = 19;
/** Identical acks in a row, modulo 256. */
export const RETRANS = 20;

/** Bits of FLAGS and LAST_FLAGS (IP_CT_TCP_FLAG_…, IP_CT_EXP_CHALLENGE_ACK, IP_CT_TCP_SIMULTANEOUS_OPEN). */
export const FLAG_SCALE = 0x01;
export const FLAG_SACK = 0x02;
export const FLAG_CLOSE_INIT = 0x04;
export const FLAG_LIBERAL = 0x08;
export const FLAG_UNACKED = 0x10;
export const FLAG_MAXACK = 0x20;
export const FLAG_CHALLENGE = 0x40;
export const FLAG_SIMULTANEOUS = 0x80;

export class TcpRecords {
  /** Replaced when it grows: never keep it. */
  words: Uint32Array = new Uint32Array(64 * RECORD_WORDS);

  /** Index of the entry's first word; the record exists afterwards. */
  at(entry: number): number {
    const at = entry * RECORD_WORDS;
    if (at + RECORD_WORDS > this.words.length) this.words = growUint32(this.words, (at + RECORD_WORDS) * 2);
    return at;
  }
}
