/** A difference of two rule sets for people: text with colours, Markdown, HTML; or as JSON for programs. */
import type { ChainDifference, RuleDifference } from '../analysis/diff.js';
import type { Paint } from './paint.js';

/** What belongs together for the reader, such as the changes of one Service. */
export interface DiffSection {
  readonly title: string;
  /** One line: `2 → 3 endpoints; 1 chain added, 2 rules changed`. */
  readonly summary: string;
  readonly chains: readonly ChainDifference[];
}

export interface DiffReport {
  readonly before: string;
  readonly after: string;
  readonly sections: readonly DiffSection[];
  /** What a chain is, in a few words; undefined for those that speak for themselves. */
  readonly labelOf: (chain: string) => string | undefined;
}

export type DiffFormat = 'text' | 'json' | 'markdown' | 'html';
export const DIFF_FORMATS: readonly DiffFormat[] = ['text', 'json', 'markdown', 'html'];

const SHARE = / ?-m statistic --mode \S+ (?:--probability (\S+)|--every (\S+)(?: --packet \S+)?)/;

function printShare(rule: string): string {
  const match = SHARE.exec(rule);
  if (match === null) return 'all of the rest';
  return match[1] === undefined ? `one in ${match[2]}` : `${Number((100 * Number(match[1])).toPrecision(4))} %`;
}

interface Line {
  readonly mark: '+' | '-' | '~' | '>';
  readonly text: string;
}

/** The lines of a rule: what is gone, what is new. Rules that are as they were have none. */
function linesOf(rule: RuleDifference): Line[] {
  switch (rule.kind) {
    case 'kept':
      return [];
    case 'added':
      return [{ mark: '+', text: rule.rule }];
    case 'removed':
      return [{ mark: '-', text: rule.rule }];
    case 'moved':
      return [{ mark: '>', text: `moved from ${rule.from + 1} to ${rule.to + 1}: ${rule.rule}` }];
    case 'changed':
      if (!rule.shareOnly)
        return [
          { mark: '-', text: rule.before },
          { mark: '+', text: rule.rule },
        ];
      return [
        {
          mark: '~',
          text: `takes ${printShare(rule.before)} → ${printShare(rule.rule)}: ${rule.rule.replace(SHARE, '').trim()}`,
        },
      ];
  }
}

const CHAIN_MARK = { added: '+', removed: '-', changed: '~' } as const;
const CHAIN_VERB = { added: 'new chain', removed: 'chain gone', changed: 'chain' } as const;

function chainTitle(report: DiffReport, chain: ChainDifference): string {
  const label = report.labelOf(chain.chain);
  return `${CHAIN_VERB[chain.kind]} ${chain.table} ${chain.chain}${label === undefined ? '' : ` (${label})`}`;
}

function sectionTitle(section: DiffSection): string {
  return section.summary === '' ? section.title : `${section.title}: ${section.summary}`;
}

function printText(report: DiffReport, paint: Paint): string {
  if (report.sections.length === 0) return 'no difference\n';
  const colours = { '+': paint.green, '-': paint.red, '~': paint.yellow, '>': paint.cyan };
  const lines = report.sections.map((section) => paint.bold(sectionTitle(section)));
  for (const section of report.sections) {
    lines.push('', paint.bold(section.title));
    for (const chain of section.chains) {
      lines.push(`  ${colours[CHAIN_MARK[chain.kind]](`${CHAIN_MARK[chain.kind]} ${chainTitle(report, chain)}`)}`);
      for (const rule of chain.rules) {
        for (const { mark, text } of linesOf(rule)) lines.push(`      ${colours[mark](`${mark} ${text}`)}`);
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

const markdownText = (text: string): string => text.replace(/[\\`*_<>|[\]]/g, '\\$&');

function printMarkdown(report: DiffReport): string {
  if (report.sections.length === 0) return 'No difference.\n';
  const parts = [`# ${markdownText(report.before)} → ${markdownText(report.after)}\n`];
  parts.push(report.sections.map((section) => `- ${markdownText(sectionTitle(section))}\n`).join(''));
  for (const section of report.sections) {
    parts.push(`## ${markdownText(section.title)}\n`);
    const rows: string[] = [];
    for (const chain of section.chains) {
      rows.push(`@@ ${chainTitle(report, chain)} @@`);
      for (const rule of chain.rules) {
        for (const { mark, text } of linesOf(rule))
          rows.push(mark === '~' || mark === '>' ? `! ${text}` : `${mark} ${text}`);
      }
    }
    parts.push(`\`\`\`diff\n${rows.join('\n')}\n\`\`\`\n`);
  }
  return parts.join('\n');
}

function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

const CLASS = { '+': 'added', '-': 'removed', '~': 'changed', '>': 'moved' } as const;
const STYLE = `body{font-family:system-ui,sans-serif;margin:2rem;line-height:1.4}
pre{margin:.2rem 0 .8rem 1rem;white-space:pre-wrap;overflow-wrap:anywhere}
h3{margin:.6rem 0 0;font-size:1rem;font-weight:600}
.added{color:#116329}.removed{color:#a40e26}.changed{color:#7d4e00}.moved{color:#0550ae}
@media (prefers-color-scheme:dark){body{background:#111;color:#ddd}.added{color:#7ee787}.removed{color:#ff7b72}.changed{color:#e3b341}.moved{color:#79c0ff}}`;

function printHtml(report: DiffReport): string {
  const title = escapeHtml(`${report.before} → ${report.after}`);
  const summaries = report.sections.map((section) => `<li>${escapeHtml(sectionTitle(section))}</li>\n`).join('');
  const sections = report.sections.map((section) => {
    const chains = section.chains.map((chain) => {
      const rows = chain.rules
        .flatMap(linesOf)
        .map(({ mark, text }) => `<span class="${CLASS[mark]}">${mark} ${escapeHtml(text)}</span>\n`);
      return `<h3 class="${CLASS[CHAIN_MARK[chain.kind]]}">${escapeHtml(chainTitle(report, chain))}</h3>\n<pre>${rows.join('')}</pre>\n`;
    });
    return `<section>\n<h2>${escapeHtml(section.title)}</h2>\n${chains.join('')}</section>\n`;
  });
  const body =
    report.sections.length === 0 ? '<p>No difference.</p>\n' : `<ul>\n${summaries}</ul>\n${sections.join('')}`;
  return `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>${title}</title>\n<style>\n${STYLE}\n</style>\n</head>\n<body>\n<h1>${title}</h1>\n${body}</body>\n</html>\n`;
}

function printJson(report: DiffReport): string {
  const sections = report.sections.map(({ title, summary, chains }) => ({
    title,
    summary,
    chains: chains.map((chain) => ({
      ...chain,
      label: report.labelOf(chain.chain),
      rules: chain.rules.filter((rule) => rule.kind !== 'kept'),
    })),
  }));
  const { before, after } = report;
  return `${JSON.stringify({ before, after, identical: sections.length === 0, sections })}\n`;
}

export function printDiff(report: DiffReport, format: DiffFormat, paint: Paint): string {
  switch (format) {
    case 'text':
      return printText(report, paint);
    case 'json':
      return printJson(report);
    case 'markdown':
      return printMarkdown(report);
    case 'html':
      return printHtml(report);
  }
}
