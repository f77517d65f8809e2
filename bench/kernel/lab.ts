/**
 * The kernel's side of a benchmark: one namespace per table under test, each the node of the workloads (eth0 towards the
 * clients, cni0 towards the pods), and one namespace that holds the far ends of all their links, with the agent that
 * sends (agent.py). All have names of their own and go when the lab is closed.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BENCH_HOST } from '../workloads.js';

const TOOLS = ['ip', 'python3', 'nft', 'iptables-legacy-restore', 'iptables-nft-restore', 'ipset', 'conntrack'];

/** What this machine lacks for the kernel's side; undefined: nothing. */
export function kernelLacks(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  const missing = TOOLS.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  if (missing.length > 0) return `no ${missing.join(', ')}`;
  if (spawnSync('unshare', ['--net', 'true']).status !== 0) return 'no network namespaces';
  return undefined;
}

/** A node in the kernel, with its own tables. */
export interface KernelNode {
  readonly namespace: string;
  /** Far ends of eth0 and cni0. */
  readonly clients: string;
  readonly pods: string;
}

export interface Timed {
  /** Of the sending thread, which is the one that receives. */
  readonly cpuNs: number;
  readonly wallNs: number;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const BIG = 512 * 1024 * 1024;

export class Lab {
  readonly #prefix = `cwbk-${process.pid}`;
  readonly #folder = mkdtempSync(join(tmpdir(), 'cwbk-'));
  readonly #far = `cwbk-${process.pid}-far`;
  readonly #namespaces: string[] = [];
  readonly #waiting: { resolve: (text: string) => void; reject: (error: Error) => void }[] = [];
  #count = 0;
  #agent: ChildProcessWithoutNullStreams | undefined;

  /** Told to end, the process leaves nothing behind. */
  readonly #onSignal = (): void => {
    this.close();
    process.exit(130);
  };

  static async open(): Promise<Lab> {
    sweep();
    const lab = new Lab();
    for (const signal of SIGNALS) process.once(signal, lab.#onSignal);
    try {
      lab.#add(lab.#far);
      lab.#quiet(lab.#far);
      lab.#start();
      await lab.#ask({ op: 'pin', cpu: cpus().length - 1 });
      return lab;
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    this.#agent?.stdin.end();
    this.#agent?.kill();
    for (const name of this.#namespaces.splice(0)) spawnSync('ip', ['netns', 'del', name]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  node(): KernelNode {
    const n = this.#count++;
    const node = { namespace: `${this.#prefix}-${n}`, clients: `p${n}`, pods: `q${n}` };
    this.#add(node.namespace);
    this.#quiet(node.namespace);
    this.exec(node, 'sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
    const links = [node.clients, node.pods];
    BENCH_HOST.devices.forEach(({ name, mac, addresses }, i) => {
      const far = links[i]!;
      run('ip', [
        ...['link', 'add', name, 'netns', node.namespace, 'address', mac, 'type', 'veth'],
        ...['peer', 'name', far, 'netns', this.#far],
      ]);
      // Nobody answers ARP at the far end.
      run('ip', ['-n', node.namespace, 'link', 'set', name, 'arp', 'off', 'up']);
      run('ip', ['-n', node.namespace, 'addr', 'add', addresses[4], 'dev', name]);
      run('ip', ['-n', this.#far, 'link', 'set', far, 'arp', 'off', 'up']);
    });
    run('ip', ['-n', node.namespace, 'route', 'add', 'default', 'dev', 'cni0']);
    return node;
  }

  /** Removes one node, and with it the memory of its tables. */
  remove(node: KernelNode): void {
    this.#namespaces.splice(this.#namespaces.indexOf(node.namespace), 1);
    run('ip', ['netns', 'del', node.namespace]);
  }

  /** Runs a program on a node; `input` goes to its standard input. */
  exec(node: KernelNode, program: string, args: readonly string[], input = ''): string {
    return run('ip', ['netns', 'exec', node.namespace, program, ...args], input);
  }

  /** Frames of later runs: a classic pcap. */
  async load(capture: Uint8Array): Promise<void> {
    const path = join(this.#folder, 'capture.pcap');
    writeFileSync(path, capture);
    await this.#ask({ op: 'load', path });
  }

  /** Sends `count` frames, from frame `start` on and round again, towards eth0. */
  run(node: KernelNode, start: number, count: number): Promise<Timed> {
    return this.#ask({ op: 'run', device: node.clients, start, count });
  }

  /** Sends the first `count` frames one by one; what left by cni0 for each. */
  async look(node: KernelNode, count: number): Promise<(Uint8Array | undefined)[]> {
    const request = { op: 'look', device: node.clients, out: node.pods, count };
    const { seen } = await this.#ask<{ seen: (string | null)[] }>(request);
    return seen.map((hex) => (hex === null ? undefined : Uint8Array.from(Buffer.from(hex, 'hex'))));
  }

  #add(name: string): void {
    run('ip', ['netns', 'add', name]);
    this.#namespaces.push(name);
  }

  /** Before the links are there: they inherit `default`. */
  #quiet(name: string): void {
    const off = ['all', 'default'].flatMap((scope) => [
      `net.ipv6.conf.${scope}.disable_ipv6=1`,
      `net.ipv4.conf.${scope}.rp_filter=0`,
      `net.ipv4.conf.${scope}.send_redirects=0`,
    ]);
    run('ip', ['netns', 'exec', name, 'sysctl', '-qw', ...off]);
    run('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  }

  #start(): void {
    const script = fileURLToPath(new URL('agent.py', import.meta.url));
    const agent = spawn('ip', ['netns', 'exec', this.#far, 'python3', script], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#agent = agent;
    createInterface({ input: agent.stdout }).on('line', (line) => this.#waiting.shift()?.resolve(line));
    let complaint = '';
    agent.stderr.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-2000);
    });
    agent.on('exit', (code) => {
      for (const w of this.#waiting.splice(0)) w.reject(new Error(`the kernel's agent ended (${code}): ${complaint}`));
    });
  }

  async #ask<T>(request: object): Promise<T> {
    const line = await new Promise<string>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#agent!.stdin.write(`${JSON.stringify(request)}\n`);
    });
    const reply = JSON.parse(line) as T & { readonly error?: string };
    if (reply.error !== undefined) throw new Error(`the kernel's agent: ${reply.error}`);
    return reply;
  }
}

/** Removes what a lab whose process was killed has left. */
function sweep(): void {
  for (const [, name, pid] of run('ip', ['netns', 'list']).matchAll(/^(cwbk-(\d+)-\w+)/gm)) {
    if (!existsSync(`/proc/${pid}`)) spawnSync('ip', ['netns', 'del', name!]);
  }
}

function run(program: string, args: readonly string[], input = ''): string {
  return execFileSync(program, args, { input, encoding: 'utf8', maxBuffer: BIG, stdio: 'pipe' });
}
