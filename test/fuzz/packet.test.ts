/**
 * Broken packets through whole hosts, with every event listened to: never an exception, and both engines agree on all
 * that can be seen. What lies behind a packet in the buffer differs between the two, so that a read past its end shows.
 * FUZZ_SEED varies the seed, FUZZ_PACKETS the packets of each host.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rng } from '../../src/base/rng.js';
import type { Source } from '../../src/base/source.js';
import { ETH_P_IP, ETH_P_IPV6, LinkLayer, locatePacket } from '../../src/capture/link-type.js';
import { CaptureReader, captureRecords } from '../../src/capture/reader.js';
import { printEntries } from '../../src/conntrack/print.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import type { BuildEngine, TraceSink } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import { parseBundle } from '../../src/host/bundle.js';
import type { HostEvents } from '../../src/host/event.js';
import { Host } from '../../src/host/host.js';
import type { HostConfig } from '../../src/host/host-config.js';
import type { HostPacket } from '../../src/host/host-packet.js';
import { describePacket } from '../../src/replay/describe.js';
import type { Chain, RuleSet } from '../../src/ruleset/model.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import {
  CLIENT_PORTS,
  farAddresses,
  hostAddresses,
  ownAddresses,
  SERVER_PORTS,
  VIRTUAL,
} from '../kernel/generate/pool.js';
import { arbRuleSet, ruleSetText } from '../kernel/generate/rule-set.js';
import { bytesOf, icmpBody, ipBytes, tcpBody, udpBody } from '../support/craft.js';
import { mutatePacket, pick } from '../support/mutate-packet.js';

const SEED = Number(process.env.FUZZ_SEED ?? 5);
const PACKETS = Number(process.env.FUZZ_PACKETS ?? 6000);
const GENERATED_HOSTS = 40;
const LONGEST_MS = 5000;

interface Subject {
  readonly name: string;
  readonly config: HostConfig;
  readonly ruleSet4: RuleSet | undefined;
  readonly ruleSet6: RuleSet | undefined;
  /** Packets that belong to this host's world, in an order that makes sense. */
  readonly packets: readonly Taken[];
}

interface Taken {
  readonly ip: Uint8Array;
  /** Device that it comes in by; 0: any. */
  readonly device: number;
  readonly isLocal: boolean;
}

/** A host that writes down all that it does. */
class Watched {
  readonly host: Host;
  readonly seen: string[] = [];

  constructor(subject: Subject, buildEngine: BuildEngine, everything: boolean) {
    const p = (packet: HostPacket) =>
      `${describePacket(packet)} ${packet.length} mark ${packet.mark} ct ${packet.ct} ${packet.ctInfo} route ${packet.route} ${packet.outDevice}`;
    const events: HostEvents = {
      sent: (frame) => {
        this.seen.push(
          `sent ${frame.device} ${Buffer.from(frame.bytes.subarray(frame.start, frame.end)).toString('hex')} ${frame.originalEnd - frame.start}`,
        );
      },
      delivered: (packet) => void this.seen.push(`delivered ${p(packet)}`),
      dropped: (packet, place, reason, cause) =>
        void this.seen.push(
          `dropped ${place} ${reason} ${cause?.table} ${cause?.decision.chain?.name} ${cause?.decision.ruleIndex} ${packet.family}`,
        ),
      log: (level, line) => void this.seen.push(`log ${level} ${line}`),
    };
    if (everything) {
      events.step = (packet, hook, kind, table, verdict) =>
        void this.seen.push(`step ${hook} ${kind} ${table} ${verdict} ${p(packet)}`);
      events.routed = (packet) => void this.seen.push(`routed ${packet.routeType} ${p(packet)}`);
      events.answering = (answer) => void this.seen.push(`answering ${p(answer)}`);
      events.answered = () => void this.seen.push('answered');
      events.held = (packet) => void this.seen.push(`held ${p(packet)}`);
    }
    const { config, ruleSet4, ruleSet6 } = subject;
    this.host = new Host(config, { ruleSet4, ruleSet6, buildEngine, seed: 3, events, assumeNeighbours: true });
    if (everything) for (const family of [4, 6] as const) this.host.engine(family)?.trace(this.#sink());
  }

  #sink(): TraceSink {
    const note =
      (event: string) =>
      (table: string, chain: Chain, ...rest: unknown[]) =>
        void this.seen.push(`${event} ${table} ${chain.name} ${rest.filter((x) => typeof x !== 'object').join(' ')}`);
    return {
      failed: note('failed'),
      matched: note('matched'),
      target: note('target'),
      returned: note('returned'),
      policy: note('policy'),
      hotdrop: note('hotdrop'),
    };
  }

  /** Counters, connections and drop counts. */
  books(): string {
    this.host.conntrack.sync();
    const rules = ([4, 6] as const).map((family) => {
      const engine = this.host.engine(family);
      return engine === undefined ? '' : printRuleSet(engine.snapshot(), { counters: true });
    });
    const drops = [...this.host.drops.entries()].join('\n');
    return [...rules, printEntries(this.host.conntrack.entries), drops].join('\n');
  }
}

