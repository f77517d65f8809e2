import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/** Rooms of src and what each may import besides itself and base (ARCHITECTURE.md has the same table in words). */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  net: [],
  wire: ['net'],
  capture: ['net'],
  conntrack: ['wire', 'net'],
  ipset: ['net'],
  ext: ['ipset', 'conntrack', 'wire', 'net'],
  ruleset: ['ext', 'net'],
  engine: ['ruleset', 'ext', 'ipset', 'conntrack', 'wire', 'net'],
  host: ['engine', 'ruleset', 'ext', 'ipset', 'conntrack', 'wire', 'net'],
  replay: ['capture', 'host', 'engine', 'ruleset', 'ext', 'conntrack', 'wire', 'net'],
  analysis: ['engine', 'host', 'ruleset', 'ext', 'conntrack', 'wire', 'net'],
  kube: ['ruleset', 'ext', 'ipset', 'net'],
  cluster: ['kube', 'host', 'engine', 'ruleset', 'wire', 'net'],
  report: ['cluster', 'analysis', 'replay', 'host', 'engine', 'ruleset', 'ext', 'ipset', 'conntrack', 'wire', 'net'],
  cli: [
    ...['report', 'cluster', 'kube', 'analysis', 'replay', 'host', 'engine', 'ruleset', 'ext', 'ipset', 'conntrack'],
    ...['capture', 'wire', 'net'],
  ],
};

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter(
  (f) => f.endsWith('.ts') && f !== 'index.ts' && !f.startsWith('web'),
);
const textOf = (file: string) => readFileSync(`src/${file}`, 'utf8');
const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
const importsOf = (file: string) => [...textOf(file).matchAll(/(?:from|import)\s+'([^']+)'/g)].map((m) => m[1]!);

describe.each(files)('src/%s', (file) => {
  const room = file.split('/')[0]!;

  it('imports only rooms below its own', () => {
    const allowed = MAY_IMPORT[room];
    expect(allowed, `room ${room} is not in the table`).toBeDefined();
    for (const path of importsOf(file).filter((p) => p.startsWith('.'))) {
      const target = new URL(path, `file:///${file}`).pathname.split('/')[1]!;
      expect([room, 'base', ...allowed!], path).toContain(target);
      if (room === 'host' && target === 'engine') expect(path).toMatch(/\/engine\/engine\.js$/);
    }
  });

  it.skipIf(room === 'cli')('touches no Node module, clock, chance or environment of its own', () => {
    expect(importsOf(file).filter((p) => p.startsWith('node:'))).toEqual([]);
    const code = withoutComments(textOf(file));
    expect(code).not.toMatch(/\bDate\.now\(|\bMath\.random\(|\bprocess\.|\bperformance\.now\(|new Date\(\)/);
  });

  it('exports by name, to be imported from where it is defined', () => {
    const code = withoutComments(textOf(file));
    expect(code).not.toMatch(/^export default\b|^export \* from/m);
    expect(code).not.toMatch(/^(?:export )?(?:const )?enum /m);
  });
});
