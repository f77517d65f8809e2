/** How each chain is compiled, for `check --plan`: hashed or linear, why, and what stays to be tested rule by rule. */
import type { PlanReport } from '../engine/compiled/plan-report.js';
import type { TableName } from '../net/netfilter.js';

export interface TablePlan {
  readonly table: TableName;
  readonly plans: readonly PlanReport[];
}

/** Residual rules that are listed one by one for each chain. */
const SHOWN_RESIDUALS = 5;
/** Chains that are linear for the same reason and listed in one line. */
const SHOWN_NAMES = 6;

export function printPlans(tables: readonly TablePlan[]): string {
  const lines: string[] = [];
  for (const { table, plans } of tables) {
    lines.push(`table ${table}`);
    for (const plan of plans.filter((p) => p.plan === 'hashed')) lines.push(...hashedLines(plan));
    lines.push(...linearLines(plans.filter((p) => p.plan === 'linear')));
  }
  return `${lines.join('\n')}\n`;
}

function hashedLines(plan: PlanReport): string[] {
  const lines = [`  ${plan.chain}: hashed, ${plan.why} (${plan.planBytes.toLocaleString('en-US')} bytes)`];
  for (const { key, rules, keys } of plan.subtables) lines.push(`    subtable ${key}: ${rules} rules, ${keys} keys`);
  if (plan.partlyHashed > 0) lines.push(`    ${plan.partlyHashed} hashed rules have tests left besides their key`);
  const { residual } = plan;
  for (const { ruleIndex, tests } of residual.slice(0, SHOWN_RESIDUALS)) {
    lines.push(`    residual: rule ${ruleIndex + 1}${tests.length === 0 ? '' : ` (${tests.join(', ')})`}`);
  }
  if (residual.length > SHOWN_RESIDUALS)
    lines.push(`    … and ${residual.length - SHOWN_RESIDUALS} more residual rules`);
  if (plan.filter.length > 0) lines.push(`    residual rules are filtered by ${plan.filter.join(', ')}`);
  return lines;
}

/** Most chains of a real rule set are short: those with one reason share a line. */
function linearLines(plans: readonly PlanReport[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { why, chain, rules } of plans) {
    // The count of rules is the chain's own; without it the reasons are alike.
    const reason = why.replace(`${rules} rules`, 'so few rules');
    byReason.set(reason, [...(byReason.get(reason) ?? []), `${chain} (${rules})`]);
  }
  return [...byReason].map(([reason, chains]) => {
    const more = chains.length > SHOWN_NAMES ? ` … and ${chains.length - SHOWN_NAMES} more` : '';
    return `  linear, ${reason}: ${chains.slice(0, SHOWN_NAMES).join(', ')}${more}`;
  });
}
