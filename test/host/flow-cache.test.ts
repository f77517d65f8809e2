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
import { parseAddress } from '../support/address.js';
import { ACK, FIN, ipBytes, PSH, RST, SYN, tcpBody, udpBody } from '../support/craft.js';

const SEED = 77;
const ETHERNET = 14;
const CLIENT_MAC = [2, 0, 0, 0, 9, 1];
const POD_MAC = [2, 0, 0, 0, 9, 2];
const CLIENTS = ['192.168.0.10', '192.168.0.11', '192.168.0.77'];
const SERVERS = ['10.0.0.5', '10.96.0.1'];

/** The IPv6 twin of an address or prefix: its words lie in all four parts, so that none is overlooked. */
function twin(text: string): string {
  const [address, length] = text.split('/');
  const [a, b, c, d] = address!.split('.').map((part) => Number(part).toString(16));
  const prefix = length === undefined ? '' : `/${{ 32: 128, 16: 112, 8: 16 }[length]}`;
  if (length === '16') return `fd${a!.padStart(2, '0')}:0:${b}::/48`;
  if (length === '8') return `fd${a!.padStart(2, '0')}::${prefix}`;
  return `fd${a!.padStart(2, '0')}:0:${b}:0:${c}::${d}${prefix}`;
}

/** The same rules for IPv6. */
function twinRules(rules: readonly string[]): string[] {
  return rules.map((rule) =>
    rule
      .replace(/(\d+\.\d+\.\d+\.\d+):(\d+)/g, (_, address: string, port: string) => `[${twin(address)}]:${port}`)
      .replace(/(?<![[:\w])\d+\.\d+\.\d+\.\d+(\/\d+)?(?![:\]])/g, (address) => twin(address))
      .replace('-m ttl --ttl-eq', '-m hl --hl-eq')
      .replace('-j TTL --ttl-set', '-j HL --hl-set'),
  );
}

const HEAD = (table: string, ...chains: string[]): string[] => [`*${table}`, ...chains];
const FILTER = HEAD('filter', ':INPUT ACCEPT [0:0]', ':FORWARD ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]');
const NAT = HEAD(
  'nat',
  ':PREROUTING ACCEPT [0:0]',
  ':INPUT ACCEPT [0:0]',
  ':OUTPUT ACCEPT [0:0]',
  ':POSTROUTING ACCEPT [0:0]',
);
const MANGLE = HEAD(
  'mangle',
  ':PREROUTING ACCEPT [0:0]',
  ':INPUT ACCEPT [0:0]',
  ':FORWARD ACCEPT [0:0]',
  ':OUTPUT ACCEPT [0:0]',
  ':POSTROUTING ACCEPT [0:0]',
);
const STATES = '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT';

