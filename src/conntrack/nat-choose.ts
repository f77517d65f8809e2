/**
 * NAT's choice of a new tuple: address by hash, port kept where it may be, otherwise searched (specification 7.3, 7.4).
 * Kernel: get_unique_tuple(), find_best_ips_proto(), nf_nat_l4proto_unique_tuple() (net/netfilter/nf_nat_core.c).
 */
import { jhash2 } from '../base/hash.js';
import type { Rng } from '../base/rng.js';
import {
  IP_CT_DIR_ORIGINAL,
  IPS_DST_NAT,
  IPS_DYING,
  IPS_FIXED_TIMEOUT,
  IPS_SRC_NAT,
  type ManipType,
  NF_NAT_MANIP_DST,
  NF_NAT_MANIP_SRC,
  NF_NAT_RANGE_MAP_IPS,
  NF_NAT_RANGE_PERSISTENT,
  NF_NAT_RANGE_PROTO_OFFSET,
  NF_NAT_RANGE_PROTO_RANDOM,
  NF_NAT_RANGE_PROTO_RANDOM_FULLY,
  NF_NAT_RANGE_PROTO_SPECIFIED,
} from '../net/netfilter.js';
import {
  IPPROTO_GRE,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import type { NatRange } from './conntrack.js';
import type { EntryTable } from './entry-table.js';
import type { NatSourceIndex } from './nat-source-index.js';
import { invertTuple, T_DST, T_PORTS, T_PROTO, T_SRC, TUPLE_WORDS, tupleHasPorts, tupleZone } from './tuple.js';

const RANDOM_ALL = NF_NAT_RANGE_PROTO_RANDOM | NF_NAT_RANGE_PROTO_RANDOM_FULLY;
const MAX_ATTEMPTS = 128;
/** In so many last attempts a TCP search may evict a dead connection (kernel: NF_NAT_HARDER_THRESH). */
const HARDER_THRESHOLD = 32;
const FEWEST_ATTEMPTS = 16;
const TCP_CONNTRACK_TIME_WAIT = 7;

/** What the choice asks of TCP tracking. */
export interface TcpStates {
  /** Number of the entry's TCP state (enum tcp_conntrack: TIME_WAIT 7, CLOSE 8). */
  state(entry: number): number;
  /** The new connection's sequence space lies ahead of the old one's (kernel: nf_seq_has_advanced()). */
  hasAdvanced(old: number, fresh: number): boolean;
}

/**
 * Pins what the kernel would draw at random: the 16-bit offset at which the port search starts, or undefined to draw.
 * A replay takes it from the frame that was recorded.
 */
export type ChooseOffset = (tuple: Uint32Array, manip: ManipType, min: number, size: number) => number | undefined;

const swap32 = (word: number): number =>
  (((word & 255) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;

/** Status bits that say a connection is translated: IPS_SRC_NAT, IPS_DST_NAT. */
const USES_NAT = 0x30;

/** floor(j × dist / 2^32), exact (kernel: reciprocal_scale()). */
function reciprocalScale(j: number, dist: number): number {
  const high = Math.floor(j / 65536) * dist;
  const low = (j % 65536) * dist;
  return Math.floor((high + Math.floor(low / 65536)) / 65536) >>> 0;
}

export class NatChooser {
  readonly #table: EntryTable;
  readonly #sources: NatSourceIndex;
  readonly #rng: Rng;
  readonly #tcp: TcpStates;
  readonly #inverse = new Uint32Array(TUPLE_WORDS);
  readonly #mapped = new Uint32Array(TUPLE_WORDS);
  readonly #hashWords = new Uint32Array(4);
  chooseOffset: ChooseOffset | undefined;

  constructor(table: EntryTable, sources: NatSourceIndex, rng: Rng, tcp: TcpStates) {
    this.#table = table;
    this.#sources = sources;
    this.#rng = rng;
    this.#tcp = tcp;
  }

  /** Changes `tuple` (the current one: inverse of the entry's reply tuple) into the chosen one. */
  choose(tuple: Uint32Array, range: NatRange, entry: number, manip: ManipType): void {
    const random = (range.flags & RANDOM_ALL) !== 0;
    if (manip === NF_NAT_MANIP_SRC && !random) {
      if (sourceInRange(tuple, range)) {
        if (!this.#used(tuple, entry) || this.#isMereReverse(tuple, entry)) return;
      } else if (this.#takeMappedSource(tuple, range, entry)) return;
    }
    this.#chooseAddress(tuple, range, entry, manip);
    if (!random) {
      if ((range.flags & NF_NAT_RANGE_PROTO_SPECIFIED) !== 0) {
        if (
          (range.flags & NF_NAT_RANGE_PROTO_OFFSET) === 0 &&
          portInRange(tuple, manip, range) &&
          (range.minPort === range.maxPort || !this.#used(tuple, entry))
        ) {
          return;
        }
      } else if (!this.#used(tuple, entry)) return;
    }
    this.#searchPort(tuple, range, entry, manip);
  }

  /**
   * `choose` for the destination side where there is nothing to choose (DNAT to one address and at most one port), straight into
   * the entry's reply tuple and status. False, and nothing has happened: it is another kind of range, or the tuple is taken.
   */
  chooseDestination(entry: number, range: NatRange): boolean {
    const { flags, minAddress, maxAddress, minPort } = range;
    if ((flags & ~NF_NAT_RANGE_PROTO_SPECIFIED) !== NF_NAT_RANGE_MAP_IPS || minPort !== range.maxPort) return false;
    const { tuples } = this.#table;
    const reply = (entry * 2 + 1) * TUPLE_WORDS;
    if (!tupleHasPorts(tuples[reply + T_PROTO]! & 255)) return false;
    const wanted = this.#inverse;
    let changed = false;
    for (let i = 0; i < TUPLE_WORDS; i++) wanted[i] = tuples[reply + i]!;
    for (let i = 0; i < 4; i++) {
      if (minAddress[i] !== maxAddress[i]) return false;
      if (wanted[T_SRC + i] === minAddress[i]) continue;
      wanted[T_SRC + i] = minAddress[i]!;
      changed = true;
    }
    const ports = wanted[T_PORTS]!;
    const port = (flags & NF_NAT_RANGE_PROTO_SPECIFIED) !== 0 ? minPort : ports >>> 16;
    wanted[T_PORTS] = ((port << 16) | (ports & 0xffff)) >>> 0;
    // The port that is asked for already is taken as it is.
    const asked = (flags & NF_NAT_RANGE_PROTO_SPECIFIED) !== 0 && port === ports >>> 16;
    if (!asked && this.#table.isTaken(wanted, 0, entry)) return false;
    if (!changed && port === ports >>> 16) return true;
    for (let i = 0; i < 4; i++) tuples[reply + T_SRC + i] = wanted[T_SRC + i]!;
    tuples[reply + T_PORTS] = wanted[T_PORTS]!;
    this.#table.status[entry] = this.#table.status[entry]! | IPS_DST_NAT;
    return true;
  }

  /** Another connection's replies would be taken for this one's (kernel: nf_nat_used_tuple()). */
  #used(tuple: Uint32Array, entry: number): boolean {
    return invertTuple(tuple, 0, this.#inverse, 0) && this.#table.isTaken(this.#inverse, 0, entry);
  }

  /**
   * What clashes is merely the same datagrams' connection seen from the other end, and neither is translated: left as it
   * is, for the clash to show when the entry is confirmed. Kernel: nf_nat_used_tuple_new() (Linux 6.12 and later).
   */
  #isMereReverse(tuple: Uint32Array, entry: number): boolean {
    const protocol = tuple[T_PROTO]! & 255;
    if (protocol !== IPPROTO_UDP && protocol !== IPPROTO_UDPLITE) return false;
    const table = this.#table;
    if ((table.status[entry]! & USES_NAT) !== 0) return false;
    let node = table.find(tuple, 0);
    if (node === -1) {
      invertTuple(tuple, 0, this.#inverse, 0);
      node = table.find(this.#inverse, 0);
    }
    if (node === -1) return true;
    if ((node & 1) !== IP_CT_DIR_ORIGINAL || (table.status[node >> 1]! & USES_NAT) !== 0) return false;
    const original = node * TUPLE_WORDS;
    const reply = (entry * 2 + 1) * TUPLE_WORDS;
    for (let i = 0; i < TUPLE_WORDS; i++) {
      // The zone is no part of the kernel's tuple.
      const mask = i === T_PROTO ? 0xffff : 0xffffffff;
      if (((table.tuples[original + i]! ^ table.tuples[reply + i]!) & mask) !== 0) return false;
    }
    return true;
  }

  /** Kernel: find_appropriate_src(). Leaves the tuple alone unless a mapping fits and is free. */
  #takeMappedSource(tuple: Uint32Array, range: NatRange, entry: number): boolean {
    const table = this.#table;
    const sources = this.#sources;
    const mapped = this.#mapped;
    mapped.set(tuple);
    const proto = table.tuples[entry * 2 * TUPLE_WORDS + T_PROTO]!;
    for (let other = sources.first(tuple, 0, proto); other !== -1; other = sources.after(other, tuple, 0, proto)) {
      const reply = (other * 2 + 1) * TUPLE_WORDS;
      for (let i = 0; i < 4; i++) mapped[T_SRC + i] = table.tuples[reply + T_DST + i]!;
      // A reply's destination part is its original's source part; ICMP keeps its id in the same half either way.
      const port = hasId(tuple) ? table.tuples[reply + T_PORTS]! >>> 16 : table.tuples[reply + T_PORTS]! & 0xffff;
      mapped[T_PORTS] = ((port << 16) | (tuple[T_PORTS]! & 0xffff)) >>> 0;
      if (!sourceInRange(mapped, range)) continue;
      if (this.#used(mapped, entry)) return false;
      tuple.set(mapped);
      return true;
    }
    return false;
  }

  /** Kernel: find_best_ips_proto(). */
  #chooseAddress(tuple: Uint32Array, range: NatRange, entry: number, manip: ManipType): void {
    if ((range.flags & NF_NAT_RANGE_MAP_IPS) === 0) return;
    const at = manip === NF_NAT_MANIP_SRC ? T_SRC : T_DST;
    let single = true;
    for (let i = 0; i < 4; i++) if (range.minAddress[i]! !== range.maxAddress[i]!) single = false;
    if (single) {
      for (let i = 0; i < 4; i++) tuple[at + i] = range.minAddress[i]!;
      return;
    }
    const last = ((tuple[T_PROTO]! >>> 8) & 255) === 4 ? 0 : 3;
    const persistent = (range.flags & NF_NAT_RANGE_PERSISTENT) !== 0;
    // The kernel hashes addresses as they lie in memory: words in network order, loaded on a little-endian machine.
    for (let i = 0; i < 4; i++) this.#hashWords[i] = swap32(tuple[T_SRC + i]!);
    const { tuples } = this.#table;
    const own = entry * 2 * TUPLE_WORDS;
    // A zone for one direction only counts too (kernel: zone->id).
    const zone = tupleZone(tuples, own) | tupleZone(tuples, own + TUPLE_WORDS);
    let j = jhash2(this.#hashWords, 0, 4, persistent ? 0 : (swap32(tuple[T_DST + last]!) ^ zone) >>> 0);
    let full = false;
    for (let i = 0; i <= last; i++) {
      const min = full ? 0 : range.minAddress[i]! >>> 0;
      const dist = full ? 0xffffffff : (range.maxAddress[i]! - min + 1) >>> 0;
      tuple[at + i] = min + reciprocalScale(j, dist);
      if (tuple[at + i] !== range.maxAddress[i]! >>> 0) full = true;
      if (!persistent) j = (j ^ swap32(tuple[T_DST + i]!)) >>> 0;
    }
  }

  /** Kernel: nf_nat_l4proto_unique_tuple(). */
  #searchPort(tuple: Uint32Array, range: NatRange, entry: number, manip: ManipType): void {
    const protocol = tuple[T_PROTO]! & 255;
    const ranged = (range.flags & NF_NAT_RANGE_PROTO_SPECIFIED) !== 0;
    const isId = hasId(tuple);
    const present = readPort(tuple, manip);
    let min: number;
    let size: number;
    if (isId) {
      min = ranged ? range.minPort : 0;
      // A range the wrong way round wraps, as the kernel's unsigned difference does.
      size = ranged ? (range.maxPort - range.minPort + 1) >>> 0 : 65536;
    } else if (!tupleHasPorts(protocol)) {
      // GRE without its helper, and protocols without ports, keep what they have.
      return;
    } else if (ranged) {
      min = Math.min(range.minPort, range.maxPort);
      size = Math.max(range.minPort, range.maxPort) - min + 1;
    } else if (manip === NF_NAT_MANIP_DST) {
      return;
    } else if (present < 512) {
      min = 1;
      size = 511;
    } else if (present < 1024) {
      min = 600;
      size = 424;
    } else {
      min = 1024;
      size = 64512;
    }
    let off: number;
    if ((range.flags & NF_NAT_RANGE_PROTO_OFFSET) !== 0) off = (present - range.basePort) & 0xffff;
    else if ((range.flags & RANDOM_ALL) !== 0 || manip !== NF_NAT_MANIP_DST) off = this.#draw(tuple, manip, min, size);
    else off = 0;
    for (let attempts = Math.min(size, MAX_ATTEMPTS); ; attempts = attempts >> 1) {
      for (let i = 0; i < attempts; i++, off = (off + 1) & 0xffff) {
        writePort(tuple, manip, (min + (off % size)) & 0xffff);
        if (!this.#usedHarder(tuple, entry, attempts - i)) return;
      }
      if (attempts >= size || attempts < FEWEST_ATTEMPTS) return;
      off = this.#rng.u32() & 0xffff;
    }
  }

  #draw(tuple: Uint32Array, manip: ManipType, min: number, size: number): number {
    return this.chooseOffset?.(tuple, manip, min, size) ?? this.#rng.u32() & 0xffff;
  }

  /** Kernel: nf_nat_used_tuple_harder(): near the end of a search a finished TCP connection makes room. */
  #usedHarder(tuple: Uint32Array, entry: number, attemptsLeft: number): boolean {
    if (!this.#used(tuple, entry)) return false;
    if (attemptsLeft > HARDER_THRESHOLD || (tuple[T_PROTO]! & 255) !== IPPROTO_TCP) return true;
    invertTuple(tuple, 0, this.#inverse, 0);
    const node = this.#table.find(this.#inverse, 0);
    if (node === -1) return false;
    const old = node >> 1;
    if ((node & 1) === IP_CT_DIR_ORIGINAL || old === entry) return true;
    const status = this.#table.status[old]!;
    if ((status & (IPS_FIXED_TIMEOUT | IPS_DYING)) !== 0 || (status & IPS_SRC_NAT) === 0) return true;
    if (this.#tcp.state(old) < TCP_CONNTRACK_TIME_WAIT || !this.#tcp.hasAdvanced(old, entry)) return true;
    this.#table.remove(old);
    return false;
  }
}

function hasId(tuple: Uint32Array): boolean {
  const protocol = tuple[T_PROTO]! & 255;
  return protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6;
}

function readPort(tuple: Uint32Array, manip: ManipType): number {
  return manip === NF_NAT_MANIP_SRC || hasId(tuple) ? tuple[T_PORTS]! >>> 16 : tuple[T_PORTS]! & 0xffff;
}

function writePort(tuple: Uint32Array, manip: ManipType, port: number): void {
  const ports = tuple[T_PORTS]!;
  const upper = manip === NF_NAT_MANIP_SRC || hasId(tuple);
  tuple[T_PORTS] = (upper ? (port << 16) | (ports & 0xffff) : (ports & 0xffff0000) | port) >>> 0;
}

/** Kernel: l4proto_in_range(); protocols without ports are always inside. */
function portInRange(tuple: Uint32Array, manip: ManipType, range: NatRange): boolean {
  const protocol = tuple[T_PROTO]! & 255;
  if (!hasId(tuple) && !tupleHasPorts(protocol) && protocol !== IPPROTO_GRE) return true;
  const port = readPort(tuple, manip);
  return port >= range.minPort && port <= range.maxPort;
}

/** Kernel: nf_in_range(): address and, where given, port of the source lie in the range. */
function sourceInRange(tuple: Uint32Array, range: NatRange): boolean {
  if ((range.flags & NF_NAT_RANGE_MAP_IPS) !== 0) {
    if (compareWords(tuple, T_SRC, range.minAddress) < 0 || compareWords(tuple, T_SRC, range.maxAddress) > 0)
      return false;
  }
  return (range.flags & NF_NAT_RANGE_PROTO_SPECIFIED) === 0 || portInRange(tuple, NF_NAT_MANIP_SRC, range);
}

function compareWords(words: Uint32Array, at: number, other: ArrayLike<number>): number {
  for (let i = 0; i < 4; i++) {
    const difference = words[at + i]! - (other[i]! >>> 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
