/** What the target TRACE makes the traversal loop log. Kernel: trace_packet(), get_chainname_rulenum(), ip_tables.c. */
import type { BindEnv } from '../ext/extension.js';
import { formatLogLine, LOG_TRACE_FLAGS } from '../ext/log-line.js';
import type { TableName } from '../net/netfilter.js';
import type { AddressTest, Chain, Rule } from '../ruleset/model.js';
import type { Packet } from '../wire/packet.js';

/** Log level of TRACE lines (kernel: trace_loginfo). */
export const TRACE_LEVEL = 4;

/** `TRACE: table:chain:kind:N ` for a rule that matched; the packet's line follows. `ruleIndex` counts from 0. */
export function tracePrefix(table: TableName, chain: Chain, ruleIndex: number): string {
  const rule = chain.rules[ruleIndex]!;
  let kind = 'rule';
  if (rule.target.kind === 'verdict' && isUnconditional(rule)) kind = chain.policy === undefined ? 'return' : 'policy';
  return `TRACE: ${table}:${chain.name}:${kind}:${ruleIndex + 1} `;
}

/** The same for a chain's end: the policy, or the way back to the caller. To the kernel both are a last rule. */
export function traceEndPrefix(table: TableName, chain: Chain): string {
  return `TRACE: ${table}:${chain.name}:${chain.policy === undefined ? 'return' : 'policy'}:${chain.rules.length + 1} `;
}

/** Kernel: unconditional(). `-i +` is a condition to it although it matches every device; `-s 0.0.0.0/0` is none. */
function isUnconditional(rule: Rule): boolean {
  return (
    isAny(rule.src) &&
    isAny(rule.dst) &&
    rule.inDevice === undefined &&
    rule.outDevice === undefined &&
    rule.protocol === undefined &&
    rule.fragment === undefined &&
    rule.matches.length === 0
  );
}

function isAny(test: AddressTest | undefined): boolean {
  return test === undefined || (!test.invert && test.mask.every((word) => word === 0));
}

/** Logs one TRACE line: the prefix, then the packet as LOG prints it with sequence numbers, options and user. */
export function logTrace(env: BindEnv, prefix: string, packet: Packet): void {
  env.host.log(TRACE_LEVEL, formatLogLine(packet, env.host, prefix, LOG_TRACE_FLAGS));
}
