/** `chainwalk collect`: the script to run on a node; it writes a bundle that replay takes. */
import { type Command, InvalidArgumentError } from 'commander';
import { collectScript } from '../collect-script.js';
import { printResult } from '../output.js';

interface Options {
  readonly capture?: boolean;
  readonly seconds?: number;
  readonly interface?: string;
}

function parseSeconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 86_400)
    throw new InvalidArgumentError('a whole number from 1 to 86400');
  return value;
}

export function register(program: Command): void {
  program
    .command('collect')
    .description(
      'print a shell script that writes a bundle of this or another node (rules, addresses, routes, sysctls, connections)',
    )
    .option('--capture', 'the script also captures packets, with tcpdump')
    .option('--seconds <n>', 'how long to capture', parseSeconds)
    .option('--interface <name>', 'what to capture on (default: any)')
    .addHelpText(
      'after',
      "\nExample:\n  chainwalk collect | ssh root@node 'sh -s node-bundle && tar c node-bundle' | tar x\n  chainwalk replay node-bundle capture.pcap",
    )
    .action((options: Options) => printResult(collectScript(options)));
}
