/**
 * One command line of a rule file → command. Follows do_parse() and command_default() of iptables/xshared.c (1.8.9); what
 * it refuses here, iptables refuses at the line. command-reader.ts takes the options in, command-finish.ts makes the
 * command of them.
 */
import type { Command, CommandContext } from './command.js';
import { CommandDraft } from './command-draft.js';
import { CommandFinisher } from './command-finish.js';
import { CommandReader } from './command-reader.js';
import type { Counters } from './counter.js';
import { LineFaults, Refused } from './line-fault.js';
import { splitWords } from './words.js';

/**
 * Reads the command in text[start, end), `end` past its newline. `given` are the counters before the command; `asOption`
 * says that they count as `-c`. Undefined: refused (reported), 'skip': for the other family, 'end': iptables ends here.
 */
export function readCommand(
  context: CommandContext,
  start: number,
  end: number,
  given: Counters | undefined,
  asOption: boolean,
): Command | 'skip' | 'end' | undefined {
  const { source } = context;
  const words = splitWords(source.text, start, end);
  const lineEnd = end > start && source.text[end - 1] === '\n' ? end - 1 : end;
  const faults = new LineFaults({ source, start, end: lineEnd }, words, (d) => context.report(d));
  const draft = new CommandDraft();
  if (asOption && given !== undefined) {
    draft.seen.set('c', -1);
    draft.counters = given;
  }
  try {
    if (words.fault !== undefined) faults.refuse('word-too-long', words.fault.message, words.fault);
    const reader = new CommandReader(context, words, draft, faults);
    const early = reader.read();
    const finisher = new CommandFinisher(context, words, draft, faults, reader.next - 1);
    if (early === 'skip') finisher.skip();
    const command = early ?? finisher.finish(given);
    return faults.failed ? undefined : command;
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}
