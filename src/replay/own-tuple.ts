/**
 * Undoes what POSTROUTING did to a packet that the host itself has sent. A capture shows it translated; the process spoke
 * the other tuple of its connection (its answer to a redirected client, its later packets after source NAT).
 */
import type { EntryTable } from '../conntrack/entry-table.js';
import { invertTuple, T_DST, T_PORTS, T_PROTO, T_SRC, TUPLE_WORDS, tupleOfPacket } from '../conntrack/tuple.js';
import { setAddress, setPort } from '../wire/mangle.js';
import { hasPorts, type Packet } from '../wire/packet.js';

const wire = new Uint32Array(TUPLE_WORDS);
const inverse = new Uint32Array(TUPLE_WORDS);

/** Rewrites addresses and ports in place if a connection of the table explains the packet; true if it did. */
export function restoreOwnTuple(packet: Packet, entries: EntryTable): boolean {
  if (!tupleOfPacket(packet, wire, 0) || !invertTuple(wire, 0, inverse, 0)) return false;
  const node = entries.find(inverse, 0);
  if (node === -1) return false;
  const { tuples } = entries;
  const own = (node ^ 1) * TUPLE_WORDS;
  if (tuples[own + T_PROTO] !== wire[T_PROTO]) return false;
  let same = true;
  for (let i = 0; i < T_PORTS + 1; i++) if (tuples[own + i] !== wire[i]) same = false;
  if (same) return false;
  setAddress(packet, false, tuples, own + T_SRC);
  setAddress(packet, true, tuples, own + T_DST);
  if (hasPorts(packet.protocol)) {
    setPort(packet, false, tuples[own + T_PORTS]! >>> 16);
    setPort(packet, true, tuples[own + T_PORTS]! & 0xffff);
  }
  return true;
}
