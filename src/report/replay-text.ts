/** The summary of a replay that a person reads at a glance. */
import type { DecidedBy, ReplayTotals } from '../replay/totals.js';
import type { Rule, RuleSet } from '../ruleset/model.js';
import { printRule } from '../ruleset/print.js';
import { type Paint, paintNothing } from './paint.js';

const TOP_RULES = 10;
const TOP_CONNECTIONS = 15;
const TOP_DROPS = 10;
/** Width to which a rule is cut in lists. */
const RULE_WIDTH = 110;

export interface SummaryOptions {
  readonly paint?: Paint;
  /** Rules listed; Infinity: all that counted. */
  readonly topRules?: number;
}

const grouped = (n: number | bigint): string => n.toLocaleString('en-US');
/** `1 packet`, `2 packets`. */
const counted = (n: number, thing: string): string => `${grouped(n)} ${thing}${n === 1 ? '' : 's'}`;

function columns(rows: readonly (readonly string[])[], right: readonly number[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]!.length))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, i) =>
        right.includes(i) ? cell.padStart(widths[i]!) : i === row.length - 1 ? cell : cell.padEnd(widths[i]!),
      )
      .join('  '),
  );
}

const place = (by: DecidedBy): string => {
  const what = by.ruleNumber === 0 ? 'policy' : `rule ${by.ruleNumber}`;
  return `${by.table} ${by.chain} ${what}${by.line === undefined ? '' : ` (line ${by.line})`}`;
};

interface Hit {
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly text: string;
}

/** Rules by what the replay counted on them, most first. Counters from before the replay are taken off. */
export function ruleHits(before: readonly RuleSet[], after: readonly RuleSet[]): Hit[] {
  const hits: Hit[] = [];
  for (const ruleSet of after) {
    const old = before.find((b) => b.family === ruleSet.family);
    const family = after.length > 1 ? `IPv${ruleSet.family} ` : '';
    for (const table of ruleSet.tables) {
      const oldChains = old?.tables.find((t) => t.name === table.name)?.chains;
      for (const chain of table.chains.values()) {
        const oldChain = oldChains?.get(chain.name);
        const add = (packets: bigint, bytes: bigint, text: string) => {
          if (packets > 0n) hits.push({ packets, bytes, text: `${family}${table.name.padEnd(8)} ${text}` });
        };
        chain.rules.forEach((rule: Rule, i) => {
          const was = oldChain?.rules[i];
          add(
            rule.packets - (was?.packets ?? 0n),
            rule.bytes - (was?.bytes ?? 0n),
            printRule(chain.name, rule, ruleSet.family),
          );
        });
        if (chain.policy !== undefined) {
          const text = `-P ${chain.name} ${chain.policy}`;
          add(chain.packets - (oldChain?.packets ?? 0n), chain.bytes - (oldChain?.bytes ?? 0n), text);
        }
      }
    }
  }
  return hits.sort((a, b) => (a.packets === b.packets ? 0 : a.packets > b.packets ? -1 : 1));
}

