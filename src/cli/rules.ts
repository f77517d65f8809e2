/** Rule files as commands take them: family told, guessed, or refused. */
import type { Command } from 'commander';
import type { Source } from '../base/source.js';
import type { Family } from '../net/netfilter.js';
import { detectFamily } from '../ruleset/detect-family.js';
import { type ParsedRuleSet, parseRuleSet } from '../ruleset/parse.js';
import { Failure } from './failure.js';
import { readSource } from './input.js';

export interface FamilyOptions {
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
}

export function addFamilyOptions(command: Command): Command {
  return command
    .option('-4, --ipv4', 'the rules are IPv4 (default: by file name, first comment, addresses)')
    .option('-6, --ipv6', 'the rules are IPv6');
}

export function familyOf(source: Source, options: FamilyOptions): Family {
  if (options.ipv4 === true && options.ipv6 === true) throw new Failure('error: --ipv4 and --ipv6 exclude each other');
  if (options.ipv4 === true) return 4;
  if (options.ipv6 === true) return 6;
  return detectFamily(source).family;
}

export function readRules(path: string, options: FamilyOptions): { source: Source; parsed: ParsedRuleSet } {
  const source = readSource(path);
  return { source, parsed: parseRuleSet(source, { family: familyOf(source, options) }) };
}
