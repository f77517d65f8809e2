/** `chainwalk fmt RULES`: the rule set as iptables-save would print it. */
import type { Command } from 'commander';
import { printRuleSet } from '../../ruleset/print.js';
import { EXIT_BAD_INPUT } from '../failure.js';
import { printDiagnostics, printResult } from '../output.js';
import { addFamilyOptions, type FamilyOptions, readRules } from '../rules.js';

interface Options extends FamilyOptions {
  readonly counters?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('fmt')
    .description('print a rule file as iptables-save would')
    .argument('<rules>', 'rule file (iptables-save, or what iptables-restore reads); - for standard input')
    .option('-c, --counters', 'print counters of rules (default: if the file has them)')
    .option('--no-counters', 'leave out counters of rules')
    .addHelpText('after', '\nExample:\n  chainwalk fmt rules/router-router.rules');
  addFamilyOptions(command).action((path: string, options: Options) => {
    const { parsed, source } = readRules(path, options);
    printDiagnostics(parsed.diagnostics);
    if (!parsed.ok) {
      process.exitCode = EXIT_BAD_INPUT;
      return;
    }
    const counters = options.counters ?? /^\[\d+:\d+\] -/m.test(source.text);
    printResult(printRuleSet(parsed.ruleSet, { counters }));
  });
}
