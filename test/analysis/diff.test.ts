import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countDifferences, diffRuleSets, diffRules, printCounts, type RuleListing } from '../../src/analysis/diff.js';
import { align } from '../../src/base/align.js';

const listing = (chains: Record<string, readonly string[]>): RuleListing =>
  new Map([['nat', new Map(Object.entries(chains))]]);
const kinds = (before: readonly string[], after: readonly string[]): string[] =>
  diffRules(before, after).map((d) => (d.kind === 'changed' && d.shareOnly ? 'share' : d.kind));

describe('alignment', () => {
  it('pairs equal entries and keeps a longest run of them', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 12 });
    fc.assert(
      fc.property(letters, letters, (before, after) => {
        const { partner, kept } = align(before, after);
        const used = [...partner].filter((i) => i !== -1);
        expect(new Set(used).size).toBe(used.length);
        let last = -1;
        partner.forEach((i, j) => {
          if (i !== -1) expect(before[i]).toBe(after[j]);
          if (kept[j] === 1) {
            expect(i).toBeGreaterThan(last);
            last = i;
          }
        });
        for (const letter of 'abcde') {
          const count = (list: readonly string[]): number => list.filter((x) => x === letter).length;
          const paired = after.filter((x, j) => x === letter && partner[j] !== -1).length;
          expect(paired).toBe(Math.min(count(before), count(after)));
        }
      }),
      { seed: 3 },
    );
  });
});

describe('rules of a chain', () => {
  const half = '-m statistic --mode random --probability 0.50000000000 -j A';
  const third = '-m statistic --mode random --probability 0.33333333349 -j A';
  it.each([
    [
      ['-j A', '-j B'],
      ['-j A', '-j B'],
      ['kept', 'kept'],
    ],
    [['-j A'], ['-j A', '-j B'], ['kept', 'added']],
    [['-j A', '-j B'], ['-j B'], ['removed', 'kept']],
    [
      ['-j A', '-j B', '-j C'],
      ['-j C', '-j A', '-j B'],
      ['moved', 'kept', 'kept'],
    ],
    [
      [half, '-j B'],
      [third, '-j B'],
      ['share', 'kept'],
    ],
    [[half], ['-j A'], ['share']],
    [['-s 10.0.0.1/32 -p tcp -m tcp --dport 80 -j A'], ['-s 10.0.0.2/32 -p tcp -m tcp --dport 80 -j A'], ['changed']],
    [['-s 10.0.0.1/32 -j A'], ['-p udp -j DROP'], ['added', 'removed']],
    [[], [], []],
  ])('%j and %j: %j', (before, after, expected) => expect(kinds(before, after)).toEqual(expected));

  it('are all told, whatever happened', () => {
    const rules = fc.array(fc.constantFrom('-j A', '-j B', half, third, '-s 10.0.0.1/32 -j A', '-s 10.0.0.2/32 -j A'), {
      maxLength: 10,
    });
    fc.assert(
      fc.property(rules, rules, (before, after) => {
        const differences = diffRules(before, after);
        const from = differences.flatMap((d) => (d.kind === 'added' ? [] : [d.from])).sort((a, b) => a - b);
        const to = differences.flatMap((d) => (d.kind === 'removed' ? [] : [d.to]));
        expect(from).toEqual(before.map((_, i) => i));
        expect(to).toEqual(after.map((_, i) => i));
        for (const d of differences) {
          if (d.kind === 'removed') expect(d.rule).toBe(before[d.from]);
          else expect(d.rule).toBe(after[d.to]);
          if (d.kind === 'kept' || d.kind === 'moved') expect(before[d.from]).toBe(d.rule);
        }
      }),
      { seed: 4, numRuns: 300 },
    );
  });
});

describe('rule sets', () => {
  it('tell chains that are new, gone, and changed, and count', () => {
    const { chains } = diffRuleSets(
      listing({ A: ['-j B'], B: ['-j C', '-j D'], C: [], E: ['-j B'] }),
      listing({ A: ['-j B'], B: ['-j D', '-j C'], D: ['-j C'], E: ['-j B', '-j D'] }),
    );
    expect(chains.map((chain) => `${chain.kind} ${chain.chain}`)).toEqual([
      'changed B',
      'changed E',
      'added D',
      'removed C',
    ]);
    expect(printCounts(countDifferences(chains))).toBe('1 chain added, 1 chain removed, 1 rule added, 1 rule moved');
  });
});
