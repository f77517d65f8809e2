/**
 * Rule files (iptables-save, ip6tables-save, and what people write for iptables-restore) → rule set. Accepts and refuses
 * what iptables-restore 1.8.9 does (specification 3.2 to 3.5), but goes on after an error to report more of them.
 * Source: iptables_restore_main(), iptables/iptables-restore.c.
 */
import { byteSize } from '../base/byte-size.js';
import type { Diagnostic } from '../base/diagnostic.js';
import { nearest } from '../base/nearest.js';
import type { Source } from '../base/source.js';
import { type Family, TABLE_NAMES, type TableName } from '../net/netfilter.js';
import { readBracket } from './bracket.js';
import { CanonicalReader } from './canonical-rule.js';
import { checkTable } from './check.js';
import type { CommandContext } from './command.js';
import { MAX_NAME_SIZE } from './command-draft.js';
import { readCommand } from './command-line.js';
import { type Counters, parseChainCounters, ZERO_COUNTERS } from './counter.js';
import { ALL_EXTENSIONS, type ExtensionRegistry } from './extension-registry.js';
import type { RuleSet, Table } from './model.js';
import type { RuleFaultCode } from './rule-fault.js';
import { runCommand } from './run-command.js';
import { WorkingTable } from './working-table.js';

export interface ParseOptions {
  readonly family: Family;
  /** What is loaded before the file is read. Default: nothing. Must be of the same family. */
  readonly base?: RuleSet;
  /** Keep old rules and chains, as --noflush. Default false. */
  readonly noflush?: boolean;
  /**
   * Counters: true reads them as `-c` does (chain lines must have them), false ignores them, 'if-present' (default) reads
   * those that are there. The option `-c` inside a rule is always read.
   */
  readonly counters?: boolean | 'if-present';
  /** Leave out the checks that only the kernel makes (hooks, loops), as --test. Default false. */
  readonly test?: boolean;
  /** Only this table, as -T. */
  readonly table?: TableName;
  /**
   * Where a table goes that the base has not: 'file' appends it, so that a dump prints back as it was; 'kernel' puts it
   * first, as iptables-save would show it. Default: 'kernel' with a base, else 'file'.
   */
  readonly tableOrder?: 'file' | 'kernel';
  /** Default: every extension there is. */
  readonly extensions?: ExtensionRegistry;
  /** Errors after which reading stops. Default 1000. */
  readonly maxErrors?: number;
}

export interface ParsedRuleSet {
  /** What would be loaded: every table whose COMMIT came before the first error, over the base. */
  readonly ruleSet: RuleSet;
  /** In the order of the file. */
  readonly diagnostics: readonly Diagnostic[];
  /** No errors: the whole file would load. */
  readonly ok: boolean;
}

/** Reads a rule file. Never throws on bad input. */
export function parseRuleSet(source: Source, options: ParseOptions): ParsedRuleSet {
  return new RuleFileReader(source, options).read();
}

/** Most bytes of a line that iptables-restore reads at once; the rest counts as the next line. */
const MAX_LINE_SIZE = 10239;
const DEFAULT_MAX_ERRORS = 1000;
const isBlank = (code: number): boolean => code === 32 || code === 9 || code === 10;

class RuleFileReader {
  readonly #source: Source;
  readonly #text: string;
  readonly #options: ParseOptions;
  readonly #family: Family;
  readonly #registry: ExtensionRegistry;
  readonly #counterMode: boolean | 'if-present';
  readonly #maxErrors: number;
  readonly #diagnostics: Diagnostic[] = [];
  readonly #canonical: CanonicalReader;
  /** Chains that a `:CHAIN` line has named. */
  readonly #announced = new Set<string>();
  #tables: readonly Table[];
  #errors = 0;
  #table: WorkingTable | undefined;
  #context: CommandContext | undefined;
  /** Errors when the table was opened; more at COMMIT: it is not loaded. */
  #errorsBefore = 0;
  /** In a table that cannot be read (unknown) or is not asked for: lines up to COMMIT are passed over. */
  #passing = false;
  #stopped = false;

  constructor(source: Source, options: ParseOptions) {
    this.#source = source;
    this.#text = source.text;
    this.#options = options;
    this.#family = options.family;
    this.#registry = options.extensions ?? ALL_EXTENSIONS;
    this.#counterMode = options.counters ?? 'if-present';
    this.#maxErrors = options.maxErrors ?? DEFAULT_MAX_ERRORS;
    this.#tables = options.base?.tables ?? [];
    this.#canonical = new CanonicalReader(source, this.#family, this.#registry, this.#announced);
  }

