/** A command of a rule file (`-A CHAIN …`, `-N CHAIN`, …) as a value, and what reading one asks of its surroundings. */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source, Span } from '../base/source.js';
import type { Family, TableName } from '../net/netfilter.js';
import type { CommandName } from './base-option.js';
import type { Counters } from './counter.js';
import type { ExtensionRegistry } from './extension-registry.js';
import type { Rule, RuleTarget } from './model.js';

/** What a command needs to know of its surroundings. */
export interface CommandContext {
  readonly source: Source;
  readonly family: Family;
  readonly registry: ExtensionRegistry;
  readonly table: TableName;
  /** Named by a `:CHAIN` line anywhere before: it hides a target of that name, also where there is no such chain. */
  isAnnounced(name: string): boolean;
  chainNames(): Iterable<string>;
  /** The target value for a chain; null for a built-in one, undefined if there is no such chain. */
  jumpTarget(chain: string, isGoto: boolean): RuleTarget | null | undefined;
  report(diagnostic: Diagnostic): void;
}

export interface Command {
  readonly name: CommandName;
  /** `-L -Z` in one line. */
  readonly andZero: boolean;
  readonly chain: string | undefined;
  readonly chainSpan: Span;
  /** From 1. */
  readonly ruleNumber: number | undefined;
  readonly newName: string | undefined;
  readonly policy: string | undefined;
  readonly counters: Counters | undefined;
  /** More than one if `-s` or `-d` holds a list: sources vary slowest. Empty unless the command holds a rule. */
  readonly rules: readonly Rule[];
}
