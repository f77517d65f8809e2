/** Rule files with mistakes: valid rules in the wrong place, words lost, doubled, exchanged. */
import fc from 'fast-check';
import type { Family } from '../../../src/net/netfilter.js';
import { arbRuleSet, ruleSetText } from './rule-set.js';

const WORDS = [
  '!',
  '-p',
  'tcp',
  '--dport',
  '80',
  '99999',
  '-1',
  '0x',
  '/33',
  '-j',
  'ACCEPT',
  'FOO',
  '-m',
  'limit',
  '--',
  ',',
  '"',
  ':',
  '10.0.0.0/8',
  '-s',
  '-i',
  '-o',
  'eth0',
  '--set-mark',
  '4294967296',
  '-g',
  '--sport',
  '',
];

type Edit = readonly [line: number, kind: number, at: number, word: string];

const arbEdit: fc.Arbitrary<Edit> = fc.tuple(fc.nat(), fc.nat({ max: 5 }), fc.nat(), fc.constantFrom(...WORDS));

function edited(text: string, edits: readonly Edit[]): string {
  const lines = text.split('\n');
  for (const [line, kind, at, word] of edits) {
    const rules = lines.flatMap((l, i) => (l.startsWith('[') ? [i] : []));
    if (rules.length === 0) break;
    const index = rules[line % rules.length]!;
    const words = lines[index]!.split(' ');
    const place = 1 + (at % (words.length - 1));
    if (kind === 0) words.splice(place, 1);
    else if (kind === 1) words.splice(place, 0, words[place]!);
    else if (kind === 2) words.splice(place, 0, word);
    else if (kind === 3) words[place] = word;
    else if (kind === 4) {
      const other = 1 + ((at >> 8) % (words.length - 1));
      [words[place], words[other]] = [words[other]!, words[place]!];
    } else {
      // The rule moves to another table's chain: hooks and tables that its extensions do not allow.
      const heads = lines.flatMap((l, i) => (l.startsWith(':') ? [i] : []));
      const head = heads[at % heads.length]!;
      const chain = lines[head]!.split(' ')[0]!.slice(1);
      words[words.indexOf('-A') + 1] = chain;
      lines.splice(index, 1);
      let end = head;
      while (lines[end] !== 'COMMIT' && end < lines.length - 1) end++;
      lines.splice(end, 0, words.join(' '));
      continue;
    }
    lines[index] = words.join(' ');
  }
  return lines.join('\n');
}

export function arbWrongRules(family: Family): fc.Arbitrary<string> {
  return fc
    .tuple(arbRuleSet(family), fc.array(arbEdit, { maxLength: 2 }))
    .map(([spec, edits]) => edited(ruleSetText(spec, true), edits));
}