  read(): ParsedRuleSet {
    const text = this.#text;
    const hasNul = text.includes('\0');
    let at = 0;
    while (at < text.length && !this.#stopped) {
      const newline = text.indexOf('\n', at);
      let next = newline === -1 ? text.length : newline + 1;
      if (next - at > MAX_LINE_SIZE / 3) next = cutLine(text, at, next);
      let end = next;
      if (hasNul) {
        const nul = text.indexOf('\0', at);
        if (nul !== -1 && nul < next) end = nul; // a C string ends here
      }
      this.#line(at, end);
      at = next;
    }
    if (!this.#stopped && (this.#table !== undefined || this.#passing))
      this.#fail('commit-expected', 'COMMIT expected at the end of the table', text.length, text.length);
    const { family } = this.#options;
    return {
      ruleSet: { family, tables: this.#tables },
      diagnostics: this.#diagnostics,
      ok: this.#errors === 0,
    };
  }

  #report(diagnostic: Diagnostic): void {
    if (this.#stopped) return;
    this.#diagnostics.push(diagnostic);
    if (diagnostic.severity !== 'error') return;
    this.#errors++;
    if (this.#errors < this.#maxErrors) return;
    this.#diagnostics.push({
      severity: 'error',
      code: 'too-many-errors' satisfies RuleFaultCode,
      message: `stopped after ${this.#errors} errors`,
      span: diagnostic.span,
    });
    this.#stopped = true;
  }

  #fail(code: RuleFaultCode, message: string, start: number, end: number, hint?: string): void {
    const span = { source: this.#source, start, end };
    this.#report({ severity: 'error', code, message, span, ...(hint === undefined ? {} : { hint }) });
  }

  /** One line, text[start, end) with its newline, if it has one. */
  #line(start: number, end: number): void {
    const text = this.#text;
    const first = start === end ? 0 : text.charCodeAt(start);
    if (first === 10 || first === 35) return; // newline, #
    const table = this.#table;
    if (table === undefined) {
      if (this.#passing) {
        if (this.#isCommit(start, end)) this.#passing = false;
      } else if (first === 42) this.#openTable(start, end);
      else this.#outsideTable(start, end);
      return;
    }
    if (first === 45 || first === 91) {
      // `-A …` or `[packets:bytes] -A …`, the bulk of every file.
      if (this.#quickRule(table, start, end, first)) return;
    } else if (first === 67 && this.#isCommit(start, end)) {
      this.#commit(table);
      return;
    } else if (first === 58) {
      this.#chainLine(table, start, end);
      return;
    }
    this.#commandLine(table, start, end);
  }

  /** Without the newline. */
  #lineEnd(start: number, end: number): number {
    return end > start && this.#text.charCodeAt(end - 1) === 10 ? end - 1 : end;
  }

  #isCommit(start: number, end: number): boolean {
    return end - start === 7 && this.#text.startsWith('COMMIT\n', start);
  }

