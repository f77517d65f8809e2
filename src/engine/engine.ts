/**
 * The contract of an engine: run one table at one hook. Two exist: `reference` reads like the kernel's traversal loop
 * and is the definition of right; `compiled` is what users run. They agree on everything observable.
 */
import type { BindEnv } from '../ext/extension.js';
import type { Hook, TableName } from '../net/netfilter.js';
import type { Chain, RuleSet } from '../ruleset/model.js';
import type { Patch } from '../ruleset/patch.js';
import type { Packet } from '../wire/packet.js';

/** What the walk through a table says of itself. All methods are called in the order of the kernel's steps. */
export interface TraceSink {
  /** A rule's tests failed; `part` names the first that did: `-s`, `-d`, `-i`, `-o`, `-p`, `-f` or a match's kind. */
  failed(table: TableName, chain: Chain, ruleIndex: number, part: string, packet: Packet): void;
  /** A rule matched (its counters have moved); the target follows. ruleIndex counts from 0. */
  matched(table: TableName, chain: Chain, ruleIndex: number, packet: Packet): void;
  /** A non-jump target has run: NF_ACCEPT, NF_DROP, NF_STOLEN, NF_QUEUE, XT_CONTINUE or XT_RETURN. */
  target(table: TableName, chain: Chain, ruleIndex: number, verdict: number, packet: Packet): void;
  /** The end of a user chain was reached (or RETURN taken): back in `chain`. */
  returned(table: TableName, chain: Chain): void;
  policy(table: TableName, chain: Chain, verdict: number, packet: Packet): void;
  hotdrop(table: TableName, chain: Chain, ruleIndex: number, packet: Packet): void;
}

/** Where the last verdict of a run came from; one reused object. */
export interface Decision {
  chain: Chain | undefined;
  /** Rule within the chain from 0, or -1 for its policy. */
  ruleIndex: number;
}

/**
 * Walks that need not be walked again. A recording covers all runs of one packet, in every table and hook, and is good
 * for packets that show the same fields at each of them, but for Length.
 */
export interface WalkMemo {
  /** When it changes, all numbers of walks have lost their meaning. */
  readonly version: number;
  /** Runs of this packet are recorded from now on. */
  begin(packet: Packet): void;
  /** Ends the recording. Number of the walk, or -1: the next packet may fare otherwise. */
  end(): number;
  /** Counts a packet of `bytes` as the recorded runs would have. Per packet: allocates nothing. */
  repeat(walk: number, bytes: number): void;
}

export interface Engine {
  /** Tables that exist in the rule set, in no particular order. */
  readonly tables: ReadonlySet<TableName>;
  /**
   * Runs `table` at `hook` on the packet (its fields InDev and OutDev are what the hook shows). Returns NF_ACCEPT,
   * NF_DROP, NF_STOLEN or NF_QUEUE. Re-entrant: a target may send a packet that walks the same tables.
   * Kernel: ipt_do_table().
   */
  run(table: TableName, hook: Hook, packet: Packet): number;
  /** What decided the last `run` (reused, overwritten by the next run, nested ones included). */
  readonly decision: Decision;
  /** The rule set with its counters as they stand now. Rules keep identity but for counters. */
  snapshot(): RuleSet;
  /** Packets and bytes of a rule that this engine has seen, beyond the counters it was loaded with. */
  counted(table: TableName, chain: string, ruleIndex: number): { readonly packets: number; readonly bytes: number };
  /**
   * Changes the rule set in place, between packets. The patched rule set must be a checked one. Rules that stay keep
   * their counters; state that lives in a rule starts anew in every rule of a patched table, state shared by name
   * stays, and so do the counters' bases (specification 2.4 and 3.3).
   */
  apply(patch: Patch): void;
  /** Undefined: this engine always walks. */
  readonly memo?: WalkMemo | undefined;
  /** Explains every step from now on; undefined stops it. */
  trace(sink: TraceSink | undefined): void;
}

/** Binds a checked rule set. `env` is called once per table. */
export type BuildEngine = (ruleSet: RuleSet, env: (table: TableName) => BindEnv) => Engine;
