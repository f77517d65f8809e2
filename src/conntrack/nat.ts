/**
 * Network address translation: decided once a connection and side, by the nat table or by a null binding, and applied
 * to every packet after (specification 7.1, 1.5). Kernel: net/netfilter/nf_nat_core.c, nf_nat_proto.c.
 */
import type { Rng } from '../base/rng.js';
import {
  type Hook,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IP_CT_NEW,
  IP_CT_RELATED,
  IP_CT_RELATED_REPLY,
  IPS_CONFIRMED,
  IPS_DST_NAT,
  IPS_DST_NAT_DONE,
  IPS_SRC_NAT,
  IPS_SRC_NAT_DONE,
  type ManipType,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_IN,
  NF_INET_POST_ROUTING,
  NF_NAT_MANIP_DST,
  NF_NAT_MANIP_SRC,
  NF_NAT_RANGE_MAP_IPS,
} from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_WIRE, type Packet } from '../wire/packet.js';
import { CHECKSUM_WRONG, transportChecksumState } from '../wire/transport-checksum.js';
import type { NatRange } from './conntrack.js';
import { updateCtState } from './ct-state.js';
import type { EntryTable } from './entry-table.js';
import { type ChooseOffset, NatChooser, type TcpStates } from './nat-choose.js';
import { mangleOuter, mangleQuote } from './nat-mangle.js';
import { NatSourceIndex } from './nat-source-index.js';
import { invertTuple, T_DST, T_SRC, TransportPlace, TUPLE_WORDS } from './tuple.js';

const NAT_MASK = IPS_SRC_NAT | IPS_DST_NAT;
const DONE_MASK = IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE;
const ICMP_REDIRECT = 5;
const NDISC_REDIRECT = 137;

/** INPUT and POSTROUTING change the source, PREROUTING and OUTPUT the destination (kernel: HOOK2MANIP). */
export function manipOf(hook: Hook): ManipType {
  return hook === NF_INET_POST_ROUTING || hook === NF_INET_LOCAL_IN ? NF_NAT_MANIP_SRC : NF_NAT_MANIP_DST;
}

export class Nat {
  readonly #table: EntryTable;
  readonly #chooser: NatChooser;
  readonly #place = new TransportPlace();
  readonly #current = new Uint32Array(TUPLE_WORDS);
  readonly #before = new Uint32Array(TUPLE_WORDS);
  /** The range of a null binding: the single present address. */
  readonly #nullAddress = new Uint32Array(4);
  readonly #nullRange: NatRange;

