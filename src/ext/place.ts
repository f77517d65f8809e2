/** Refusals that many extensions share: wrong table, wrong hook, missing protocol. The kernel's (EINVAL at COMMIT). */
import type { BaseChainName, TableName } from '../net/netfilter.js';
import { protocolName } from '../net/protocol-name.js';
import type { Refusal, RulePlace } from './extension.js';

/** Refusal unless the rule stands in one of the tables. */
export function onlyTables(kind: string, place: RulePlace, ...tables: readonly TableName[]): Refusal | undefined {
  if (tables.includes(place.table)) return undefined;
  return {
    code: 'table-not-allowed',
    message: `${kind} is only valid in table ${tables.join(', ')}, not ${place.table}`,
    errno: 'EINVAL',
  };
}

/** Refusal if the rule can be reached from a base chain that is not listed. */
export function onlyHooks(kind: string, place: RulePlace, ...hooks: readonly BaseChainName[]): Refusal | undefined {
  for (const hook of place.reachedFrom) {
    if (hooks.includes(hook)) continue;
    return {
      code: 'hook-not-allowed',
      message: `${kind} is not valid where ${hook} leads to; only from ${hooks.join(', ')}`,
      errno: 'EINVAL',
    };
  }
  return undefined;
}

/** Refusal unless the rule has `-p` with one of the protocols, not inverted. */
export function needsProtocol(kind: string, place: RulePlace, ...protocols: readonly number[]): Refusal | undefined {
  if (!place.protocolInverted && protocols.includes(place.protocol)) return undefined;
  const wanted = protocols.map((p) => `-p ${protocolName(p)}`).join(' or ');
  return { code: 'needs-protocol', message: `${kind} needs ${wanted}`, errno: 'EINVAL' };
}
