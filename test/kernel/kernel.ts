/** Linux as the host under test: one agent process (agent.py) and the questions that can be put to it. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Family } from '../../src/net/netfilter.js';
import { AGENT_CONFIG } from './topology.js';

/** Where a packet is put in: a link by number, or the host's own raw socket. */
export const LOCAL = -1;

export interface Injection {
  /** Link number, or LOCAL. */
  readonly where: number;
  /** A frame (link) or an IP packet (LOCAL). */
  readonly bytes: Uint8Array;
  /** LOCAL: destination address as text, and the socket's mark. */
  readonly to?: string;
  readonly mark?: number;
  /** Milliseconds to wait before. */
  readonly waitMs?: number;
}

export interface SentFrame {
  readonly link: number;
  readonly bytes: Uint8Array;
}

export interface SendResult {
  /** Microseconds since the epoch, one per injection. */
  readonly timesUs: readonly number[];
  /** Error numbers of the send calls, 0 for none. */
  readonly errors: readonly number[];
  readonly out: readonly SentFrame[];
}

export interface Outcome {
  readonly out: readonly SentFrame[];
  readonly nowUs: number;
  /** Longest time, in seconds, by which something happened later than was written down: the machine was busy. */
  readonly stall: number;
  /** /proc/net/nf_conntrack. */
  readonly connections: string;
  /** `conntrack -L -o extended`, when asked for. */
  readonly listing: string | null;
  readonly log: readonly (readonly [level: number, line: string])[];
  /** `iptables-legacy-save -c`. */
  readonly saved: string;
}

export interface LoadResult {
  readonly code: number;
  readonly error: string;
}

/** What this machine lacks to run the suite; undefined: nothing. */
export function cannotRun(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  for (const tool of ['python3', 'ip', 'iptables-legacy-restore', 'ip6tables-legacy-restore', 'conntrack']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `no ${tool}`;
  }
  if (spawnSync('unshare', ['--net', 'iptables-legacy-save', '-t', 'filter']).status !== 0) {
    return 'the kernel gives no network namespace or no ip_tables';
  }
  return undefined;
}

export class Kernel {
  readonly family: Family;
  /** LOG lines can be read. */
  log = false;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: { resolve: (text: string) => void; reject: (e: Error) => void }[] = [];

  private constructor(family: Family) {
    this.family = family;
    const script = fileURLToPath(new URL('agent.py', import.meta.url));
    this.#process = spawn('python3', [script], { stdio: ['pipe', 'pipe', 'pipe'] });
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#waiting.shift()?.resolve(line));
    let complaint = '';
    this.#process.stderr.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-2000);
    });
    this.#process.on('exit', (code) => {
      for (const w of this.#waiting.splice(0)) w.reject(new Error(`agent ended (${code}): ${complaint}`));
    });
  }

  static async start(family: Family, options: { cpu?: number; log?: boolean } = {}): Promise<Kernel> {
    const kernel = new Kernel(family);
    const config = { op: 'init', family, cpu: options.cpu ?? null, log: options.log === true, ...AGENT_CONFIG };
    if (family === 4) config.settleSeconds = 0;
    kernel.log = (await kernel.#ask<{ log: boolean }>(config)).log;
    return kernel;
  }

  stop(): void {
    this.#process.stdin.end();
  }

  /**
   * Loads rule files one after the other (each replaces the tables that it names), with no connections left over.
   * `logs`: until the case is finished nobody else on the machine has a case that logs.
   */
  load(texts: readonly string[], fresh: boolean, logs: boolean): Promise<LoadResult> {
    return this.#ask({ op: 'load', texts, fresh, logs });
  }

  async send(injections: readonly Injection[]): Promise<SendResult> {
    const packets = injections.map((i) => [
      i.where,
      Buffer.from(i.bytes).toString('base64'),
      i.to ?? '',
      i.mark ?? 0,
      i.waitMs ?? 0,
    ]);
    const r = await this.#ask<{ times: number[]; errors: number[]; out: [number, string][] }>({ op: 'send', packets });
    return { timesUs: r.times, errors: r.errors, out: r.out.map(frame) };
  }

  async finish(listing: boolean): Promise<Outcome> {
    const r = await this.#ask<Omit<Outcome, 'out' | 'nowUs'> & { out: [number, string][]; now: number }>({
      op: 'finish',
      listing,
    });
    return { ...r, out: r.out.map(frame), nowUs: r.now };
  }

  /** Loads and saves without traffic. */
  save(texts: readonly string[]): Promise<LoadResult & { saved: string }> {
    return this.#ask({ op: 'save', texts, fresh: false, logs: false });
  }

  /** What the host under test prints of itself: the files of a bundle, by name. */
  bundle(): Promise<Readonly<Record<string, string>>> {
    return this.#ask({ op: 'bundle' });
  }

  #ask<T>(question: object): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        resolve: (text) => {
          const reply = JSON.parse(text) as T & { failed?: string };
          if (reply.failed !== undefined) reject(new Error(`agent: ${reply.failed}`));
          else resolve(reply);
        },
        reject,
      });
      this.#process.stdin.write(`${JSON.stringify(question)}\n`);
    });
  }
}

function frame([link, data]: readonly [number, string]): SentFrame {
  return { link, bytes: new Uint8Array(Buffer.from(data, 'base64')) };
}
