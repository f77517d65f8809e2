/**
 * Cases that the kernel suite found and that were mended: rules, packets and what Linux made of them, as recorded.
 * Adding one: copy the suite's case.json here under a name that says what it is about.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseRecord } from '../kernel/case-record.js';
import { compare } from '../kernel/compare.js';
import { ENGINES, emulate } from '../kernel/emulator.js';
import { KNOWN_DIFFERENCES } from '../kernel/known-difference.js';

const FOLDER = new URL('.', import.meta.url);
const names = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.replace('.json', ''));

/** Known differences, listed in test/kernel/known-difference.ts: a case that agrees now belongs beside this file. */
const KNOWN = new URL('known/', FOLDER);
const known = existsSync(KNOWN) ? readdirSync(KNOWN).map((name) => name.replace('.json', '')) : [];

it('every known difference is told', () => {
  expect(KNOWN_DIFFERENCES.map((d) => d.test).sort()).toEqual(
    known.map((n) => `test/regression/known/${n}.json`).sort(),
  );
});

describe.each(ENGINES)('%s engine', (engine) => {
  it.each(names)('%s', (name) => {
    const record = parseRecord(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8'));
    expect(compare(record, emulate(record, engine)).map((d) => d.text)).toEqual([]);
  });
  it.each(known)('known to differ: %s', (name) => {
    const record = parseRecord(readFileSync(new URL(`known/${name}.json`, FOLDER), 'utf8'));
    expect(compare(record, emulate(record, engine))).not.toEqual([]);
  });
});
