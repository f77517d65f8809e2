/** WordTable against a Map, with keys that crowd. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WordTable } from '../../src/base/hash-table.js';

const word = fc.constantFrom(0, 1, -1, 2, 0x7fffffff, -0x80000000, 3, 4, 5, 6, 7, 8);

it.each([1, 2, 5])('keys of %i words', (width) => {
  const key = fc.array(word, { minLength: width, maxLength: width });
  const step = fc.oneof(
    fc.record({ do: fc.constant('set' as const), key, value: fc.nat(1000) }),
    fc.record({ do: fc.constant('delete' as const), key, value: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const table = new WordTable(width, 0, 42);
      const model = new Map<string, number>();
      for (const s of steps) {
        const words = Int32Array.from(s.key);
        const name = s.key.join();
        if (s.do === 'set') {
          table.set(words, s.value);
          model.set(name, s.value);
        } else {
          expect(table.delete(words)).toBe(model.delete(name));
        }
        if (table.count !== model.size) expect(table.count).toBe(model.size);
      }
      for (const { key: other } of steps) {
        expect(table.find(Int32Array.from(other))).toBe(model.get(other.join()) ?? -1);
      }
      const values: number[] = [];
      table.forEach((value) => void values.push(value));
      expect(values.sort()).toEqual([...model.values()].sort());
    }),
    { seed: 9, numRuns: 30 },
  );
});
