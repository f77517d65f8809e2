/** What a host tells of its work. Argument objects are reused: read them at once, keep nothing. */
import type { Decision } from '../engine/engine.js';
import type { Hook, TableName } from '../net/netfilter.js';
import type { DropReason } from './drop-reason.js';
import type { StepKind } from './hook-order.js';
import type { HostPacket, Origin } from './host-packet.js';

/** A frame that leaves (by lo: that comes in again). */
export interface SentFrame {
  /** Device index. */
  device: number;
  bytes: Uint8Array;
  /** First byte of the frame: its Ethernet header if it has one, else the IP header. */
  start: number;
  /** End of the bytes that are here. */
  end: number;
  /** End on the wire; beyond `end` only if the capture was cut. */
  originalEnd: number;
  hasEthernet: boolean;
  origin: Origin;
  packet: HostPacket;
}

/** Where a packet ended: a hook by number, or a stage between. */
export type DropPlace = Hook | 'receive' | 'reassembly' | 'routing' | 'forward' | 'local end' | 'send';

/** What decided within a table, for drops at a hook. */
export interface DropCause {
  readonly table: TableName;
  readonly decision: Decision;
}

export type WaitsFor = 'fragments' | 'neighbour';

export interface HostEvents {
  sent?(frame: SentFrame): void;
  /** The packet passed INPUT. Answers of the stack follow. */
  delivered?(packet: HostPacket): void;
  /** `cause` only where a table decided. */
  dropped?(packet: HostPacket, place: DropPlace, reason: DropReason, cause: DropCause | undefined): void;
  /**
   * A step of a hook begins (verdict undefined) and has ended; `walked`: rules of its table were gone through (the nat table
   * has its say about a connection's first packet only).
   */
  step?(
    packet: HostPacket,
    hook: Hook,
    kind: StepKind,
    table: TableName | undefined,
    verdict: number | undefined,
    walked: boolean,
  ): void;
  /** A routing decision was made: the packet's route, routeType and outDevice are set. */
  routed?(packet: HostPacket): void;
  /** The packet waits: a fragment for the rest of its datagram, or any for the hardware address of its next hop. */
  held?(packet: HostPacket, waitsFor: WaitsFor): void;
  /** The stack sends an answer of its own, in the middle of what it does to its cause; all up to `answered` is about it. */
  answering?(answer: HostPacket): void;
  answered?(): void;
  /** One kernel log line, without time stamp. */
  log?(level: number, line: string): void;
}

/** A frame as it was captured; the object may be reused by the caller, and its bytes changed by the host. */
export interface InFrame {
  bytes: Uint8Array;
  view: DataView;
  /** First byte that belongs to the frame. */
  start: number;
  l3Off: number;
  capturedEnd: number;
  originalEnd: number;
  family: 4 | 6;
  /** Index of the device it came in by, or left by. */
  device: number;
  /** Offset of the Ethernet header, or -1. */
  macOff: number;
  /** PACKET_…; -1: to be told from the Ethernet destination. */
  pktType: number;
  /** A segment merged, or to be cut, by a network card: may be larger than any MTU. */
  offloaded: boolean;
  /** skb->mark that it has from the start (a socket's SO_MARK, a queueing discipline); default 0. */
  mark?: number;
}

/** A frame to be filled in. */
export function emptyFrame(): InFrame {
  const bytes = new Uint8Array(0);
  return {
    bytes,
    view: new DataView(bytes.buffer),
    start: 0,
    l3Off: 0,
    capturedEnd: 0,
    originalEnd: 0,
    family: 4,
    device: 0,
    macOff: -1,
    pktType: -1,
    offloaded: false,
  };
}