/** Runs mutated packets through both engines. */
function compare(subject: Subject, seed: number, count: number, everything: boolean): void {
  const rng = new Rng(seed);
  const slow = new Watched(subject, referenceEngine, everything);
  const fast = new Watched(subject, compiledEngine, everything);
  const devices = subject.config.devices.map((_, i) => i + 1);
  let nowUs = 1_700_000_000_000_000;
  let at = 0;
  let last: Taken | undefined;
  for (let i = 0; i < count; i++) {
    // Some go by in their order and whole, so that connections come to life; some once more, as retransmissions do and as
    // short ways for packets of known connections want them; the others are broken on the way.
    const again = last !== undefined && rng.below(3) === 0;
    const inOrder = again || rng.below(2) === 0;
    const taken = again
      ? last!
      : inOrder
        ? subject.packets[at++ % subject.packets.length]!
        : pick(rng, subject.packets);
    if (inOrder) last = taken;
    const isWhole = again ? rng.below(2) === 0 : inOrder || rng.below(6) === 0;
    const original = taken.ip;
    const other = pick(rng, subject.packets).ip;
    const sameFamily = original[0]! >> 4 === other[0]! >> 4 ? other : original;
    const ip = isWhole ? original : mutatePacket(original, sameFamily, rng);
    nowUs += rng.below(400) === 0 ? rng.below(1_000_000_000) : rng.below(20_000);
    const isAsTaken = taken.device !== 0 && (inOrder || rng.below(2) === 0);
    const device = isAsTaken ? taken.device : pick(rng, devices);
    const isLocal = isAsTaken ? taken.isLocal : rng.below(6) === 0;
    const mac = subject.config.devices[device - 1]!.mac;
    const hasEthernet = mac !== undefined && !isLocal;
    const l3Off = hasEthernet ? 14 : rng.below(2) * 4;
    const originalSize = !inOrder && rng.below(10) === 0 ? ip.length + rng.below(2000) : ip.length;
    const pktType = !inOrder && rng.below(10) === 0 ? rng.below(4) : 0;
    const feed = (watched: Watched, tail: Uint8Array) => {
      const bytes = new Uint8Array(l3Off + ip.length + tail.length);
      if (hasEthernet) bytes.set([...mac, 2, 0, 0, 0, 9, i & 15, ...(ip[0]! >> 4 === 6 ? [0x86, 0xdd] : [8, 0])]);
      bytes.set(ip, l3Off);
      bytes.set(tail, l3Off + ip.length);
      const frame = {
        bytes,
        view: new DataView(bytes.buffer),
        start: 0,
        l3Off,
        capturedEnd: l3Off + ip.length,
        originalEnd: l3Off + originalSize,
        family: (original[0]! >> 4) as 4 | 6,
        device,
        macOff: hasEthernet ? 0 : -1,
        pktType,
        offloaded: originalSize > 1500 && (i & 1) === 0,
      };
      watched.host.clock.advanceTo(nowUs);
      if (isLocal) watched.host.sendLocal(frame);
      else watched.host.receive(frame);
    };
    const where = () =>
      `FUZZ_SEED=${SEED} ${subject.name} packet ${i} on device ${device}${isLocal ? ' (own)' : ''}, ${originalSize} bytes on the wire: ${Buffer.from(ip).toString('hex')}`;
    const before = performance.now();
    try {
      feed(slow, new Uint8Array(0));
      feed(fast, new Uint8Array(1 + rng.below(64)).fill(0x5a + i));
    } catch (error) {
      expect.fail(`${where()}\n${error instanceof Error ? error.stack : error}`);
    }
    if (performance.now() - before > LONGEST_MS) expect.fail(`${where()} took ${performance.now() - before} ms`);
    if (slow.seen.length !== fast.seen.length || slow.seen.some((line, n) => line !== fast.seen[n])) {
      expect(fast.seen, where()).toEqual(slow.seen);
    }
    slow.seen.length = 0;
    fast.seen.length = 0;
  }
  expect(fast.books(), `FUZZ_SEED=${SEED} ${subject.name}`).toBe(slow.books());
}

const read = (path: string): string => readFileSync(path, 'utf8');

/** IP packets of a recorded host's captures by time: those that came in, and those that it sent itself. */
function packetsOf(folder: string, config: HostConfig): Taken[] {
  const link = new LinkLayer();
  const all: (Taken & { readonly timeUs: number })[] = [];
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.pcap') && file !== 'any.pcap')) {
    const device = config.devices.findIndex((d) => `${d.name}.pcap` === name);
    const mac = config.devices[device]?.mac?.join();
    for (const record of captureRecords(readFileSync(join(folder, name)), new CaptureReader(name))) {
      const fault = locatePacket(record.linkType, record.view, record.off, record.capturedSize, link);
      if (fault !== undefined || (link.protocol !== ETH_P_IP && link.protocol !== ETH_P_IPV6)) continue;
      const ip = record.bytes.slice(link.l3Off, record.off + record.capturedSize);
      const isOut = link.macOff >= 0 && record.bytes.subarray(link.macOff + 6, link.macOff + 12).join() === mac;
      if (isOut && !(link.protocol === ETH_P_IP && isOwn4(config, ip))) continue;
      all.push({ ip, device: device + 1, isLocal: isOut, timeUs: record.timeUs });
    }
  }
  return all.sort((x, y) => x.timeUs - y.timeUs);
}

