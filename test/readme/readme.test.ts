/**
 * The README is a promise: every `console` block in it is run and must print what stands there.
 * UPDATE_README=1 writes what is printed now; read the diff.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const README = readFileSync('README.md', 'utf8');
const BLOCK = /```console\n\$ (chainwalk [^\n]*)\n([\s\S]*?)```/g;

/** What a shell prints for the command, both streams, without colours. */
function run(command: string): string {
  const line = command.replace(/^chainwalk/, 'node --import tsx src/cli/main.ts');
  return execFileSync('sh', ['-c', `${line} 2>&1 || true`], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
}

const blocks = [...README.matchAll(BLOCK)].map((match) => ({ whole: match[0], command: match[1]!, output: match[2]! }));

it('has console blocks', () => {
  expect(blocks.length).toBeGreaterThan(2);
});

it.skipIf(process.env['UPDATE_README'] !== undefined).each(blocks)(
  '$command prints what the README shows',
  ({ command, output }) => {
    expect(run(command)).toBe(output);
  },
);

it.runIf(process.env['UPDATE_README'] !== undefined)('is written anew', () => {
  let text = README;
  for (const { whole, command } of blocks)
    text = text.replace(whole, () => `\`\`\`console\n$ ${command}\n${run(command)}\`\`\``);
  writeFileSync('README.md', text);
});
