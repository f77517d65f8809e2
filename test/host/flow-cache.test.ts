/** The short way of established connections does what the long way does: frames, counters, connections, drops, log. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/base/clock.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import type { BuildEngine, Engine } from '../../src/engine/engine.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import type { InFrame, SentFrame } from '../../src/host/event.js';
import { Host } from '../../src/host/host.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { ACK, FIN, ipBytes, PSH, RST, SYN, tcpBody } from '../support/craft.js';

const SEED = 77;
const ETHERNET = 14;
const CLIENT_MAC = [2, 0, 0, 0, 9, 1];
const POD_MAC = [2, 0, 0, 0, 9, 2];
const CLIENTS = ['192.168.0.10', '192.168.0.11', '192.168.0.77'];
const SERVERS = ['10.0.0.5', '10.96.0.1'];

const HEAD = (table: string, ...chains: string[]): string[] => [`*${table}`, ...chains];
const FILTER = HEAD('filter', ':INPUT ACCEPT [0:0]', ':FORWARD ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]');
const NAT = HEAD(
  'nat',
  ':PREROUTING ACCEPT [0:0]',
  ':INPUT ACCEPT [0:0]',
  ':OUTPUT ACCEPT [0:0]',
  ':POSTROUTING ACCEPT [0:0]',
);
const STATES = '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT';

/** Rule files whose established packets may, may sometimes, and may never take the short way. */
const RULES: readonly (readonly [string, readonly string[]])[] = [
  ['tracking alone', [...FILTER, STATES, 'COMMIT']],
  [
    'service with masquerade',
    [
      ...NAT,
      '-A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.6:8080',
      '-A POSTROUTING -s 192.168.0.10/32 -j MASQUERADE',
      'COMMIT',
      ...FILTER,
      ':A - [0:0]',
      '-A FORWARD -j A',
      '-A A -m conntrack --ctstate INVALID -j DROP',
      '-A A -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      'COMMIT',
    ],
  ],
  ['the length decides', [...FILTER, '-A FORWARD -p tcp -m length --length 100:200 -j DROP', STATES, 'COMMIT']],
  ['a limit before', [...FILTER, '-A FORWARD -p tcp -m limit --limit 1/sec -j ACCEPT', STATES, 'COMMIT']],
  ['a limit for others', [...FILTER, '-A FORWARD -p udp -m limit --limit 1/sec -j ACCEPT', STATES, 'COMMIT']],
  ['a limit behind', [...FILTER, STATES, '-A FORWARD -m limit --limit 1/sec -j LOG', 'COMMIT']],
  ['a log of one direction', [...FILTER, '-A FORWARD -s 192.168.0.0/16 -j LOG --log-prefix x', STATES, 'COMMIT']],
  [
    'TTL, TOS and flags',
    [
      ...FILTER,
      '-A FORWARD -m ttl --ttl-eq 62 -j DROP',
      '-A FORWARD -m tos --tos 0x10/0x3f',
      '-A FORWARD -p tcp -m tcp --tcp-flags PSH PSH',
      STATES,
      'COMMIT',
    ],
  ],
  [
    'raw and mangle',
    [
      ...HEAD('raw', ':PREROUTING ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]'),
      '-A PREROUTING -s 192.168.0.77/32 -j TRACE',
      '-A PREROUTING -i eth0',
      'COMMIT',
      ...HEAD(
        'mangle',
        ':PREROUTING ACCEPT [0:0]',
        ':INPUT ACCEPT [0:0]',
        ':FORWARD ACCEPT [0:0]',
        ':OUTPUT ACCEPT [0:0]',
        ':POSTROUTING ACCEPT [0:0]',
      ),
      '-A FORWARD -s 192.168.0.11/32 -j TTL --ttl-set 9',
      '-A POSTROUTING -d 192.168.0.11/32 -j MARK --set-mark 1',
      'COMMIT',
      ...FILTER,
      STATES,
      'COMMIT',
    ],
  ],
];

