/** Rules that keep their text until asked say the same as rules read in full (`--append` keeps the quick reader away). */
import { describe, expect, it } from 'vitest';
import { DeviceNames } from '../../src/engine/compiled/device-names.js';
import { Lowering } from '../../src/engine/compiled/lower.js';
import type { HostServices } from '../../src/ext/extension.js';
import type { Rule } from '../../src/ruleset/model.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { changedRule, SavedRule } from '../../src/ruleset/saved-rule.js';

const RULES = [
  // 'quick': a saved rule; 'full': read in full
  ['quick', '-s 10.0.0.1/32 -j ACCEPT'],
  ['quick', '! -s 255.255.255.255/32 -d 128.0.0.0/1 -j DROP'],
  ['quick', '-s 10.1.2.3/8 ! -d 10.1.2.3/30'],
  ['quick', '-s 0.0.0.0/0 -j bb'],
  ['quick', '-s 1.2.3.4'],
  ['quick', '-i eth0 ! -o cni+ -p tcp ! -f -g bb'],
  ['quick', '-p tcp -m tcp --dport 0'],
  ['quick', '-p tcp -m tcp --dport 65535 -j bb'],
  ['full', '-p tcp -m tcp --dport 65536'],
  ['quick', '-p tcp -m tcp --dport 080'],
  ['quick', '-p tcp -m tcp ! --dport 80'],
  ['quick', '-p tcp -m tcp --sport 80 --dport 90'],
  ['quick', '-p udp -m udp --sport 53 -m comment --comment x'],
  ['quick', '-p tcp -m comment --comment "a b -m tcp --dport 1" -m tcp --sport 7 -m mark --mark 0x1/0xff -j bb'],
  ['quick', '-m comment --comment "a \\"b\\" c" -j bb'],
  ['quick', '-m comment --comment ""'],
  ['quick', '-m comment --comment "a"b'],
  ['full', '-m comment --comment "a" -m comment --comment "b"'],
  ['quick', `-m comment --comment "${'x'.repeat(255)}"`],
  ['quick', `-m comment --comment "${'x'.repeat(256)}"`],
  ['quick', '-i -m -j bb'],
  ['quick', '-p tcp -m tcp --dport 80 -m mark --mark 0x2 -j DNAT --to-destination 10.0.0.1:8080'],
  ['quick', '-p udp -j DNAT --to-destination 255.0.0.255:0'],
  ['quick', '! -p tcp -j DNAT --to-destination 10.0.0.1:80'],
  ['full', '-j DNAT --to-destination 10.0.0.1:80'],
  ['quick', '-p tcp -j DNAT --to-destination 10.0.0.1:80 --random'],
  ['quick', '-p tcp -j DNAT --to-destination 010.0.0.1:80'],
  ['full', '-p tcp -j DNAT --to-destination 10.0.0.1:65536'],
] as const;

function parse(line: string): { readonly rule: Rule | undefined; readonly codes: readonly string[] } {
  const text = `*nat\n:aa - [0:0]\n:bb - [0:0]\n${line}\nCOMMIT\n`;
  const { ruleSet, diagnostics } = parseRuleSet({ name: 'test', text }, { family: 4, test: true });
  return { rule: ruleSet.tables[0]?.chains.get('aa')?.rules[0], codes: diagnostics.map(({ code }) => code) };
}

/** Everything that a rule says but for its place, values read. */
function told(rule: Rule | undefined): unknown {
  if (rule === undefined) return undefined;
  const { matches, target, span, ...rest } = changedRule(rule, {});
  const use = target.kind === 'extension' ? { ext: target.use.ext, value: target.use.value } : target;
  return { ...rest, matches: matches.map(({ ext, value }) => ({ ext, value })), use };
}

describe('saved rules', () => {
  it.each(RULES)('%s %s', (way, rest) => {
    const quick = parse(`[7:9] -A aa ${rest}`);
    const full = parse(`[7:9] --append aa ${rest}`);
    expect(quick.rule instanceof SavedRule).toBe(way === 'quick' && quick.rule !== undefined);
    expect(full.rule instanceof SavedRule).toBe(false);
    expect(quick.codes).toEqual(full.codes);
    expect(told(quick.rule)).toEqual(told(full.rule));
  });

  it.each(RULES)('%s %s: lowers alike', (_way, rest) => {
    const { rule } = parse(`-A aa ${rest}`);
    if (rule === undefined) return;
    const lowering = (): Lowering =>
      new Lowering(4, new DeviceNames({ deviceName: () => '' } as unknown as HostServices)); // nothing else is asked
    const plain = changedRule(rule, {});
    expect(lowering().steps(rule)).toEqual(lowering().steps(plain));
    expect(
      lowering()
        .called(rule)
        .map(({ ext, value }) => ({ ext, value })),
    ).toEqual(
      lowering()
        .called(plain)
        .map(({ ext, value }) => ({ ext, value })),
    );
  });

  it('has its counters and its place', () => {
    const { rule } = parse('[18446744073709551615:3] -A aa -s 10.0.0.1/32 -j bb');
    expect(rule).toBeInstanceOf(SavedRule);
    expect([rule?.packets, rule?.bytes]).toEqual([18446744073709551615n, 3n]);
    const { source, start, end } = rule!.span!;
    expect(source.text.slice(start, end)).toBe('[18446744073709551615:3] -A aa -s 10.0.0.1/32 -j bb');
  });
});
