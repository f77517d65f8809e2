/** Rules held for many nodes, with marks where each node's own local traffic detector goes. */
import type { LocalDetector } from './node.js';
import type { ChainChange, RuleEdit } from './proxy/patch.js';

/**
 * The local traffic detector may be every node's own (NodeCIDR). Held rules have marks in its place, so that nodes which
 * differ in nothing else are of one class.
 */
const LOCAL_MARK = '\u0001';
const NOT_LOCAL_MARK = '\u0002';
export const MARKS: LocalDetector = { isLocal: LOCAL_MARK, isNotLocal: NOT_LOCAL_MARK };

function hasMark(rule: string): boolean {
  return rule.includes(LOCAL_MARK) || rule.includes(NOT_LOCAL_MARK);
}

export function fill(text: string, detector: LocalDetector | undefined): string {
  if (detector === undefined) return text;
  return text.replaceAll(LOCAL_MARK, detector.isLocal).replaceAll(NOT_LOCAL_MARK, detector.isNotLocal);
}

/** Rules of changes. */
function rulesOf(change: ChainChange): readonly string[] {
  if (change.kind !== 'changed') return change.rules;
  return change.edits.flatMap((edit) => (edit.op === 'replace' ? [edit.rule, edit.before] : [edit.rule]));
}

export function hasMarks(changes: readonly ChainChange[]): boolean {
  return changes.some((change) => rulesOf(change).some(hasMark));
}

/** The same list if there is nothing to fill in. */
export function fillChanges(
  changes: readonly ChainChange[],
  detector: LocalDetector | undefined,
): readonly ChainChange[] {
  if (!hasMarks(changes)) return changes;
  return changes.map((change): ChainChange => {
    if (change.kind !== 'changed') return { ...change, rules: change.rules.map((rule) => fill(rule, detector)) };
    const edits = change.edits.map(
      (edit): RuleEdit =>
        edit.op === 'replace'
          ? { ...edit, rule: fill(edit.rule, detector), before: fill(edit.before, detector) }
          : { ...edit, rule: fill(edit.rule, detector) },
    );
    return { ...change, edits };
  });
}