/** Rule files, whether some of their established packets take the short way, and the rules. */
const RULES: readonly (readonly [string, boolean, readonly string[]])[] = [
  ['tracking alone', true, [...FILTER, STATES, 'COMMIT']],
  [
    'service with masquerade',
    true,
    [
      ...NAT,
      '-A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.6:8080',
      '-A PREROUTING -d 10.96.0.1/32 -p udp -m udp --dport 80 -j DNAT --to-destination 10.0.0.6:8080',
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
  ['the length decides', false, [...FILTER, '-A FORWARD -m length --length 100:200 -j DROP', STATES, 'COMMIT']],
  ['a limit before', false, [...FILTER, '-A FORWARD -m limit --limit 1/sec -j ACCEPT', STATES, 'COMMIT']],
  ['a limit for others', true, [...FILTER, '-A FORWARD -p icmp -m limit --limit 1/sec -j ACCEPT', STATES, 'COMMIT']],
  ['a limit behind', true, [...FILTER, STATES, '-A FORWARD -m limit --limit 1/sec -j LOG', 'COMMIT']],
  ['a log of one direction', true, [...FILTER, '-A FORWARD -s 192.168.0.0/16 -j LOG --log-prefix x', STATES, 'COMMIT']],
  [
    'TTL, TOS and flags',
    true,
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
    true,
    [
      ...HEAD('raw', ':PREROUTING ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]'),
      '-A PREROUTING -s 192.168.0.77/32 -j TRACE',
      '-A PREROUTING -i eth0',
      'COMMIT',
      ...MANGLE,
      '-A FORWARD -s 192.168.0.11/32 -j TTL --ttl-set 9',
      '-A POSTROUTING -d 192.168.0.11/32 -j MARK --set-mark 1',
      'COMMIT',
      ...FILTER,
      STATES,
      'COMMIT',
    ],
  ],
  [
    'marks kept by the connection',
    true,
    [
      ...MANGLE,
      '-A PREROUTING -j CONNMARK --restore-mark',
      '-A PREROUTING -m mark --mark 0x0 -s 192.168.0.10/32 -j MARK --set-xmark 0x5/0xffffffff',
      '-A PREROUTING -m mark --mark 0x0 -j MARK --set-xmark 0x8/0xffffffff',
      '-A PREROUTING -m connmark --mark 0x0 -j CONNMARK --save-mark',
      '-A POSTROUTING -m mark --mark 0x5 -j MARK --set-xmark 0x30/0xf0',
      'COMMIT',
      ...FILTER,
      '-A FORWARD -m mark --mark 0x8 -j ACCEPT',
      STATES,
      'COMMIT',
    ],
  ],
  [
    'a connection mark that each direction sets',
    true,
    [
      ...MANGLE,
      '-A PREROUTING -i cni0 -m connmark --mark 0x1 -j MARK --set-xmark 0x7/0xffffffff',
      '-A PREROUTING -i eth0 -j CONNMARK --set-xmark 0x1/0xffffffff',
      '-A PREROUTING -i cni0 -j CONNMARK --set-xmark 0x2/0xffffffff',
      'COMMIT',
      ...FILTER,
      '-A FORWARD -m connmark --mark 0x1',
      STATES,
      'COMMIT',
    ],
  ],
  [
    'a connection mark that every packet changes',
    false,
    [
      ...MANGLE,
      '-A FORWARD -j CONNMARK --set-xmark 0x1/0x0',
      'COMMIT',
      ...FILTER,
      '-A FORWARD -m connmark --mark 0x1 -j LOG',
      STATES,
      'COMMIT',
    ],
  ],
  [
    'matches that are called',
    true,
    [
      ...FILTER,
      '-A FORWARD -m addrtype --dst-type LOCAL -j DROP',
      '-A FORWARD -m iprange --src-range 192.168.0.11-192.168.0.20',
      '-A FORWARD -m conntrack --ctdir REPLY',
      '-A FORWARD -m conntrack --ctorigdst 10.96.0.1/32 --ctstatus ASSURED',
      STATES,
      'COMMIT',
    ],
  ],
  [
    'time to live of the connection',
    false,
    [...FILTER, '-A FORWARD -m conntrack --ctexpire 0:430000', STATES, 'COMMIT'],
  ],
];

/** Walks that were not walked again. */
let repeats = 0;

/** The compiled engine, its repeats counted. */
const counting: BuildEngine = (ruleSet, env) => {
  const engine = compiledEngine(ruleSet, env);
  const { memo } = engine;
  const repeat = memo!.repeat.bind(memo);
  memo!.repeat = (walk, bytes) => {
    repeats++;
    repeat(walk, bytes);
  };
  return engine;
};

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

  readonly #family: 4 | 6;

  constructor(build: BuildEngine, rules: readonly string[], family: 4 | 6) {
    this.#family = family;
    const { ruleSet, diagnostics } = parseRuleSet({ name: 'rules', text: `${rules.join('\n')}\n` }, { family });
    expect(diagnostics).toEqual([]);
    const { config } = makeDefaultHost({
      devices: ['eth0', 'cni0'],
      addresses:
        family === 4
          ? ['eth0=192.168.0.1/16', 'cni0=10.0.0.1/8']
          : [`eth0=${twin('192.168.0.1')}/48`, `cni0=${twin('10.0.0.1')}/16`],
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
        ruleSet4: family === 4 ? ruleSet : undefined,
        ruleSet6: family === 6 ? ruleSet : undefined,
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
    view.setUint16(12, this.#family === 4 ? 0x0800 : 0x86dd);
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
      family: this.#family,
      device: this.host.deviceIndex(device),
      pktType: -1,
      offloaded: false,
    };
    this.last = undefined;
    this.host.receive(frame);
  }

  state(): unknown {
    const counters = this.host
      .engine(this.#family)!
      .snapshot()
      .tables.map((t) =>
        [...t.chains.values()].map((c) => [c.name, c.packets, c.bytes, c.rules.map((r) => [r.packets, r.bytes])]),
      );
    return {
      counters,
      conntrack: this.host.conntrack.print(this.#family),
      sent: [1, 2, 3].map((d) => this.host.sentCount(d)),
    };
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
  readonly #family: 4 | 6;
  readonly #protocol: 'tcp' | 'udp';
  readonly #client: string;
  readonly #server: string;
  readonly #port: number;
  #seq = [1000, 5000];
  /** What a pod sees, once a packet has come through: addresses and ports as they left. */
  #seen: { src: string; dst: string; sport: number; dport: number } | undefined;

  constructor(i: number, family: 4 | 6, protocol: 'tcp' | 'udp') {
    const own = (address: string): string => (family === 4 ? address : twin(address));
    this.#family = family;
    this.#protocol = protocol;
    this.#client = own(CLIENTS[i % CLIENTS.length]!);
    this.#server = own(SERVERS[i % SERVERS.length]!);
    this.#port = 40_000 + i;
  }

  packet(s: Pick<Step, 'reply' | 'flags' | 'skip' | 'size' | 'ttl' | 'tos' | 'spoilt' | 'options'>): Uint8Array {
    const seen = this.#seen ?? { src: this.#client, dst: this.#server, sport: this.#port, dport: 80 };
    const [src, dst, sport, dport] = s.reply
      ? [seen.dst, seen.src, seen.dport, seen.sport]
      : [this.#client, this.#server, this.#port, 80];
    const isTcp = this.#protocol === 'tcp';
    const payload = new Uint8Array(s.size).fill(0x5a);
    const body = isTcp ? this.#segment(s, sport, dport, payload) : udpBody(sport, dport, payload);
    // A datagram without checksum (IPv6: a wrong one) instead of options, and one that is shorter than its packet.
    const rawChecksum = !isTcp && s.options;
    if (!isTcp && s.skip === 1) body[5]! -= 1;
    const ip = ipBytes({ src, dst, protocol: isTcp ? 6 : 17, body, ttl: s.ttl, tos: s.tos, rawChecksum });
    if (s.spoilt) ip[ip.length - 1]! ^= 1;
    return ip;
  }

  #segment(
    s: Pick<Step, 'reply' | 'flags' | 'skip' | 'spoilt' | 'options'>,
    sport: number,
    dport: number,
    payload: Uint8Array,
  ): Uint8Array {
    const side = s.reply ? 1 : 0;
    const seq = (this.#seq[side]! + s.skip) >>> 0;
    if (s.skip === 0 && !s.spoilt) {
      this.#seq[side] = (seq + payload.length + (s.flags & SYN ? 1 : 0) + (s.flags & FIN ? 1 : 0)) >>> 0;
    }
    return tcpBody({
      sport,
      dport,
      flags: s.flags,
      seq,
      ack: (s.flags & ACK) !== 0 ? this.#seq[1 - side]! : 0,
      payload,
      options: s.options ? [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] : [],
    });
  }

  /** The frame that left, of a packet of the client. */
  forwarded(frame: Uint8Array | undefined): void {
    if (frame === undefined) return;
    const view = new DataView(frame.buffer, frame.byteOffset);
    const [first, size, l4] =
      this.#family === 4 ? [ETHERNET + 12, 4, ETHERNET + 20] : [ETHERNET + 8, 16, ETHERNET + 40];
    const text = (at: number): string =>
      this.#family === 4
        ? [...frame.subarray(at, at + 4)].join('.')
        : Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16)).join(':');
    this.#seen = {
      src: text(first),
      dst: text(first + size),
      sport: view.getUint16(l4),
      dport: view.getUint16(l4 + 2),
    };
  }
}

const PLAIN = { skip: 0, size: 0, ttl: 64, tos: 0, spoilt: false, options: false };

const WAYS = ([4, 6] as const).flatMap((family) => (['tcp', 'udp'] as const).map((protocol) => ({ family, protocol })));

describe.each(RULES)('%s', (_, isTaken, rules4) => {
  it.each(WAYS)('IPv$family, $protocol: the short way does what the long way does', ({ family, protocol }) => {
    const rules = family === 4 ? rules4 : twinRules(rules4);
    repeats = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }), (steps) => {
        const long = new Watched(walking, rules, family);
        const short = new Watched(counting, rules, family);
        const talks = [0, 1, 2, 3].map((i) => new Talk(i, family, protocol));
        const both = (talk: Talk, s: Parameters<Talk['packet']>[0]): void => {
          const ip = talk.packet(s);
          for (const host of [long, short]) host.receive(s.reply ? 'cni0' : 'eth0', ip.slice());
          if (!s.reply) talk.forwarded(long.last);
          expect(short.seen.splice(0)).toEqual(long.seen.splice(0));
        };
        const pass = (us: number): void => {
          for (const host of [long, short]) host.clock.advanceTo(host.clock.nowUs + us);
        };
        for (const talk of talks) {
          both(talk, { ...PLAIN, reply: false, flags: SYN });
          both(talk, { ...PLAIN, reply: true, flags: SYN | ACK });
          both(talk, { ...PLAIN, reply: false, flags: ACK });
        }
        // Datagrams make a stream when they still come after two seconds.
        pass(2_500_000);
        for (const talk of talks) {
          both(talk, { ...PLAIN, reply: false, flags: ACK });
          both(talk, { ...PLAIN, reply: true, flags: ACK });
        }
        for (const s of steps) {
          pass(s.pauseMs * 1000);
          both(talks[s.connection]!, s);
        }
        expect(short.state()).toEqual(long.state());
      }),
      { seed: SEED, numRuns: 12 },
    );
    expect(repeats > 0).toBe(isTaken);
  });
});

it('a twin is an address of the twin network', () => {
  const words = (text: string): number[] => [...parseAddress(text)];
  expect(words(twin('192.168.0.10'))).toEqual([0xfdc00000, 0x00a80000, 0, 0x0000000a]);
  expect(twinRules(['-d 10.96.0.1/32 -j DNAT --to-destination 10.0.0.6:80'])).toEqual([
    `-d ${twin('10.96.0.1')}/128 -j DNAT --to-destination [${twin('10.0.0.6')}]:80`,
  ]);
});

it('a patch of the rules ends every short way', () => {
  const host = new Watched(compiledEngine, RULES[0]![2], 4);
  const talk = new Talk(0, 4, 'tcp');
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
