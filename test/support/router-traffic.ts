/**
 * Random traffic of a router between a LAN and the outside, as a capture: connections that share sources and ports so that
 * NAT has to search, answers to what the router really sent, fragments, errors, pings, packets for the router itself.
 */
import { Rng } from '../../src/base/rng.js';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import type { HostConfig } from '../../src/host/host-config.js';
import { makeReplayHost } from '../../src/replay/replay-host.js';
import type { RuleSet } from '../../src/ruleset/model.js';
import { Packet } from '../../src/wire/packet.js';
import { ACK, be16, be32, bytesOf, FIN, icmpBody, ipBytes, PSH, RST, SYN, tcpBody, udpBody } from './craft.js';
import { asFragment4, asFragment6, shortened4 } from './fragment.js';

const MACS = { lan: [2, 0, 0, 0, 0, 1], wan: [2, 0, 0, 0, 0, 2] } as const;
type Device = 'lan' | 'wan';
const DEVICES: readonly Device[] = ['lan', 'wan'];

export interface Traffic {
  readonly config: HostConfig;
  readonly capture: Uint8Array;
}

export interface TrafficOptions {
  readonly seed: number;
  readonly records: number;
  readonly ruleSets: readonly RuleSet[];
  /** Share of the frames that the router sends which the capture holds too. */
  readonly seenLeaving: number;
  readonly sysctl?: ReadonlyMap<string, string>;
  /** Connections from before, as `conntrack -L`. */
  readonly conntrack?: string;
}

interface Waiting {
  readonly device: Device;
  readonly bytes: Uint8Array;
  readonly isOut: boolean;
}

const CLIENTS = ['192.168.0.10', '192.168.0.11', '192.168.0.12', '192.168.0.13', '192.168.0.14'];
const TARGETS = ['198.51.100.1', '198.51.100.2', '203.0.113.9', '10.96.0.1', '10.96.0.1', '192.168.0.20'];
const OWN = ['192.168.0.1', '203.0.113.1'];
const CLIENTS6 = ['fd00:a::10', 'fd00:a::11'];
const TARGETS6 = ['fd00:b::1', 'fd00:b::9', 'fd00:c::1', 'fd00:a::1'];
const PORTS = [5000, 5001, 5002, 700];

export function routerTraffic(options: TrafficOptions): Traffic {
  const plain = makeDefaultHost({
    devices: DEVICES,
    addresses: ['lan=192.168.0.1/24', 'wan=203.0.113.1/24', 'lan=fd00:a::1/64', 'wan=fd00:b::1/64'],
    routes: ['default,203.0.113.254,wan', 'default,fd00:b::fe,wan'],
    macs: new Map(DEVICES.map((name) => [name, Uint8Array.from(MACS[name])])),
  }).config;
  const config: HostConfig = {
    ...plain,
    sysctl: new Map([...plain.sysctl, ...(options.sysctl ?? [])]),
    ...(options.conntrack === undefined ? {} : { conntrack: options.conntrack }),
  };
  return { config, capture: new Generator(config, options).run() };
}

class Generator {
  readonly #options: TrafficOptions;
  readonly #rng: Rng;
  readonly #writer = new PcapngWriter();
  readonly #made;
  readonly #waiting: Waiting[] = [];
  readonly #sent: Uint8Array[] = [];
  #seconds = 1000;
  #nanoseconds = 0;
  #count = 0;

