/** What to write instead: hints for words that the rule parser does not know. */
import { nearest } from '../base/nearest.js';
import type { OptionSpec } from '../ext/extension.js';
import { UNSUPPORTED_MATCHES, UNSUPPORTED_TARGETS } from '../ext/unsupported.js';
import type { Family, TableName } from '../net/netfilter.js';
import { BY_NAME } from './base-option.js';
import type { ExtensionRegistry } from './extension-registry.js';
import type { Extension } from './getopt.js';
import { VERDICTS } from './model.js';
import type { RuleFaultCode } from './rule-fault.js';

export function didYouMean(guess: string | undefined): string | undefined {
  return guess === undefined ? undefined : `did you mean "${guess}"?`;
}

/** For a word that is neither an option nor a value. */
export function strayHint(word: string): string | undefined {
  if (word.endsWith('\r')) return 'the line ends in a carriage return: convert the file to Unix line ends';
  if (word.startsWith('#')) return 'comments must begin in the first column';
  return word.trim() === 'COMMIT' ? 'COMMIT must stand alone on its line, with a newline right after it' : undefined;
}

/** Why there is no such match, or neither target nor chain. */
export function unknownExtension(
  kind: 'match' | 'target',
  name: string,
  family: Family,
  registry: ExtensionRegistry,
  table: TableName,
  chains: Iterable<string>,
): { readonly code: RuleFaultCode; readonly message: string; readonly hint: string | undefined } {
  const list: readonly Extension[] = kind === 'match' ? registry.matches : registry.targets;
  const here = list.filter((ext) => ext.families.includes(family));
  const isNamed = (ext: Extension): boolean => ext.kind === name || ext.aliases?.includes(name) === true;
  if (list.some(isNamed) && !here.some(isNamed))
    return {
      code: 'unsupported-extension',
      message: `${kind} "${name}" does not exist for IPv${family}`,
      hint: undefined,
    };
  if ((kind === 'match' ? UNSUPPORTED_MATCHES : UNSUPPORTED_TARGETS).has(name)) {
    const hint = 'the rule would not be exact without it';
    return { code: 'unsupported-extension', message: `${kind} "${name}" is not supported`, hint };
  }
  const names = here.map((ext) => ext.kind);
  if (kind === 'match')
    return { code: 'unknown-match', message: `unknown match "${name}"`, hint: didYouMean(nearest(name, names)) };
  const hint = didYouMean(nearest(name, [...chains, ...names, ...VERDICTS]));
  return { code: 'unknown-target', message: `no chain or target "${name}" in table ${table}`, hint };
}

/** For an option that nothing loaded knows. */
export function optionHint(
  name: string,
  family: Family,
  registry: ExtensionRegistry,
  loaded: readonly Extension[],
  protocolGiven: boolean,
): string | undefined {
  if (/^--(dports?|sports?|ports|(source|destination)-ports?)$/.test(name)) {
    if (name.endsWith('ports')) return 'lists of ports need -m multiport';
    if (!protocolGiven) return `"${name}" needs a protocol before it: -p tcp, -p udp, …`;
  }
  const isName = (spec: OptionSpec): boolean => spec.name === name || spec.aliases?.includes(name) === true;
  const has = (ext: Extension): boolean => ext.families.includes(family) && ext.options.some(isName);
  const match = registry.matches.find(has);
  if (match !== undefined) return `"${name}" belongs to -m ${match.kind}, which must stand before it`;
  const target = registry.targets.find(has);
  if (target !== undefined) return `"${name}" belongs to -j ${target.kind}, which must stand before it`;
  const known = loaded.flatMap((ext) => ext.options.flatMap((spec) => [spec.name, ...(spec.aliases ?? [])]));
  return didYouMean(nearest(name, [...known, ...BY_NAME.keys()]));
}
