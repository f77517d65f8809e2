/**
 * One network namespace as plain values: what bundle.ts reads from a node's own listings, what default-host.ts assumes,
 * what tests write by hand. Addresses are words as in Field.Src0: IPv4 in word 0, words 1–3 zero.
 */
import type { Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';

/** Types of a route (include/uapi/linux/rtnetlink.h); the same numbers index ADDRESS_TYPES. */
export const RTN_UNSPEC = 0;
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;
export const RTN_BROADCAST = 3;
export const RTN_ANYCAST = 4;
export const RTN_MULTICAST = 5;
export const RTN_BLACKHOLE = 6;
export const RTN_UNREACHABLE = 7;
export const RTN_PROHIBIT = 8;
export const RTN_THROW = 9;

export const RT_TABLE_DEFAULT = 253;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;

/** Scopes: the larger the number, the nearer. */
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_SITE = 200;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_HOST = 254;
export const RT_SCOPE_NOWHERE = 255;

export interface AddressConfig {
  readonly family: Family;
  readonly address: Words6;
  /** Prefix length, 0–32 or 0–128. */
  readonly bits: number;
  /** Other end of a point-to-point address; the prefix is then the peer's. */
  readonly peer?: Words6;
  /** IPv4 subnet broadcast address, if the address has one. */
  readonly broadcast?: number;
  /** RT_SCOPE_…. */
  readonly scope: number;
  /** Second address of the same subnet: never chosen as a source. */
  readonly secondary: boolean;
  readonly deprecated: boolean;
  readonly tentative: boolean;
}

/** `ethernet`: frames carry an Ethernet header; `loopback`; `none`: bare IP packets (tun, tunnels). */
export type DeviceKind = 'ethernet' | 'loopback' | 'none';

export interface DeviceConfig {
  readonly name: string;
  /** The kernel's number of the device (`ifindex`), where it is known: cooked captures name devices by it. */
  readonly kernelIndex?: number;
  readonly kind: DeviceKind;
  /** Six bytes; undefined where the device has none. */
  readonly mac: Uint8Array | undefined;
  /** Bytes of IP packet. */
  readonly mtu: number;
  readonly up: boolean;
  /** The device asks nobody for hardware addresses (flag NOARP). */
  readonly noArp?: boolean;
  /** Device whose port this is (bridge, bond, team): its frames are the master's business. */
  readonly master?: string;
  readonly addresses: readonly AddressConfig[];
}

export interface NextHopConfig {
  /** Device name. */
  readonly device: string;
  readonly gateway?: { readonly family: Family; readonly address: Words6 };
  /** Gateway needs no route of its own. */
  readonly onlink: boolean;
  /** Share of the flows among the route's next hops; default 1. */
  readonly weight?: number;
  /** Not used: the kernel says `dead`, or `linkdown` with ignore_routes_with_linkdown. */
  readonly dead: boolean;
}

export interface RouteConfig {
  readonly family: Family;
  readonly table: number;
  /** RTN_…. */
  readonly type: number;
  readonly address: Words6;
  readonly bits: number;
  /** IPv6 source-specific route; undefined: any. */
  readonly source?: { readonly address: Words6; readonly bits: number };
  readonly tos: number;
  readonly metric: number;
  /** RT_SCOPE_…; IPv4 only. */
  readonly scope: number;
  readonly preferredSource?: Words6;
  /** Empty for blackhole and the like. */
  readonly nextHops: readonly NextHopConfig[];
  readonly mtu?: number;
  readonly hopLimit?: number;
}

/** One line of `ip rule`. Only what a packet's path can be told by; other selectors are refused when read. */
export interface RuleConfig {
  readonly family: Family;
  readonly priority: number;
  readonly invert: boolean;
  readonly source?: { readonly address: Words6; readonly bits: number };
  readonly destination?: { readonly address: Words6; readonly bits: number };
  readonly mark?: { readonly value: number; readonly mask: number };
  readonly inDevice?: string;
  readonly outDevice?: string;
  readonly tos?: number;
  readonly action: 'table' | 'blackhole' | 'unreachable' | 'prohibit' | 'nop';
  readonly table: number;
  /** A default route found by this rule does not count (`suppress_prefixlength`). -1: no such thing. */
  readonly suppressBits: number;
}

export interface NeighbourConfig {
  readonly family: Family;
  readonly device: string;
  readonly address: Words6;
  readonly mac: Uint8Array;
}

export interface HostConfig {
  /** In order of their kernel index: the order in which the kernel tries devices. */
  readonly devices: readonly DeviceConfig[];
  readonly routes: readonly RouteConfig[];
  /** Undefined: the kernel's own three (local, main, default), which it merges for speed. */
  readonly rules?: readonly RuleConfig[];
  readonly neighbours: readonly NeighbourConfig[];
  /** `sysctl -a`, names as printed (a dot within a device's name is a slash). */
  readonly sysctl: ReadonlyMap<string, string>;
  /** `conntrack -L`, to begin with; undefined: an empty table. */
  readonly conntrack?: string;
  /**
   * When the listings were taken, µs since the epoch. Time-outs of listed connections count from the moment to which the
   * host's clock is first advanced: whoever replays a later capture advances it to this one first.
   */
  readonly timeUs?: number;
  /** nfacct objects by name; value: quota in packets or bytes, or undefined for a plain counter. */
  readonly nfacct?: ReadonlyMap<string, NfacctConfig>;
}

export interface NfacctConfig {
  readonly quota?: number;
  readonly unit?: 'packets' | 'bytes';
}
