/** RULES|BUNDLE and the options that shape a plain host → everything a replay or trace needs to make its host. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';
import { compiledEngine } from '../engine/compiled/engine.js';
import type { BuildEngine } from '../engine/engine.js';
import { referenceEngine } from '../engine/reference/walk.js';
import { HOST_FILES, parseBundle } from '../host/bundle.js';
import { makeDefaultHost } from '../host/default-host.js';
import type { HostConfig } from '../host/host-config.js';
import type { ReplayHostOptions } from '../replay/replay-host.js';
import type { Rule, RuleSet } from '../ruleset/model.js';
import { parseRuleSet } from '../ruleset/parse.js';
import { Failure } from './failure.js';
import { isFolder, readFolder, readSource } from './input.js';
import { printDiagnostics } from './output.js';
import { addFamilyOptions, type FamilyOptions, familyOf } from './rules.js';

/** What shapes a host, whichever engine runs on it. */
export interface HostShapeOptions extends FamilyOptions {
  readonly addr?: readonly string[];
  readonly route?: readonly string[];
  readonly seed: number;
  readonly hz: number;
}

export interface HostInputOptions extends HostShapeOptions {
  readonly engine: 'reference' | 'compiled';
}

export interface HostInput {
  readonly config: HostConfig;
  readonly ruleSet4: RuleSet | undefined;
  readonly ruleSet6: RuleSet | undefined;
  readonly assumed: readonly string[];
  /** A rule file alone: neighbours and much else are made up. */
  readonly isPlain: boolean;
}

export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`a whole number from ${min} to ${max}`);
    return value;
  };

const collect = (text: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text];

export function addHostOptions(command: Command): Command {
  return addHostShapeOptions(command).addOption(
    new Option('--engine <name>', 'engine that runs the rules').choices(['compiled', 'reference']).default('compiled'),
  );
}

export function addHostShapeOptions(command: Command): Command {
  return addFamilyOptions(command)
    .option('--addr <iface=addr/len>', 'address of the plain host that a rule file alone gets (repeatable)', collect)
    .option('--route <dest,via,iface>', 'route of that host; via may be empty (repeatable)', collect)
    .option('--seed <n>', 'seed of every random choice', wholeNumber(0, 2 ** 32 - 1), 1)
    .option('--hz <n>', "kernel's ticks a second (CONFIG_HZ)", wholeNumber(24, 10_000), 250);
}

export function buildEngineOf(options: HostInputOptions): BuildEngine {
  return options.engine === 'reference' ? referenceEngine : compiledEngine;
}

/** How the host of the input is made. */
export function replayHostOptions(
  { ruleSet4, ruleSet6, isPlain }: Pick<HostInput, 'ruleSet4' | 'ruleSet6' | 'isPlain'>,
  options: HostShapeOptions,
  buildEngine: BuildEngine,
): ReplayHostOptions {
  return { ruleSet4, ruleSet6, buildEngine, seed: options.seed, hz: options.hz, assumeNeighbours: isPlain };
}

/** Takes what is wrong with the input; the worker threads of a replay say nothing again. */
type Report = (diagnostics: readonly Diagnostic[]) => void;

/** Tells what is wrong and ends the command if it is an error. */
function settle(diagnostics: readonly Diagnostic[], report: Report): void {
  report(diagnostics);
  const errors = diagnostics.filter((d) => d.severity === 'error').length;
  if (errors > 0) throw new Failure(`${errors} ${errors === 1 ? 'error' : 'errors'}: nothing was run`);
}

/** The texts that a host is made from; plain data. */
export type HostSources =
  | { readonly kind: 'rules'; readonly source: Source }
  | { readonly kind: 'bundle'; readonly files: ReadonlyMap<string, Source> };

export function readHostSources(path: string, options: HostShapeOptions): HostSources {
  if (!isFolder(path)) return { kind: 'rules', source: readSource(path) };
  if ((options.addr ?? []).length > 0 || (options.route ?? []).length > 0) {
    throw new Failure(
      'error: --addr and --route shape the plain host of a rule file; a bundle says its own addresses and routes',
    );
  }
  if (options.ipv4 === true || options.ipv6 === true)
    throw new Failure('error: --ipv4 and --ipv6 are for rule files; a bundle has both families');
  const files = readFolder(path, [...HOST_FILES, 'iptables-save', 'ip6tables-save', 'ipset-save', 'time']);
  if (files.size === 0)
    throw new Failure(
      `${path}: not a bundle: none of iptables-save, addr.json, route.json … is in it (chainwalk collect makes one)`,
    );
  return { kind: 'bundle', files };
}

/** `devices`: names that captures give, for the plain host of a rule file; `bare`: those without link header. */
export function readHostInput(
  path: string,
  options: HostShapeOptions,
  devices: readonly string[],
  bare: ReadonlySet<string>,
): HostInput {
  return makeHostInput(readHostSources(path, options), options, devices, bare);
}

export function makeHostInput(
  sources: HostSources,
  options: HostShapeOptions,
  devices: readonly string[],
  bare: ReadonlySet<string>,
  report: Report = printDiagnostics,
): HostInput {
  if (sources.kind === 'bundle') return makeBundleInput(sources.files, report);
  const { source } = sources;
  const { diagnostics, ruleSet } = parseRuleSet(source, { family: familyOf(source, options) });
  settle(diagnostics, report);
  const named = [...new Set([...devices, ...devicesOf(ruleSet)])];
  const made = makeDefaultHost({
    devices: named,
    addresses: options.addr ?? [],
    routes: options.route ?? [],
    bare,
  });
  if (made.faults.length > 0) throw new Failure(made.faults.map((fault) => `error: ${fault}`).join('\n'));
  return {
    config: made.config,
    ruleSet4: ruleSet.family === 4 ? ruleSet : undefined,
    ruleSet6: ruleSet.family === 6 ? ruleSet : undefined,
    assumed: made.assumed,
    isPlain: true,
  };
}

function makeBundleInput(files: ReadonlyMap<string, Source>, report: Report): HostInput {
  const bundle = parseBundle(files);
  const diagnostics = [...bundle.diagnostics];
  const ruleSets = ([4, 6] as const).map((family) => {
    const source = files.get(family === 4 ? 'iptables-save' : 'ip6tables-save');
    if (source === undefined) return undefined;
    const parsed = parseRuleSet(source, { family });
    diagnostics.push(...parsed.diagnostics);
    return parsed.ruleSet;
  });
  settle(diagnostics, report);
  return {
    config: bundle.config,
    ruleSet4: ruleSets[0],
    ruleSet6: ruleSets[1],
    assumed: bundle.assumed,
    isPlain: false,
  };
}

/** Devices that rules name in full: a plain host has them. */
function devicesOf(ruleSet: RuleSet): string[] {
  const names = new Set<string>();
  const note = (test: Rule['inDevice']) => {
    if (test !== undefined && test.name !== '' && !test.name.endsWith('+') && test.name !== 'lo') names.add(test.name);
  };
  for (const table of ruleSet.tables) {
    for (const chain of table.chains.values()) {
      for (const rule of chain.rules) {
        note(rule.inDevice);
        note(rule.outDevice);
      }
    }
  }
  return [...names].sort();
}
