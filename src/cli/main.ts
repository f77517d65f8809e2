#!/usr/bin/env node
/** The command line: one command a file in commands/, each reads files, calls the library and prints. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { register as registerBench } from './commands/bench.js';
import { register as registerCheck } from './commands/check.js';
import { register as registerCollect } from './commands/collect.js';
import { register as registerDiff } from './commands/diff.js';
import { register as registerFmt } from './commands/fmt.js';
import { register as registerKubeProxy } from './commands/kube-proxy.js';
import { register as registerReplay } from './commands/replay.js';
import { register as registerTrace } from './commands/trace.js';
import { EXIT_BAD_INPUT, EXIT_DONE, Failure } from './failure.js';
import { printMessage, printResult } from './output.js';

const COMMANDS = [
  registerReplay,
  registerTrace,
  registerCheck,
  registerFmt,
  registerCollect,
  registerDiff,
  registerKubeProxy,
  registerBench,
];

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('chainwalk')
    .description(
      'Walks packets through Linux netfilter/iptables rules and kube-proxy chains, exactly as the kernel would.',
    )
    .version(version())
    .showHelpAfterError('(try --help)')
    .exitOverride()
    // Help, too, may go into a pipe whose reader leaves early.
    .configureOutput({ writeOut: printResult })
    .configureHelp({ showGlobalOptions: true });
  for (const register of COMMANDS) register(program);
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError(`(try chainwalk ${command.name()} --help)`);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed its message already; its own exit code for bad usage is 1, ours is 2.
      process.exitCode = error.exitCode === 0 ? EXIT_DONE : EXIT_BAD_INPUT;
    } else if (error instanceof Failure) {
      printMessage(error.message);
      process.exitCode = error.exitCode;
    } else {
      throw error;
    }
  }
}

await main(process.argv.slice(2));
