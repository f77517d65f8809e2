/**
 * What a match or target extension is. Each stands whole in one file: its options, how they become a value, how the
 * value prints, where it may stand, what it does to a packet and what it offers the compiler. registry.ts lists them.
 */
import type { Clock } from '../base/clock.js';
import type { Rng } from '../base/rng.js';
import type { Conntrack } from '../conntrack/conntrack.js';
import type { BaseChainName, Family, TableName } from '../net/netfilter.js';
import type { FieldSlot } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import type { GivenOptions } from './option.js';

/** One long option of an extension, as getopt_long() would be told of it. */
export interface OptionSpec {
  /** Canonical spelling with dashes, e.g. `--sport`. */
  readonly name: string;
  /** Other full spellings of the same option, e.g. `--source-port`. */
  readonly aliases?: readonly string[];
  /** Words that follow (0, 1, or 2 as for --tcp-flags). Default 1. */
  readonly args?: 0 | 1 | 2;
  /** A preceding `!` is allowed. Default false: "cannot be inverted". */
  readonly invert?: boolean;
  /** May be given more than once. Default false: "can only be used once". */
  readonly many?: boolean;
  /**
   * A value of this form, as the only option and not inverted, is always good (an endpoint: in a rule for TCP
   * or UDP); `check` and `needs` do not look at it; a match with it lowers: `port` to the one test of a field for it,
   * `text` to none. So the value need not be made at load.
   * Forms: 0–65535; printable ASCII without `"` and `\`, 1 to 255 characters; IPv4 address and port, `a.b.c.d:p`.
   */
  readonly plain?: 'port' | 'text' | 'endpoint';
}

/** Conditions of a rule that the kernel's checkentry sees. */
export interface RulePlace {
  readonly family: Family;
  readonly table: TableName;
  /** Base chains from which the rule can be reached, through jumps and gotos; empty for a chain that nobody calls. */
  readonly reachedFrom: ReadonlySet<BaseChainName>;
  /** The rule's `-p`, 0 for none. */
  readonly protocol: number;
  readonly protocolInverted: boolean;
  /** Every match of the rule, in order (TCPMSS looks for a tcp match). */
  readonly matches: readonly MatchUse[];
}

/**
 * A test that the compiled engine can hash or range-check: `(f[slot] & mask) === value`, or `low ≤ f[slot] ≤ high`,
 * or one of several such ranges (multiport).
 */
export type FieldTest =
  | { readonly slot: FieldSlot; readonly mask: number; readonly value: number; readonly invert: boolean }
  | {
      readonly slot: FieldSlot;
      readonly anyOf: readonly { readonly low: number; readonly high: number }[];
      readonly invert: boolean;
    }
  | { readonly slot: FieldSlot; readonly low: number; readonly high: number; readonly invert: boolean };

/** Per packet: allocates nothing. May set `packet.hotdrop` and return false: the packet is dropped, nothing counts. */
export type MatchFn = (packet: Packet) => boolean;
/** Per packet. Returns NF_ACCEPT, NF_DROP, NF_STOLEN, NF_QUEUE, XT_CONTINUE or XT_RETURN. */
export type TargetFn = (packet: Packet) => number;
/** The same for a target whose value is two words (TargetExt.words). */
export type WordTargetFn = (packet: Packet, first: number, second: number) => number;

interface ExtensionBase<V> {
  /** Name as it is saved. */
  readonly kind: string;
  /** Other names by which it can be loaded (icmpv6 for icmp6). */
  readonly aliases?: readonly string[];
  readonly families: readonly Family[];
  readonly options: readonly OptionSpec[];
  /**
   * Options as given → value. Faults go to `given.fail(...)` (any number of them); the result is then not used, but
   * must still be a value. Order, abbreviation, `!`, repetition and argument counts are the rule parser's and done.
   */
  parse(given: GivenOptions): V;
  /** What stands after `-m kind` or `-j KIND`, without leading blank; '' if nothing. Prints as iptables-save 1.8.9. */
  print(value: V, family: Family): string;
  /** What the kernel's checkentry (or the tool, with `tool: true` in the result) refuses. Undefined: fine. */
  check?(value: V, place: RulePlace): Refusal | undefined;
  /** Loading a rule with it switches connection tracking (or only reassembly) on for its family (spec 1.7). */
  needs?(value: V): 'conntrack' | 'defrag' | undefined;
  /** Objects of the namespace that must exist when the table loads; ENOENT at COMMIT otherwise. */
  requires?(value: V): readonly NamedObject[];
  /** True if its state spans connections (nth, limit, recent, quota …): a replay with it runs as one job. */
  readonly spansConnections?: boolean;
  /**
   * True if it does the same for all packets of one direction of a connection that agree in every field but Length,
   * as long as the connection's status and mark stay: a walk through it may be repeated (WalkMemo). Matches that lower need not say so.
   * Default false.
   */
  isSteady?(value: V): boolean;
  /** True if bound functions keep nothing of their rule, so that rules with equal values may share one. Default false. */
  shares?(value: V): boolean;
}

