/**
 * The recordings made from Linux (test/kernel/record) run through the emulator: the same frames out, every byte where the
 * kernel has no free choice; the same counters on every rule and policy; the same connections.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CaptureMerge, MERGE_END } from '../../src/capture/merge.js';
import { CaptureReader, captureRecords } from '../../src/capture/reader.js';
import { printEntries } from '../../src/conntrack/print.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import type { BuildEngine } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import { parseBundle } from '../../src/host/bundle.js';
import { FrameSource } from '../../src/replay/frame-source.js';
import { makeReplayHost } from '../../src/replay/replay-host.js';
import { ReplaySession } from '../../src/replay/session.js';
import { emptyTotals, type ReplayTotals } from '../../src/replay/totals.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';

const HOSTS = readdirSync('rules', { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap((scenario) => readdirSync(join('rules', scenario.name)).map((host) => `${scenario.name}/${host}`));

const ENGINES: readonly (readonly [string, BuildEngine])[] = [
  ['reference', referenceEngine],
  ['compiled', compiledEngine],
];

interface Run {
  readonly totals: ReplayTotals;
  readonly rules: ReadonlyMap<4 | 6, string>;
  readonly connections: string;
}

const read = (path: string): string => readFileSync(path, 'utf8');

/** Replays captures (each per interface) of a recorded host, up to the moment when its counters were listed. */
function replay(host: string, captures: readonly string[], buildEngine: BuildEngine): Run {
  const folder = join('rules', host);
  const files = new Map(
    readdirSync(folder)
      .filter((name) => name !== 'expected')
      .map((name) => [name, { name: join(folder, name), text: read(join(folder, name)) }]),
  );
  const bundle = parseBundle(files);
  expect(bundle.diagnostics).toEqual([]);
  const rulesOf = (name: string, family: 4 | 6) => {
    const parsed = parseRuleSet(files.get(name)!, { family });
    expect(parsed.diagnostics).toEqual([]);
    return parsed.ruleSet;
  };
  const made = makeReplayHost(bundle.config, {
    ruleSet4: rulesOf('iptables-save', 4),
    ruleSet6: rulesOf('ip6tables-save', 6),
    buildEngine,
    seed: 1,
    assumeNeighbours: false,
  });
  const inputs = captures.map((name) => ({ name }));
  const source = new FrameSource(bundle.config, inputs, { inDevices: new Set(), local: false });
  const totals = emptyTotals();
  totals.captures.push(...captures.map((name) => ({ name, device: '', records: 0 })));
  const session = new ReplaySession(made, source, totals, {});
  // The replay changes the bytes that it is given, so each pass reads its own.
  captures.forEach((path, i) => {
    for (const record of captureRecords(readFileSync(path), new CaptureReader(path))) session.survey(i, record);
  });
  const readers = captures.map((path) => {
    const reader = new CaptureReader(path);
    reader.feed(readFileSync(path));
    return reader;
  });
  const merge = new CaptureMerge(readers);
  for (let next = merge.next(); next !== MERGE_END; next = merge.next()) {
    if (next < 0) readers[merge.starved]!.end();
    else session.replay(next, merge.records[next]!);
  }
  session.finish(Number(read(join(folder, 'expected/time'))) * 1e6);
  return {
    totals,
    rules: new Map(totals.ruleSets.map((r) => [r.family, printRuleSet(r, { counters: true })])),
    connections: printEntries(made.conntrack.entries),
  };
}

const withoutComments = (text: string): string => text.replace(/^#.*\n/gm, '');

interface Connection {
  readonly text: string;
  readonly seconds: number;
}

/** Lines of `conntrack -L` without what is chance (order, `use=`); the remaining seconds apart. */
function connectionsOf(text: string): Connection[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const seconds = Number(/^(?:ipv[46] +\d+ +)?\S+ +\d+ +(\d+)/.exec(line)?.[1]);
      return { text: line.replace(/ use=\d+/, '').replace(/^((?:ipv[46] +\d+ +)?\S+ +\d+ +)\d+/, '$1'), seconds };
    })
    .sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
}

const capturesOf = (host: string): string[] =>
  readdirSync(join('pcaps', host))
    .filter((name) => name.endsWith('.pcap') && name !== 'any.pcap')
    .map((name) => join('pcaps', host, name));

describe.each(HOSTS)('recording %s', (host) => {
  describe.each(ENGINES)('%s engine', (_name, buildEngine) => {
    const run = replay(host, capturesOf(host), buildEngine);
    const expected = join('rules', host, 'expected');

    it('sends every captured frame and no other', () => {
      const { agreement } = run.totals;
      expect(agreement.unexplained).toBe(0);
      expect(agreement.sentOnly).toBe(0);
      expect(agreement.exact).toBeGreaterThan(40);
      // What differs in the kernel's free choices are packets that the host has made itself.
      expect(agreement.loose).toBeLessThanOrEqual(run.totals.answers + agreement.own);
    });

    it.each([
      [4, 'iptables-save'],
      [6, 'ip6tables-save'],
    ] as const)('counts as the kernel did on every rule and policy (IPv%s)', (family, file) => {
      expect(run.rules.get(family)).toBe(withoutComments(read(join(expected, file))));
    });

    it('holds the same connections', () => {
      const theirs = connectionsOf(read(join(expected, 'conntrack')) + read(join(expected, 'conntrack6')));
      const ours = connectionsOf(run.connections);
      expect(ours.map((c) => c.text)).toEqual(theirs.map((c) => c.text));
      ours.forEach((c, i) => {
        expect(Math.abs(c.seconds - theirs[i]!.seconds), c.text).toBeLessThanOrEqual(1);
      });
    });
  });

  const any = join('pcaps', host, 'any.pcap');
  it.runIf(existsSync(any))('a capture of all interfaces gives the same result as one of each', () => {
    const whole = replay(host, [any], referenceEngine);
    const apart = replay(host, capturesOf(host), referenceEngine);
    expect(whole.rules).toEqual(apart.rules);
    expect(whole.connections).toBe(apart.connections);
    expect(whole.totals.agreement).toEqual(apart.totals.agreement);
  });
});
