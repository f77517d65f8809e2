import { beforeEach, describe, expect, it } from 'vitest';
import { Rng } from '../../src/base/rng.js';
import { EntryTable } from '../../src/conntrack/entry-table.js';
import { NatChooser } from '../../src/conntrack/nat-choose.js';
import { NatSourceIndex } from '../../src/conntrack/nat-source-index.js';
import { invertTuple, T_DST, T_PORTS, T_PROTO, T_SRC, TUPLE_WORDS } from '../../src/conntrack/tuple.js';
import {
  IPS_FIXED_TIMEOUT,
  IPS_SRC_NAT,
  IPS_SRC_NAT_DONE,
  type ManipType,
  NF_NAT_MANIP_DST,
  NF_NAT_MANIP_SRC,
  NF_NAT_RANGE_PERSISTENT,
  NF_NAT_RANGE_PROTO_RANDOM,
  NF_NAT_RANGE_PROTO_RANDOM_FULLY,
} from '../../src/net/netfilter.js';
import { parseAddress } from '../support/address.js';
import { flow, type RangeRepr, range, tupleText } from './nat-router.js';

const TCP = 6;
const UDP = 17;
const SRC = NF_NAT_MANIP_SRC;
const DST = NF_NAT_MANIP_DST;

function tupleOf(text: string, protocol: number, zone = 0): Uint32Array {
  const { src, dst, sport, dport } = flow(text);
  const tuple = new Uint32Array(TUPLE_WORDS);
  tuple.set(parseAddress(src), T_SRC);
  tuple.set(parseAddress(dst), T_DST);
  tuple[T_PORTS] = ((sport << 16) | dport) >>> 0;
  tuple[T_PROTO] = ((zone << 16) | ((src.includes(':') ? 6 : 4) << 8) | protocol) >>> 0;
  return tuple;
}

/** A table of connections and a chooser over it. */
class World {
  readonly table = new EntryTable(3);
  readonly tcpState = new Map<number, number>();
  readonly advanced = new Set<number>();
  /** Offsets at which random searches were asked to begin: [candidates' first, their number]. */
  readonly searches: [number, number][] = [];
  readonly chooser: NatChooser;

  constructor(offsets: readonly number[] = []) {
    const sources = new NatSourceIndex(this.table);
    this.table.observer = sources;
    this.chooser = new NatChooser(this.table, sources, new Rng(11), {
      state: (entry) => this.tcpState.get(entry) ?? 0,
      hasAdvanced: (old) => this.advanced.has(old),
    });
    let next = 0;
    this.chooser.chooseOffset = (_tuple, _manip, min, size) => {
      this.searches.push([min, size]);
      return offsets[next++];
    };
  }

  /** A fresh unconfirmed connection. */
  begin(text: string, protocol: number, zone = 0, replyZone = zone): number {
    const entry = this.table.allocate();
    const original = tupleOf(text, protocol, zone);
    this.table.tuples.set(original, entry * 2 * TUPLE_WORDS);
    invertTuple(original, 0, this.table.tuples, (entry * 2 + 1) * TUPLE_WORDS);
    const proto = (entry * 2 + 1) * TUPLE_WORDS + T_PROTO;
    this.table.tuples[proto] = ((replyZone << 16) | (this.table.tuples[proto]! & 0xffff)) >>> 0;
    return entry;
  }

  /** A confirmed connection whose packets leave as `leaves`. */
  add(text: string, protocol: number, leaves = text, zone = 0): number {
    const entry = this.begin(text, protocol, zone);
    invertTuple(tupleOf(leaves, protocol, zone), 0, this.table.tuples, (entry * 2 + 1) * TUPLE_WORDS);
    this.table.status[entry] = IPS_SRC_NAT_DONE | (leaves === text ? 0 : IPS_SRC_NAT);
    this.table.deadlineUs[entry] = this.table.nowUs + 1e6;
    this.table.insert(entry);
    return entry;
  }

