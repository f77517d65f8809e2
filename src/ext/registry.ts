/** Every extension there is, as two explicit lists. A new one is a file and a line here. */
import type { Family } from '../net/netfilter.js';
import type { MatchExt, TargetExt } from './extension.js';
import { addrtype } from './matches/addrtype.js';
import { comment } from './matches/comment.js';
import { connmark } from './matches/connmark.js';
import { conntrack } from './matches/conntrack.js';
import { dscp } from './matches/dscp.js';
import { hl } from './matches/hl.js';
import { icmp } from './matches/icmp.js';
import { icmp6 } from './matches/icmp6.js';
import { iprange } from './matches/iprange.js';
import { length } from './matches/length.js';
import { limit } from './matches/limit.js';
import { mac } from './matches/mac.js';
import { mark } from './matches/mark.js';
import { multiport } from './matches/multiport.js';
import { nfacct } from './matches/nfacct.js';
import { physdev } from './matches/physdev.js';
import { pkttype } from './matches/pkttype.js';
import { recent } from './matches/recent.js';
import { sctp } from './matches/sctp.js';
import { state } from './matches/state.js';
import { statistic } from './matches/statistic.js';
import { tcp } from './matches/tcp.js';
import { tos } from './matches/tos.js';
import { ttl } from './matches/ttl.js';
import { udp } from './matches/udp.js';
import { CONNMARK } from './targets/connmark.js';
import { CT } from './targets/ct.js';
import { DNAT } from './targets/dnat.js';
import { DSCP } from './targets/dscp.js';
import { HL } from './targets/hl.js';
import { LOG } from './targets/log.js';
import { MARK } from './targets/mark.js';
import { MASQUERADE } from './targets/masquerade.js';
import { NETMAP } from './targets/netmap.js';
import { NOTRACK } from './targets/notrack.js';
import { REDIRECT } from './targets/redirect.js';
import { REJECT } from './targets/reject.js';
import { SNAT } from './targets/snat.js';
import { TCPMSS } from './targets/tcpmss.js';
import { TOS } from './targets/tos.js';
import { TRACE } from './targets/trace.js';
import { TTL } from './targets/ttl.js';

export const MATCHES: readonly MatchExt[] = [
  addrtype,
  comment,
  connmark,
  conntrack,
  dscp,
  hl,
  icmp,
  icmp6,
  iprange,
  length,
  limit,
  mac,
  mark,
  multiport,
  nfacct,
  physdev,
  pkttype,
  recent,
  sctp,
  state,
  statistic,
  tcp,
  tos,
  ttl,
  udp,
];
export const TARGETS: readonly TargetExt[] = [
  CONNMARK,
  CT,
  DNAT,
  DSCP,
  HL,
  LOG,
  MARK,
  MASQUERADE,
  NETMAP,
  NOTRACK,
  REDIRECT,
  REJECT,
  SNAT,
  TCPMSS,
  TOS,
  TRACE,
  TTL,
];

type ByName<E> = Readonly<Record<Family, ReadonlyMap<string, E>>>;

function index<E extends MatchExt | TargetExt>(list: readonly E[]): ByName<E> {
  const of = (family: Family) =>
    new Map(
      list
        .filter((ext) => ext.families.includes(family))
        .flatMap((ext) => [ext.kind, ...(ext.aliases ?? [])].map((name): [string, E] => [name, ext])),
    );
  return { 4: of(4), 6: of(6) };
}

const matches = index(MATCHES);
const targets = index(TARGETS);

/** The match of this name or alias, exactly spelled. */
export function findMatch(name: string, family: Family): MatchExt | undefined {
  return matches[family].get(name);
}

/** The target of this name or alias, exactly spelled. */
export function findTarget(name: string, family: Family): TargetExt | undefined {
  return targets[family].get(name);
}

/** Names of the matches that `-p` alone makes known, by protocol number (spec 11.1). */
const IMPLICIT: ReadonlyMap<number, string> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [136, 'udplite'],
  [132, 'sctp'],
  [33, 'dccp'],
  [1, 'icmp'],
  [58, 'icmp6'],
  [50, 'esp'],
  [51, 'ah'],
  [135, 'mh'],
  [108, 'ipcomp'],
]);

/** The match whose options may follow `-p` without `-m`; undefined if the protocol has none here. */
export function implicitMatch(protocol: number, family: Family): MatchExt | undefined {
  const name = IMPLICIT.get(protocol);
  return name === undefined ? undefined : findMatch(name, family);
}