  /** Takes over the table's observer: entries are listed by source from now on. */
  constructor(table: EntryTable, rng: Rng, tcp: TcpStates) {
    this.#table = table;
    const sources = new NatSourceIndex(table);
    table.observer = sources;
    this.#chooser = new NatChooser(table, sources, rng, tcp);
    const address = this.#nullAddress;
    this.#nullRange = {
      flags: NF_NAT_RANGE_MAP_IPS,
      minAddress: address,
      maxAddress: address,
      minPort: 0,
      maxPort: 0,
      basePort: 0,
    };
  }

  /** Pins the port search's random start (see ChooseOffset). */
  set chooseOffset(choose: ChooseOffset | undefined) {
    this.#chooser.chooseOffset = choose;
  }

  /**
   * NAT at a hook: runs the table where this side is undecided, then rewrites. NF_ACCEPT, NF_DROP, or what else the table
   * said. Per packet of a decided connection: allocates nothing. Kernel: nf_nat_ipv4_fn(), nf_nat_inet_fn().
   */
  packet(packet: Packet, hook: Hook, runNatTable: (packet: Packet) => number): number {
    const entry = packet.ct;
    if (entry < 0) return NF_ACCEPT;
    const table = this.#table;
    const { ctInfo } = packet;
    const manip = manipOf(hook);
    if (ctInfo === IP_CT_RELATED || ctInfo === IP_CT_RELATED_REPLY) {
      if (this.#place.find(packet) && this.#place.protocol === (packet.family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
        return this.#translateError(packet, manip, this.#place.off);
      }
    }
    const isFirst = ctInfo === IP_CT_NEW || ctInfo === IP_CT_RELATED || ctInfo === IP_CT_RELATED_REPLY;
    const done = manip === NF_NAT_MANIP_SRC ? IPS_SRC_NAT_DONE : IPS_DST_NAT_DONE;
    if (isFirst && (table.status[entry]! & done) === 0) {
      const verdict = runNatTable(packet);
      if (verdict !== NF_ACCEPT) return verdict;
      if ((table.status[entry]! & done) === 0 && this.#bindNull(packet, manip, hook) !== NF_ACCEPT) return NF_DROP;
    } else if (
      hook === NF_INET_POST_ROUTING &&
      table.natDevice[entry]! !== 0 &&
      packet.ctDir === IP_CT_DIR_ORIGINAL &&
      table.natDevice[entry]! !== packet.f[Field.OutDev]!
    ) {
      // The masqueraded address belongs to another device than the one it leaves by (kernel: nf_nat_oif_changed()).
      table.remove(entry);
      return NF_DROP;
    }
    return this.#rewrite(packet, manip);
  }

  /**
   * Decides one side of an unconfirmed connection from a range. NF_ACCEPT; NF_DROP if the side is decided already.
   * Kernel: nf_nat_setup_info().
   */
  setup(packet: Packet, range: NatRange, manip: ManipType, _hook: Hook): number {
    const table = this.#table;
    const entry = packet.ct;
    if (entry < 0) return NF_ACCEPT;
    const status = table.status[entry]!;
    if ((status & IPS_CONFIRMED) !== 0) return NF_ACCEPT;
    const done = manip === NF_NAT_MANIP_SRC ? IPS_SRC_NAT_DONE : IPS_DST_NAT_DONE;
    if ((status & done) !== 0) return NF_DROP;
    const reply = (entry * 2 + IP_CT_DIR_REPLY) * TUPLE_WORDS;
    if (manip === NF_NAT_MANIP_DST && this.#chooser.chooseDestination(entry, range)) {
      table.status[entry] = table.status[entry]! | done;
      updateCtState(packet, table);
      return NF_ACCEPT;
    }
    const current = this.#current;
    // What we have looks like the inverse of the reply; the original tuple only before the first change.
    if (!invertTuple(table.tuples, reply, current, 0)) return NF_DROP;
    const before = this.#before;
    for (let i = 0; i < TUPLE_WORDS; i++) before[i] = current[i]!;
    this.#chooser.choose(current, range, entry, manip);
    if (!sameWords(current, before)) {
      invertTuple(current, 0, table.tuples, reply);
      table.status[entry] = table.status[entry]! | (manip === NF_NAT_MANIP_SRC ? IPS_SRC_NAT : IPS_DST_NAT);
    }
    table.status[entry] = table.status[entry]! | done;
    updateCtState(packet, table);
    return NF_ACCEPT;
  }

  /** Kernel: nf_nat_alloc_null_binding(): the present address as the only choice; on the source side a port may change. */
  #bindNull(packet: Packet, manip: ManipType, hook: Hook): number {
    const reply = (packet.ct * 2 + IP_CT_DIR_REPLY) * TUPLE_WORDS + (manip === NF_NAT_MANIP_SRC ? T_DST : T_SRC);
    for (let i = 0; i < 4; i++) this.#nullAddress[i] = this.#table.tuples[reply + i]!;
    return this.setup(packet, this.#nullRange, manip, hook);
  }

  /** Status bit that says whether the packet's direction is changed on this side. */
  #changes(packet: Packet, manip: ManipType): boolean {
    let bit = manip === NF_NAT_MANIP_SRC ? IPS_SRC_NAT : IPS_DST_NAT;
    if (packet.ctDir === IP_CT_DIR_REPLY) bit ^= NAT_MASK;
    return (this.#table.status[packet.ct]! & bit) !== 0;
  }

  /** Makes the packet look like the inverse of the other direction. Kernel: nf_nat_packet(). */
  #rewrite(packet: Packet, manip: ManipType): number {
    if (!this.#changes(packet, manip)) return NF_ACCEPT;
    const opposite = (packet.ct * 2 + (packet.ctDir ^ 1)) * TUPLE_WORDS;
    return mangleOuter(packet, this.#table.tuples, opposite, manip, this.#place) ? NF_ACCEPT : NF_DROP;
  }

  /** The error's header lies at `off`. Kernel: nf_nat_icmp_reply_translation(), nf_nat_icmpv6_reply_translation(). */
  #translateError(packet: Packet, manip: ManipType, off: number): number {
    const table = this.#table;
    const status = table.status[packet.ct]!;
    if (packet.csum === CSUM_WIRE && transportChecksumState(packet) === CHECKSUM_WRONG) return NF_DROP;
    const type = packet.view.getUint8(off);
    if (type === (packet.family === 4 ? ICMP_REDIRECT : NDISC_REDIRECT)) {
      if ((status & DONE_MASK) !== DONE_MASK || (status & NAT_MASK) !== 0) return NF_DROP;
    }
    if (!this.#changes(packet, manip)) return NF_ACCEPT;
    const opposite = (packet.ct * 2 + (packet.ctDir ^ 1)) * TUPLE_WORDS;
    if (!mangleQuote(packet, off, table.tuples, opposite, manip, this.#place)) return NF_DROP;
    return mangleOuter(packet, table.tuples, opposite, manip, this.#place) ? NF_ACCEPT : NF_DROP;
  }
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < TUPLE_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}
