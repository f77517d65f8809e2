/** chainwalk as the other host: the same bundle, rules and packets, the same outcome in the same words. */
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import type { CaseRecord, HostOutcome } from './case-record.js';

export type EngineName = 'reference' | 'compiled';

/** Engines that exist; each runs every case. */
export const ENGINES: readonly EngineName[] = [];

const NOTHING: HostOutcome = { refusal: undefined, out: [], saved: '', connections: '', log: undefined };

/** Reads and prints the rules: what is refused, and how the rest is saved. */
export function loadAndSave(record: CaseRecord): HostOutcome {
  const parsed = parseRuleSet({ name: 'rules', text: record.rules }, { family: record.family, counters: true });
  const error = parsed.diagnostics.find((d) => d.severity === 'error');
  if (error !== undefined) return { ...NOTHING, refusal: renderDiagnostic(error) };
  return { ...NOTHING, saved: printRuleSet(parsed.ruleSet, { counters: true }) };
}

export function emulate(_record: CaseRecord, _engine: EngineName): HostOutcome {
  throw new Error('bug: no engine yet');
}