const isOwn4 = (config: HostConfig, ip: Uint8Array): boolean => {
  const src = new DataView(ip.buffer, ip.byteOffset).getUint32(12);
  return config.devices.some((d) => d.addresses.some((a) => a.family === 4 && a.address[0] === src));
};

function filesOf(folder: string): Map<string, Source> {
  const names = readdirSync(folder).filter((file) => file !== 'expected');
  return new Map(names.map((file) => [file, { name: file, text: read(join(folder, file)) }]));
}

function recordedHosts(): Subject[] {
  return readdirSync('rules', { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((scenario) => readdirSync(join('rules', scenario.name)).map((host) => `${scenario.name}/${host}`))
    .filter((name) => existsSync(join('pcaps', name)))
    .map((name) => {
      const folder = join('rules', name);
      const files = filesOf(folder);
      const { config } = parseBundle(files);
      const rules = (file: string, family: 4 | 6) =>
        files.has(file) ? parseRuleSet(files.get(file)!, { family }).ruleSet : undefined;
      return {
        name,
        config,
        ruleSet4: rules('iptables-save', 4),
        ruleSet6: rules('ip6tables-save', 6),
        packets: packetsOf(join('pcaps', name), config),
      };
    });
}

/** Packets of every protocol between the addresses that generated rules speak of. */
function crafted(family: 4 | 6, rng: Rng): Taken[] {
  const addresses = [...hostAddresses(family), ...ownAddresses(family), ...farAddresses(family), ...VIRTUAL[family]];
  const payload = () => new Uint8Array(rng.below(60)).fill(rng.u32());
  const make = (): Uint8Array => {
    const src = pick(rng, addresses);
    const dst = pick(rng, addresses);
    const sport = pick(rng, [...CLIENT_PORTS, ...SERVER_PORTS]);
    const dport = pick(rng, [...CLIENT_PORTS, ...SERVER_PORTS]);
    const kind = rng.below(8);
    if (kind < 3) {
      const flags = pick(rng, [2, 18, 16, 24, 17, 4]);
      return ipBytes({ src, dst, protocol: 6, body: tcpBody({ sport, dport, flags, payload: payload() }) });
    }
    if (kind < 5) return ipBytes({ src, dst, protocol: 17, body: udpBody(sport, dport, payload()) });
    if (kind === 5) {
      const types = family === 4 ? [8, 0, 13, 3] : [128, 129, 1, 135, 136];
      return ipBytes({
        src,
        dst,
        protocol: family === 4 ? 1 : 58,
        body: icmpBody(pick(rng, types), 0, [0, 1, 0, 1], payload()),
      });
    }
    const chunk = [pick(rng, [1, 2, 0, 7, 10]), 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1];
    const ports = [sport >> 8, sport & 255, dport >> 8, dport & 255];
    return ipBytes({
      src,
      dst,
      protocol: pick(rng, [132, 33, 136, 47, 50, 51]),
      body: bytesOf(ports, [0, 0, 0, 0, 0, 0, 0, 0], chunk),
      rawChecksum: true,
    });
  };
  return Array.from({ length: 300 }, () => ({ ip: make(), device: 0, isLocal: false }));
}

describe.each([
  ['told of all that happens', true],
  ['on the fast path', false],
])('%s', (_, everything) => {
  it.each(recordedHosts().map((subject) => [subject.name, subject] as const))('recorded host %s', (_name, subject) => {
    expect(subject.packets.length).toBeGreaterThan(40);
    compare(subject, SEED + (everything ? 0 : 1000), PACKETS, everything);
  });

  it.each([4, 6] as const)('generated rule sets, IPv%i', (family) => {
    const specs = fc.sample(arbRuleSet(family), { numRuns: GENERATED_HOSTS, seed: SEED });
    const { config } = parseBundle(filesOf('test/regression/bundle'));
    let loaded = 0;
    specs.forEach((spec, n) => {
      const parsed = parseRuleSet({ name: `generated ${n}`, text: ruleSetText(spec, false) }, { family });
      if (!parsed.ok) return;
      loaded++;
      const ruleSets = {
        ruleSet4: family === 4 ? parsed.ruleSet : undefined,
        ruleSet6: family === 6 ? parsed.ruleSet : undefined,
      };
      const packets = crafted(family, new Rng(SEED + n));
      compare(
        { name: `generated IPv${family} ${n}`, config, packets, ...ruleSets },
        SEED * 100 + n,
        PACKETS / 20,
        everything,
      );
    });
    expect(loaded).toBeGreaterThan(GENERATED_HOSTS / 3);
  });
});
