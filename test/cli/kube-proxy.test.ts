import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Command, CommanderError } from 'commander';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { type Diagnostic, renderDiagnostic } from '../../src/base/diagnostic.js';
import { register as registerDiff } from '../../src/cli/commands/diff.js';
import { register as registerFmt } from '../../src/cli/commands/fmt.js';
import { register as registerKubeProxy } from '../../src/cli/commands/kube-proxy.js';
import { Failure } from '../../src/cli/failure.js';

const GOLDEN = 'test/golden/kube-proxy';
const CLUSTERS = `${GOLDEN}/clusters`;
const folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const printed = vi.hoisted(() => ({ stdout: '', stderr: '' }));
vi.mock('../../src/cli/output.js', () => ({
  printResult: (text: string) => {
    printed.stdout += text;
  },
  printMessage: (text: string) => {
    printed.stderr += `${text}\n`;
  },
  printDiagnostics: (diagnostics: readonly Diagnostic[]) => {
    for (const d of diagnostics) printed.stderr += `${renderDiagnostic(d)}\n`;
  },
}));

/** Runs a command in this process, as src/cli/main.ts does; input is a file that stands where `-` is written. */
function chainwalk(args: readonly string[], input?: string): Ran {
  printed.stdout = '';
  printed.stderr = '';
  const file = join(folder, 'input.yaml');
  if (input !== undefined) writeFileSync(file, input);
  const program = new Command().exitOverride();
  for (const register of [registerKubeProxy, registerDiff, registerFmt]) register(program);
  for (const command of program.commands) {
    command.exitOverride().configureOutput({
      writeErr: (text) => {
        printed.stderr += text;
      },
    });
  }
  process.exitCode = undefined;
  let status = 0;
  try {
    program.parse(
      args.map((arg) => (arg === '-' ? file : arg)),
      { from: 'user' },
    );
    status = Number(process.exitCode ?? 0);
  } catch (error) {
    status = 2;
    if (error instanceof Failure) printed.stderr += `${error.message}\n`;
    else if (!(error instanceof CommanderError)) throw error;
  }
  process.exitCode = undefined;
  return { status, ...printed };
}

const objects = (name: string): string => `${CLUSTERS}/${name}/objects.yaml`;
const config = (name: string): string => `${CLUSTERS}/${name}/config.yaml`;

describe('chainwalk kube-proxy', () => {
  it('reads standard input', { timeout: 60_000 }, () => {
    const args = ['--import', 'tsx', 'src/cli/main.ts', 'kube-proxy', '--node', 'worker-1', '-', config('kubeadm')];
    const ran = spawnSync(process.execPath, args, { input: readFileSync(objects('kubeadm')), encoding: 'utf8' });
    expect(ran.stdout).toBe(readFileSync(`${CLUSTERS}/kubeadm/worker-1.ipv4.restore`, 'utf8'));
    expect(ran).toMatchObject({ status: 0, stderr: '' });
  });

  it('prints what the real one hands to iptables-restore', () => {
    const text = readFileSync(objects('kubeadm'), 'utf8');
    const ran = chainwalk(['kube-proxy', '--config', config('kubeadm'), '--node', 'worker-1', '-'], text);
    expect(ran).toEqual({
      status: 0,
      stdout: readFileSync(`${CLUSTERS}/kubeadm/worker-1.ipv4.restore`, 'utf8'),
      stderr: '',
    });
    const six = chainwalk(['kube-proxy', '-6', '--node', 'm2', objects('three-zones'), config('three-zones')]);
    expect(six.stdout).toBe(readFileSync(`${CLUSTERS}/three-zones/m2.ipv6.restore`, 'utf8'));
  });

  it('writes the rules of all nodes', () => {
    const out = join(folder, 'all');
    const ran = chainwalk([
      'kube-proxy',
      '--all-nodes',
      '-o',
      out,
      '--config',
      config('three-zones'),
      objects('three-zones'),
    ]);
    expect(ran).toEqual({ status: 0, stdout: '', stderr: '' });
    for (const node of ['m1', 'm2', 'm3']) {
      for (const family of ['ipv4', 'ipv6']) {
        const file = `${node}.${family}.restore`;
        expect(readFileSync(join(out, file), 'utf8')).toBe(readFileSync(`${CLUSTERS}/three-zones/${file}`, 'utf8'));
      }
    }
  });

  it('proves that nodes have the same rules, or shows where not and why', () => {
    const same = chainwalk(['kube-proxy', '--compare', '--config', config('course-notes'), objects('course-notes')]);
    expect(same).toEqual({ status: 0, stdout: 'IPv4: all 3 nodes have the same rules\n', stderr: '' });
    const other = chainwalk(['kube-proxy', '--compare', '--config', config('kubeadm'), objects('kubeadm')]);
    expect(other.status).toBe(1);
    expect(other.stdout).toContain('spec.externalTrafficPolicy: Local: each node uses its own endpoints');
    expect(other.stdout).toContain('same on cp-1, worker-2');
  });

  it('replays histories, a line a history', () => {
    const lines = gunzipSync(readFileSync(`${GOLDEN}/histories.jsonl.gz`))
      .toString()
      .split('\n')
      .slice(0, 3);
    const ran = chainwalk(['kube-proxy', '--history', '-'], `${lines.join('\n')}\n`);
    expect(ran.status).toBe(0);
    const got = ran.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    const want = lines.map((line) => JSON.parse(line) as { id: string; want: object });
    expect(got).toEqual(want.map(({ id, want: steps }) => ({ id, steps })));
  });

  it('shows a table, of its own rules and of a dump', () => {
    const own = chainwalk(['kube-proxy', '--table', '--node', 'nodo1', objects('course-notes')]);
    expect(own.stdout).toContain('  10.20.0.3:80 -> [10.10.0.4:80, 10.10.0.5:80]\n');
    const dump = chainwalk(['kube-proxy', '--save', '--node', 'nodo1', objects('course-notes')]);
    const file = join(folder, 'node.rules');
    writeFileSync(file, chainwalk(['fmt', '-'], dump.stdout).stdout);
    expect(chainwalk(['kube-proxy', '--table', file]).stdout).toBe(own.stdout);
  });

  it('explains each rule', () => {
    const ran = chainwalk(['kube-proxy', '--explain', '--json', '--node', 'nodo1', objects('course-notes')]);
    const explained = JSON.parse(ran.stdout) as { chain: string; object: string; field: string }[];
    expect(explained.find((e) => e.chain === 'KUBE-NODEPORTS')).toMatchObject({
      object: 'Service produccion/ingress',
      field: 'spec.ports[0].nodePort',
    });
  });

  it.each([
    [['kube-proxy'], '', 'error: no objects given'],
    [['kube-proxy', '--mode', 'nftables', 'x'], '', 'mode nftables is not supported yet'],
    [['kube-proxy', '-'], 'kind: KubeProxyConfiguration\nmode: ipvs\n', 'mode ipvs is not supported yet'],
    [['kube-proxy', 'nowhere.yaml'], '', 'nowhere.yaml: no such file'],
    [['kube-proxy', objects('kubeadm')], '', 'which node? give --node with one of cp-1'],
    [['kube-proxy', '--node', 'x', objects('kubeadm')], '', 'no node "x" in the objects'],
    [['kube-proxy', '--table', '--explain', objects('kubeadm')], '', '--table and --explain exclude each other'],
    [
      ['kube-proxy', '-'],
      'kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: x}]}\n',
      'input.yaml:3:23: error: Service a: spec.ports[0].port',
    ],
    [['kube-proxy', '--history', '-'], '{"steps": 1}\n', 'not a history: config: must be an object'],
    [['kube-proxy', '--history', '-'], '{}x\n', 'input.yaml:1:1: not JSON'],
    [['kube-proxy', '--balance', 'fair', 'x'], '', 'Allowed choices are random, nth'],
  ])('ends with 2 and says why: %j', (args, input, message) => {
    const ran = chainwalk(args, input);
    expect(ran.stderr).toContain(message);
    expect(ran).toMatchObject({ status: 2, stdout: '' });
  });

  it('counts kinds that it passes over', () => {
    const ran = chainwalk(['kube-proxy', '-'], 'kind: Deployment\n---\nkind: Deployment\n---\nkind: Secret\n');
    expect(ran).toMatchObject({
      status: 0,
      stderr: 'passed over, as they decide nothing here: 2 Deployment, 1 Secret\n',
    });
  });
});

