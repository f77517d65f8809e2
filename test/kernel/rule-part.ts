/** The parts of rules that the evidence counts: options of rules, matches and targets, plain and negated. */
import { MATCHES, TARGETS } from '../../src/ext/registry.js';

/** Read, and refused by name: chainwalk has no helpers, and the suite no timeout policies. */
const REFUSED = new Set(['--helper', '--timeout', '--ctevents', '--expevents']);
const RULE_OPTIONS = ['-p', '-s', '-d', '-i', '-o', '-f'];
const VERDICTS = ['ACCEPT', 'DROP', 'RETURN'];

/** Every part that chainwalk supports, in the order of the page. */
export function supportedParts(): string[] {
  const parts = RULE_OPTIONS.flatMap((o) => [o, `! ${o}`]);
  for (const { kind, options } of MATCHES) {
    parts.push(`-m ${kind}`);
    for (const { name, aliases, invert } of options) {
      for (const spelling of [name, ...(aliases ?? [])]) {
        parts.push(`-m ${kind} ${spelling}`);
        if (invert === true) parts.push(`-m ${kind} ! ${spelling}`);
      }
    }
  }
  for (const verdict of VERDICTS) parts.push(`-j ${verdict}`);
  parts.push('-j chain', '-g chain', 'no target');
  for (const { kind, options } of TARGETS) {
    parts.push(`-j ${kind}`);
    for (const { name, aliases } of options) {
      for (const spelling of [name, ...(aliases ?? [])])
        if (!REFUSED.has(spelling)) parts.push(`-j ${kind} ${spelling}`);
    }
  }
  return parts;
}

/** Parts of one rule as text (`-A chain …`). */
export function partsOf(rule: string): Set<string> {
  const words = [...rule.matchAll(/"(?:\\.|[^"\\])*"|\S+/g)].map((m) => m[0]).slice(2);
  const parts = new Set<string>();
  let extension = '';
  let hasTarget = false;
  for (const [i, word] of words.entries()) {
    if (!/^--?[a-z]/.test(word)) continue;
    const next = words[i + 1] ?? '';
    const not = words[i - 1] === '!' ? '! ' : '';
    if (word === '-m') {
      extension = `-m ${next}`;
      parts.add(extension);
    } else if (word === '-g') {
      hasTarget = true;
      parts.add('-g chain');
    } else if (word === '-j') {
      hasTarget = true;
      extension = `-j ${next}`;
      // Own chains have names of their own; those of targets are capitals, and none of ours are targets.
      parts.add(VERDICTS.includes(next) || TARGETS.some((t) => t.kind === next) ? extension : '-j chain');
    } else if (word.startsWith('--')) parts.add(`${extension} ${not}${word}`);
    else parts.add(not + word);
  }
  if (!hasTarget) parts.add('no target');
  return parts;
}
