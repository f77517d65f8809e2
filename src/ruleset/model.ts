/**
 * Rule set as iptables-save tells it: tables, chains, rules. Faithful to the text (it prints back byte for byte) and
 * to its place (spans for errors and traces). Plain values; engines bind them, parse.ts makes them, print.ts prints.
 */
import type { Span } from '../base/source.js';
import type { MatchUse, TargetUse } from '../ext/extension.js';
import type { Words6 } from '../net/ip6.js';
import type { Family, TableName } from '../net/netfilter.js';

/** `-s` or `-d`. IPv4: word 0 of each, words 1–3 zero. The address is already masked. */
export interface AddressTest {
  readonly address: Words6;
  readonly mask: Words6;
  readonly invert: boolean;
}

/** `-i` or `-o`: the name as written; a last `+` stands for any rest. */
export interface DeviceTest {
  readonly name: string;
  readonly invert: boolean;
}

export type Verdict = 'ACCEPT' | 'DROP' | 'RETURN' | 'QUEUE';
export const VERDICTS: ReadonlySet<string> = new Set<Verdict>(['ACCEPT', 'DROP', 'RETURN', 'QUEUE']);
export const isVerdict = (name: string): name is Verdict => VERDICTS.has(name);

export type RuleTarget =
  | { readonly kind: 'none' }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'goto'; readonly chain: string }
  | { readonly kind: 'extension'; readonly use: TargetUse };

export interface Rule {
  readonly src: AddressTest | undefined;
  readonly dst: AddressTest | undefined;
  readonly inDevice: DeviceTest | undefined;
  readonly outDevice: DeviceTest | undefined;
  /** 1–255; undefined: any. */
  readonly protocol: { readonly number: number; readonly invert: boolean } | undefined;
  /** `-f` (true) or `! -f` (false). IPv4 only. */
  readonly fragment: boolean | undefined;
  /** In command-line order: the kernel tests them in it. */
  readonly matches: readonly MatchUse[];
  readonly target: RuleTarget;
  /** Counters at load (`[p:b]` or `-c`), 64 bit. */
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Where the rule stands; undefined for rules made by a program. */
  readonly span: Span | undefined;
}

export interface Chain {
  readonly name: string;
  /** Base chains only. */
  readonly policy: 'ACCEPT' | 'DROP' | 'QUEUE' | undefined;
  /** Counters of the policy; zero for user chains. */
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly rules: readonly Rule[];
}

export interface Table {
  readonly name: TableName;
  /** Base chains in table order, then user chains sorted by bytes, as saved. */
  readonly chains: ReadonlyMap<string, Chain>;
}

export interface RuleSet {
  readonly family: Family;
  /** In the order in which they are saved. */
  readonly tables: readonly Table[];
}
