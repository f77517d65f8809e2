/** What a replay says of one packet: the line of `replay --json`. Plain values. */
import type { DecidedBy, Outcome } from './totals.js';

/**
 * How a record was taken: run from PREROUTING, run from OUTPUT, found again among the frames sent, or none of these.
 * `timer`: not the record itself, but what was due by its time: datagrams given up because pieces of them had not come.
 */
export type RecordRole = 'received' | 'own' | 'confirms' | 'unexplained' | 'skipped' | 'timer';

export interface SentResult {
  readonly device: string;
  readonly origin: 'forwarded' | 'answer' | 'own';
  /** The IP packet as it left, in words. */
  readonly packet: string;
  readonly length: number;
}

export interface PacketResult {
  /** Number of the record over all captures, from 1, in order of time. */
  readonly number: number;
  readonly capture: string;
  /** Seconds since the epoch with nine decimals. */
  readonly time: string;
  readonly device: string;
  readonly role: RecordRole;
  /** Why a record was passed over. */
  readonly skipped?: string;
  /** For `confirms`: equal in every byte, or but for the kernel's free choices. */
  readonly exact?: boolean;
  /** The packet as it was captured, in words. */
  readonly packet?: string;
  readonly outcome?: Outcome;
  /** Why it went no further. */
  readonly reason?: string;
  /** The rule or policy that dropped it; for packets that went on, the last one that decided in each table and hook. */
  readonly decidedBy?: DecidedBy;
  readonly rules?: readonly DecidedBy[];
  readonly mark?: number;
  readonly ctstate?: string;
  /** Original and reply tuple of the connection. */
  readonly connection?: string;
  readonly translated?: string;
  readonly sent?: readonly SentResult[];
  /** The capture holds only a part of the packet. */
  readonly cut?: boolean;
}
