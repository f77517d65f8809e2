/** What the rule parser asks of the list of extensions; tests may pass a smaller one. */
import type { MatchExt, TargetExt } from '../ext/extension.js';
import { findMatch, findTarget, implicitMatch, MATCHES, TARGETS } from '../ext/registry.js';
import type { Family } from '../net/netfilter.js';

export interface ExtensionRegistry {
  readonly matches: readonly MatchExt[];
  readonly targets: readonly TargetExt[];
  /** By name or alias. */
  findMatch(name: string, family: Family): MatchExt | undefined;
  findTarget(name: string, family: Family): TargetExt | undefined;
  /** The match that an option loads by itself after `-p PROTOCOL`. */
  implicitMatch(protocol: number, family: Family): MatchExt | undefined;
}

/** Every extension that there is. */
export const ALL_EXTENSIONS: ExtensionRegistry = {
  matches: MATCHES,
  targets: TARGETS,
  findMatch,
  findTarget,
  implicitMatch,
};
