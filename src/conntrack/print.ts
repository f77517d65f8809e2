/** The table as `conntrack -L -o extended` lists it, one line an entry, in the order in which entries were made. */

import { printIp4 } from '../net/ip4.js';
import { printIp6 } from '../net/ip6.js';
import {
  type Direction,
  type Family,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IPS_ASSURED,
  IPS_SEEN_REPLY,
} from '../net/netfilter.js';
import { IPPROTO_DCCP, IPPROTO_GRE, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP } from '../net/protocol.js';
import type { EntryTable } from './entry-table.js';
import { SCTP_STATE_NAMES } from './sctp-state.js';
import { TCP_STATE_NAMES } from './tcp-state.js';
import { T_DST, T_PORTS, T_SRC, TUPLE_WORDS, tupleFamily, tupleHasPorts, tupleProtocol, tupleZone } from './tuple.js';

/** Names that the tool knows, by protocol number. */
export const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [47, 'gre'],
  [58, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
]);
const SECOND_US = 1_000_000;

function addressText(table: EntryTable, at: number, family: Family): string {
  const { tuples } = table;
  if (family === 4) return printIp4(tuples[at]!);
  return printIp6(tuples[at]!, tuples[at + 1]!, tuples[at + 2]!, tuples[at + 3]!);
}

function portText(ports: number, protocol: number): string {
  const high = ports >>> 16;
  const low = ports & 0xffff;
  if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
    return `type=${low >> 8} code=${low & 255} id=${high} `;
  }
  if (protocol === IPPROTO_GRE) return `srckey=0x${high.toString(16)} dstkey=0x${low.toString(16)} `;
  // The tool prints ports of DCCP even where the kernel no longer knows them.
  return tupleHasPorts(protocol) || protocol === IPPROTO_DCCP ? `sport=${high} dport=${low} ` : '';
}

function directionText(table: EntryTable, entry: number, direction: Direction, zoneName: string): string {
  const node = entry * 2 + direction;
  const at = node * TUPLE_WORDS;
  const family = tupleFamily(table.tuples, at);
  let text = `src=${addressText(table, at + T_SRC, family)} dst=${addressText(table, at + T_DST, family)} `;
  text += portText(table.tuples[at + T_PORTS]!, tupleProtocol(table.tuples, at));
  const zone = tupleZone(table.tuples, at);
  if (zoneName !== '' && zone !== 0) text += `${zoneName}=${zone} `;
  if (table.packets[node]! >= 0) text += `packets=${table.packets[node]} bytes=${table.bytes[node]} `;
  return text;
}

/** One entry's line, without line break. `table.nowUs` decides the remaining seconds. */
export function printEntry(table: EntryTable, entry: number): string {
  const at = entry * 2 * TUPLE_WORDS;
  const family = tupleFamily(table.tuples, at);
  const protocol = tupleProtocol(table.tuples, at);
  const status = table.status[entry]!;
  const seconds = Math.max(0, Math.floor((table.deadlineUs[entry]! - table.nowUs) / SECOND_US));
  const zone = tupleZone(table.tuples, at);
  const oneZone = zone === tupleZone(table.tuples, at + TUPLE_WORDS);
  let text = family === 4 ? 'ipv4     2 ' : 'ipv6     10 ';
  text += `${(PROTOCOL_NAMES.get(protocol) ?? 'unknown').padEnd(8)} ${protocol} ${seconds} `;
  if (protocol === IPPROTO_TCP) text += `${TCP_STATE_NAMES[table.state[entry]!]} `;
  else if (protocol === IPPROTO_SCTP) text += `${SCTP_STATE_NAMES[table.state[entry]!]} `;
  text += directionText(table, entry, IP_CT_DIR_ORIGINAL, oneZone ? '' : 'zone-orig');
  if ((status & IPS_SEEN_REPLY) === 0) text += '[UNREPLIED] ';
  text += directionText(table, entry, IP_CT_DIR_REPLY, oneZone ? '' : 'zone-reply');
  if ((status & IPS_ASSURED) !== 0) text += '[ASSURED] ';
  text += `mark=${table.mark[entry]} `;
  if (oneZone && zone !== 0) text += `zone=${zone} `;
  return `${text}use=1`;
}

/** Lines of all entries, of one family if given; each ends in a line break. */
export function printEntries(table: EntryTable, family?: Family): string {
  const entries: number[] = [];
  table.forEach((entry) => {
    if (family === undefined || tupleFamily(table.tuples, entry * 2 * TUPLE_WORDS) === family) entries.push(entry);
  });
  entries.sort((a, b) => table.made[a]! - table.made[b]!);
  return entries.map((entry) => `${printEntry(table, entry)}\n`).join('');
}
