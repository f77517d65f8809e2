/** What a replay adds up to: plain numbers and lists, for report to print. */
import type { TableName } from '../net/netfilter.js';
import type { RuleSet } from '../ruleset/model.js';

/** What became of a packet that was replayed. */
export const OUTCOMES = ['forwarded', 'delivered', 'sent', 'rejected', 'dropped', 'held'] as const;
/**
 * forwarded: left by another (or the same) device; delivered: reached a local socket or the stack; sent: the host's own
 * packet left; rejected: dropped with an answer; dropped: by a rule, a policy or the stack; held: waits for the rest of
 * its datagram, or for the hardware address of its next hop.
 */
export type Outcome = (typeof OUTCOMES)[number];

/** A rule or policy that decided, by its place. `ruleNumber` counts from 1; 0 is the policy. */
export interface DecidedBy {
  readonly table: TableName;
  readonly chain: string;
  readonly ruleNumber: number;
  readonly line: number | undefined;
}

export interface DropReason {
  /** The stack's own reason, or the rule. */
  readonly reason: string;
  readonly by: DecidedBy | undefined;
  count: number;
  /** Turn (Host.beginTurn) in which it first happened. */
  readonly firstTurn: number;
}

export interface Agreement {
  /** Captured outgoing frames that the emulator has sent as well, byte for byte. */
  exact: number;
  /** The same but for the kernel's free choices. */
  loose: number;
  /** The host's own packets, replayed from OUTPUT. */
  own: number;
  /** Captured outgoing frames that nothing explains. */
  unexplained: number;
  /** Frames that only the emulator sent. */
  sentOnly: number;
}

/** A new connection and its translation, in words: `tcp 10.0.0.1:1 > 10.20.0.2:80`. */
export interface NewConnection {
  readonly original: string;
  /** Where it really goes, if translated. */
  readonly translated: string | undefined;
  count: number;
  readonly firstTurn: number;
}

export interface ReplayTotals {
  records: number;
  /** Packets run through the host. */
  replayed: number;
  firstUs: number;
  lastUs: number;
  readonly outcomes: Record<Outcome, number>;
  readonly drops: Map<string, DropReason>;
  /** Records passed over, by reason. */
  readonly skipped: Map<string, number>;
  readonly agreement: Agreement;
  /** Packets of which the capture holds only a part. */
  cut: number;
  framesSent: number;
  /** Answers that the host made itself (ICMP errors, resets, echo replies). */
  answers: number;
  readonly connections: Map<string, NewConnection>;
  /** New connections beyond those listed. */
  unlistedConnections: number;
  /** Captures by name, with the number of records of each. */
  readonly captures: { readonly name: string; readonly device: string; records: number }[];
  /** Things taken for granted, one sentence each. */
  readonly assumptions: string[];
  /** Rule sets with their counters after the replay. */
  ruleSets: readonly RuleSet[];
}

export function emptyTotals(): ReplayTotals {
  return {
    records: 0,
    replayed: 0,
    firstUs: 0,
    lastUs: 0,
    outcomes: { forwarded: 0, delivered: 0, sent: 0, rejected: 0, dropped: 0, held: 0 },
    drops: new Map(),
    skipped: new Map(),
    agreement: { exact: 0, loose: 0, own: 0, unexplained: 0, sentOnly: 0 },
    cut: 0,
    framesSent: 0,
    answers: 0,
    connections: new Map(),
    unlistedConnections: 0,
    captures: [],
    assumptions: [],
    ruleSets: [],
  };
}