  #outsideTable(start: number, end: number): void {
    const lineEnd = this.#lineEnd(start, end);
    const shown = this.#text.slice(start, Math.min(lineEnd, start + 40));
    if (shown === '\r') this.#carriageReturn(start, lineEnd);
    else if (this.#isCommit(start, end)) this.#fail('outside-table', 'COMMIT without a table', start, lineEnd);
    else
      this.#fail(
        'outside-table',
        `"${shown}" stands outside a table`,
        start,
        lineEnd,
        'a table begins with *NAME and ends with COMMIT',
      );
  }

  #carriageReturn(start: number, end: number): void {
    this.#fail(
      'carriage-return',
      'the line ends in a carriage return, which iptables-restore does not take',
      start,
      end,
      'convert the file to Unix line ends (sed -i "s/\\r$//" FILE)',
    );
    this.#stopped = true;
  }

  /** The next word from `at`, as strtok() with blank, tab and newline finds it. */
  #token(at: number, end: number): { readonly word: string; readonly start: number; readonly end: number } | undefined {
    const text = this.#text;
    let start = at;
    while (start < end && isBlank(text.charCodeAt(start))) start++;
    let to = start;
    while (to < end && !isBlank(text.charCodeAt(to))) to++;
    return start === to ? undefined : { word: text.slice(start, to), start, end: to };
  }

  #openTable(start: number, end: number): void {
    const token = this.#token(start + 1, end);
    this.#passing = true;
    if (token === undefined) {
      this.#fail('unknown-table', 'table name missing', start, start + 1);
      return;
    }
    if (token.word.endsWith('\r')) {
      this.#carriageReturn(start, token.end);
      return;
    }
    if (this.#options.table !== undefined && token.word !== this.#options.table) return;
    const name = TABLE_NAMES.find((known) => known === token.word);
    if (name === undefined) {
      const guess = nearest(token.word, TABLE_NAMES);
      const hint = guess === undefined ? `tables are ${TABLE_NAMES.join(', ')}` : `did you mean "${guess}"?`;
      this.#fail('unknown-table', `unknown table "${token.word}"`, token.start, token.end, hint);
      return;
    }
    this.#passing = false;
    this.#errorsBefore = this.#errors;
    const old = this.#tables.find((table) => table.name === name);
    const table = new WorkingTable(name, this.#family, old, this.#options.noflush === true);
    this.#table = table;
    this.#context = {
      source: this.#source,
      family: this.#family,
      registry: this.#registry,
      table: name,
      isAnnounced: (chain) => this.#announced.has(chain),
      chainNames: () => table.chainNames(),
      jumpTarget: (chain, isGoto) => table.jumpTarget(chain, isGoto),
      report: (diagnostic) => this.#report(diagnostic),
    };
    this.#canonical.forget();
  }

  #commit(working: WorkingTable): void {
    this.#table = undefined;
    this.#context = undefined;
    if (this.#errors > this.#errorsBefore) return;
    const table = working.commit();
    for (const diagnostic of checkTable(table, this.#family, this.#options.test === true)) this.#report(diagnostic);
    if (this.#errors > 0) return;
    const index = this.#tables.findIndex((t) => t.name === table.name);
    const order = this.#options.tableOrder ?? (this.#options.base === undefined ? 'file' : 'kernel');
    if (index !== -1) this.#tables = this.#tables.with(index, table);
    else this.#tables = order === 'file' ? [...this.#tables, table] : [table, ...this.#tables];
  }

  #chainLine(table: WorkingTable, start: number, end: number): void {
    const chain = this.#token(start + 1, end);
    this.#canonical.forget();
    if (chain === undefined) {
      this.#fail('bad-chain-name', 'chain name missing', start, start + 1);
      return;
    }
    const name = chain.word;
    if (byteSize(name) > MAX_NAME_SIZE)
      this.#fail(
        'bad-chain-name',
        `invalid chain name "${name}" (${MAX_NAME_SIZE} bytes at most)`,
        chain.start,
        chain.end,
      );
    this.#announced.add(name);
    if (!table.isBaseChain(name)) {
      const trouble = this.#options.noflush === true && table.isChain(name) ? table.flush(name) : table.newChain(name);
      if (trouble !== undefined)
        this.#fail(
          'chain-exists',
          table.isChain(name) ? `chain "${name}" is declared twice` : `chain "${name}" has a verdict's name`,
          chain.start,
          chain.end,
        );
    }
    const policy = this.#token(chain.end, end);
    if (policy === undefined) {
      const hint = table.isBaseChain(name) ? 'ACCEPT or DROP' : 'user chains have the policy -';
      this.#fail('bad-policy', `chain "${name}" without a policy`, chain.start, chain.end, hint);
      return;
    }
    if (policy.word === '-') return;
    let counters = ZERO_COUNTERS;
    if (this.#counterMode !== false) {
      const token = this.#token(policy.end, end);
      const read = token === undefined ? undefined : parseChainCounters(token.word);
      if (read !== undefined) counters = read;
      else if (this.#counterMode === true)
        this.#fail(
          'bad-counters',
          `invalid policy counters for chain "${name}"`,
          token?.start ?? policy.start,
          token?.end ?? policy.end,
          'write [packets:bytes]',
        );
    }
    const trouble = table.setPolicy(name, policy.word, counters);
    if (trouble === 'missing-chain')
      this.#fail(
        'bad-policy',
        `policy "${policy.word}" on user chain "${name}"`,
        policy.start,
        policy.end,
        'only built-in chains have a policy; write -',
      );
    else if (trouble !== undefined)
      this.#fail('bad-policy', `bad policy "${policy.word}"`, policy.start, policy.end, 'ACCEPT or DROP');
  }

  /** A rule as iptables-save prints it; false if it must be read in full. */
  #quickRule(table: WorkingTable, start: number, end: number, first: number): boolean {
    const text = this.#text;
    const lineEnd = this.#lineEnd(start, end);
    let at = start;
    let counted = false;
    if (first === 91) {
      const colon = digitsEnd(text, start + 1, lineEnd);
      if (text.charCodeAt(colon) !== 58 || colon === start + 1) return false;
      const close = digitsEnd(text, colon + 1, lineEnd);
      if (close === colon + 1 || close - start > 36 || !text.startsWith('] ', close)) return false;
      counted = this.#counterMode !== false && !(close === start + 4 && text.startsWith('0:0', start + 1));
      at = close + 2;
    }
    return text.startsWith('-A ', at) && this.#canonical.append(table, at, lineEnd, start, counted);
  }

  #commandLine(table: WorkingTable, start: number, end: number): void {
    let from = start;
    let to = end;
    let counters: Counters | undefined;
    if (this.#text.charCodeAt(start) === 91) {
      const found = readBracket(this.#text, start, end, this.#counterMode, (...fault) => this.#fail(...fault));
      if (found === undefined) return;
      from = found.from;
      to = found.to;
      counters = found.counters;
    }
    const command = readCommand(this.#context!, from, to, counters, this.#counterMode === true);
    if (command === undefined || command === 'skip') return;
    if (command === 'end') {
      this.#stopped = true;
      return;
    }
    this.#canonical.forget();
    const lineEnd = this.#lineEnd(start, end);
    runCommand(table, command, from, lineEnd, (...fault) => this.#fail(...fault));
  }
}

/** Where iptables-restore's buffer ends the line text[start, end). */
function cutLine(text: string, start: number, end: number): number {
  let size = 0;
  for (let at = start; at < end; at++) {
    size += byteSize(text, at, at + 1);
    if (size > MAX_LINE_SIZE) return at;
  }
  return end;
}

function digitsEnd(text: string, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const code = text.charCodeAt(at);
    if (code < 48 || code > 57) break;
    at++;
  }
  return at;
}