  constructor(config: HostConfig, options: TrafficOptions) {
    this.#options = options;
    this.#rng = new Rng(options.seed);
    for (const name of DEVICES) this.#writer.addInterface(name, 1);
    this.#made = makeReplayHost(config, {
      ruleSet4: options.ruleSets.find((r) => r.family === 4),
      ruleSet6: options.ruleSets.find((r) => r.family === 6),
      buildEngine: compiledEngine,
      seed: options.seed,
      assumeNeighbours: true,
    });
    this.#made.connect({
      sent: ({ device, bytes, packet, end, origin }) => {
        const name = this.#made.host.devices.at(device)!.name;
        if (name !== 'lan' && name !== 'wan') return;
        const ip = bytes.slice(packet.l3Off, end);
        if (this.#chance(options.seenLeaving)) this.#waiting.unshift({ device: name, bytes: ip, isOut: true });
        if (origin === 'answer') return;
        this.#sent.push(ip);
        const answer = this.#chance(0.7) ? answerTo(ip) : undefined;
        if (answer !== undefined) this.#waiting.push({ device: name, bytes: answer, isOut: false });
      },
    });
  }

  run(): Uint8Array {
    while (this.#count < this.#options.records) {
      const next = this.#waiting.length > 0 && this.#chance(0.6) ? this.#waiting.shift() : undefined;
      if (next === undefined) this.#begin();
      else this.#record(next.device, next.bytes, next.isOut);
    }
    return this.#writer.take();
  }

  #chance(p: number): boolean {
    return this.#rng.u32() < p * 0x1_0000_0000;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#rng.below(list.length)]!;
  }

  #record(device: Device, ip: Uint8Array, isOut: boolean): void {
    this.#count++;
    // Mostly soon after, at times long after, rarely before.
    const step = this.#chance(0.01) ? 45_000 : this.#chance(0.03) ? -3 : this.#chance(0.1) ? 1200 : 1;
    const total = this.#seconds * 1000 + Math.floor(this.#nanoseconds / 1e6) + step;
    this.#seconds = Math.floor(total / 1000);
    this.#nanoseconds = (total % 1000) * 1e6 + this.#count;
    const peer = bytesOf(2, 0, 0, 1, device === 'lan' ? 1 : 2, ip[15]! & 7);
    const type = ip[0]! >> 4 === 4 ? [8, 0] : [0x86, 0xdd];
    const own = MACS[device];
    const frame = isOut ? bytesOf(peer, own, type, ip) : bytesOf(own, peer, type, ip);
    this.#writer.addPacket(
      DEVICES.indexOf(device),
      this.#seconds,
      this.#nanoseconds,
      frame,
      0,
      frame.length,
      frame.length,
      isOut ? 2 : 1,
    );
    if (isOut) return;
    const { host } = this.#made;
    host.clock.advanceTo(this.#seconds * 1e6 + Math.floor(this.#nanoseconds / 1000));
    host.runTimers();
    host.beginTurn(2 * this.#count + 1);
    host.receive({
      bytes: frame,
      view: new DataView(frame.buffer),
      start: 0,
      l3Off: 14,
      capturedEnd: frame.length,
      originalEnd: frame.length,
      family: ip[0]! >> 4 === 4 ? 4 : 6,
      device: host.deviceIndex(device),
      macOff: 0,
      pktType: -1,
      offloaded: false,
    });
  }

  /** Somebody sends something of its own accord. */
  #begin(): void {
    const is6 = this.#chance(0.15);
    const outside = this.#chance(0.15);
    let src = this.#pick(is6 ? CLIENTS6 : CLIENTS);
    let dst = this.#pick(is6 ? TARGETS6 : this.#chance(0.2) ? OWN : TARGETS);
    if (outside)
      [src, dst] = is6 ? ['fd00:b::9', 'fd00:a::10'] : [this.#pick(['203.0.113.9', '198.51.100.1']), OWN[1]!];
    const device = outside ? 'wan' : 'lan';
    const sport = this.#pick(PORTS);
    const ttl = this.#chance(0.05) ? 1 : 64;
    const id = this.#rng.below(4);
    const say = (protocol: number, body: Uint8Array): void =>
      this.#record(device, ipBytes({ src, dst, protocol, ttl, id, body }), false);
    const kind = this.#rng.below(20);
    if (kind < 9) {
      const flags = this.#pick([SYN, SYN, SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST]);
      const dport = this.#pick([80, 80, 80, 443, 23, 9]);
      const seq = this.#rng.below(3) * 1000;
      say(
        6,
        tcpBody({
          sport,
          dport,
          flags,
          seq,
          ack: (flags & ACK) === 0 ? 0 : 1,
          payload: new Uint8Array(this.#rng.below(8)),
        }),
      );
    } else if (kind < 14) {
      say(17, udpBody(sport, this.#pick([53, 53, 123, 9]), new Uint8Array(this.#rng.below(9))));
    } else if (kind < 16) {
      say(is6 ? 58 : 1, icmpBody(is6 ? 128 : 8, 0, be16(this.#rng.below(3)), be16(1), [1, 2, 3, 4]));
    } else if (kind < 18) {
      this.#pieces(device, src, dst, sport, id, is6);
    } else if (kind === 18 && this.#sent.length > 0) {
      const quoted = this.#pick(this.#sent.slice(-20));
      const from6 = quoted[0]! >> 4 === 6;
      const back = ipBytes({
        src: from6 ? 'fd00:c::1' : '198.51.100.77',
        dst: sourceOf(quoted),
        protocol: from6 ? 58 : 1,
        body: icmpBody(from6 ? 1 : 3, from6 ? 4 : 3, be32(0), quoted.slice(0, 60)),
      });
      this.#record('wan', back, false);
    } else {
      say(this.#pick([47, 50, 132, 200]), new Uint8Array(16));
    }
  }

  /** A datagram in three pieces, of which one may be lost. */
  #pieces(device: Device, src: string, dst: string, sport: number, id: number, is6: boolean): void {
    const whole = ipBytes({ src, dst, protocol: 17, id, body: udpBody(sport, 53, new Uint8Array(60).fill(7)) });
    const size = whole.length;
    const head = is6 ? 40 : 20;
    const lost = this.#chance(0.3) ? this.#rng.below(3) : -1;
    [0, 24, 48].forEach((from, i) => {
      if (i === lost) return;
      const to = Math.min(from + 24, size - head);
      const part = bytesOf(whole.slice(0, head), whole.slice(head + from, head + to));
      const more = to < size - head;
      if (is6) {
        new DataView(part.buffer).setUint16(4, part.length - 40);
        this.#record(device, asFragment6(part, from, more), false);
      } else this.#record(device, asFragment4(shortened4(part, part.length), from / 8, more), false);
    });
  }
}

function sourceOf(ip: Uint8Array): string {
  if (ip[0]! >> 4 === 4) return ip.slice(12, 16).join('.');
  const view = new DataView(ip.buffer, ip.byteOffset);
  return [0, 1, 2, 3, 4, 5, 6, 7].map((i) => view.getUint16(8 + 2 * i).toString(16)).join(':');
}

/** What the other end says to a packet; undefined: nothing. */
function answerTo(ip: Uint8Array): Uint8Array | undefined {
  const p = new Packet();
  p.reset();
  p.attach(ip, new DataView(ip.buffer, ip.byteOffset, ip.byteLength));
  const is6 = ip[0]! >> 4 === 6;
  if ((is6 ? p.parse6(0, ip.length, ip.length) : p.parse4(0, ip.length, ip.length)) !== 0 || p.isFragment)
    return undefined;
  const swapped = ip.slice();
  const size = is6 ? 16 : 4;
  const at = is6 ? 8 : 12;
  swapped.set(ip.subarray(at, at + size), at + size);
  swapped.set(ip.subarray(at + size, at + 2 * size), at);
  const from = { src: sourceOf(swapped), dst: sourceOf(ip) };
  const view = p.view;
  if (p.protocol === 6 && ip.length >= p.l4Off + 20) {
    const flags = ip[p.l4Off + 13]!;
    if ((flags & RST) !== 0) return undefined;
    const back = (flags & SYN) !== 0 ? SYN | ACK : ACK | (flags & FIN);
    const ack = view.getUint32(p.l4Off + 4) + ((flags & (SYN | FIN)) !== 0 ? 1 : 0);
    const body = tcpBody({ sport: p.dstPort, dport: p.srcPort, flags: back, seq: view.getUint32(p.l4Off + 8), ack });
    return ipBytes({ ...from, protocol: 6, body });
  }
  if (p.protocol === 17 && ip.length >= p.l4Off + 8)
    return ipBytes({ ...from, protocol: 17, body: udpBody(p.dstPort, p.srcPort, new Uint8Array(5)) });
  if (p.protocol === (is6 ? 58 : 1) && ip[p.l4Off] === (is6 ? 128 : 8)) {
    const body = ip.slice(p.l4Off);
    body[0] = is6 ? 129 : 0;
    return ipBytes({ ...from, protocol: p.protocol, body });
  }
  return undefined;
}
