/** A difference of two rule sets by Service: how many endpoints it had and has, and which changes are its own. */
import { type ChainLabel, chainLabels, ownerOfRule } from './chain-label.js';
import type { RuleTexts } from './rule-text.js';

/** A chain that differs, as far as it is told here; `analysis/diff.ts` makes them. */
export interface DifferingChain {
  readonly chain: string;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly rules: readonly { readonly kind: string; readonly rule: string }[];
}

export interface ServiceSummary<C extends DifferingChain> {
  /** `namespace/name[:port]`; empty for what belongs to no Service. */
  readonly owner: string;
  /** Undefined where the Service is not in the rule set. */
  readonly endpointsBefore: number | undefined;
  readonly endpointsAfter: number | undefined;
  /** Chains of the Service, and of shared chains the rules that are for it. */
  readonly chains: readonly C[];
}

/** Distinct endpoints by owner; owners without any have 0. */
function endpointCounts(rules: RuleTexts, labels: ReadonlyMap<string, ChainLabel>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const table of ['nat', 'filter']) {
    for (const [chain, texts] of rules.get(table) ?? []) {
      if (labels.get(chain)?.owner !== '') continue; // a chain that all share names each Service
      for (const text of texts) {
        const owner = ownerOfRule(text);
        if (owner !== undefined && !counts.has(owner)) counts.set(owner, 0);
      }
    }
  }
  for (const { owner, endpoint } of labels.values()) {
    if (endpoint !== undefined) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return counts;
}

export interface KubeSummary<C extends DifferingChain> {
  readonly services: readonly ServiceSummary<C>[];
  /** Labels of chains in either rule set. */
  readonly labels: ReadonlyMap<string, ChainLabel>;
}

/** Shares out the differences among the Services, in the order of their names; what belongs to none comes last. */
export function summarizeByService<C extends DifferingChain>(
  before: RuleTexts,
  after: RuleTexts,
  chains: readonly C[],
): KubeSummary<C> {
  const labelsBefore = chainLabels(before);
  const labelsAfter = chainLabels(after);
  const countsBefore = endpointCounts(before, labelsBefore);
  const countsAfter = endpointCounts(after, labelsAfter);
  const byOwner = new Map<string, C[]>();
  const give = (owner: string, chain: C): void => {
    const list = byOwner.get(owner);
    if (list === undefined) byOwner.set(owner, [chain]);
    else list.push(chain);
  };
  for (const chain of chains) {
    const owner = (labelsAfter.get(chain.chain) ?? labelsBefore.get(chain.chain))?.owner;
    if (owner !== undefined && owner !== '') give(owner, chain);
    else if (owner === undefined || chain.kind !== 'changed') give('', chain);
    else {
      const parts = new Map<string, C['rules'][number][]>();
      for (const rule of chain.rules) {
        if (rule.kind === 'kept') continue;
        const name = ownerOfRule(rule.rule) ?? '';
        parts.set(name, [...(parts.get(name) ?? []), rule]);
      }
      for (const [name, rules] of parts) give(name, { ...chain, rules });
    }
  }
  const services = [...byOwner].map(([owner, own]) => ({
    owner,
    endpointsBefore: countsBefore.get(owner),
    endpointsAfter: countsAfter.get(owner),
    chains: own,
  }));
  services.sort((a, b) => (a.owner === '' ? 1 : b.owner === '' ? -1 : a.owner < b.owner ? -1 : 1));
  return { services, labels: new Map([...labelsBefore, ...labelsAfter]) };
}

/** `2 → 3 endpoints`, `new, 3 endpoints`, `gone, had 1 endpoint`, `3 endpoints`. */
export function printEndpointCounts(summary: ServiceSummary<DifferingChain>): string {
  const { endpointsBefore: before, endpointsAfter: after } = summary;
  const plural = (count: number): string => `${count} endpoint${count === 1 ? '' : 's'}`;
  if (before === undefined) return after === undefined ? '' : `new, ${plural(after)}`;
  if (after === undefined) return `gone, had ${plural(before)}`;
  return before === after ? plural(after) : `${before} → ${plural(after)}`;
}
