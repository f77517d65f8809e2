import { describe, expect, it } from 'vitest';
import { capOf, creditsOf, creditsPerJiffy, limit } from '../../src/ext/matches/limit.js';
import { printThreshold, thresholdOf } from '../../src/ext/matches/statistic.js';
import { RecentTable } from '../../src/ext/recent-table.js';
import { IPPROTO_UDP } from '../../src/net/protocol.js';
import { Field } from '../../src/wire/field.js';
import { craft, udpBody } from '../support/craft.js';
import { Bench } from '../support/extension-env.js';

const from = (src: string, ttl = 64, dst = src.includes(':') ? '2001:db8::2' : '10.0.0.2') =>
  craft({ src, dst, protocol: IPPROTO_UDP, ttl, body: udpBody(1, 2) });

/** y and n for packets one after the other. */
function pattern(bench: Bench, rule: string, count: number, src = '10.0.0.1'): string {
  const bound = bench.bind(rule);
  let out = '';
  for (let i = 0; i < count; i++) out += bound.match(from(src))[0];
  return out;
}

describe('statistic', () => {
  it.each([
    ['--every 3 --packet 0', 'ynnynny'],
    ['--every 3 --packet 2', 'nnynnyn'],
    ['--every 1 --packet 0', 'yyyyyyy'],
    ['--every 2 --packet 1', 'nynynyn'],
  ])('nth %s', (options, expected) => {
    expect(pattern(new Bench(), `-m statistic --mode nth ${options}`, 7)).toBe(expected);
  });
  it('nth inverted', () => {
    expect(pattern(new Bench(), '-m statistic --mode nth ! --every 3 --packet 0', 6)).toBe('nyynyy');
  });
  it('starts anew when it is bound again', () => {
    const bench = new Bench();
    const rule = '-m statistic --mode nth --every 3 --packet 0';
    expect([pattern(bench, rule, 2), pattern(bench, rule, 2)]).toEqual(['yn', 'yn']);
  });
  it('random draws from the seed: about p of all, the same every time', () => {
    const run = () => pattern(new Bench(), '-m statistic --mode random --probability 0.25', 4000);
    expect(run()).toBe(run());
    expect(run().replaceAll('n', '').length / 4000).toBeCloseTo(0.25, 1);
  });
  it.each([
    ['1', 'yyyyyyyyyy'],
    ['0', 'nnnnnnnnnn'],
  ])('random --probability %s', (p, expected) => {
    expect(pattern(new Bench(), `-m statistic --mode random --probability ${p}`, 10)).toBe(expected);
  });
  it.each([
    [0.5, 1073741824, '0.50000000000'],
    [0.33333333349, 715827883, '0.33333333349'],
    [0.3333333333, 715827883, '0.33333333349'],
    [0.25, 536870912, '0.25000000000'],
    [0.2, 429496730, '0.20000000019'],
    [0.16666666651, 357913941, '0.16666666651'],
    [0.14285714272, 306783378, '0.14285714272'],
    [0.1, 214748365, '0.10000000009'],
    [0.01, 21474836, '0.00999999978'],
    [1, 2147483648, '1.00000000000'],
    [0, 0, '0.00000000000'],
  ])('threshold of %d is %d, prints %s', (p, threshold, printed) => {
    expect([thresholdOf(p), printThreshold(threshold)]).toEqual([threshold, printed]);
  });
});

