/** Rule files of kube-proxy or of a node → rule texts in iptables-save's own spelling, so that they compare. */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';
import { parseRuleSet } from '../ruleset/parse.js';
import { printRuleSet } from '../ruleset/print.js';
import type { IpFamily } from './address.js';
import { type RuleTexts, restoreInto } from './rule-text.js';

export interface ReadRules {
  readonly rules: RuleTexts;
  /** Rules are spelled as iptables-save spells them; not so if the file holds extensions this build does not know. */
  readonly canonical: boolean;
  readonly diagnostics: readonly Diagnostic[];
  readonly ok: boolean;
}

/**
 * Reads a rule file. Extensions that the engine does not support are no fault here, as rules are only compared and
 * shown: then the spelling stays as it was, with a warning.
 */
export function readRules(source: Source, family: IpFamily): ReadRules {
  const parsed = parseRuleSet(source, { family: family === 'IPv6' ? 6 : 4, noflush: true });
  const rules: RuleTexts = new Map();
  if (parsed.ok) {
    restoreInto(rules, printRuleSet(parsed.ruleSet), () => {});
    return { rules, canonical: true, diagnostics: parsed.diagnostics, ok: true };
  }
  const errors = parsed.diagnostics.filter((d) => d.severity === 'error');
  if (errors.some((d) => d.code !== 'unsupported-extension')) {
    return { rules, canonical: false, diagnostics: parsed.diagnostics, ok: false };
  }
  restoreInto(rules, source.text, () => {});
  const diagnostics = errors.slice(0, 1).map((d): Diagnostic => ({ ...d, severity: 'warning' }));
  return { rules, canonical: false, diagnostics, ok: true };
}

/** Reads rules without respelling them. */
export function rawRules(text: string): RuleTexts {
  const rules: RuleTexts = new Map();
  restoreInto(rules, text, () => {});
  return rules;
}