  choose(text: string, protocol: number, repr: RangeRepr, manip: ManipType, zone = 0): string {
    const entry = this.begin(text, protocol, zone);
    const tuple = tupleOf(text, protocol, zone);
    this.chooser.choose(tuple, range(repr), entry, manip);
    this.table.free(entry);
    expect(tuple[T_PROTO]).toBe(tupleOf(text, protocol, zone)[T_PROTO]);
    return tupleText(tuple, 0);
  }
}

let world: World;
beforeEach(() => {
  world = new World();
});

describe('address out of a range, as Linux chose it', () => {
  const persistent = NF_NAT_RANGE_PERSISTENT;
  it.each([
    ['10.1.0.2', '10.2.0.2', '172.16.0.10-172.16.0.200', SRC, 0, '172.16.0.87'],
    ['10.1.0.2', '10.2.0.2', '172.16.0.10-172.16.0.200', SRC, persistent, '172.16.0.34'],
    ['10.1.0.77', '10.2.0.9', '172.16.0.10-172.16.0.200', SRC, 0, '172.16.0.170'],
    ['192.168.5.6', '10.2.0.4', '172.16.0.10-172.16.0.200', SRC, persistent, '172.16.0.64'],
    ['10.1.0.2', '1.2.3.4', '10.2.0.3-10.2.0.19', DST, 0, '10.2.0.14'],
  ] as const)('%s to %s, %s', (src, dst, to, manip, flags, expected) => {
    const chosen = world.choose(`${src}:1000>${dst}:80`, UDP, { to, flags }, manip);
    expect(chosen).toBe(manip === SRC ? `${expected}:1000>${dst}:80` : `${src}:1000>${expected}:80`);
  });

  it('takes the zone into the seed', () => {
    const inZone = (zone: number) =>
      world.choose('10.1.0.2:1>10.2.0.2:2', UDP, { to: '172.16.0.10-172.16.0.200' }, SRC, zone);
    expect(inZone(0)).toBe('172.16.0.87:1>10.2.0.2:2');
    const chosen = new Set(Array.from({ length: 16 }, (_, zone) => inZone(zone)));
    expect(chosen.size).toBeGreaterThan(4);
  });

  it('stays inside, whatever the source', () => {
    for (let host = 0; host < 500; host++) {
      const src = `10.1.${host >> 8}.${host & 255}`;
      const chosen = world.choose(`${src}:1>10.2.0.2:2`, UDP, { to: '172.16.255.250-172.17.0.5' }, SRC);
      expect(chosen).toMatch(/^172\.(16\.255\.25[0-5]|17\.0\.[0-5]):1>/);
    }
  });

  it.each([
    // to fd00:2::2, range, flags, then the choices for sources fd00:1::2 to fd00:1::5
    [SRC, 'fd09::1:0:10-fd09::3:0:20', 0, 'fd09::2:7177:d27a fd09::1:798:7323 fd09::1:3373:9ed3 fd09::1:3964:695b'],
    [SRC, 'fd09::10-fd09::1f', 0, 'fd09::17 fd09::10 fd09::13 fd09::13'],
    // to fd00:2::77
    [DST, 'fd00:2::1:0:10-fd00:2::3:0:20', 0, 'fd00:2::2:7f24:5534 fd00:2::3:0:1c fd00:2::3:0:1d fd00:2::3:0:1c'],
    [DST, 'fd00:2::10-fd00:2::1f', persistent, 'fd00:2::11 fd00:2::1c fd00:2::1c fd00:2::15'],
    [
      DST,
      'fd00:2:0:0:1:2:3:4-fd00:2::5:2:3:4',
      0,
      'fd00:2::2:f493:eed0:5734 fd00:2::4:29c:5ca4:7b38 fd00:2::4:24f8:3119:65a7 fd00:2::3:e0fd:45de:d362',
    ],
  ] as const)('IPv6, side %i, %s, flags %i', (manip, to, flags, expected) => {
    const dst = manip === SRC ? 'fd00:2::2' : 'fd00:2::77';
    const chosen = [2, 3, 4, 5].map((host) =>
      world.choose(`[fd00:1::${host}]:5000>[${dst}]:1001`, UDP, { to, flags }, manip),
    );
    const texts = expected.split(' ').map((address, i) => {
      const src = manip === SRC ? address : `fd00:1::${i + 2}`;
      const tuple = tupleOf(`[${src}]:5000>[${manip === SRC ? dst : address}]:1001`, UDP);
      return tupleText(tuple, 0);
    });
    expect(chosen).toEqual(texts);
  });
});