export interface MatchExt<V = unknown> extends ExtensionBase<V> {
  /** Binds value, environment and fresh per-rule state once, at load. */
  bind(value: V, env: BindEnv): MatchFn;
  /**
   * Tests equivalent to the match (ANDed), or undefined if it must be called. Packets without a whole
   * transport header never meet them: for those the match is called.
   */
  lower?(value: V, family: Family): readonly FieldTest[] | undefined;
}

export interface TargetExt<V = unknown> extends ExtensionBase<V> {
  /** True if the target always decides (spec: kind T); false: the next rule follows. */
  readonly terminating: boolean;
  bind(value: V, env: BindEnv): TargetFn;
  /**
   * The value as two signed 32-bit words, or undefined if they cannot hold it. An engine may keep them with the rule and
   * run `bindWords`, one function for all such rules: a function for each is several cache misses a packet in a large
   * table. For targets that keep nothing of their rule.
   */
  words?(value: V, family: Family): readonly [number, number] | undefined;
  bindWords?(env: BindEnv): WordTargetFn;
}

/** An extension with its value, as a rule uses it. */
export interface MatchUse {
  readonly ext: MatchExt;
  readonly value: unknown;
}
export interface TargetUse {
  readonly ext: TargetExt;
  readonly value: unknown;
}

/** Something in the namespace that a rule names. */
export interface NamedObject {
  readonly kind: 'nfacct' | 'set';
  readonly name: string;
}

/** A refusal at load. `code` is stable (e.g. `table-not-allowed`, `hook-not-allowed`, `needs-protocol`). */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Kernel's error name where the kernel refuses (at COMMIT), e.g. EINVAL. Absent: the tool refuses at the line. */
  readonly errno?: 'EINVAL' | 'ENOENT' | 'ERANGE' | 'ELOOP';
}

/** Result of a lookup of an address in the routing tables (RTN_…), as addrtype sees it. */
export const ADDRESS_TYPES = [
  'UNSPEC',
  'UNICAST',
  'LOCAL',
  'BROADCAST',
  'ANYCAST',
  'MULTICAST',
  'BLACKHOLE',
  'UNREACHABLE',
  'PROHIBIT',
  'THROW',
  'NAT',
  'XRESOLVE',
] as const;

/** What extensions ask of the network namespace that they run in. The host implements it. */
export interface HostServices {
  /** Name of a device by index; '' for 0. */
  deviceName(index: number): string;
  /** The device has Ethernet headers (ARPHRD_ETHER). */
  isEthernet(index: number): boolean;
  /**
   * Type of the address in slots [first, first+4) of the packet's fields, as an index into ADDRESS_TYPES; `device`
   * restricts the local table to that device (0: no restriction). Kernel: inet_dev_addr_type(), ipv6 xt_addrtype.
   */
  addressType(packet: Packet, first: 0 | 4, device: number): number;
  /** IPv6 addrtype also needs the kernel's form-first test: true if the address is of every type in the bit mask. */
  addressTypeMatches6(packet: Packet, first: 0 | 4, device: number, typeMask: number): boolean;
  /** Makes REJECT's answer (ICMP error or TCP reset) and sends it through OUTPUT. `how` is the printed type. */
  reject(packet: Packet, how: string): void;
  /** One kernel log line without time stamp; level 0–7 (LOG, TRACE). */
  log(level: number, line: string): void;
  /** MTU of the packet's route and of the route back to its source, the smaller one; for TCPMSS clamping. */
  pathMtu(packet: Packet): number;
  /** Inserts `size` zero bytes at frame offset `at` (TCPMSS adds an option); offsets in the packet are updated. */
  insertBytes(packet: Packet, at: number, size: number): void;
  /**
   * Writes the address that MASQUERADE takes for the packet on its outgoing device to out[0..4); false: none (drop).
   */
  masqueradeAddress(packet: Packet, out: Uint32Array): boolean;
  /** Writes REDIRECT's address for the packet (incoming device, or loopback in OUTPUT); false: none (drop). */
  redirectAddress(packet: Packet, out: Uint32Array): boolean;
  /** True if the named nfacct object exists in the namespace. */
  hasNfacct(name: string): boolean;
  /** Counts a packet of `bytes` on a nfacct object; true unless it is a quota object that is not over. */
  countNfacct(name: string, bytes: number): boolean;
}

/** State shared by name within a namespace (recent lists, hashlimit tables); survives reloads that still name it. */
export interface SharedState {
  /** The object under `key`, made by `create` the first time. */
  get<T extends object>(key: string, create: () => T): T;
}

/** What a rule is bound to when its table loads. */
export interface BindEnv {
  readonly family: Family;
  readonly table: TableName;
  readonly clock: Clock;
  /** Kernel ticks a second. */
  readonly hz: number;
  readonly rng: Rng;
  readonly host: HostServices;
  readonly conntrack: Conntrack;
  readonly shared: SharedState;
}
