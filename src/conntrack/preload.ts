/** Fills the table from a listing: the connections that a host had when a capture began. */
import {
  IPS_ASSURED,
  IPS_DST_NAT,
  IPS_DST_NAT_DONE,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
  IPS_SRC_NAT_DONE,
} from '../net/netfilter.js';
import {
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import type { ListedEntry } from './parse.js';
import type { Tracker } from './tracker.js';
import { invertTuple, T_DST, T_PORTS, T_SRC, TUPLE_WORDS } from './tuple.js';

const SECOND_US = 1_000_000;

/**
 * Enters the listed connections; they live their remaining seconds from now on. Returns the indices in `listed` of those left out because
 * another one has one of their tuples. What a listing does not tell (sequence numbers, verification tags) is learnt from the next packets.
 */
export function preloadEntries(tracker: Tracker, listed: readonly ListedEntry[]): number[] {
  const { table } = tracker;
  tracker.syncClock();
  const leftOut: number[] = [];
  listed.forEach((row, index) => {
    if (table.find(row.tuples, 0) !== -1 || table.find(row.tuples, TUPLE_WORDS) !== -1) {
      leftOut.push(index);
      return;
    }
    const entry = table.allocate();
    table.tuples.set(row.tuples, entry * 2 * TUPLE_WORDS);
    // The nat table, where there is one, has had its say about every connection.
    table.status[entry] =
      (row.unreplied ? 0 : IPS_SEEN_REPLY) |
      (row.assured ? IPS_ASSURED : 0) |
      natBits(row) |
      IPS_SRC_NAT_DONE |
      IPS_DST_NAT_DONE;
    table.mark[entry] = row.mark;
    table.packets.set(row.packets, entry * 2);
    table.bytes.set(row.bytes, entry * 2);
    table.deadlineUs[entry] = table.nowUs + row.seconds * SECOND_US;
    table.createdUs[entry] = table.nowUs - ageUs(tracker, row);
    if (row.protocol === IPPROTO_TCP) {
      tracker.tcp.adopt(entry, row.state);
    } else if (row.protocol === IPPROTO_SCTP) {
      table.state[entry] = row.state;
      tracker.sctp.adopt(entry);
    }
    table.insert(entry);
  });
  return leftOut;
}

/** What the reply tuple tells about translation: it is the inverse of the original one where there was none. */
function natBits(row: ListedEntry): number {
  const inverse = new Uint32Array(TUPLE_WORDS);
  if (!invertTuple(row.tuples, 0, inverse, 0)) return 0;
  const reply = row.tuples.subarray(TUPLE_WORDS);
  const differs = (from: number): boolean => [0, 1, 2, 3].some((i) => inverse[from + i] !== reply[from + i]);
  const portBits = (inverse[T_PORTS]! ^ reply[T_PORTS]!) >>> 0;
  const isIcmp = row.protocol === IPPROTO_ICMP || row.protocol === IPPROTO_ICMPV6;
  const sourceDiffers = differs(T_DST) || (isIcmp ? portBits !== 0 : (portBits & 0xffff) !== 0);
  const destinationDiffers = differs(T_SRC) || (!isIcmp && portBits >>> 16 !== 0);
  return (sourceDiffers ? IPS_SRC_NAT : 0) | (destinationDiffers ? IPS_DST_NAT : 0);
}

/** Least time since the connection began, µs: the part of its lifetime that is gone. */
function ageUs(tracker: Tracker, row: ListedEntry): number {
  if (row.protocol !== IPPROTO_UDP && row.protocol !== IPPROTO_UDPLITE) return 0;
  const { udpTimeoutUs, udpStreamTimeoutUs } = tracker.settings;
  return Math.max(0, (row.assured ? udpStreamTimeoutUs : udpTimeoutUs) - row.seconds * SECOND_US);
}