describe('source side: the present one, or the one this client port has already', () => {
  it('keeps an address inside the range', () => {
    expect(world.choose('10.1.0.2:7>10.2.0.2:2', UDP, { to: '10.1.0.0-10.1.0.9' }, SRC)).toBe('10.1.0.2:7>10.2.0.2:2');
    expect(world.searches).toEqual([]);
  });

  it('does not keep it if the port is outside', () => {
    world = new World([3]);
    const chosen = world.choose('10.1.0.2:7>10.2.0.2:2', UDP, { to: '10.1.0.2', ports: [100, 109] }, SRC);
    expect(chosen).toBe('10.1.0.2:103>10.2.0.2:2');
  });

  it('gives one client port the same outside port to every destination', () => {
    world.add('10.1.0.2:7>10.2.0.2:53', UDP, '172.16.0.9:4444>10.2.0.2:53');
    const repr = { to: '172.16.0.1-172.16.0.200', ports: [4000, 5000] } as const;
    expect(world.choose('10.1.0.2:7>10.2.0.3:99', UDP, repr, SRC)).toBe('172.16.0.9:4444>10.2.0.3:99');
    // Not for another protocol, port, client or zone.
    for (const [text, protocol, zone] of [
      ['10.1.0.2:7>10.2.0.3:99', TCP, 0],
      ['10.1.0.2:8>10.2.0.3:99', UDP, 0],
      ['10.1.0.3:7>10.2.0.3:99', UDP, 0],
      ['10.1.0.2:7>10.2.0.3:99', UDP, 1],
    ] as const) {
      expect(world.choose(text, protocol, repr, SRC, zone)).not.toMatch(/:4444>/);
    }
  });

  it('takes the newest mapping that lies in the range', () => {
    world.add('10.1.0.2:7>10.2.0.2:53', UDP, '172.16.0.9:4001>10.2.0.2:53');
    world.add('10.1.0.2:7>10.2.0.3:53', UDP, '172.16.0.9:4002>10.2.0.3:53');
    world.add('10.1.0.2:7>10.2.0.4:53', UDP, '192.168.0.9:4003>10.2.0.4:53');
    const choose = () => world.choose('10.1.0.2:7>10.2.0.5:53', UDP, { to: '172.16.0.9' }, SRC);
    expect(choose()).toBe('172.16.0.9:4002>10.2.0.5:53');
  });

  it('forgets mappings that have expired or were removed', () => {
    const entry = world.add('10.1.0.2:7>10.2.0.2:53', UDP, '172.16.0.9:4001>10.2.0.2:53');
    const older = world.add('10.1.0.2:7>10.2.0.3:53', UDP, '172.16.0.9:4002>10.2.0.3:53');
    const choose = () => world.choose('10.1.0.2:7>10.2.0.5:53', UDP, { to: '172.16.0.9' }, SRC);
    world.table.remove(older);
    expect(choose()).toBe('172.16.0.9:4001>10.2.0.5:53');
    world.table.deadlineUs[entry] = world.table.nowUs;
    expect(choose()).toBe('172.16.0.9:7>10.2.0.5:53');
  });

  it('looks no further if the mapping is used towards this destination', () => {
    world.add('10.1.0.2:7>10.2.0.3:53', UDP, '172.16.0.9:4002>10.2.0.3:53');
    world.add('10.1.0.2:7>10.2.0.2:53', UDP, '172.16.0.9:4001>10.2.0.2:53');
    world.add('10.1.0.3:9>10.2.0.5:53', UDP, '172.16.0.9:4001>10.2.0.5:53');
    // Not the older mapping either: the port is kept, as it is free.
    expect(world.choose('10.1.0.2:7>10.2.0.5:53', UDP, { to: '172.16.0.9' }, SRC)).toBe('172.16.0.9:7>10.2.0.5:53');
  });

  it('finds the newest of one client port among hundreds, in order, while they go', () => {
    const mine: number[] = [];
    for (let i = 0; i < 300; i++) {
      world.add(`10.3.${i >> 8}.${i & 255}:7>10.2.0.2:53`, UDP);
      if (i % 10 === 0)
        mine.push(world.add(`10.1.0.2:7>10.2.9.${i / 10}:53`, UDP, `172.16.0.9:${5000 + i / 10}>10.2.9.${i / 10}:53`));
    }
    const choose = () => world.choose('10.1.0.2:7>10.2.0.5:53', UDP, { to: '172.16.0.9' }, SRC);
    for (const gone of [15, 3, 0]) world.table.remove(mine[gone]!);
    for (let i = mine.length - 1; i >= 0; i--) {
      if ([15, 3, 0].includes(i)) continue;
      expect(choose()).toBe(`172.16.0.9:${5000 + i}>10.2.0.5:53`);
      world.table.remove(mine[i]!);
    }
    expect(choose()).toBe('172.16.0.9:7>10.2.0.5:53');
  });

  it('does none of this with --random', () => {
    world = new World([76]);
    world.add('10.1.0.2:1007>10.2.0.2:53', UDP, '172.16.0.9:4001>10.2.0.2:53');
    const repr = { to: '172.16.0.9', flags: NF_NAT_RANGE_PROTO_RANDOM_FULLY };
    expect(world.choose('10.1.0.2:2007>10.2.0.5:53', UDP, repr, SRC)).toBe('172.16.0.9:1100>10.2.0.5:53');
    expect(world.searches).toEqual([[1024, 64512]]);
  });

  it('an ICMP id is mapped likewise', () => {
    const echo = (8 << 8) | 0;
    world.add(`10.1.0.2:77>10.2.0.2:${echo}`, 1, `172.16.0.9:5>10.2.0.2:${echo}`);
    expect(world.choose(`10.1.0.2:77>10.2.0.3:${echo}`, 1, { to: '172.16.0.9' }, SRC)).toBe(
      `172.16.0.9:5>10.2.0.3:${echo}`,
    );
  });
});

