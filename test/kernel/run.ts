/**
 * The kernel suite: Linux and chainwalk get the same rules and packets, and must agree on every byte, counter and
 * connection. `npm run test:kernel -- --help` tells the options.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseRecord } from './case-record.js';
import { compare } from './compare.js';
import { ENGINES, emulate } from './emulator.js';
import { replayOnKernel } from './judge.js';
import { cannotRun, Kernel } from './kernel.js';
import { mayLog } from './log-switch.js';
import { runSuite, type SuiteOptions } from './suite.js';

const HELP = `usage: npm run test:kernel -- [options]
  --cases N       generated cases (300)
  --seed S        seed of the run (a new one each time; printed)
  --jobs J        namespaces worked in at the same time (2)
  --family 4|6    only this family
  --only EXT      only cases whose rules use this extension
  --engine NAME   only this engine
  --self-check    the kernel against itself: every case twice
  --wrong         rule files with mistakes: both must refuse, or print the same
  --case FILE     one recorded case again, on the kernel and on chainwalk
  --out DIR       where failing cases are written
  --failures N    stop after so many (5)
  --bundle DIR    write the bundle of the host under test and stop
  --evidence      write docs/fidelity.md
  --json          one JSON object on stdout instead of text
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '300' },
      seed: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      family: { type: 'string' },
      only: { type: 'string' },
      engine: { type: 'string' },
      'self-check': { type: 'boolean', default: false },
      wrong: { type: 'boolean', default: false },
      case: { type: 'string' },
      out: { type: 'string' },
      bundle: { type: 'string' },
      failures: { type: 'string', default: '5' },
      evidence: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const reason = cannotRun();
  if (reason !== undefined) {
    const text = `kernel suite cannot run here: ${reason}; 0 passed, 0 failed, all skipped`;
    process.stdout.write(values.json ? `${JSON.stringify({ skipped: reason })}\n` : `${text}\n`);
    return 0;
  }
  if (values.bundle !== undefined) return writeBundle(values.bundle);
  if (values.case !== undefined) return runOne(values.case);
  const options: SuiteOptions = {
    cases: Number(values.cases),
    seed: values.seed === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(values.seed),
    jobs: Number(values.jobs),
    families: values.family === undefined ? [4, 6] : values.family === '6' ? [6] : [4],
    only: values.only,
    engines: ENGINES.filter((e) => values.engine === undefined || e === values.engine),
    selfCheck: values['self-check'],
    wrong: values.wrong,
    outDir: values.out,
    mostFailures: Number(values.failures),
    evidence: values.evidence,
    json: values.json,
    log: mayLog(),
  };
  return runSuite(options);
}

async function writeBundle(dir: string): Promise<number> {
  const kernel = await Kernel.start(4);
  mkdirSync(dir, { recursive: true });
  for (const [name, text] of Object.entries(await kernel.bundle())) writeFileSync(join(dir, name), text);
  kernel.stop();
  return 0;
}

async function runOne(file: string): Promise<number> {
  const record = parseRecord(readFileSync(file, 'utf8'));
  const kernel = await Kernel.start(record.family, { log: record.kernel.log !== undefined });
  try {
    const again = await replayOnKernel(kernel, record, true);
    let failed = 0;
    const show = (title: string, found: readonly { text: string }[]) => {
      process.stdout.write(`${title}: ${found.length === 0 ? 'agrees' : 'differs'}\n`);
      for (const d of found) process.stdout.write(`${d.text}\n`);
    };
    show('the kernel now, and as recorded', compare(record, again.kernel));
    for (const engine of ENGINES) {
      const found = compare(again, emulate(again, engine));
      if (found.length > 0) failed++;
      show(`chainwalk, ${engine} engine`, found);
    }
    process.stdout.write(`${failed === 0 ? 1 : 0} passed, ${failed === 0 ? 0 : 1} failed\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    kernel.stop();
  }
}

process.exitCode = await main();
