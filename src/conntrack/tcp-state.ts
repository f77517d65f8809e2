/**
 * The TCP state table as data: what a packet does to a connection, by direction, class and old state.
 * Kernel: tcp_conntracks[2][6][TCP_CONNTRACK_MAX], net/netfilter/nf_conntrack_proto_tcp.c.
 */
import {
  TCP_CLOSE as CL,
  TCP_CLOSE_WAIT as CW,
  TCP_ESTABLISHED as ES,
  TCP_FIN_WAIT as FW,
  TCP_LAST_ACK as LA,
  TCP_SYN_SENT2 as S2,
  TCP_SYN_RECV as SR,
  TCP_SYN_SENT as SS,
  TCP_TIME_WAIT as TW,
} from './settings.js';

export const TCP_STATE_NAMES = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
] as const;
export const TCP_STATE_COUNT = TCP_STATE_NAMES.length;

/** The packet is INVALID. */
export const TCP_INVALID = 10;
/** The packet keeps its entry, which is not changed. */
export const TCP_IGNORE = 11;

/** Class of a packet by its flags: the first of rst, syn, fin decides (enum tcp_bit_set). */
export const CLASS_SYN = 0;
export const CLASS_SYNACK = 1;
export const CLASS_FIN = 2;
export const CLASS_ACK = 3;
export const CLASS_RST = 4;
/** No packet was seen yet. */
export const CLASS_NONE = 5;
const CLASS_COUNT = 5;

const IV = TCP_INVALID;
const IG = TCP_IGNORE;

// biome-ignore format: a table
const ORIGINAL: readonly (readonly number[])[] = [
  //          none SS  SR  ES  FW  CW  LA  TW  CL  S2
  /* syn    */ [SS, SS, IG, IG, IG, IG, IG, SS, SS, S2],
  /* synack */ [IV, IV, SR, IV, IV, IV, IV, IV, IV, SR],
  /* fin    */ [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV],
  /* ack    */ [ES, IV, ES, ES, CW, CW, TW, TW, CL, IV],
  /* rst    */ [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL],
];

// biome-ignore format: a table
const REPLY: readonly (readonly number[])[] = [
  //          none SS  SR  ES  FW  CW  LA  TW  CL  S2
  /* syn    */ [IV, S2, IV, IV, IV, IV, IV, SS, IV, S2],
  /* synack */ [IV, SR, IG, IG, IG, IG, IG, IG, IG, SR],
  /* fin    */ [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV],
  /* ack    */ [IV, IG, SR, ES, CW, CW, TW, TW, CL, IG],
  /* rst    */ [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL],
];

const TABLE = Uint8Array.from([...ORIGINAL, ...REPLY].flat());

/** New state, TCP_INVALID or TCP_IGNORE. */
export function nextTcpState(direction: number, packetClass: number, old: number): number {
  return TABLE[(direction * CLASS_COUNT + packetClass) * TCP_STATE_COUNT + old]!;
}

const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;
const URG = 32;
const ECE = 64;
const CWR = 128;

const VALID_FLAGS = new Set([SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG]);

/** Class by flags byte; CLASS_NONE: the combination is invalid. */
const CLASS_OF = Uint8Array.from({ length: 256 }, (_, flags) => {
  if (!VALID_FLAGS.has(flags & ~(ECE | CWR | PSH))) return CLASS_NONE;
  if ((flags & RST) !== 0) return CLASS_RST;
  if ((flags & SYN) !== 0) return (flags & ACK) !== 0 ? CLASS_SYNACK : CLASS_SYN;
  return (flags & FIN) !== 0 ? CLASS_FIN : CLASS_ACK;
});

/** CLASS_…; CLASS_NONE: a combination of flags that is INVALID. Kernel: get_conntrack_index(), tcp_valid_flags. */
export function tcpClass(flags: number): number {
  return CLASS_OF[flags]!;
}