describe('port of a range', () => {
  it.each([
    // range, present, offset, chosen, searched
    [[80, 80], 80, 0, 80, false],
    [[80, 80], 81, 9, 80, true],
    [[100, 109], 105, 0, 105, false],
    [[100, 109], 110, 0, 100, true],
    [[100, 109], 110, 9, 109, true],
    [[100, 109], 110, 27, 107, true],
    [[109, 100], 110, 1, 101, true],
    [[0, 65535], 110, 1, 110, false],
  ] as const)('%j, source port %i, offset %i: %i', (ports, present, offset, chosen, searched) => {
    world = new World([offset]);
    const got = world.choose(`10.1.0.2:${present}>10.2.0.2:2`, TCP, { to: '172.16.0.9', ports }, SRC);
    expect(got).toBe(`172.16.0.9:${chosen}>10.2.0.2:2`);
    expect(world.searches.length).toBe(searched ? 1 : 0);
  });

  it('a port inside that is used is searched for, but not a single port', () => {
    world = new World([3, 3]);
    world.add('10.1.0.9:1>10.2.0.2:2', TCP, '172.16.0.9:105>10.2.0.2:2');
    const choose = (ports: readonly [number, number]) =>
      world.choose('10.1.0.2:105>10.2.0.2:2', TCP, { to: '172.16.0.9', ports }, SRC);
    expect(choose([100, 109])).toBe('172.16.0.9:103>10.2.0.2:2');
    expect(choose([105, 105])).toBe('172.16.0.9:105>10.2.0.2:2');
    expect(world.searches).toEqual([[100, 10]]);
  });

  it('used ports are passed over, round to the start', () => {
    world = new World([8]);
    for (const port of [108, 109, 100, 101])
      world.add(`10.1.0.9:${port}>10.2.0.2:2`, TCP, `172.16.0.9:${port}>10.2.0.2:2`);
    const chosen = world.choose('10.1.0.2:9>10.2.0.2:2', TCP, { to: '172.16.0.9', ports: [100, 109] }, SRC);
    expect(chosen).toBe('172.16.0.9:102>10.2.0.2:2');
  });

  it('the same ports towards another destination, protocol or zone are free', () => {
    world = new World([0, 0, 0]);
    world.add('10.1.0.9:1>10.2.0.2:2', TCP, '172.16.0.9:100>10.2.0.2:2');
    const repr = { to: '172.16.0.9', ports: [100, 109] } as const;
    expect(world.choose('10.1.0.2:9>10.2.0.2:3', TCP, repr, SRC)).toMatch(/:100>/);
    expect(world.choose('10.1.0.2:9>10.2.0.2:2', UDP, repr, SRC)).toMatch(/:100>/);
    expect(world.choose('10.1.0.2:9>10.2.0.2:2', TCP, repr, SRC, 4)).toMatch(/:100>/);
  });

  it('destination side: from the first port on, without chance', () => {
    const repr = { to: '10.2.0.2', ports: [8080, 8083] } as const;
    expect(world.choose('10.1.0.2:9>1.2.3.4:80', TCP, repr, DST)).toBe('10.1.0.2:9>10.2.0.2:8080');
    world.add('10.1.0.2:9>10.2.0.2:8080', TCP);
    expect(world.choose('10.1.0.2:9>1.2.3.4:80', TCP, repr, DST)).toBe('10.1.0.2:9>10.2.0.2:8081');
    expect(world.choose('10.1.0.2:9>1.2.3.4:8082', TCP, repr, DST)).toBe('10.1.0.2:9>10.2.0.2:8082');
    expect(world.searches).toEqual([]);
  });

  it('destination side with --random: from anywhere', () => {
    world = new World([2]);
    const repr = { to: '10.2.0.2', ports: [8080, 8083], flags: NF_NAT_RANGE_PROTO_RANDOM } as const;
    expect(world.choose('10.1.0.2:9>1.2.3.4:8080', TCP, repr, DST)).toBe('10.1.0.2:9>10.2.0.2:8082');
  });

  it.each([
    // present, base, chosen out of 5000–5004
    [80, 80, 5000],
    [83, 80, 5003],
    [86, 80, 5001],
    [5002, 80, 5000 + ((5002 - 80) % 5)],
    [79, 80, 5000 + (65535 % 5)],
  ])('shifted range: port %i with base %i becomes %i', (present, base, chosen) => {
    const repr = { to: '10.2.0.2', ports: [5000, 5004], base } as const;
    expect(world.choose(`10.1.0.2:9>1.2.3.4:${present}`, TCP, repr, DST)).toBe(`10.1.0.2:9>10.2.0.2:${chosen}`);
    expect(world.searches).toEqual([]);
  });
});

