/** HashIndex against a Map, with hashes that crowd. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HashIndex } from '../../src/base/hash-index.js';

const hash = fc.constantFrom(0, 1, -1, 2, 0x7fffffff, -0x80000000, 3, 4, 5, 6, 7, 8, 64, 65, 128, 256);

it('finds what was set and not deleted', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('set' as const), hash, value: fc.nat(1000) }),
    fc.record({ do: fc.constant('delete' as const), hash, value: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const index = new HashIndex(0);
      const model = new Map<number, number>();
      for (const s of steps) {
        if (s.do === 'set') {
          expect(index.set(s.hash, s.value)).toBe(model.get(s.hash) ?? -1);
          model.set(s.hash, s.value);
        } else {
          expect(index.delete(s.hash)).toBe(model.delete(s.hash));
        }
        if (index.count !== model.size) expect(index.count).toBe(model.size);
      }
      for (const { hash: other } of steps) expect(index.find(other)).toBe(model.get(other) ?? -1);
      const values: number[] = [];
      index.forEach((value) => void values.push(value));
      expect(values.sort()).toEqual([...model.values()].sort());
    }),
    { seed: 9, numRuns: 30 },
  );
});
