/** A failing case as somebody needs it: what differs, the files, and the command that runs it again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printRecord } from './case-record.js';
import type { Failure, SuiteOptions } from './suite.js';

let count = 0;

export function reportFailure(failure: Failure, options: SuiteOptions): void {
  const dir = join(options.outDir ?? join(tmpdir(), 'chainwalk-kernel'), `${options.seed}-${++count}`);
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'case.json');
  writeFileSync(file, printRecord(failure.record));
  writeFileSync(join(dir, failure.record.family === 4 ? 'iptables-save' : 'ip6tables-save'), failure.record.rules);
  if (options.json) return;
  const { record } = failure;
  const rules = record.rules.split('\n').filter((l) => l.startsWith('[') || l.startsWith('*') || / DROP /.test(l));
  process.stdout.write(`
--- differs (${failure.engine}; IPv${record.family}; ${record.name}; ${record.injections.length} packets)
${rules.join('\n')}
${failure.differences.map((d) => `${d.where}: ${d.text}`).join('\n')}
  again: npx tsx test/kernel/run.ts --case ${file}
`);
}