describe('port without a range', () => {
  it.each([
    [1, 0, [1, 511], 1],
    [511, 511, [1, 511], 1],
    [511, 510, [1, 511], 511],
    [512, 0, [600, 424], 600],
    [1023, 423, [600, 424], 1023],
    [1024, 0, [1024, 64512], 1024],
    [65535, 64511, [1024, 64512], 65535],
    [65535, 64512, [1024, 64512], 1024],
  ] as const)('source port %i that is used, offset %i', (present, offset, searched, chosen) => {
    world = new World([offset]);
    world.add('10.1.0.9:1>10.2.0.2:2', TCP, `172.16.0.9:${present}>10.2.0.2:2`);
    // The chosen one may be the used one: then the next is taken.
    const expected = chosen === present ? ((chosen - searched[0] + 1) % searched[1]) + searched[0] : chosen;
    const got = world.choose(`10.1.0.2:${present}>10.2.0.2:2`, TCP, { to: '172.16.0.9' }, SRC);
    expect(got).toBe(`172.16.0.9:${expected}>10.2.0.2:2`);
    expect(world.searches).toEqual([searched]);
  });

  it('destination side: never changes, not even with --random or when used', () => {
    world.add('10.1.0.2:9>10.2.0.2:80', TCP);
    for (const flags of [0, NF_NAT_RANGE_PROTO_RANDOM]) {
      expect(world.choose('10.1.0.2:9>1.2.3.4:80', TCP, { to: '10.2.0.2', flags }, DST)).toBe('10.1.0.2:9>10.2.0.2:80');
    }
    expect(world.searches).toEqual([]);
  });

  it.each([
    [{}, [0, 65536], 300, 300],
    [{ ports: [50, 59] as const }, [50, 10], 3, 53],
  ])('ICMP id %j', (extra, searched, offset, chosen) => {
    world = new World([offset]);
    world.add('10.1.0.9:1>10.2.0.2:2048', 1, '172.16.0.9:77>10.2.0.2:2048');
    const got = world.choose('10.1.0.2:77>10.2.0.2:2048', 1, { to: '172.16.0.9', ...extra }, SRC);
    expect(got).toBe(`172.16.0.9:${chosen}>10.2.0.2:2048`);
    expect(world.searches).toEqual([searched]);
  });

  it.each([47, 50, 99, 33])('protocol %i has nothing to search', (protocol) => {
    world.add('10.1.0.9:0>10.2.0.2:0', protocol, '172.16.0.9:0>10.2.0.2:0');
    expect(world.choose('10.1.0.2:0>10.2.0.2:0', protocol, { to: '172.16.0.9' }, SRC)).toBe('172.16.0.9:0>10.2.0.2:0');
    expect(world.searches).toEqual([]);
  });
});

