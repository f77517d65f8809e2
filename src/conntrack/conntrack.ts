/**
 * What matches, targets and the host ask of connection tracking. Entries are indices into typed arrays; -1 is none.
 * The implementation is entry-table.ts and its neighbours.
 */
import type { Direction, Hook, ManipType } from '../net/netfilter.js';
import type { Packet } from '../wire/packet.js';

/** A range that NAT may choose from; addresses as words (IPv4: first word), ports in host order. */
export interface NatRange {
  /** NF_NAT_RANGE_… bits. */
  readonly flags: number;
  readonly minAddress: ArrayLike<number>;
  readonly maxAddress: ArrayLike<number>;
  readonly minPort: number;
  readonly maxPort: number;
  /** Base of a shifted port range (`:p-q/base`). */
  readonly basePort: number;
}

/** One direction of a connection, filled in place. */
export interface TupleView {
  /** Words 0–3 source address, 4–7 destination (IPv4: words 0 and 4). */
  readonly address: Uint32Array;
  protocol: number;
  /** Ports; ICMP: srcPort is the id, dstPort is type << 8 | code; GRE: keys. */
  srcPort: number;
  dstPort: number;
}

export interface Conntrack {
  /** Entry status bits (IPS_…). */
  status(ct: number): number;
  mark(ct: number): number;
  setMark(ct: number, mark: number): void;
  protocol(ct: number): number;
  zone(ct: number, direction: Direction): number;
  tuple(ct: number, direction: Direction, out: TupleView): void;
  /** Whole seconds until the entry expires; 0 while it is unconfirmed. */
  expiresIn(ct: number): number;
  /** Packets and bytes seen in a direction; -1 if accounting was off when the entry was made. */
  packets(ct: number, direction: Direction): number;
  bytes(ct: number, direction: Direction): number;
  /** Entry of the connection that expected this one, or -1. */
  master(ct: number): number;
  /**
   * Binds one side of an unconfirmed connection and, from then on, rewrites its packets. Returns NF_ACCEPT, or NF_DROP.
   * Kernel: nf_nat_setup_info().
   */
  setupNat(packet: Packet, range: NatRange, manip: ManipType, hook: Hook): number;
  /** Remembers the packet's outgoing device as the one that its connection is masqueraded on (nat->masq_index). */
  setMasqueradeDevice(packet: Packet): void;
}
