/** Carries out a command of a rule file on the table that it edits. */
import { byteSize } from '../base/byte-size.js';
import { nearest } from '../base/nearest.js';
import { cutBytes } from '../ext/option.js';
import type { Command } from './command.js';
import { MAX_NAME_SIZE } from './command-draft.js';
import { ZERO_COUNTERS } from './counter.js';
import type { RuleFaultCode } from './rule-fault.js';
import type { Trouble, WorkingTable } from './working-table.js';

/** Longest name that -E takes. */
const MAX_RENAMED_SIZE = 31;

const TROUBLE: Readonly<Record<Trouble, string>> = {
  'missing-chain': 'no such chain',
  'chain-exists': 'chain already exists',
  'chain-in-use': 'chain is still used by a rule',
  'chain-not-empty': 'chain is not empty',
  'built-in-chain': 'chain is built in',
  'no-such-rule': 'no such rule',
  'bad-policy': 'policy must be ACCEPT or DROP',
};

/** Reports a fault at text[start, end). */
export type Fail = (code: RuleFaultCode, message: string, start: number, end: number, hint?: string) => void;

/** `start` to `end`: the command line, for faults. */
export function runCommand(table: WorkingTable, command: Command, start: number, end: number, fail: Fail): void {
  const { chain, ruleNumber } = command;
  const index = ruleNumber === undefined ? undefined : ruleNumber - 1;
  const name = chain ?? '';
  let trouble: Trouble | undefined;
  switch (command.name) {
    case 'append':
      trouble = table.append(name, command.rules);
      break;
    case 'insert':
      trouble = table.insert(name, command.rules, index ?? 0);
      break;
    case 'replace':
      trouble = table.replace(name, command.rules[0]!, index!);
      break;
    case 'delete':
      for (const rule of command.rules) trouble ??= table.delete(name, rule);
      break;
    case 'delete-number':
      trouble = table.deleteNumber(name, index!);
      break;
    case 'check':
      for (const rule of command.rules) trouble ??= table.check(name, rule);
      break;
    case 'new-chain':
      trouble = table.newChain(name);
      break;
    case 'delete-chain':
      trouble = table.deleteChain(chain);
      break;
    case 'rename-chain':
      rename(table, name, command, start, end, fail);
      return;
    case 'flush':
      trouble = table.flush(chain);
      break;
    case 'zero':
    case 'zero-number':
      trouble = table.zero(chain, index);
      break;
    case 'policy':
      trouble = table.setPolicy(name, command.policy!, command.counters ?? ZERO_COUNTERS);
      break;
    case 'list':
    case 'list-rules':
      if (chain !== undefined) trouble = table.has(chain, undefined);
      // 1.8.9 looks for a library of the name of the chain that it prints, and fails.
      if (trouble === undefined && command.name === 'list-rules' && table.hasJumps(chain))
        fail('not-in-file', '-S cannot list rules that jump to a chain here', start, end, 'leave -S out');
      if (trouble === undefined && command.andZero) trouble = table.zero(chain, undefined);
      break;
  }
  if (trouble !== undefined) troubled(table, command, trouble, start, end, fail);
}

/** 1.8.9 does not look at the new name's length before the library does; the kernel keeps 29 bytes. */
function rename(table: WorkingTable, name: string, command: Command, start: number, end: number, fail: Fail): void {
  const to = command.newName!;
  if (to === '' || byteSize(to) > MAX_RENAMED_SIZE) {
    fail('bad-chain-name', `cannot rename to "${to}"`, start, end, `1 to ${MAX_NAME_SIZE} bytes`);
    return;
  }
  const trouble = table.renameChain(name, cutBytes(to, MAX_NAME_SIZE + 1));
  if (trouble !== undefined) troubled(table, command, trouble, start, end, fail);
}

function troubled(
  table: WorkingTable,
  command: Command,
  trouble: Trouble,
  start: number,
  end: number,
  fail: Fail,
): void {
  const { chain, chainSpan } = command;
  const name = chain ?? '';
  const atLine = trouble === 'no-such-rule' || chain === undefined;
  const from = atLine ? start : chainSpan.start;
  const to = atLine ? end : chainSpan.end;
  const what = chain === undefined ? '' : ` "${chain}"`;
  const guess = trouble === 'missing-chain' ? nearest(name, table.chainNames()) : undefined;
  const hint =
    trouble !== 'missing-chain'
      ? undefined
      : guess === undefined
        ? `declare it with ":${name} - [0:0]" or "-N ${name}" before`
        : `did you mean "${guess}"?`;
  fail(trouble, `${TROUBLE[trouble]}${what} in table ${table.name}`, from, to, hint);
}