/** The compiled engine as one that always walks. */
const walking: BuildEngine = (ruleSet, env) => {
  const engine = compiledEngine(ruleSet, env);
  return new Proxy<Engine>(engine, {
    get: (target, key) => {
      if (key === 'memo') return undefined;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
};

class Watched {
  readonly seen: unknown[] = [];
  readonly host: Host;
  readonly clock = new VirtualClock();
  last: Uint8Array | undefined;

  constructor(build: BuildEngine, rules: readonly string[]) {
    const { ruleSet, diagnostics } = parseRuleSet({ name: 'rules', text: `${rules.join('\n')}\n` }, { family: 4 });
    expect(diagnostics).toEqual([]);
    const { config } = makeDefaultHost({
      devices: ['eth0', 'cni0'],
      addresses: ['eth0=192.168.0.1/16', 'cni0=10.0.0.1/8'],
    });
    this.clock.advanceTo(1_700_000_000_000_000);
    const sysctl = new Map([['net.netfilter.nf_conntrack_acct', '1']]);
    const sent = ({ bytes, start, end, device, packet }: SentFrame): void => {
      this.last = bytes.slice(start, end);
      this.seen.push(['sent', device, Buffer.from(this.last).toString('hex'), packet.ct, packet.ctInfo, packet.ctDir]);
      const { f, l3Off, l4Off, wireEnd } = packet;
      this.seen.push([...f.subarray(0, 22)], [l3Off, l4Off, wireEnd, packet.fragmentHeaderOff, packet.origin]);
    };
    this.host = new Host(
      { ...config, sysctl },
      {
        ruleSet4: ruleSet,
        buildEngine: build,
        seed: 3,
        clock: this.clock,
        assumeNeighbours: true,
        events: {
          sent,
          dropped: (_, place, reason) => void this.seen.push(['dropped', place, reason]),
          log: (level, line) => void this.seen.push(['log', level, line]),
        },
      },
    );
  }

  receive(device: string, ip: Uint8Array): void {
    const mac = this.host.devices.at(this.host.deviceIndex(device))!;
    const bytes = new Uint8Array(ETHERNET + ip.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, mac.macHigh);
    view.setUint32(2, mac.macLow);
    bytes.set(device === 'eth0' ? CLIENT_MAC : POD_MAC, 6);
    view.setUint16(12, 0x0800);
    bytes.set(ip, ETHERNET);
    const end = bytes.length;
    const frame: InFrame = {
      bytes,
      view,
      start: 0,
      macOff: 0,
      l3Off: ETHERNET,
      capturedEnd: end,
      originalEnd: end,
      family: 4,
      device: this.host.deviceIndex(device),
      pktType: -1,
      offloaded: false,
    };
    this.last = undefined;
    this.host.receive(frame);
  }

  state(): unknown {
    const counters = this.host
      .engine(4)!
      .snapshot()
      .tables.map((t) =>
        [...t.chains.values()].map((c) => [c.name, c.packets, c.bytes, c.rules.map((r) => [r.packets, r.bytes])]),
      );
    return { counters, conntrack: this.host.conntrack.print(4), sent: [1, 2, 3].map((d) => this.host.sentCount(d)) };
  }
}

interface Step {
  readonly connection: number;
  readonly reply: boolean;
  readonly flags: number;
  /** Added to the sequence number that the connection is at. */
  readonly skip: number;
  readonly size: number;
  readonly ttl: number;
  readonly tos: number;
  readonly spoilt: boolean;
  readonly pauseMs: number;
  readonly options: boolean;
}

const rarely = <T>(common: T, ...rare: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(common) }, { weight: 1, arbitrary: fc.constantFrom(...rare) });

const step: fc.Arbitrary<Step> = fc.record({
  connection: fc.nat(3),
  reply: fc.boolean(),
  flags: fc.oneof(
    { weight: 10, arbitrary: fc.constant(ACK) },
    { weight: 4, arbitrary: fc.constant(ACK | PSH) },
    { weight: 1, arbitrary: fc.constantFrom(SYN, RST, RST | ACK, FIN | ACK, 0) },
  ),
  skip: rarely(0, -1, 1, 70_000, -100_000, 0x7fffffff),
  size: fc.constantFrom(0, 0, 1, 7, 100, 160, 1460),
  ttl: rarely(64, 1, 2, 62),
  tos: rarely(0, 0x10),
  spoilt: rarely(false, true),
  pauseMs: rarely(1, 1000, 400_000, 433_000_000),
  options: rarely(false, true),
});

/** The connection as each side of the capture sees it. */
class Talk {
  readonly #client: string;
  readonly #server: string;
  readonly #port: number;
  #seq = [1000, 5000];
  /** What a pod sees, once a packet has come through: addresses and ports as they left. */
  #seen: { src: string; dst: string; sport: number; dport: number } | undefined;

  constructor(i: number) {
    this.#client = CLIENTS[i % CLIENTS.length]!;
    this.#server = SERVERS[i % SERVERS.length]!;
    this.#port = 40_000 + i;
  }

  packet(s: Pick<Step, 'reply' | 'flags' | 'skip' | 'size' | 'ttl' | 'tos' | 'spoilt' | 'options'>): Uint8Array {
    const side = s.reply ? 1 : 0;
    const seen = this.#seen ?? { src: this.#client, dst: this.#server, sport: this.#port, dport: 80 };
    const [src, dst, sport, dport] = s.reply
      ? [seen.dst, seen.src, seen.dport, seen.sport]
      : [this.#client, this.#server, this.#port, 80];
    const seq = (this.#seq[side]! + s.skip) >>> 0;
    const body = tcpBody({
      sport,
      dport,
      flags: s.flags,
      seq,
      ack: (s.flags & ACK) !== 0 ? this.#seq[1 - side]! : 0,
      payload: new Uint8Array(s.size).fill(0x5a),
      options: s.options ? [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] : [],
    });
    if (s.skip === 0 && !s.spoilt)
      this.#seq[side] = (seq + s.size + (s.flags & SYN ? 1 : 0) + (s.flags & FIN ? 1 : 0)) >>> 0;
    const ip = ipBytes({ src, dst, protocol: 6, body, ttl: s.ttl, tos: s.tos });
    if (s.spoilt) ip[ip.length - 1]! ^= 1;
    return ip;
  }

  /** The frame that left, of a packet of the client. */
  forwarded(frame: Uint8Array | undefined): void {
    if (frame === undefined) return;
    const text = (at: number): string => [...frame.subarray(at, at + 4)].join('.');
    const view = new DataView(frame.buffer, frame.byteOffset);
    const l3 = ETHERNET;
    this.#seen = {
      src: text(l3 + 12),
      dst: text(l3 + 16),
      sport: view.getUint16(l3 + 20),
      dport: view.getUint16(l3 + 22),
    };
  }
}

const PLAIN = { skip: 0, size: 0, ttl: 64, tos: 0, spoilt: false, options: false };

describe.each(RULES)('%s', (_, rules) => {
  it('the short way does what the long way does', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }), (steps) => {
        const long = new Watched(walking, rules);
        const short = new Watched(compiledEngine, rules);
        const talks = [0, 1, 2, 3].map((i) => new Talk(i));
        const both = (talk: Talk, s: Parameters<Talk['packet']>[0]): void => {
          const ip = talk.packet(s);
          for (const host of [long, short]) host.receive(s.reply ? 'cni0' : 'eth0', ip.slice());
          if (!s.reply) talk.forwarded(long.last);
          expect(short.seen.splice(0)).toEqual(long.seen.splice(0));
        };
        for (const talk of talks) {
          both(talk, { ...PLAIN, reply: false, flags: SYN });
          both(talk, { ...PLAIN, reply: true, flags: SYN | ACK });
          both(talk, { ...PLAIN, reply: false, flags: ACK });
        }
        for (const s of steps) {
          for (const host of [long, short]) host.clock.advanceTo(host.clock.nowUs + s.pauseMs * 1000);
          both(talks[s.connection]!, s);
        }
        expect(short.state()).toEqual(long.state());
      }),
      { seed: SEED, numRuns: 25 },
    );
  });
});

