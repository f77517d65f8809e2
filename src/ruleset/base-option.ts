/**
 * iptables' own options: names, arguments, which command takes which (specification 3.2).
 * Source: original_opts, commands_v_options and inverse_for_options, iptables/xshared.c and iptables/iptables.c (1.8.9).
 */
import type { Family } from '../net/netfilter.js';

/** `optional`: only glued on (`-FINPUT`, `--flush=INPUT`), or the next word if it looks like none of an option. */
export type Argument = 'none' | 'required' | 'optional';

export interface BaseOption {
  /** Short form without dash; names the option. */
  readonly letter: string;
  readonly names: readonly string[];
  readonly argument: Argument;
}

const option = (letter: string, argument: Argument, ...names: string[]): BaseOption => ({ letter, argument, names });

const OPTIONS: readonly BaseOption[] = [
  option('A', 'required', '--append'),
  option('D', 'required', '--delete'),
  option('C', 'required', '--check'),
  option('I', 'required', '--insert'),
  option('R', 'required', '--replace'),
  option('L', 'optional', '--list'),
  option('S', 'optional', '--list-rules'),
  option('F', 'optional', '--flush'),
  option('Z', 'optional', '--zero'),
  option('N', 'required', '--new-chain'),
  option('X', 'optional', '--delete-chain'),
  option('E', 'required', '--rename-chain'),
  option('P', 'required', '--policy'),
  option('s', 'required', '--source', '--src'),
  option('d', 'required', '--destination', '--dst'),
  option('p', 'required', '--protocol'),
  option('i', 'required', '--in-interface'),
  option('o', 'required', '--out-interface'),
  option('j', 'required', '--jump'),
  option('g', 'required', '--goto'),
  option('m', 'required', '--match'),
  option('t', 'required', '--table'),
  option('n', 'none', '--numeric'),
  option('v', 'none', '--verbose'),
  option('w', 'optional', '--wait'),
  option('W', 'optional', '--wait-interval'),
  option('x', 'none', '--exact'),
  option('f', 'none', '--fragments'),
  option('V', 'none', '--version'),
  option('h', 'optional', '--help'),
  option('0', 'none', '--line-numbers'),
  option('M', 'required', '--modprobe'),
  option('c', 'required', '--set-counters'),
  option('4', 'none', '--ipv4'),
  option('6', 'none', '--ipv6'),
];

/** Options with a short form. `--line-numbers` has none. */
export const BY_LETTER: ReadonlyMap<string, BaseOption> = new Map(
  OPTIONS.filter((o) => o.letter !== '0').map((o) => [o.letter, o]),
);

export const BY_NAME: ReadonlyMap<string, BaseOption> = new Map(
  OPTIONS.flatMap((o) => o.names.map((name) => [name, o])),
);

/** ip6tables knows no long name for `-f`. */
export function hasLongName(option: BaseOption, family: Family): boolean {
  return family === 4 || option.letter !== 'f';
}

export type CommandName =
  | 'append'
  | 'delete'
  | 'delete-number'
  | 'check'
  | 'insert'
  | 'replace'
  | 'list'
  | 'list-rules'
  | 'flush'
  | 'zero'
  | 'zero-number'
  | 'new-chain'
  | 'delete-chain'
  | 'rename-chain'
  | 'policy';

export const COMMAND_OF_LETTER: Readonly<Record<string, CommandName>> = {
  A: 'append',
  D: 'delete',
  C: 'check',
  I: 'insert',
  R: 'replace',
  L: 'list',
  S: 'list-rules',
  F: 'flush',
  Z: 'zero',
  N: 'new-chain',
  X: 'delete-chain',
  E: 'rename-chain',
  P: 'policy',
};

/** Commands that hold a rule. */
export const RULE_COMMANDS: ReadonlySet<CommandName> = new Set(['append', 'delete', 'check', 'insert', 'replace']);

/** Options that a command takes; `v` always. Letter `0` is --line-numbers. */
export function takesOption(command: CommandName, letter: string): boolean {
  if (letter === 'v') return true;
  if (RULE_COMMANDS.has(command)) return 'sdpjiofc'.includes(letter);
  if (command === 'policy') return letter === 'c';
  if (command === 'list') return 'nx0'.includes(letter);
  return false;
}

/** Base options that a preceding `!` may invert. */
export const INVERTIBLE: ReadonlySet<string> = new Set(['s', 'd', 'p', 'i', 'o', 'f']);
