/** What runs at each hook, in priority order, as data; a host keeps the part that its rule set brings into being. */
import type { Hook, TableName } from '../net/netfilter.js';

export type StepKind = 'defrag' | 'conntrack' | 'table' | 'reroute-table' | 'nat' | 'confirm';

export interface HookStep {
  readonly priority: number;
  readonly kind: StepKind;
  /** For tables and nat. */
  readonly table?: TableName;
}

const raw: HookStep = { priority: -300, kind: 'table', table: 'raw' };
const mangle: HookStep = { priority: -150, kind: 'table', table: 'mangle' };
const filter: HookStep = { priority: 0, kind: 'table', table: 'filter' };
const security: HookStep = { priority: 50, kind: 'table', table: 'security' };
const defrag: HookStep = { priority: -400, kind: 'defrag' };
const conntrack: HookStep = { priority: -200, kind: 'conntrack' };
const natDestination: HookStep = { priority: -100, kind: 'nat', table: 'nat' };
const natSource: HookStep = { priority: 100, kind: 'nat', table: 'nat' };
const confirm: HookStep = { priority: 0x7fffffff, kind: 'confirm' };

/** By hook number (enum nf_ip_hook_priorities, include/uapi/linux/netfilter_ipv4.h). mangle OUTPUT may reroute. */
export const HOOK_ORDER: readonly (readonly HookStep[])[] = [
  /* PREROUTING */ [defrag, raw, conntrack, mangle, natDestination],
  /* INPUT */ [mangle, filter, security, natSource, confirm],
  /* FORWARD */ [mangle, filter, security],
  /* OUTPUT */ [defrag, raw, conntrack, { ...mangle, kind: 'reroute-table' }, natDestination, filter, security],
  /* POSTROUTING */ [mangle, natSource, confirm],
];

/** What of the order exists: tables of the rule set; tracking and reassembly only if a rule needs them (spec 1.7). */
export interface InForce {
  readonly tables: ReadonlySet<TableName>;
  readonly tracking: boolean;
  readonly reassembly: boolean;
}

export function stepsInForce(hook: Hook, force: InForce): HookStep[] {
  return HOOK_ORDER[hook]!.filter((step) => {
    switch (step.kind) {
      case 'defrag':
        return force.reassembly || force.tracking;
      case 'conntrack':
      case 'confirm':
        return force.tracking;
      case 'nat':
        return force.tracking && force.tables.has('nat');
      default:
        return force.tables.has(step.table!);
    }
  });
}
