/** `replay --jobs`: the built command with worker threads prints and writes what one job does. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuiltCommand } from '../support/built-command.js';

let command: BuiltCommand;
beforeAll(() => {
  command = new BuiltCommand();
});
afterAll(() => command.remove());

const HOST = 'docker/host';
const CAPTURES = readdirSync(join('pcaps', HOST))
  .filter((name) => name !== 'any.pcap')
  .map((name) => join('pcaps', HOST, name));
const FILES = ['write', 'save', 'save6', 'conntrack'] as const;

/** All that a replay says and writes. */
function replay(jobs: number, more: readonly string[]) {
  const files = FILES.map((name) => [`--${name}`, join(command.folder, `${name}-${jobs}`)] as const);
  const ran = command.run(['replay', join('rules', HOST), ...CAPTURES, '--jobs', `${jobs}`, ...more, ...files.flat()]);
  return { ...ran, files: files.map(([, path]) => readFileSync(path).toString('base64')) };
}

describe('replay --jobs', () => {
  it.each([
    ['a summary', []],
    ['results', ['--json']],
    ['a log, and another seed', ['--log', '--seed', '99', '--rules', '0']],
  ])('%s as of one job', (_what, more) => {
    const one = replay(1, more);
    expect(one.status).toBe(0);
    expect(replay(2, more)).toEqual(one);
    expect(replay(3, more)).toEqual(one);
  });

  it('reads a capture from standard input', () => {
    const capture = readFileSync(CAPTURES[0]!);
    const run = (jobs: string) => command.run(['replay', join('rules', HOST), '-', '--json', '--jobs', jobs], capture);
    const one = run('1');
    expect(one.stdout.split('\n').length).toBeGreaterThan(20);
    expect(run('2')).toEqual(one);
  });

  it('reads rules from standard input', () => {
    const rules = '*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth1 -j MASQUERADE\nCOMMIT\n';
    const run = (jobs: string) => command.run(['replay', '-', ...CAPTURES, '-4', '--json', '--jobs', jobs], rules);
    expect(run('2')).toEqual(run('1'));
  });

  it('names the rules that keep it to one job, and runs as one', () => {
    const capture = 'pcaps/server/server/eth0.pcap';
    const one = command.run(['replay', 'rules/server/server', capture]);
    const two = command.run(['replay', 'rules/server/server', capture, '--jobs', '2']);
    expect(two.stdout).toBe(one.stdout);
    expect(two.stderr).toMatch(
      /^note: --jobs 2 runs as one job, as these rules keep state .*\n {2}rules\/server\/server\/iptables-save:60: "limit"\n/,
    );
    expect(two.status).toBe(0);
  });

  it('ends with the fault of a damaged capture after all that came before it', () => {
    const whole = readFileSync(CAPTURES[0]!);
    const cut = whole.subarray(0, whole.length - 7);
    const run = (jobs: string) => command.run(['replay', join('rules', HOST), '-', '--json', '--jobs', jobs], cut);
    const one = run('1');
    expect(one.status).toBe(2);
    expect(run('2')).toEqual(one);
  });

  it.each(['0', '-1', '1.5', 'many', '65', ''])('refuses %s jobs', (jobs) => {
    const { status, stderr, stdout } = command.run(['replay', join('rules', HOST), CAPTURES[0]!, '--jobs', jobs]);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('a whole number from 1 to 64');
  });
});
