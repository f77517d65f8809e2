/**
 * The SCTP state table as data: what a chunk does to an association, by direction, kind of chunk and old state.
 * Kernel: sctp_conntracks[2][11][SCTP_CONNTRACK_MAX], net/netfilter/nf_conntrack_proto_sctp.c.
 */
import {
  SCTP_COOKIE_ECHOED as CE,
  SCTP_CLOSED as CL,
  SCTP_COOKIE_WAIT as CW,
  SCTP_ESTABLISHED as ES,
  SCTP_HEARTBEAT_SENT as HS,
  SCTP_SHUTDOWN_ACK_SENT as SA,
  SCTP_SHUTDOWN_RECD as SR,
  SCTP_SHUTDOWN_SENT as SS,
} from './settings.js';

export const SCTP_STATE_NAMES = [
  'NONE',
  'CLOSED',
  'COOKIE_WAIT',
  'COOKIE_ECHOED',
  'ESTABLISHED',
  'SHUTDOWN_SENT',
  'SHUTDOWN_RECD',
  'SHUTDOWN_ACK_SENT',
  'HEARTBEAT_SENT',
] as const;
export const SCTP_STATE_COUNT = SCTP_STATE_NAMES.length;

/** The packet is INVALID. */
export const SCTP_INVALID = 9;
const IV = SCTP_INVALID;

/** Chunk types (RFC 9260). */
export const CHUNK_DATA = 0;
export const CHUNK_INIT = 1;
export const CHUNK_INIT_ACK = 2;
export const CHUNK_HEARTBEAT = 4;
export const CHUNK_HEARTBEAT_ACK = 5;
export const CHUNK_ABORT = 6;
export const CHUNK_SHUTDOWN = 7;
export const CHUNK_SHUTDOWN_ACK = 8;
export const CHUNK_ERROR = 9;
export const CHUNK_COOKIE_ECHO = 10;
export const CHUNK_COOKIE_ACK = 11;
export const CHUNK_SHUTDOWN_COMPLETE = 14;

type Row = readonly [chunk: number, original: readonly number[], reply: readonly number[]];

// biome-ignore format: a table
const ROWS: readonly Row[] = [
  //                       none CL  CW  CE  ES  SS  SR  SA  HS
  [CHUNK_INIT,              [CL, CL, CW, CE, ES, CL, CL, SA, CW], [IV, CL, CW, CE, ES, SS, SR, SA, IV]],
  [CHUNK_INIT_ACK,          [CL, CL, CW, CE, ES, SS, SR, SA, CL], [IV, CW, CW, CE, ES, SS, SR, SA, IV]],
  [CHUNK_ABORT,             [CL, CL, CL, CL, CL, CL, CL, CL, CL], [IV, CL, CL, CL, CL, CL, CL, CL, IV]],
  [CHUNK_SHUTDOWN,          [CL, CL, CW, CE, SS, SS, SR, SA, CL], [IV, CL, CW, CE, SR, SS, SR, SA, IV]],
  [CHUNK_SHUTDOWN_ACK,      [SA, CL, CW, CE, ES, SA, SA, SA, SA], [IV, CL, CW, CE, ES, SA, SA, SA, IV]],
  [CHUNK_ERROR,             [CL, CL, CW, CE, ES, SS, SR, SA, CL], [IV, CL, CW, CL, ES, SS, SR, SA, IV]],
  [CHUNK_COOKIE_ECHO,       [CL, CL, CE, CE, ES, SS, SR, SA, CL], [IV, CL, CE, CE, ES, SS, SR, SA, IV]],
  [CHUNK_COOKIE_ACK,        [CL, CL, CW, ES, ES, SS, SR, SA, CL], [IV, CL, CW, ES, ES, SS, SR, SA, IV]],
  [CHUNK_SHUTDOWN_COMPLETE, [CL, CL, CW, CE, ES, SS, SR, CL, CL], [IV, CL, CW, CE, ES, SS, SR, CL, IV]],
  [CHUNK_HEARTBEAT,         [HS, CL, CW, CE, ES, SS, SR, SA, HS], [IV, CL, CW, CE, ES, SS, SR, SA, HS]],
  [CHUNK_HEARTBEAT_ACK,     [CL, CL, CW, CE, ES, SS, SR, SA, HS], [IV, CL, CW, CE, ES, SS, SR, SA, ES]],
];

const CHUNK_COUNT = 16;
/** By direction, chunk type and state; chunks that change nothing lead to the state itself. */
const TABLE = Uint8Array.from({ length: 2 * CHUNK_COUNT * SCTP_STATE_COUNT }, (_, at) => at % SCTP_STATE_COUNT);
for (const [chunk, original, reply] of ROWS) {
  TABLE.set(original, chunk * SCTP_STATE_COUNT);
  TABLE.set(reply, (CHUNK_COUNT + chunk) * SCTP_STATE_COUNT);
}

/** New state, or SCTP_INVALID. Kernel: sctp_new_state(). */
export function nextSctpState(direction: number, chunk: number, old: number): number {
  return chunk < CHUNK_COUNT ? TABLE[(direction * CHUNK_COUNT + chunk) * SCTP_STATE_COUNT + old]! : old;
}
