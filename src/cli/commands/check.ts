/** `chainwalk check RULES…`: would they load, and if not, why. */
import type { Command } from 'commander';
import { positionOf } from '../../base/source.js';
import { type CompiledEngine, compiledEngine } from '../../engine/compiled/engine.js';
import { makeDefaultHost } from '../../host/default-host.js';
import { Host } from '../../host/host.js';
import { printPlans, type TablePlan } from '../../report/plan-text.js';
import type { RuleSet } from '../../ruleset/model.js';
import { EXIT_BAD_INPUT, EXIT_NO, Failure } from '../failure.js';
import { printDiagnostics, printMessage, printResult } from '../output.js';
import { addFamilyOptions, type FamilyOptions, readRules } from '../rules.js';

const counted = (n: number, thing: string): string => `${n} ${thing}${n === 1 ? '' : 's'}`;

/** A file that cannot be read does not keep the others from being checked. */
function readOrTell(path: string, options: FamilyOptions): ReturnType<typeof readRules> | undefined {
  try {
    return readRules(path, options);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    printMessage(error.message);
    process.exitCode = error.exitCode;
    return undefined;
  }
}

interface Options extends FamilyOptions {
  readonly json?: boolean;
  readonly plan?: boolean;
}

/** What the compiler makes of each chain. The host is a plain one: plans do not depend on it. */
function plansOf(ruleSet: RuleSet): TablePlan[] {
  const { config } = makeDefaultHost({ devices: ['eth0'] });
  let engine: CompiledEngine | undefined;
  new Host(config, {
    ...(ruleSet.family === 4 ? { ruleSet4: ruleSet } : { ruleSet6: ruleSet }),
    buildEngine: (rules, env) => {
      engine = compiledEngine(rules, env);
      return engine;
    },
    seed: 1,
  });
  return ruleSet.tables.map(({ name, chains }) => ({
    table: name,
    plans: [...chains.keys()].map((chain) => engine!.planOf(name, chain)),
  }));
}

export function register(program: Command): void {
  const command = program
    .command('check')
    .description('parse and check rule files as iptables-restore and the kernel would; exit 1 if one would not load')
    .argument('<rules...>', 'rule files; - for standard input')
    .option('--plan', 'tell for each chain how it is compiled, why, and what stays to be tested rule by rule')
    .option('--json', 'one JSON object a file')
    .addHelpText('after', '\nExample:\n  chainwalk check --plan rules/*.rules');
  addFamilyOptions(command).action((paths: readonly string[], options: Options) => {
    for (const path of paths) {
      const read = readOrTell(path, options);
      if (read === undefined) continue;
      const { parsed, source } = read;
      if (!parsed.ok && process.exitCode !== EXIT_BAD_INPUT) process.exitCode = EXIT_NO;
      const { ruleSet, diagnostics } = parsed;
      const chains = ruleSet.tables.reduce((sum, table) => sum + table.chains.size, 0);
      const rules = ruleSet.tables.reduce(
        (sum, table) => sum + [...table.chains.values()].reduce((n, chain) => n + chain.rules.length, 0),
        0,
      );
      const plans = options.plan === true && parsed.ok ? plansOf(ruleSet) : undefined;
      if (options.json === true) {
        const listed = diagnostics.map(({ severity, code, message, span, hint }) => {
          const { line, column } = positionOf(span.source, span.start);
          return { severity, code, message, line, column, hint };
        });
        const tables = ruleSet.tables.map((table) => table.name);
        printResult(
          `${JSON.stringify({ file: source.name, ok: parsed.ok, family: ruleSet.family, tables, chains, rules, diagnostics: listed, ...(plans === undefined ? {} : { plans }) })}\n`,
        );
        continue;
      }
      printDiagnostics(diagnostics);
      const errors = diagnostics.filter((d) => d.severity === 'error').length;
      const size = `IPv${ruleSet.family}, ${counted(ruleSet.tables.length, 'table')}, ${counted(chains, 'chain')}, ${counted(rules, 'rule')}`;
      printResult(parsed.ok ? `${source.name}: ok (${size})\n` : `${source.name}: ${counted(errors, 'error')}\n`);
      if (plans !== undefined) printResult(printPlans(plans));
    }
  });
}