describe('end of a search', () => {
  /** Uses up the ports of 172.16.0.9 towards 10.2.0.2:2. */
  function fill(first: number, last: number): number[] {
    const entries: number[] = [];
    for (let port = first; port <= last; port++) {
      entries.push(world.add(`10.9.${port >> 8}.${port & 255}:1>10.2.0.2:2`, TCP, `172.16.0.9:${port}>10.2.0.2:2`));
    }
    return entries;
  }
  const choose = (ports?: readonly [number, number]) =>
    world.choose(
      '10.1.0.2:1>10.2.0.2:2',
      TCP,
      ports === undefined ? { to: '172.16.0.9' } : { to: '172.16.0.9', ports },
      SRC,
    );

  it('keeps the last value tried when all candidates are used', () => {
    world = new World([4]);
    fill(100, 109);
    expect(choose([100, 109])).toBe('172.16.0.9:103>10.2.0.2:2');
  });

  it('tries 128 in a row, then 64, 32, 16 and 8 from other places', () => {
    world = new World([0, 0]);
    const entries = fill(2000, 4999);
    let tried = 0;
    const isTaken = world.table.isTaken.bind(world.table);
    world.table.isTaken = (words, at, except) => {
      tried++;
      return isTaken(words, at, except);
    };
    expect(choose([2000, 4999])).toMatch(/^172\.16\.0\.9:[234]\d\d\d>/);
    // The first question is whether the port is kept: it is outside the range, so it is not asked.
    expect(tried).toBe(128 + 64 + 32 + 16 + 8);
    // A gap within the first 128 is found, one behind them is not.
    world.table.remove(entries[127]!);
    tried = 0;
    expect(choose([2000, 4999])).toBe('172.16.0.9:2127>10.2.0.2:2');
    expect(tried).toBe(128);
  });

  it.each([
    // state, sequence ahead, source NAT, evicted
    [7, true, true, true],
    [8, true, true, true],
    [6, true, true, false],
    [7, false, true, false],
    [7, true, false, false],
  ])('TCP state %i, sequence ahead %s, source NAT %s: evicted %s', (state, ahead, natted, evicted) => {
    world = new World([0]);
    const [entry] = fill(100, 100) as [number];
    world.tcpState.set(entry, state);
    if (ahead) world.advanced.add(entry);
    if (!natted) world.table.status[entry] = world.table.status[entry]! & ~IPS_SRC_NAT;
    const confirmed = world.table.confirmedCount;
    expect(choose([100, 100])).toBe('172.16.0.9:100>10.2.0.2:2');
    expect(world.table.confirmedCount).toBe(evicted ? confirmed - 1 : confirmed);
  });

  it.each([
    // 40 candidates: the ninth attempt, of port 108, is the first of the last 32.
    ['the last 32 attempts may', 108, undefined],
    ['never what has a fixed timeout', 109, 108],
  ])('evicts: %s', (_name, chosen, fixed) => {
    world = new World([0]);
    const entries = fill(100, 139);
    for (const entry of entries) {
      world.tcpState.set(entry, 7);
      world.advanced.add(entry);
    }
    if (fixed !== undefined) world.table.status[entries[fixed - 100]!]! |= IPS_FIXED_TIMEOUT;
    expect(choose([100, 139])).toBe(`172.16.0.9:${chosen}>10.2.0.2:2`);
    expect(entries.filter((entry) => !world.table.isAlive(entry))).toEqual([entries[chosen - 100]]);
  });

  it('never evicts for UDP', () => {
    world = new World([0]);
    const entry = world.add('10.1.0.9:1>10.2.0.2:2', UDP, '172.16.0.9:100>10.2.0.2:2');
    world.tcpState.set(entry, 7);
    world.advanced.add(entry);
    world.choose('10.1.0.2:1>10.2.0.2:2', UDP, { to: '172.16.0.9', ports: [100, 100] }, SRC);
    expect(world.table.isAlive(entry)).toBe(true);
  });

  it('an ICMP range the wrong way round wraps', () => {
    world = new World([3]);
    world.add('10.1.0.9:1>10.2.0.2:2048', 1, '172.16.0.9:77>10.2.0.2:2048');
    const got = world.choose('10.1.0.2:77>10.2.0.2:2048', 1, { to: '172.16.0.9', ports: [80, 70] }, SRC);
    expect(got).toBe('172.16.0.9:83>10.2.0.2:2048');
  });
});

describe('zones for one direction', () => {
  it('a mapping is looked for in the original zone', () => {
    const { table, chooser } = world;
    const mapped = world.begin('10.1.0.2:7>10.2.0.2:53', UDP, 5, 0);
    const reply = (mapped * 2 + 1) * TUPLE_WORDS;
    invertTuple(tupleOf('172.16.0.9:4001>10.2.0.2:53', UDP), 0, table.tuples, reply);
    table.status[mapped] = IPS_SRC_NAT_DONE | IPS_SRC_NAT;
    table.deadlineUs[mapped] = 1e6;
    table.insert(mapped);
    const choose = (zone: number) => {
      const entry = world.begin('10.1.0.2:7>10.2.0.3:53', UDP, zone, 0);
      const tuple = tupleOf('10.1.0.2:7>10.2.0.3:53', UDP);
      chooser.choose(tuple, range({ to: '172.16.0.9' }), entry, SRC);
      return tupleText(tuple, 0);
    };
    expect(choose(5)).toBe('172.16.0.9:4001>10.2.0.3:53');
    expect(choose(6)).toBe('172.16.0.9:7>10.2.0.3:53');
  });
});