describe('limit', () => {
  const SECOND = 10000;
  it.each([
    // rate and burst                          cost        cap         at once
    ['1/sec burst 5', SECOND, 5, 32000, 160000, 5],
    ['10/min burst 100', 6 * SECOND, 100, 192000, 19200000, 100],
    ['1/min burst 7158', 60 * SECOND, 7158, 1920000, 858458112, 447],
    ['2/day burst 5', 43200 * SECOND, 5, 1382400000, 2617032704, 1],
    ['1/hour burst 119', 3600 * SECOND, 119, 115200000, 823898112, 7],
  ])('%s', (_name, avg, burst, cost, cap, atOnce) => {
    for (const hz of [250, 1000]) expect([creditsOf(avg, hz), capOf({ avg, burst }, hz)]).toEqual([cost, cap]);
    const bench = new Bench();
    const match = limit.bind({ avg, burst }, bench.env());
    let passed = 0;
    while (match(from('10.0.0.1'))) passed++;
    expect(passed).toBe(atOnce);
  });
  it.each([
    [100, 256],
    [250, 128],
    [300, 128],
    [1000, 32],
  ])('HZ %d brings %d credits a jiffy', (hz, credits) => {
    expect(creditsPerJiffy(hz)).toBe(credits);
  });
  it('refills with time, one jiffy at a time, never above the burst', () => {
    const bench = new Bench();
    const bound = bench.bind('-m limit --limit 1/sec --limit-burst 2');
    const packets = (n: number) => Array.from({ length: n }, () => bound.match(from('10.0.0.1'))[0]).join('');
    expect(packets(3)).toBe('yyn');
    bench.clock.nowUs += 996_000;
    expect(packets(1)).toBe('n');
    bench.clock.nowUs += 4_000;
    expect(packets(2)).toBe('yn');
    bench.clock.nowUs += 60_000_000;
    expect(packets(3)).toBe('yyn');
  });
});

