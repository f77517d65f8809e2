import { readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { readBlockYaml } from '../../src/kube/block-yaml.js';

/** What the full parser makes of a text; undefined where it finds faults. */
function full(text: string): unknown[] | undefined {
  const documents = parseAllDocuments(text, { merge: true, logLevel: 'silent' });
  if (!Array.isArray(documents)) return [];
  return documents.some((document) => document.errors.length > 0)
    ? undefined
    : documents.map((d) => d.toJS() as unknown);
}

describe('YAML as kubectl prints it', () => {
  it.each([
    ['a: 1\nb:\n- x\n- y: 2\n  z: "q\\n"\nc: {}\n', true],
    ['a:\n  b:\n    c: true\n  d: ~\n', true],
    ['a:\n- - 1\n  - 2\n- -\n', true],
    ["a: 'it''s'\nb: 10.0.0.1\nc: 1Gi\nd: -5\ne: 0\n", true],
    ['a: |\n  one\n   two\n\n  three\nb: |-\n  x\n', true],
    ['---\na: 1\n---\n---\nb: 2\n', true],
    ['# comment\na: 1\n  # comment\nb: 2\n', true],
    ['a:\n\nb: x y z\n', true],
    ['- a: 1\n  b: 2\n-   c: 3\n    d: 4\n', true],
    ['a: "2026-11-02T08:20:09Z"\nb: 2026-11-02T08:20:09Z\n', true],
    ['a/b.c-d: x\n', true],
    ['a: &x 1\nb: *x\n', false],
    ['a: {b: 1}\n', false],
    ['a: one\n  two\n', false],
    ['a: >\n  folded\n', false],
    ['a: 1\na: 2\n', false],
    ['a: 0x10\nb: 1e3\nc: 1.5\nd: 007\n', false],
    ['a: b: c\n', false],
    ['a: x # comment\n', false],
    ['a:\n  b: 1\n c: 2\n', false],
    ['a: "x\n', false],
    ['a: "\\x41"\n', false],
    ['a:\tb\n', false],
    ['scalar\n', false],
    ['a: 1\n- b\n', false],
    ['? a\n: b\n', false],
    ['a: 1\n...\nb: 2\n', false],
    ['"a": 1\n', false],
    ['<<: {a: 1}\n', false],
    ['null: 1\n', false],
    ['__proto__: 1\n', false],
    ['a: |\n\n  x\n', false],
    ['a: |\n  x\n  \n', true],
  ])('%j is read: %s', (text, isRead) => {
    const read = readBlockYaml(text);
    expect(read !== undefined).toBe(isRead);
    if (read !== undefined) expect(read).toEqual(full(text));
  });

  it('reads the recorded clusters without the full parser', () => {
    const folder = 'test/golden/kube-proxy/clusters';
    for (const name of readdirSync(folder)) {
      const text = readFileSync(`${folder}/${name}/objects.yaml`, 'utf8');
      expect(readBlockYaml(text)).toEqual(full(text));
    }
  });

  it('agrees with the full parser on whatever it reads', () => {
    const scalar = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom(
        '',
        '-',
        '- a',
        'a: b',
        'null',
        'true',
        '~',
        '1',
        '1.0',
        '0o7',
        '# x',
        'a #b',
        '|',
        "it's",
        '10.0.0.0/8',
        'x\ny\n',
        ' x',
        'x ',
      ),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
    );
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        scalar,
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom('a', 'b', 'c-d', 'e.f/g'), tie('value'), { maxKeys: 3 }),
      ),
    }));
    let count = 0;
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 2 }),
        fc.constantFrom({}, { indentSeq: false }),
        (values, options) => {
          const text = values.map((v) => stringify(v, { ...options, lineWidth: 0 })).join('---\n');
          const read = readBlockYaml(text);
          if (read === undefined) return;
          count++;
          expect(read).toEqual(full(text));
        },
      ),
      { seed: 11, numRuns: 2000 },
    );
    expect(count).toBeGreaterThan(300);
  });

  it('agrees with the full parser on damaged texts', () => {
    const text = readFileSync('test/golden/kube-proxy/clusters/course-notes/objects.yaml', 'utf8')
      .split('\n')
      .slice(0, 60)
      .join('\n');
    const damage = fc.constantFrom(' ', '\n', '-', ': ', "'", '"', '#', '|', '{', 'x', '---\n', '  ');
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(3), damage, (at, cut, insert) => {
        const damaged = text.slice(0, at) + insert + text.slice(at + cut);
        const read = readBlockYaml(damaged);
        if (read !== undefined) expect(read).toEqual(full(damaged));
      }),
      { seed: 12, numRuns: 1500 },
    );
  });
});