describe('chainwalk diff', () => {
  const more = join(folder, 'more.yaml');
  const slice = '- addresses:\n    - 10.10.0.5\n';
  const text = readFileSync(objects('course-notes'), 'utf8');
  writeFileSync(more, text.replace(slice, `- addresses: [10.10.0.9]\n    nodeName: nodo2\n  ${slice}`));
  const diff = (...args: string[]): Ran =>
    chainwalk(['diff', '--node', 'nodo1', ...args, objects('course-notes'), more]);

  it('begins with a line that says what happened', () => {
    const ran = diff();
    expect(ran.status).toBe(1);
    const lines = ran.stdout.split('\n');
    expect(lines[0]).toBe('produccion/ingress: 2 → 3 endpoints; 1 chain added, 1 rule added, 2 rules changed');
    expect(ran.stdout).toContain('takes 50 % → 33.33 %');
    expect(ran.stdout).toContain('(produccion/ingress endpoint 10.10.0.9:80)');
  });

  it.each([
    ['markdown', /^# .*\n\n- produccion\/ingress: 2 → 3 endpoints/],
    ['html', /^<!doctype html>[\s\S]*<li>produccion\/ingress: 2 → 3 endpoints/],
    ['json', /^\{"before":.*"identical":false/],
  ])('prints %s', (format, expected) => expect(diff('--format', format).stdout).toMatch(expected));

  it('compares rule files, whatever their spelling', () => {
    const ours = `${CLUSTERS}/course-notes/nodo1.ipv4.restore`;
    const saved = join(folder, 'saved.rules');
    writeFileSync(
      saved,
      chainwalk(['kube-proxy', '--save', '--node', 'nodo1', objects('course-notes'), config('course-notes')]).stdout,
    );
    const formatted = join(folder, 'formatted.rules');
    writeFileSync(formatted, chainwalk(['fmt', saved]).stdout);
    expect(readFileSync(formatted, 'utf8')).not.toBe(readFileSync(saved, 'utf8'));
    expect(chainwalk(['diff', saved, formatted])).toEqual({ status: 0, stdout: 'no difference\n', stderr: '' });
    expect(
      chainwalk(['diff', '--node', 'nodo1', '--config', config('course-notes'), objects('course-notes'), formatted]),
    ).toMatchObject({ status: 0 });
    expect(existsSync(ours)).toBe(true);
  });

  it('refuses rules that cannot be read', () => {
    const bad = join(folder, 'bad.rules');
    writeFileSync(bad, '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT --dports 1\nCOMMIT\n');
    const ran = chainwalk(['diff', bad, bad]);
    expect(ran).toMatchObject({ status: 2, stdout: '' });
    expect(ran.stderr).toContain('bad.rules:3:');
  });
});