describe('recent', () => {
  const update = '-m recent --update --seconds 60 --hitcount 3';
  it('update before set: the fourth packet is the first to match', () => {
    const bench = new Bench();
    const [check, set] = [bench.bind(update), bench.bind('-m recent --set')];
    let out = '';
    for (let i = 0; i < 5; i++) {
      const result = check.match(from('10.0.0.1'));
      out += result[0];
      if (result === 'no') set.match(from('10.0.0.1'));
    }
    expect(out).toBe('nnnyy');
  });
  it('set before rcheck: the third', () => {
    const bench = new Bench();
    const [set, check] = [bench.bind('-m recent --set'), bench.bind('-m recent --rcheck --hitcount 3')];
    let out = '';
    for (let i = 0; i < 4; i++) {
      set.match(from('10.0.0.1'));
      out += check.match(from('10.0.0.1'))[0];
    }
    expect(out).toBe('nnyy');
  });
  it('set is always true, and never inverted, but records', () => {
    const bench = new Bench();
    expect(pattern(bench, '-m recent --set', 2)).toBe('yy');
    expect(pattern(bench, '-m recent ! --set --name b', 2)).toBe('nn');
    expect(pattern(bench, '-m recent --rcheck --name b', 1)).toBe('y');
  });
  it('rcheck forgets after its seconds, and a missing entry is false xor !', () => {
    const bench = new Bench();
    bench.bind('-m recent --set').match(from('10.0.0.1'));
    const check = bench.bind('-m recent --rcheck --seconds 10');
    bench.clock.nowUs += 10_000_000;
    expect(check.match(from('10.0.0.1'))).toBe('yes');
    bench.clock.nowUs += 4_000;
    expect(check.match(from('10.0.0.1'))).toBe('no');
    expect(bench.bind('-m recent ! --rcheck').match(from('10.9.9.9'))).toBe('yes');
    expect(bench.bind('-m recent --rcheck').match(from('10.9.9.9'))).toBe('no');
  });
  it('remove takes the entry away', () => {
    const bench = new Bench();
    bench.bind('-m recent --set').match(from('10.0.0.1'));
    expect(pattern(bench, '-m recent --remove', 2)).toBe('yn');
  });
  it('update stamps only when the final result is true', () => {
    const bench = new Bench();
    bench.bind('-m recent --set').match(from('10.0.0.1'));
    bench.clock.nowUs += 20_000_000;
    // The entry is older than 10 s: `!` makes it true, so it is stamped; then it is young.
    const inverted = bench.bind('-m recent ! --update --seconds 10');
    expect([inverted.match(from('10.0.0.1')), inverted.match(from('10.0.0.1'))]).toEqual(['yes', 'no']);
  });
  it('groups by mask, keeps families apart, tells rdest from rsource', () => {
    const bench = new Bench();
    bench.bind('-m recent --set --mask 255.255.255.0 --name n').match(from('10.0.0.1'));
    expect(bench.bind('-m recent --rcheck --mask 255.255.255.0 --name n').match(from('10.0.0.77'))).toBe('yes');
    expect(bench.bind('-m recent --rcheck --mask 255.255.255.0 --name n').match(from('10.0.1.1'))).toBe('no');
    bench.bind('-m recent --set --rdest --name d').match(from('10.0.0.1', 64, '10.7.7.7'));
    expect(bench.bind('-m recent --rcheck --name d').match(from('10.7.7.7'))).toBe('yes');
    expect(bench.bind('-m recent --rcheck --name d').match(from('10.0.0.1'))).toBe('no');
  });
  it('rttl wants the TTL as received: one more where the packet is being forwarded', () => {
    const bench = new Bench();
    bench.bind('-m recent --set').match(from('10.0.0.1', 64));
    const check = bench.bind('-m recent --rcheck --rttl');
    const forwarded = from('10.0.0.1', 63);
    forwarded.f[Field.OutDev] = 2;
    expect([check.match(from('10.0.0.1', 64)), check.match(from('10.0.0.1', 63)), check.match(forwarded)]).toEqual([
      'yes',
      'no',
      'yes',
    ]);
  });
  it('holds a hundred addresses; the least recently updated goes first', () => {
    const bench = new Bench();
    const set = bench.bind('-m recent --set');
    for (let i = 0; i < 100; i++) set.match(from(`10.0.0.${i}`));
    set.match(from('10.0.0.0')); // the oldest becomes the youngest
    set.match(from('10.0.1.1'));
    const check = bench.bind('-m recent --rcheck');
    expect(['10.0.0.0', '10.0.0.1', '10.0.0.2', '10.0.1.1'].map((a) => check.match(from(a))[0]).join('')).toBe('ynyy');
  });
  it('a rule with a larger hitcount empties the list', () => {
    const bench = new Bench();
    bench.bind('-m recent --set --name big').match(from('10.0.0.1'));
    expect(bench.bind('-m recent --rcheck --name big --hitcount 1').match(from('10.0.0.1'))).toBe('yes');
    bench.bind('-m recent --rcheck --name big --hitcount 33');
    expect(bench.bind('-m recent --rcheck --name big').match(from('10.0.0.1'))).toBe('no');
  });
  it('stamps overwrite the oldest when the ring is full', () => {
    const table = new RecentTable([0xffffffff, 0, 0, 0], 2);
    table.add(4, [1, 0, 0, 0], 0, 64, 100);
    const e = table.find(4, [1, 0, 0, 0], 0, 0);
    table.update(e, 64, 200);
    expect([table.hits(e, 100, 2), table.hits(e, 101, 2)]).toEqual([true, false]);
    table.update(e, 64, 300); // in place of 100
    expect([table.hits(e, 200, 2), table.hits(e, 0, 3), table.hits(e, 201, 2)]).toEqual([true, false, false]);
  });
  it('reap drops the least recently updated entry that has gone old', () => {
    const bench = new Bench();
    const set = bench.bind('-m recent --set');
    set.match(from('10.0.0.1'));
    bench.clock.nowUs += 100_000_000;
    set.match(from('10.0.0.2'));
    bench.bind('-m recent --rcheck --seconds 10 --reap').match(from('10.0.0.2'));
    const check = bench.bind('-m recent --rcheck');
    expect([check.match(from('10.0.0.1')), check.match(from('10.0.0.2'))]).toEqual(['no', 'yes']);
  });
});
