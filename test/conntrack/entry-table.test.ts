import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EntryTable } from '../../src/conntrack/entry-table.js';
import { invertTuple, TUPLE_WORDS } from '../../src/conntrack/tuple.js';

const SEED = 20240607;

/** A tuple from few values, so that they meet: source, destination, port, zone, family. */
const arbTuple = fc
  .tuple(fc.nat(2), fc.nat(2), fc.nat(3), fc.nat(1), fc.constantFrom(4, 6))
  .map(([src, dst, port, zone, family]) =>
    Uint32Array.of(
      0xc0a80000 + src,
      family === 6 ? src : 0,
      0,
      0,
      0x0a000000 + dst,
      0,
      0,
      family === 6 ? dst : 0,
      (port << 16) | 80,
      ((zone << 16) | (family << 8) | 17) >>> 0,
    ),
  );

type Step =
  | { readonly kind: 'add'; readonly tuple: Uint32Array; readonly lifeUs: number }
  | { readonly kind: 'remove' | 'find'; readonly tuple: Uint32Array }
  | { readonly kind: 'wait'; readonly us: number }
  | { readonly kind: 'sweep' };

const arbStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      tuple: arbTuple,
      lifeUs: fc.integer({ min: 1, max: 50 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('remove' as const, 'find' as const), tuple: arbTuple }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), us: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'sweep' as const }) },
);

interface ModelEntry {
  readonly entry: number;
  readonly deadlineUs: number;
}

describe('against a plain Map', () => {
  it('finds in both directions what is alive, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(arbStep, { maxLength: 300 }), fc.integer(), (steps, seed) => {
        const table = new EntryTable(seed);
        const model = new Map<string, ModelEntry>();
        const key = (tuple: Uint32Array): string => tuple.join();
        const inverseOf = (tuple: Uint32Array): Uint32Array => {
          const inverse = new Uint32Array(TUPLE_WORDS);
          invertTuple(tuple, 0, inverse, 0);
          return inverse;
        };
        const expire = (): void => {
          for (const [k, v] of model) if (v.deadlineUs <= table.nowUs) model.delete(k);
        };
        for (const step of steps) {
          switch (step.kind) {
            case 'add': {
              const inverse = inverseOf(step.tuple);
              if (model.has(key(step.tuple)) || model.has(key(inverse))) break;
              const entry = table.allocate();
              table.tuples.set(step.tuple, entry * 2 * TUPLE_WORDS);
              table.tuples.set(inverse, (entry * 2 + 1) * TUPLE_WORDS);
              // Unconfirmed entries are invisible.
              expect(table.find(step.tuple, 0)).toBe(-1);
              table.deadlineUs[entry] = table.nowUs + step.lifeUs;
              table.insert(entry);
              model.set(key(step.tuple), { entry, deadlineUs: table.nowUs + step.lifeUs });
              break;
            }
            case 'remove': {
              const node = table.find(step.tuple, 0);
              if (node !== -1) table.remove(node >> 1);
              model.delete(key(step.tuple));
              model.delete(key(inverseOf(step.tuple)));
              break;
            }
            case 'find': {
              const original = model.get(key(step.tuple));
              const reply = model.get(key(inverseOf(step.tuple)));
              const expected =
                original !== undefined ? original.entry * 2 : reply !== undefined ? reply.entry * 2 + 1 : -1;
              expect(table.find(step.tuple, 0)).toBe(expected);
              expect(table.isTaken(step.tuple, 0, -1)).toBe(expected !== -1);
              if (expected !== -1) expect(table.isTaken(step.tuple, 0, expected >> 1)).toBe(false);
              break;
            }
            case 'wait':
              table.nowUs += step.us;
              expire();
              break;
            case 'sweep':
              table.sweep(0, table.limit);
              expect(table.count).toBe(model.size);
              break;
          }
        }
        const alive: number[] = [];
        table.forEach((entry) => {
          alive.push(entry);
        });
        expect(alive).toEqual([...model.values()].map((v) => v.entry).sort((a, b) => a - b));
      }),
      { seed: SEED, numRuns: 200 },
    );
  });
});

describe('storage', () => {
  const fill = (table: EntryTable, entry: number, port: number): void => {
    const tuple = Uint32Array.of(1, 0, 0, 0, 2, 0, 0, 0, port << 16, (4 << 8) | 17);
    table.tuples.set(tuple, entry * 2 * TUPLE_WORDS);
    invertTuple(table.tuples, entry * 2 * TUPLE_WORDS, table.tuples, (entry * 2 + 1) * TUPLE_WORDS);
    table.deadlineUs[entry] = table.nowUs + 1000;
  };

  it('keeps what an entry held readable after it was removed, and uses it again later', () => {
    const table = new EntryTable(7);
    const first = table.allocate();
    fill(table, first, 9);
    table.mark[first] = 77;
    table.insert(first);
    table.remove(first);
    expect([table.mark[first], table.count]).toEqual([77, 0]);
    const used = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const entry = table.allocate();
      used.add(entry);
      table.free(entry);
    }
    expect(used.has(first)).toBe(true);
    expect(used.size).toBeLessThan(100);
    expect(table.mark[first]).toBe(0);
  });

  it('grows, and finds everything afterwards', () => {
    const table = new EntryTable(3);
    for (let port = 0; port < 5000; port++) {
      const entry = table.allocate();
      fill(table, entry, port);
      table.insert(entry);
    }
    for (let port = 0; port < 5000; port++) {
      const tuple = Uint32Array.of(1, 0, 0, 0, 2, 0, 0, 0, (port << 16) >>> 0, (4 << 8) | 17);
      expect(table.find(tuple, 0)).toBe(port * 2);
    }
    expect(table.confirmedCount).toBe(5000);
  });

  it.each([
    ['far more buckets than entries', 1 << 20, 0],
    ['one bucket for all', 1, 5],
  ])('evicts from a few buckets only: %s', (_, buckets, gone) => {
    const table = new EntryTable(5);
    for (let port = 0; port < 10; port++) {
      const entry = table.allocate();
      fill(table, entry, port);
      table.insert(entry);
    }
    const fresh = Uint32Array.of(9, 0, 0, 0, 9, 0, 0, 0, 9, (4 << 8) | 17);
    expect(table.evict(fresh, 0, buckets, (entry) => entry % 2 === 0)).toBe(gone > 0);
    expect(table.count).toBe(10 - gone);
  });
});
