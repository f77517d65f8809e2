/** A replay spread over several jobs gives what one job gives: frames, results, log, counters, connections, summary. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { parseBundle } from '../../src/host/bundle.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { replayAsJobs, replayAsOne, type Setup } from '../support/replay-jobs.js';
import { routerTraffic, type TrafficOptions } from '../support/router-traffic.js';

/** Captures of a kind of traffic that are made. */
const SEEDS = 12;

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

const FILTER = [
  '*filter',
  ':INPUT ACCEPT [0:0]',
  ':FORWARD ACCEPT [0:0]',
  ':OUTPUT ACCEPT [0:0]',
  ':PICK - [0:0]',
  '-A INPUT -p tcp -m tcp --dport 23 -j REJECT --reject-with tcp-reset',
  '-A FORWARD -m conntrack --ctstate INVALID -j DROP',
  '-A FORWARD -p udp -m udp --dport 123 -j REJECT --reject-with icmp-port-unreachable',
  '-A FORWARD -p tcp -m tcp --dport 443 -j PICK',
  '-A FORWARD -m conntrack --ctstate NEW -j LOG --log-prefix "new "',
  '-A PICK -m statistic --mode random --probability 0.5 -j DROP',
  'COMMIT',
];
const NAT = [
  '*nat',
  ':PREROUTING ACCEPT [0:0]',
  ':INPUT ACCEPT [0:0]',
  ':OUTPUT ACCEPT [0:0]',
  ':POSTROUTING ACCEPT [0:0]',
];
const RULES: readonly (readonly [string, readonly string[]])[] = [
  ['filter alone', FILTER],
  ['masquerade', [...NAT, '-A POSTROUTING -o wan -j MASQUERADE', 'COMMIT', ...FILTER]],
  [
    'service with random endpoints and ports',
    [
      ...NAT,
      '-A PREROUTING -d 10.96.0.1/32 -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 192.168.0.20:8080',
      '-A PREROUTING -d 10.96.0.1/32 -p tcp -j DNAT --to-destination 192.168.0.21:8080',
      '-A PREROUTING -d 10.96.0.1/32 -p udp -j DNAT --to-destination 198.51.100.1',
      '-A POSTROUTING -o wan -j MASQUERADE --random-fully',
      '-A POSTROUTING -o lan -p tcp -j SNAT --to-source 192.168.0.1:1024-1040',
      'COMMIT',
      ...FILTER,
    ],
  ],
  [
    'marks, zones, exempted packets',
    [
      '*raw',
      ':PREROUTING ACCEPT [0:0]',
      ':OUTPUT ACCEPT [0:0]',
      '-A PREROUTING -p udp -m udp --dport 53 -s 192.168.0.10/32 -j CT --zone 5',
      '-A PREROUTING -p icmp -s 192.168.0.11/32 -j CT --notrack',
      'COMMIT',
      ...NAT,
      '-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.1-203.0.113.2',
      'COMMIT',
      '*mangle',
      ':PREROUTING ACCEPT [0:0]',
      ':INPUT ACCEPT [0:0]',
      ':FORWARD ACCEPT [0:0]',
      ':OUTPUT ACCEPT [0:0]',
      ':POSTROUTING ACCEPT [0:0]',
      '-A PREROUTING -j CONNMARK --restore-mark',
      '-A FORWARD -m mark --mark 0 -m conntrack --ctstate NEW -m statistic --mode random --probability 0.5 -j MARK --set-mark 7',
      '-A POSTROUTING -j CONNMARK --save-mark',
      'COMMIT',
      ...FILTER,
    ],
  ],
];
const LISTED = [
  'ipv4 2 tcp 6 400 ESTABLISHED src=192.168.0.10 dst=198.51.100.1 sport=5000 dport=80 src=198.51.100.1 dst=203.0.113.1 sport=80 dport=5001 [ASSURED] mark=0 use=1',
  'ipv4 2 udp 17 25 src=192.168.0.11 dst=198.51.100.2 sport=5001 dport=53 src=198.51.100.2 dst=203.0.113.1 sport=53 dport=5001 mark=3 use=1',
  'ipv4 2 udp 17 25 src=192.168.0.77 dst=198.51.100.2 sport=5001 dport=53 src=198.51.100.2 dst=203.0.113.1 sport=53 dport=6001 mark=3 use=1',
  '',
].join('\n');

function generated(lines: readonly string[], more: Omit<TrafficOptions, 'ruleSets'>): Setup {
  const text = `${lines.join('\n')}\n`;
  const text6 = text
    .replace(/^.*\d+\.\d+\.\d+\.\d+.*\n/gm, '')
    .replaceAll('icmp-port', 'icmp6-port')
    .replaceAll('-p icmp ', '-p ipv6-icmp ');
  const ruleSets = ([4, 6] as const).map((family) => {
    const parsed = parseRuleSet({ name: 'rules', text: family === 4 ? text : text6 }, { family });
    expect(parsed.diagnostics).toEqual([]);
    return parsed.ruleSet;
  });
  const { config, capture } = routerTraffic({ ...more, ruleSets });
  return {
    config,
    ruleSets,
    buildEngine: compiledEngine,
    seed: more.seed,
    assumeNeighbours: true,
    captures: [['any', capture]],
  };
}

describe.each(RULES)('random traffic through a router: %s', (_name, lines) => {
  it.each([
    ['what comes in', { seenLeaving: 0 }],
    ['both directions', { seenLeaving: 0.8 }],
    ['connections from before', { seenLeaving: 0.3, conntrack: LISTED }],
  ])('%s', (_what, more) => {
    let spread = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const made = generated(lines, { seed, records: 30 + seed * 15, ...more });
      // Without results of single packets, those of established connections go the short way.
      const setup = { ...made, framesOnly: seed % 2 === 0, records: 30 + seed * 15 };
      const one = replayAsOne(setup);
      for (const jobs of [2, 4]) {
        const apart = replayAsJobs(setup, jobs);
        if (apart.seen === undefined) continue;
        if (Math.max(...apart.shares) < 0.9 * setup.records) spread++;
        expect(apart.seen, `seed ${seed}, ${jobs} jobs`).toEqual(one);
      }
    }
    // The traffic is made to meet; yet it must not all end as one job.
    expect(spread).toBeGreaterThan(SEEDS);
  });
});
