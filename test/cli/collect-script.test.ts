import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { collectScript } from '../../src/cli/collect-script.js';

const folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
afterAll(() => rmSync(folder, { recursive: true }));

const RULES = '*filter\n:INPUT DROP [0:0]\n[1:2] -A INPUT -i lo -j ACCEPT\nCOMMIT\n';
const NO_RULES = '*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n';

/** What a node's commands print; all else that the script may call is there but fails. */
const NODE: Record<string, string> = {
  'iptables-legacy-save': RULES,
  'iptables-nft-save': NO_RULES,
  'ip6tables-legacy-save': '',
  'ip6tables-nft-save': RULES.replace('lo', 'six'),
  ipset: 'create a hash:ip family inet hashsize 1024 maxelem 65536\n',
  ip: '[]\n',
  sysctl:
    'net.ipv4.ip_forward = 1\nnet.ipv6.conf.eth0.stable_secret = 1\nnet.ipv4.neigh.lo.mcast_solicit = 3\nnet.ipv4.neigh.lo.unres_qlen = 101\nkernel.hostname = x\n',
  conntrack: 'ipv4     2 udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2\n',
};

let runs = 0;

function run(commands: Record<string, string | undefined>): { files: Record<string, string>; said: string } {
  const base = join(folder, `run${++runs}`);
  mkdirSync(join(base, 'bin'), { recursive: true });
  for (const name of Object.keys({ ...NODE, 'iptables-save': '', 'ip6tables-save': '', tcpdump: '' })) {
    const output = commands[name];
    const body = output === undefined ? 'echo no such luck >&2; exit 3' : `cat <<'END'\n${output}END`;
    writeFileSync(join(base, 'bin', name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(base, 'bin', name), 0o755);
  }
  writeFileSync(join(base, 'collect.sh'), collectScript());
  const out = join(base, 'out');
  const ran = spawnSync('sh', [join(base, 'collect.sh'), out], {
    env: { PATH: `${join(base, 'bin')}:${process.env['PATH']}` },
    encoding: 'utf8',
  });
  expect(ran.status).toBe(0);
  expect(ran.stdout).toBe('');
  const files = Object.fromEntries(readdirSync(out).map((name) => [name, readFileSync(join(out, name), 'utf8')]));
  return { files, said: ran.stderr };
}

describe('collect script', () => {
  it('is accepted by sh, with and without a capture', () => {
    for (const script of [collectScript(), collectScript({ capture: true, seconds: 10, interface: 'eth0.5' })]) {
      expect(spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
    }
    expect(collectScript()).not.toContain('tcpdump');
    expect(collectScript({ capture: true })).toContain('tcpdump -i any ');
    expect(collectScript({ capture: true, seconds: 10, interface: 'eth0' })).toContain('timeout 10 tcpdump -i eth0 ');
    expect(() => collectScript({ capture: true, interface: 'a; rm -rf /' })).toThrow('bug:');
  });

  it('writes every file of a bundle', () => {
    const { files, said } = run(NODE);
    expect(Object.keys(files).sort()).toEqual(
      ['addr.json', 'conntrack', 'ip6tables-save', 'ipset-save', 'iptables-save', 'neigh.json', 'route.json']
        .concat(['route6.json', 'rule.json', 'rule6.json', 'sysctl', 'time'])
        .sort(),
    );
    expect(files['iptables-save']).toBe(RULES);
    expect(files['ip6tables-save']).toContain('-i six');
    expect(files['sysctl']).toBe('net.ipv4.ip_forward = 1\nnet.ipv4.neigh.lo.mcast_solicit = 3\n');
    expect(files['conntrack']).toBe(NODE['conntrack']!.repeat(2));
    expect(files['time']).toMatch(/^\d{10}(\.\d{9})?\n$/);
    expect(said).not.toContain('failed');
  });

  it.each<[string, Record<string, string | undefined>, string | undefined, string]>([
    ['rules in both back ends', { 'iptables-nft-save': RULES.replace('lo', 'nft') }, RULES, 'rules in both back ends'],
    [
      'only one nameless command',
      { 'iptables-legacy-save': undefined, 'iptables-nft-save': undefined, 'iptables-save': NO_RULES },
      NO_RULES,
      'wrote',
    ],
    [
      'no way to see rules',
      { 'iptables-legacy-save': undefined, 'iptables-nft-save': undefined },
      undefined,
      'iptables-save -c failed: no iptables-save: no such luck',
    ],
  ])('%s', (_what, change, saved, note) => {
    const { files, said } = run({ ...NODE, ...change });
    expect(files['iptables-save']).toBe(saved);
    expect(said).toContain(note);
    expect(Object.keys(files).filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});
