/** A replay spread over several jobs gives what one job gives: frames, results, log, counters, connections, summary. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { parseBundle } from '../../src/host/bundle.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { replayAsJobs, replayAsOne, type Setup } from '../support/replay-jobs.js';

const HOSTS = readdirSync('rules', { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap((scenario) => readdirSync(join('rules', scenario.name)).map((host) => `${scenario.name}/${host}`));

/** Rules whose state spans connections no longer do. */
const withoutSpanning = (text: string): string =>
  text
    .replace(/-m limit( --limit \S+)?( --limit-burst \S+)?/g, '')
    .replace(/-m recent .*?--r(source|dest)/g, '')
    .replace(/--mode nth --every (\d+) --packet \d+/g, (_, n) => `--mode random --probability ${1 / Number(n)}`);

function recorded(host: string, seed: number, apart: boolean): Setup {
  const folder = join('rules', host);
  const files = new Map(
    readdirSync(folder)
      .filter((name) => name !== 'expected')
      .map((name) => [name, { name: join(folder, name), text: readFileSync(join(folder, name), 'utf8') }]),
  );
  const ruleSets = ([4, 6] as const).map((family) => {
    const { name, text } = files.get(family === 4 ? 'iptables-save' : 'ip6tables-save')!;
    return parseRuleSet({ name, text: apart ? withoutSpanning(text) : text }, { family }).ruleSet;
  });
  const pcaps = join('pcaps', host);
  const captures = readdirSync(pcaps)
    .filter((name) => name.endsWith('.pcap') && name !== 'any.pcap')
    .map((name) => [join(pcaps, name), readFileSync(join(pcaps, name))] as const);
  const { config } = parseBundle(files);
  return { config, ruleSets, buildEngine: compiledEngine, seed, assumeNeighbours: false, captures };
}

describe.each(HOSTS)('recording %s', (host) => {
  it.each([2, 3, 5])('as %s jobs', (jobs) => {
    const setup = recorded(host, 7, true);
    const apart = replayAsJobs(setup, jobs);
    expect(apart.asOne).toBe(undefined);
    expect(Math.min(...apart.shares)).toBeGreaterThan(10);
    expect(apart.seen).toEqual(replayAsOne(setup));
  });

  it('keeps rules whose state spans connections in one job, by name', () => {
    const setup = recorded(host, 7, false);
    const { asOne } = replayAsJobs(setup, 2);
    const spans = setup.ruleSets.flatMap((r) => /.*(?:limit --limit|mode nth|recent).*/.exec(printRuleSet(r)) ?? []);
    if (spans.length === 0) expect(asOne).toBe(undefined);
    else expect(asOne).toMatch(/^rules\/.*save:\d+: "(limit|statistic|recent)"$/);
  });
});
