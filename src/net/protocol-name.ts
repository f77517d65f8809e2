/** Names of IP protocols as iptables 1.8.9 reads and prints them. */

/** iptables' own table (xtables_chain_protos): the first name of a number is the one that prints. */
const FIXED = [
  ['tcp', 6],
  ['sctp', 132],
  ['udp', 17],
  ['udplite', 136],
  ['icmp', 1],
  ['icmpv6', 58],
  ['ipv6-icmp', 58],
  ['esp', 50],
  ['ah', 51],
  ['ipv6-mh', 135],
  ['mh', 135],
  ['dccp', 33],
  ['ipcomp', 108],
  ['all', 0],
] as const;

/** The system's list (netbase 6.4), asked after the fixed table, both ways. */
const SYSTEM =
  'ip 0,hopopt 0,icmp 1,igmp 2,ggp 3,ipencap 4,st 5,tcp 6,egp 8,igp 9,pup 12,udp 17,hmp 20,xns-idp 22,' +
  'rdp 27,iso-tp4 29,dccp 33,xtp 36,ddp 37,idpr-cmtp 38,ipv6 41,ipv6-route 43,ipv6-frag 44,idrp 45,rsvp 46,' +
  'gre 47,esp 50,ah 51,skip 57,ipv6-icmp 58,ipv6-nonxt 59,ipv6-opts 60,rspf 73,vmtp 81,eigrp 88,ospf 89,' +
  'ax.25 93,ipip 94,etherip 97,encap 98,pim 103,ipcomp 108,vrrp 112,l2tp 115,isis 124,sctp 132,fc 133,' +
  'mobility-header 135,udplite 136,mpls-in-ip 137,manet 138,hip 139,shim6 140,wesp 141,rohc 142,' +
  'ethernet 143';

const numberOf = new Map<string, number>();
const nameOf = new Map<number, string>([
  [58, 'ipv6-icmp'],
  [135, 'mobility-header'],
]);
for (const [name, number] of [
  ...FIXED,
  ...SYSTEM.split(',').map((entry) => [entry.split(' ')[0]!, Number(entry.split(' ')[1])] as const),
]) {
  if (!numberOf.has(name)) numberOf.set(name, number);
  if (!nameOf.has(number)) nameOf.set(number, name);
}

/** Number of a protocol given by name (case ignored); undefined if there is no such name. Numbers are the caller's. */
export function protocolNumber(name: string): number | undefined {
  return numberOf.get(name.toLowerCase());
}

/** What `-p` prints for a protocol: its name, or the number. */
export function protocolName(number: number): string {
  return nameOf.get(number) ?? String(number);
}
