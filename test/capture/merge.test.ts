import fc from 'fast-check';
import { expect, it } from 'vitest';
import { CaptureMerge, MERGE_END, MERGE_STARVED } from '../../src/capture/merge.js';
import { PcapWriter } from '../../src/capture/pcap-writer.js';
import { CaptureReader } from '../../src/capture/reader.js';

/** Merges captures given as lists of times, fed `size` bytes at a time; answers `capture:record` in order. */
function merged(times: number[][], size: number): string[] {
  const files = times.map((list) => {
    const writer = new PcapWriter({ linkType: 1, nanoseconds: true });
    for (const [i, ns] of list.entries()) writer.addPacket(1_700_000_000 + (ns >> 1), ns & 1, new Uint8Array([i]));
    return writer.take();
  });
  const readers = files.map((_, i) => new CaptureReader(`${i}`));
  const fed = files.map(() => 0);
  const merge = new CaptureMerge(readers);
  const order: string[] = [];
  for (;;) {
    const i = merge.next();
    if (i === MERGE_END) return order;
    if (i === MERGE_STARVED) {
      const s = merge.starved;
      const chunk = files[s]!.slice(fed[s]!, fed[s]! + size);
      fed[s]! += chunk.length;
      if (chunk.length === 0) readers[s]!.end();
      else readers[s]!.feed(chunk);
    } else {
      order.push(`${i}:${merge.records[i]!.packet[0]}`);
    }
  }
}

it.each<[string, number[][], string[]]>([
  ['none', [], []],
  ['one', [[3, 1]], ['0:0', '0:1']],
  [
    'equal times keep the order of the files',
    [
      [1, 2],
      [1, 2],
    ],
    ['0:0', '1:0', '0:1', '1:1'],
  ],
  ['one nanosecond apart', [[1], [0]], ['1:0', '0:0']],
  ['an empty file', [[], [5], [4]], ['2:0', '1:0']],
  ['a stamp that goes back', [[5, 1], [3]], ['1:0', '0:0', '0:1']],
])('%s', (_what, times, expected) => {
  expect(merged(times, 1000)).toEqual(expected);
  expect(merged(times, 11)).toEqual(expected);
});

it('agrees with a stable sort', () => {
  const sorted = fc.array(fc.nat(10), { maxLength: 10 }).map((list) => list.sort((a, b) => a - b));
  fc.assert(
    fc.property(fc.array(sorted, { maxLength: 4 }), fc.integer({ min: 1, max: 60 }), (times, size) => {
      const all = times.flatMap((list, i) => list.map((time, j) => ({ time, name: `${i}:${j}` })));
      expect(merged(times, size)).toEqual(all.sort((a, b) => a.time - b.time).map((r) => r.name));
    }),
    { seed: 6 },
  );
});

it('a capture with a fault ends, the others go on', () => {
  const good = new PcapWriter({ linkType: 1 });
  good.addPacket(1, 0, new Uint8Array(1));
  const readers = [new CaptureReader('bad'), new CaptureReader('good')];
  readers[0]!.feed(new Uint8Array(30));
  readers[1]!.feed(good.take());
  const merge = new CaptureMerge(readers);
  expect([merge.next(), merge.next()]).toEqual([1, MERGE_STARVED]);
  readers[1]!.end();
  expect(merge.next()).toBe(MERGE_END);
  expect(readers[0]!.fault?.code).toBe('unknown-format');
});
