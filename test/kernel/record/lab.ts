/**
 * A laboratory of network namespaces on one machine: hosts, the segments that join them, programs that talk, captures, and
 * bundles. Everything it makes is named `cwr-…` and removed by `destroy`, whatever happened before.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collectScript } from '../../../src/cli/collect-script.js';

const PREFIX = 'cwr-';
const TALK = new URL('./talk.py', import.meta.url).pathname;
const CAPTURE_SETTLE_MS = 700;

export interface Port {
  readonly host: string;
  readonly interface: string;
  readonly addresses: readonly string[];
}

interface Capture {
  readonly process: ChildProcess;
  readonly label: string;
  readonly messages: string[];
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Lab {
  /** Whether the virtual cards leave checksums and segmentation to each other, as they do by default. */
  readonly offload: boolean;
  readonly #hosts: string[] = [];
  readonly #programs: ChildProcess[] = [];
  readonly #captures: Capture[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'chainwalk-record-'));
  #linkCount = 0;

  constructor(offload: boolean) {
    this.offload = offload;
    writeFileSync(join(this.#folder, 'collect.sh'), collectScript());
  }

  /** A network namespace that forwards if `forwards`, quiet: nothing in it sends unless told to. */
  host(name: string, forwards = false): void {
    run('ip', ['netns', 'add', PREFIX + name]);
    this.#hosts.push(name);
    const settings = ['all', 'default'].flatMap((scope) => [
      `net.ipv4.conf.${scope}.send_redirects=0`,
      `net.ipv6.conf.${scope}.accept_ra=0`,
      `net.ipv6.conf.${scope}.accept_dad=0`,
      `net.ipv6.conf.${scope}.dad_transmits=0`,
      `net.ipv6.conf.${scope}.autoconf=0`,
      `net.ipv6.conf.${scope}.router_solicitations=0`,
      `net.ipv6.conf.${scope}.mldv2_unsolicited_report_interval=100`,
    ]);
    // The kernel limits ICMP errors by a clock with a random part; a recording must not depend on it.
    settings.push('net.ipv4.icmp_ratemask=0', 'net.ipv6.icmp.ratelimit=0', 'net.ipv4.ip_local_port_range=50000 60000');
    if (forwards) settings.push('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    // Bridged frames stay below the IP hooks, as on a host without br_netfilter.
    settings.push('net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0');
    this.sysctl(name, ...settings);
    this.exec(name, 'ip', 'link', 'set', 'lo', 'up');
  }

  sysctl(host: string, ...settings: string[]): void {
    for (const setting of settings) this.exec(host, 'sysctl', '-q', '-w', setting);
  }

  /** Runs a command in a host and returns what it printed. */
  exec(host: string, ...command: string[]): string {
    return run('ip', ['netns', 'exec', PREFIX + host, ...command]);
  }

  /** A cable between two hosts. */
  cable(a: Port, b: Port): void {
    const number = ++this.#linkCount;
    this.#pair(a.host, a.interface, b.host, b.interface, number);
    this.#address(a);
    this.#address(b);
    this.#introduce([a, b]);
  }

  /**
   * A bridge `name` in `host`, its ports named veth…, the others behind it. With addresses the bridge is an interface of the host,
   * without it is just a switch.
   */
  bridge(host: string, name: string, addresses: readonly string[], others: readonly Port[]): void {
    const number = ++this.#linkCount;
    this.exec(host, 'ip', 'link', 'add', name, 'address', mac(number, 0xff), 'type', 'bridge', 'mcast_snooping', '0');
    const self = { host, interface: name, addresses };
    for (const [index, other] of others.entries()) {
      const port = `veth${number}p${index}`;
      this.#pair(host, port, other.host, other.interface, number, index * 2);
      this.exec(host, 'ip', 'link', 'set', port, 'master', name, 'up');
      this.#address(other);
    }
    this.#address(self);
    this.#introduce(addresses.length === 0 ? others : [self, ...others]);
  }

  #pair(a: string, nameA: string, b: string, nameB: string, number: number, index = 0): void {
    const [first, second] = [`cwr${number}a${index}`, `cwr${number}b${index}`];
    run('ip', ['link', 'add', first, 'type', 'veth', 'peer', 'name', second]);
    for (const [from, host, name, last] of [
      [first, a, nameA, index],
      [second, b, nameB, index + 1],
    ] as const) {
      run('ip', ['link', 'set', from, 'netns', PREFIX + host, 'name', name, 'address', mac(number, last)]);
    }
  }

  #address(port: Port): void {
    if (!this.offload) {
      const off = ['tx', 'rx', 'sg', 'tso', 'gso', 'gro'].flatMap((feature) => [feature, 'off']);
      tryRun('ip', ['netns', 'exec', PREFIX + port.host, 'ethtool', '-K', port.interface, ...off]);
      // TCP always hands down segments to be cut later, which the rules count as one packet and a capture shows as many.
      this.exec(port.host, 'ip', 'link', 'set', port.interface, 'gso_max_segs', '1');
    }
    this.exec(port.host, 'ip', 'link', 'set', port.interface, 'up');
    for (const address of port.addresses) {
      const nodad = address.includes(':') ? ['nodad'] : [];
      this.exec(port.host, 'ip', 'addr', 'add', address, 'dev', port.interface, ...nodad);
    }
  }

  /** Tells everybody on a segment who the others are, so that nobody has to ask. */
  #introduce(ports: readonly Port[]): void {
    for (const port of ports) {
      const link = JSON.parse(this.exec(port.host, 'ip', '-j', 'addr', 'show', 'dev', port.interface))[0];
      const own = link.addr_info.map((a: { local: string }) => a.local) as string[];
      for (const other of ports) {
        if (other === port) continue;
        for (const address of own) this.neighbour(other, address, link.address as string);
      }
    }
  }

  macOf(host: string, name: string): string {
    return JSON.parse(this.exec(host, 'ip', '-j', 'link', 'show', 'dev', name))[0].address as string;
  }

  neighbour(port: Pick<Port, 'host' | 'interface'>, address: string, lladdr: string): void {
    const entry = [address, 'lladdr', lladdr, 'dev', port.interface, 'nud', 'permanent'];
    this.exec(port.host, 'ip', 'neigh', 'replace', ...entry);
  }

  route(host: string, ...words: string[]): void {
    this.exec(host, 'ip', ...(words[0]?.includes(':') ? ['-6'] : []), 'route', 'add', ...words);
  }

  /** Loads rules, which also puts every counter, list and limit to its start. */
  restore(host: string, version: 4 | 6, rules: string): void {
    const command = version === 4 ? 'iptables-legacy-restore' : 'ip6tables-legacy-restore';
    execFileSync('ip', ['netns', 'exec', PREFIX + host, command], { input: rules });
  }

  /** Starts one of the programs of talk.py and waits until it is ready. */
  async serve(host: string, ...command: string[]): Promise<ChildProcess> {
    const program = spawn('ip', ['netns', 'exec', PREFIX + host, 'python3', TALK, ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#programs.push(program);
    await waitFor(program, program.stdout, /ready/);
    return program;
  }

  /** Runs one of the programs of talk.py to its end. */
  talk(host: string, ...command: string[]): void {
    const printed = this.exec(host, 'python3', TALK, ...command).trim();
    process.stderr.write(
      `  ${host}: ${command.join(' ')}${printed === '' ? '' : `\n    ${printed.replaceAll('\n', '\n    ')}`}\n`,
    );
  }

  /** Captures on each named interface of a host into `folder`/IFACE.pcap; `any` is the cooked one. */
  async capture(host: string, interfaces: readonly string[], folder: string): Promise<void> {
    mkdirSync(folder, { recursive: true });
    for (const name of interfaces) {
      const cooked = name === 'any' ? ['-y', 'LINUX_SLL2'] : [];
      const options = ['-i', name, ...cooked, '-n', '-U', '-B', '8192', '--immediate-mode'];
      const file = ['--time-stamp-precision=nano', '-Z', 'root', '-w', join(folder, `${name}.pcap`)];
      const child = spawn('ip', ['netns', 'exec', PREFIX + host, 'tcpdump', ...options, ...file], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const messages: string[] = [];
      child.stderr.on('data', (text) => messages.push(String(text)));
      this.#captures.push({ process: child, label: `${host} ${name}`, messages });
      await waitFor(child, child.stderr, /listening on/);
    }
    await sleep(200);
  }

  /** Ends all captures, after what is under way has been written. A lost packet is an error. */
  async stopCaptures(): Promise<void> {
    await sleep(CAPTURE_SETTLE_MS);
    for (const { process: child, label, messages } of this.#captures.splice(0)) {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGINT');
      await ended;
      const text = messages.join('');
      if (!/\b0 packets dropped by kernel/.test(text)) throw new Error(`capture ${label} lost packets: ${text}`);
      process.stderr.write(`  captured ${label}: ${/(\d+) packets? captured/.exec(text)?.[1]} packets\n`);
    }
  }

  /** Runs the script of `chainwalk collect` in a host. */
  collect(host: string, folder: string): void {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    this.exec(host, 'sh', join(this.#folder, 'collect.sh'), folder);
  }

  /** What the host looks like now, as far as traffic changes it: rules with counters, and connections by family. */
  collectExpected(host: string, folder: string): void {
    const after = join(this.#folder, `after-${host}`);
    this.collect(host, after);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const name of ['iptables-save', 'ip6tables-save', 'time']) {
      if (existsSync(join(after, name))) copyFileSync(join(after, name), join(folder, name));
    }
    const lines = readFileSync(join(after, 'conntrack'), 'utf8').split('\n');
    const of = (family: string): string =>
      lines
        .filter((l) => l.startsWith(family))
        .map((l) => `${l}\n`)
        .join('');
    writeFileSync(join(folder, 'conntrack'), of('ipv4'));
    writeFileSync(join(folder, 'conntrack6'), of('ipv6'));
  }

  /** Ends all programs and removes all namespaces. */
  destroy(): void {
    for (const child of [...this.#programs, ...this.#captures.map((c) => c.process)]) child.kill('SIGKILL');
    for (const name of this.#hosts.reverse()) tryRun('ip', ['netns', 'del', PREFIX + name]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Locally administered, and telling: link number, then the end of the link. */
function mac(link: number, end: number): string {
  const hex = (byte: number): string => byte.toString(16).padStart(2, '0');
  return `02:00:00:00:${hex(link)}:${hex(end)}`;
}

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 });
}

function tryRun(command: string, args: readonly string[]): void {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: 60_000 });
  } catch {
    // Gone already, or not something this device can do: both are fine where this is used.
  }
}

function waitFor(child: ChildProcess, stream: NodeJS.ReadableStream, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`no ${pattern} in time: ${text}`)), 15_000);
    const done = (then: () => void): void => {
      clearTimeout(timer);
      then();
    };
    stream.on('data', (part) => {
      text += String(part);
      if (pattern.test(text)) done(resolve);
    });
    child.once('close', (code) => done(() => reject(new Error(`ended with ${code} before ${pattern}: ${text}`))));
  });
}
