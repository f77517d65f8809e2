/**
 * The host under test: three links, every neighbour known, nothing that speaks by itself. Addresses come from small
 * subnets so that rules, translations and traffic meet, and so that each possible next hop has a neighbour entry.
 */
import type { Family } from '../../src/net/netfilter.js';

export interface Link {
  readonly name: string;
  readonly peer: string;
  readonly mac: string;
  readonly peerMac: string;
  readonly mtu: number;
}

/** eth2 is the uplink: default routes go there, and its MTU is smaller. */
export const LINKS: readonly Link[] = [
  { name: 'eth0', peer: 'p0', mac: '02:00:00:00:01:01', peerMac: '02:00:00:00:01:02', mtu: 1500 },
  { name: 'eth1', peer: 'p1', mac: '02:00:00:00:02:01', peerMac: '02:00:00:00:02:02', mtu: 1500 },
  { name: 'eth2', peer: 'p2', mac: '02:00:00:00:03:01', peerMac: '02:00:00:00:03:02', mtu: 1300 },
];

/** Prefix length of each link's subnet: 16 addresses. */
export const SUBNET_LENGTH = { 4: 28, 6: 124 } as const;

/** Address `host` (0–15) of link `link` (0–2). Host 1 is the host under test; 13 on eth0 is its second address. */
export function address(family: Family, link: number, host: number): string {
  return family === 4
    ? `10.${link + 1}.0.${host}`
    : host === 0
      ? `fd00:${link + 1}::`
      : `fd00:${link + 1}::${host.toString(16)}`;
}

export const SECOND_ADDRESS_HOST = 13;
export const GATEWAY_HOST = 2;

/** Somewhere behind the default route, behind a static route, and where the routes say no. */
export const FAR = {
  4: {
    away: '198.51.100.7',
    behind: '192.0.2.9',
    unreachable: '10.66.0.1',
    prohibit: '10.67.0.1',
    blackhole: '10.68.0.1',
  },
  6: {
    away: '2001:db8:100::7',
    behind: '2001:db8:2::9',
    unreachable: 'fd00:66::1',
    prohibit: 'fd00:67::1',
    blackhole: 'fd00:68::1',
  },
} as const;

function neighbours(): string[] {
  const lines: string[] = [];
  for (const [link, { name, peerMac }] of LINKS.entries()) {
    for (const family of [4, 6] as const) {
      const last = family === 4 ? 14 : 15;
      for (let host = 2; host <= last; host++) {
        if (link === 0 && host === SECOND_ADDRESS_HOST) continue;
        lines.push(`neigh add ${address(family, link, host)} lladdr ${peerMac} nud permanent dev ${name}`);
      }
    }
  }
  return lines;
}

function batch(): string[] {
  const lines = ['link set lo up'];
  for (const [link, { name }] of LINKS.entries()) {
    lines.push(`addr add ${address(4, link, 1)}/${SUBNET_LENGTH[4]} brd + dev ${name}`);
    lines.push(`addr add ${address(6, link, 1)}/${SUBNET_LENGTH[6]} dev ${name} nodad`);
    if (link === 0) {
      lines.push(`addr add ${address(4, link, SECOND_ADDRESS_HOST)}/${SUBNET_LENGTH[4]} brd + dev ${name}`);
      lines.push(`addr add ${address(6, link, SECOND_ADDRESS_HOST)}/${SUBNET_LENGTH[6]} dev ${name} nodad`);
    }
    lines.push(`link set ${name} up`);
  }
  lines.push(
    `route add default via ${address(4, 2, GATEWAY_HOST)}`,
    `route add 192.0.2.0/24 via ${address(4, 1, 9)}`,
    'route add unreachable 10.66.0.0/16',
    'route add prohibit 10.67.0.0/16',
    'route add blackhole 10.68.0.0/16',
    `route add ::/0 via ${address(6, 2, GATEWAY_HOST)}`,
    `route add 2001:db8:2::/64 via ${address(6, 1, 9)}`,
    'route add unreachable fd00:66::/64',
    'route add prohibit fd00:67::/64',
    'route add blackhole fd00:68::/64',
  );
  return [...lines, ...neighbours()];
}

const each = (key: (scope: string) => string, value: number) =>
  ['all', 'default'].map((scope): [string, number] => [key(scope), value]);

/** Before the links exist: they inherit `default`. */
const SYSCTLS: readonly (readonly [string, number])[] = [
  ['net/ipv4/ip_forward', 1],
  ...each((s) => `net/ipv4/conf/${s}/rp_filter`, 0),
  ...each((s) => `net/ipv4/conf/${s}/send_redirects`, 0),
  ...each((s) => `net/ipv4/conf/${s}/accept_redirects`, 0),
  ...each((s) => `net/ipv4/conf/${s}/log_martians`, 0),
  ...each((s) => `net/ipv6/conf/${s}/accept_ra`, 0),
  ...each((s) => `net/ipv6/conf/${s}/autoconf`, 0),
  ...each((s) => `net/ipv6/conf/${s}/accept_dad`, 0),
  ...each((s) => `net/ipv6/conf/${s}/dad_transmits`, 0),
  ...each((s) => `net/ipv6/conf/${s}/router_solicitations`, 0),
  ...each((s) => `net/ipv6/conf/${s}/accept_redirects`, 0),
  ...each((s) => `net/ipv6/conf/${s}/mldv2_unsolicited_report_interval`, 1),
  // No limit on ICMP errors: whether one is sent must not depend on how many were.
  ['net/ipv4/icmp_ratelimit', 0],
  ['net/ipv4/icmp_ratemask', 0],
  ['net/ipv4/icmp_msgs_per_sec', 1_000_000],
  ['net/ipv4/icmp_msgs_burst', 1_000_000],
  ['net/ipv6/icmp/ratelimit', 0],
];

/** nfacct objects of the host under test: a plain counter, and quotas that a case may go over. */
export const ACCOUNTS = [
  { name: 'plain', quota: null, mode: '' },
  { name: 'three-packets', quota: 3, mode: 'packet' },
  { name: 'bytes-200', quota: 200, mode: 'byte' },
] as const;

export const AGENT_CONFIG = {
  accounts: ACCOUNTS,
  links: LINKS,
  batch: batch(),
  sysctls: SYSCTLS,
  /** Once the links are there: only then does the host join every group of routers. */
  lateSysctls: each((s) => `net/ipv6/conf/${s}/forwarding`, 1),
  peerSysctls: [...each((s) => `net/ipv6/conf/${s}/disable_ipv6`, 1), ['net/ipv4/ip_forward', 0]],
  /** Reports of joined IPv6 groups are out after this (IPv4 cases need not wait for them). */
  settleSeconds: 0.3,
};