it('a patch of the rules ends every short way', () => {
  const host = new Watched(compiledEngine, RULES[0]![1]);
  const talk = new Talk(0);
  host.receive('eth0', talk.packet({ ...PLAIN, reply: false, flags: SYN }));
  talk.forwarded(host.last);
  host.receive('cni0', talk.packet({ ...PLAIN, reply: true, flags: SYN | ACK }));
  for (let i = 0; i < 5; i++) host.receive('eth0', talk.packet({ ...PLAIN, reply: false, flags: ACK }));
  expect(host.last).toBeDefined();
  const engine = host.host.engine(4)!;
  expect(engine.counted('filter', 'FORWARD', 0)).toMatchObject({ packets: 6 });
  const [rule] = engine.snapshot().tables[0]!.chains.get('FORWARD')!.rules;
  const dropped = { ...rule!, target: { kind: 'verdict', verdict: 'DROP' } as const, packets: 0n, bytes: 0n };
  engine.apply([{ table: 'filter', changes: [{ kind: 'replace', chain: 'FORWARD', index: 0, rule: dropped }] }]);
  host.receive('eth0', talk.packet({ ...PLAIN, reply: false, flags: ACK }));
  expect(host.last).toBeUndefined();
  expect(engine.counted('filter', 'FORWARD', 0)).toMatchObject({ packets: 1 });
});
