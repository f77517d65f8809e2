/** Netfilter's hooks, verdicts and tables (include/uapi/linux/netfilter.h, netfilter_ipv4.h, x_tables.h). */

export const NF_INET_PRE_ROUTING = 0;
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_FORWARD = 2;
export const NF_INET_LOCAL_OUT = 3;
export const NF_INET_POST_ROUTING = 4;
export type Hook = 0 | 1 | 2 | 3 | 4;
export const HOOK_COUNT = 5;

/** Base chain that hangs at a hook, by hook number. */
export const HOOK_CHAINS = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'] as const;
export type BaseChainName = (typeof HOOK_CHAINS)[number];

/** Verdicts of a table or target. XT_CONTINUE and XT_RETURN never leave an engine. */
export const NF_DROP = 0;
export const NF_ACCEPT = 1;
/** Somebody else owns the packet now (kernel: NF_STOLEN). */
export const NF_STOLEN = 2;
export const NF_QUEUE = 3;
/** A target that does not decide: the next rule follows. */
export const XT_CONTINUE = 0xffffffff;
/** RETURN: back to the calling chain, or the policy. */
export const XT_RETURN = 0xfffffffb;

export const TABLE_NAMES = ['raw', 'mangle', 'nat', 'filter', 'security'] as const;
export type TableName = (typeof TABLE_NAMES)[number];

/** Hooks of each table, in the order in which its base chains are stored and saved. */
export const TABLE_HOOKS: Readonly<Record<TableName, readonly Hook[]>> = {
  filter: [NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT],
  nat: [NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING],
  mangle: [NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING],
  raw: [NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT],
  security: [NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT],
};

export type Family = 4 | 6;

/** Link-layer class of a received frame (include/uapi/linux/if_packet.h). */
export const PACKET_HOST = 0;
export const PACKET_BROADCAST = 1;
export const PACKET_MULTICAST = 2;
export const PACKET_OTHERHOST = 3;
export const PACKET_OUTGOING = 4;

/** State of a packet towards its connection (enum ip_conntrack_info). Reply direction adds IP_CT_IS_REPLY. */
export const IP_CT_ESTABLISHED = 0;
export const IP_CT_RELATED = 1;
export const IP_CT_NEW = 2;
export const IP_CT_IS_REPLY = 3;
export const IP_CT_ESTABLISHED_REPLY = 3;
export const IP_CT_RELATED_REPLY = 4;
/** The packet was exempted from tracking (NOTRACK). */
export const IP_CT_UNTRACKED = 7;

/** Directions of a connection. */
export const IP_CT_DIR_ORIGINAL = 0;
export const IP_CT_DIR_REPLY = 1;
export type Direction = 0 | 1;

/** Status bits of a connection (enum ip_conntrack_status). */
export const IPS_EXPECTED = 1 << 0;
export const IPS_SEEN_REPLY = 1 << 1;
export const IPS_ASSURED = 1 << 2;
export const IPS_CONFIRMED = 1 << 3;
export const IPS_SRC_NAT = 1 << 4;
export const IPS_DST_NAT = 1 << 5;
export const IPS_SEQ_ADJUST = 1 << 6;
export const IPS_SRC_NAT_DONE = 1 << 7;
export const IPS_DST_NAT_DONE = 1 << 8;
export const IPS_DYING = 1 << 9;
export const IPS_FIXED_TIMEOUT = 1 << 10;
export const IPS_TEMPLATE = 1 << 11;
export const IPS_UNTRACKED = 1 << 12;

/** NAT changes the source (POSTROUTING, INPUT) or the destination (PREROUTING, OUTPUT) (enum nf_nat_manip_type). */
export const NF_NAT_MANIP_SRC = 0;
export const NF_NAT_MANIP_DST = 1;
export type ManipType = 0 | 1;

/** Flags of a NAT range (include/uapi/linux/netfilter/nf_nat.h). */
export const NF_NAT_RANGE_MAP_IPS = 1 << 0;
export const NF_NAT_RANGE_PROTO_SPECIFIED = 1 << 1;
export const NF_NAT_RANGE_PROTO_RANDOM = 1 << 2;
export const NF_NAT_RANGE_PERSISTENT = 1 << 3;
export const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 1 << 4;
export const NF_NAT_RANGE_PROTO_OFFSET = 1 << 5;
export const NF_NAT_RANGE_NETMAP = 1 << 6;
