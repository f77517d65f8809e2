/** Workloads as nftables' own sets and maps hold them: what `nft -f` reads. */
import type { Workload } from '../workloads.js';

interface ServiceText {
  readonly address: string;
  /** `address:port` each. */
  readonly endpoints: string[];
}

/** The services of a workload's rules: address and endpoints, by their comments. */
export function servicesOf(rules: string): ServiceText[] {
  const byName = new Map<string, ServiceText>();
  const portal = /^-A KUBE-SERVICES -d ([\d.]+)\/32 .*"(\S+) cluster IP"/gm;
  for (const [, address, name] of rules.matchAll(portal)) byName.set(name!, { address: address!, endpoints: [] });
  const endpoint = /^-A KUBE-SVC-\S+ -m comment --comment "(\S+) -> ([\d.:]+)"/gm;
  for (const [, name, to] of rules.matchAll(endpoint)) byName.get(name!)!.endpoints.push(to!);
  return [...byName.values()];
}

/**
 * The chain of a service. Where there are two endpoints a rule chooses instead of kube-proxy's map of two: as cheap for
 * a packet, but thousands of maps take `nft` minutes to load.
 */
function choice(service: number, address: string, endpoints: number): string[] {
  const masquerade = `ip daddr ${address} tcp dport 80 ip saddr != 10.0.0.0/9 jump mark-for-masquerade`;
  const random = `numgen random mod ${endpoints}`;
  const to = (e: number): string => `goto endpoint-${service}-${e}`;
  if (endpoints === 2) {
    return [`chain service-${service} {\n  ${masquerade}\n  ${random} 0 ${to(0)}\n  ${to(1)}\n}`];
  }
  const elements = Array.from({ length: endpoints }, (_, e) => `${e} : ${to(e)}`).join(', ');
  return [
    `map choice-${service} {\n  typeof ${random} : verdict\n  size ${endpoints}\n  elements = { ${elements} }\n}`,
    `chain service-${service} {\n  ${masquerade}\n  ${random} vmap @choice-${service}\n}`,
  ];
}

/**
 * kube-proxy's nftables mode: one verdict map from address, protocol and port to the chain of the service, a random
 * number to the chain of the endpoint. What is no service's address may be the node's own, as in the iptables mode.
 */
export function verdictMap(workload: Workload): string {
  const services = servicesOf(workload.rules);
  const chains: string[] = [];
  const elements: string[] = [];
  services.forEach(({ address, endpoints }, s) => {
    elements.push(`${address} . tcp . 80 : goto service-${s}`);
    endpoints.forEach((to, e) => {
      const [pod] = to.split(':');
      chains.push(
        `chain endpoint-${s}-${e} {\n  ip saddr ${pod} jump mark-for-masquerade\n  meta l4proto tcp dnat to ${to}\n}`,
      );
    });
    chains.push(...choice(s, address, endpoints.length));
  });
  return [
    'table ip kube-proxy {',
    'chain mark-for-masquerade {\n  meta mark set meta mark | 0x4000\n}',
    ...chains,
    'map service-ips {\n  type ipv4_addr . inet_proto . inet_service : verdict',
    elements.length === 0 ? '' : `  elements = { ${elements.join(',\n')} }`,
    '}',
    'map service-nodeports {\n  type inet_proto . inet_service : verdict\n}',
    'chain services {\n  ip daddr . meta l4proto . th dport vmap @service-ips',
    '  fib daddr type local meta l4proto . th dport vmap @service-nodeports\n}',
    'chain nat-prerouting {\n  type nat hook prerouting priority dstnat; policy accept;\n  jump services\n}',
    'chain nat-postrouting {\n  type nat hook postrouting priority srcnat; policy accept;',
    '  meta mark & 0x4000 == 0x4000 masquerade fully-random\n}',
    '}',
    '',
  ].join('\n');
}

/** The base chains of `verdictMap` with nothing in them. */
export const EMPTY_NAT = [
  'table ip kube-proxy {',
  'chain nat-prerouting {\n  type nat hook prerouting priority dstnat; policy accept;\n}',
  'chain nat-postrouting {\n  type nat hook postrouting priority srcnat; policy accept;\n}',
  '}',
  '',
].join('\n');

/** A blacklist's prefixes. */
export function prefixesOf(rules: string): string[] {
  return [...rules.matchAll(/^-A FORWARD -s (\S+) -j DROP$/gm)].map(([, prefix]) => prefix!);
}

/** One interval set; prefixes within others are merged into them. */
export function intervalSet(workload: Workload): string {
  return [
    'table ip blacklist {',
    'set banned {\n  type ipv4_addr\n  flags interval\n  auto-merge',
    `  elements = { ${prefixesOf(workload.rules).join(',\n')} }\n}`,
    'chain forward {\n  type filter hook forward priority filter; policy accept;\n  ip saddr @banned drop\n}',
    '}',
    '',
  ].join('\n');
}

export const EMPTY_FILTER = [
  'table ip blacklist {',
  'chain forward {\n  type filter hook forward priority filter; policy accept;\n}',
  '}',
  '',
].join('\n');

/**
 * Where a measured packet ends, the same for every contender. Its connection is never confirmed, so each packet is the
 * first of one. Before the filter table where that is not what is measured, after it where it is. The second rule is
 * never met, but with it the node tracks connections whether the table under test makes it do so or not.
 */
export function endOfWay(table: Workload['table']): string {
  const priority = table === 'nat' ? -200 : 100;
  const chain = `chain end {\n  type filter hook forward priority ${priority}; policy accept;\n  counter drop\n  ct state new accept\n}`;
  return `table ip cwbk {\n${chain}\n}\n`;
}
