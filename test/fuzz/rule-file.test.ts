/**
 * Most of the million of mutated inputs (the rest: capture.test.ts here, mutation.test.ts in test/ruleset and test/capture):
 * small rule files, broken in one to three places, give rule sets or located diagnostics, never an exception or a hang.
 * FUZZ_SEED varies the seed.
 */
import { expect, it } from 'vitest';
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { Rng } from '../../src/base/rng.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { makeLab } from '../host/lab.js';
import { mutate, randomRuleFile } from '../support/rule-file.js';

const SEED = Number(process.env.FUZZ_SEED ?? 11);
const PIECES = 12;
const PIECE = 50_000;
/** Files of one piece before mutation; each is mutated many times. */
const POOL = 400;
/** Far above what any of these small files needs, a busy machine included. */
const LONGEST_MS = 5000;

it.each(
  Array.from({ length: PIECES }, (_, i) => i),
)('mutated rule files give rule sets or located diagnostics, part %i', (piece) => {
  const rng = new Rng(SEED * 1000 + piece);
  const family = piece % 4 === 3 ? 6 : 4;
  const pool = Array.from({ length: POOL }, () => randomRuleFile(rng, family));
  let accepted = 0;
  let refused = 0;
  for (let i = 0; i < PIECE; i++) {
    const text = mutate(pool[i % POOL]!, rng);
    const fail = (what: string) =>
      expect.fail(`FUZZ_SEED=${SEED} part ${piece} file ${i}: ${what}\n${JSON.stringify(text)}`);
    const before = performance.now();
    try {
      const { ruleSet, diagnostics, ok } = parseRuleSet({ name: 'fuzz', text }, { family });
      let errors = 0;
      for (const d of diagnostics) {
        if (d.severity === 'error') errors++;
        if (!(d.span.start >= 0 && d.span.start <= d.span.end && d.span.end <= text.length))
          fail(`${d.code} has a bad span`);
        if (d.message === '') fail(`${d.code} says nothing`);
      }
      if (ok !== (errors === 0)) fail('refused without an error, or accepted with one');
      if (ok) accepted++;
      else refused++;
      // What costs more than parsing is done for some.
      if (i % 32 === 0) for (const d of diagnostics) if (!renderDiagnostic(d).startsWith('fuzz:')) fail('no place');
      if (ok && i % 8 === 0) printRuleSet(ruleSet, { counters: true });
      if (ok && i % 64 === 0)
        makeLab({ options: { buildEngine: compiledEngine, [family === 4 ? 'ruleSet4' : 'ruleSet6']: ruleSet } });
    } catch (error) {
      if (error instanceof Error && error.name === 'AssertionError') throw error;
      fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    if (performance.now() - before > LONGEST_MS) fail(`took ${Math.round(performance.now() - before)} ms`);
  }
  // Mutations that left nothing whole, or broke nothing, would test nothing.
  expect(accepted).toBeGreaterThan(PIECE / 50);
  expect(refused).toBeGreaterThan(PIECE / 2);
}, 600_000);