/** `before`: the rule sets as they were loaded. */
export function printReplaySummary(
  totals: ReplayTotals,
  before: readonly RuleSet[],
  options: SummaryOptions = {},
): string {
  const paint = options.paint ?? paintNothing;
  const lines: string[] = [];
  const seconds = (totals.lastUs - totals.firstUs) / 1e6;
  const devices = [...new Set(totals.captures.map((c) => c.name))].join(', ');
  lines.push(
    `${paint.bold(`${counted(totals.replayed, 'packet')} replayed`)} of ${counted(totals.records, 'record')} in ${seconds.toFixed(3)} s of capture (${devices})`,
  );
  const { outcomes } = totals;
  const outcomeRows = [
    ['forwarded', outcomes.forwarded, 'left by another device, or the same'],
    ['delivered', outcomes.delivered, 'reached the host itself'],
    ['sent', outcomes.sent, "the host's own"],
    ['rejected', outcomes.rejected, 'dropped with an answer'],
    ['dropped', outcomes.dropped, ''],
    ['held', outcomes.held, 'wait for the rest of their datagram, or for a neighbour'],
  ] as const;
  const shownRows = outcomeRows
    .filter(([, count]) => count > 0)
    .map(([name, count, note]) => [`  ${name}`, grouped(count), note]);
  for (const [i, row] of columns(shownRows, [1]).entries()) {
    const name = shownRows[i]![0]!.trim();
    lines.push(
      (name === 'dropped' || name === 'rejected' ? paint.red : name === 'forwarded' ? paint.green : paint.plain)(
        row.trimEnd(),
      ),
    );
  }
  if (totals.answers > 0)
    lines.push(`  ${counted(totals.answers, 'answer')} made by the host itself (ICMP errors, resets, echo replies)`);

  if (totals.drops.size > 0) {
    lines.push('', paint.bold('Dropped or rejected by'));
    const drops = [...totals.drops.values()].sort((a, b) => b.count - a.count);
    lines.push(
      ...columns(
        drops.slice(0, TOP_DROPS).map((d) => [`  ${grouped(d.count)}`, d.by === undefined ? d.reason : place(d.by)]),
        [0],
      ),
    );
    if (drops.length > TOP_DROPS) lines.push(`  … and ${drops.length - TOP_DROPS} more places`);
  }

  const { agreement } = totals;
  if (agreement.exact + agreement.loose + agreement.own + agreement.unexplained > 0) {
    lines.push('', paint.bold('Agreement with the capture'));
    const confirmed = agreement.exact + agreement.loose;
    const how =
      agreement.loose > 0
        ? `, ${grouped(agreement.loose)} of them but for what the kernel chooses freely`
        : ', every byte';
    if (confirmed > 0) lines.push(`  ${counted(confirmed, 'captured frame')} sent by the emulator too${how}`);
    if (agreement.own > 0)
      lines.push(`  ${grouped(agreement.own)} the host's own, replayed from OUTPUT (as POSTROUTING had left them)`);
    if (agreement.unexplained > 0)
      lines.push(paint.red(`  ${counted(agreement.unexplained, 'captured frame')} that nothing explains`));
    if (agreement.sentOnly > 0)
      lines.push(paint.red(`  ${counted(agreement.sentOnly, 'frame')} that only the emulator sent`));
  }

  if (totals.connections.size > 0) {
    const list = [...totals.connections.values()].sort((a, b) => b.count - a.count);
    const count = list.reduce((sum, c) => sum + c.count, 0) + totals.unlistedConnections;
    lines.push('', paint.bold(counted(count, 'new connection')));
    const rows = list
      .slice(0, TOP_CONNECTIONS)
      .map((c) => [`  ${grouped(c.count)}`, c.original, c.translated === undefined ? '' : `→ ${c.translated}`]);
    lines.push(...columns(rows, [0]).map((row) => row.trimEnd()));
    const more = list.length - TOP_CONNECTIONS;
    const rest = totals.unlistedConnections;
    if (more > 0)
      lines.push(
        `  … and ${grouped(more)} more kinds${rest > 0 ? `, and ${grouped(rest)} of kinds not counted apart` : ''}`,
      );
  }

  const hits = ruleHits(before, totals.ruleSets);
  if (hits.length > 0) {
    lines.push('', paint.bold('Rules by packets'));
    const top = hits.slice(0, options.topRules ?? TOP_RULES);
    const rows = top.map((h) => [`  ${grouped(h.packets)}`, `${grouped(h.bytes)} B`, shortened(h.text)]);
    lines.push(...columns(rows, [0, 1]));
    if (hits.length > top.length) lines.push(`  … and ${hits.length - top.length} more`);
  }

  const notes: string[] = [];
  for (const [reason, count] of totals.skipped) notes.push(`passed over: ${grouped(count)} ${reason}`);
  if (totals.cut > 0)
    notes.push(`${counted(totals.cut, 'packet')} cut by the snap length: done as far as the bytes reach`);
  for (const sentence of totals.assumptions) notes.push(`assumed: ${sentence}`);
  if (notes.length > 0) lines.push('', ...notes.map((n) => paint.dim(n)));
  return `${lines.join('\n')}\n`;
}

function shortened(text: string): string {
  return text.length <= RULE_WIDTH ? text : `${text.slice(0, RULE_WIDTH - 1)}…`;
}
