/** A million packets through a warm host leave the heap as it was, but for a fixed allowance. */
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

const ALLOWANCE_BYTES = 2 * 1024 * 1024;

it('a million packets, established and new', () => {
  const script = new URL('../../bench/heap.ts', import.meta.url).pathname;
  const out = execFileSync(process.execPath, ['--expose-gc', '--import', 'tsx', script], { encoding: 'utf8' });
  const grown: unknown = JSON.parse(out);
  expect(grown).toEqual({ established: expect.any(Number), new: expect.any(Number) });
  for (const bytes of Object.values(grown as Record<string, number>)) expect(bytes).toBeLessThan(ALLOWANCE_BYTES);
}, 120_000);
