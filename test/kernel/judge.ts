/** Plays one generated case on Linux and keeps what is needed to put the same packets into the emulator. */
import type { CaseRecord, HostOutcome, RecordedInjection } from './case-record.js';
import { Conversation } from './conversation.js';
import { type RuleSetSpec, ruleSetText } from './generate/rule-set.js';
import { leavesTraces, type Traffic } from './generate/traffic.js';
import type { Injection, Kernel, LoadResult, SentFrame } from './kernel.js';

export interface CaseSpec {
  readonly rules: RuleSetSpec;
  readonly traffic: Traffic;
  /** In a namespace of its own, with only some tables. */
  readonly fresh: boolean;
}

const EMPTY_TABLES = ['raw', 'mangle', 'nat', 'filter', 'security'].map((t) => `*${t}\nCOMMIT\n`).join('');

/** Send calls that failed before the packet met a rule: EACCES, EMSGSIZE. */
const NEVER_SENT: ReadonlySet<number> = new Set([13, 90]);

const NOTHING: Omit<HostOutcome, 'refusal'> = { out: [], saved: '', connections: '', log: undefined };

export const refused = (result: LoadResult): HostOutcome => ({
  ...NOTHING,
  refusal: result.error.trim().split('\n').slice(0, 2).join(' / '),
});

/** Lists that live as long as a rule names them: they must not reach the next case. */
const namedState = (text: string) => /-m (recent|hashlimit|rateest)|-j (RATEEST|IDLETIMER)/.test(text);

/** LOG and TRACE write into the one log of the machine. */
export const writesLog = (rules: string): boolean => /-j (LOG|TRACE)\b/.test(rules);

const loadTexts = (rules: string, fresh: boolean) => (!fresh && namedState(rules) ? [EMPTY_TABLES, rules] : [rules]);

/** First tag of a case: a new one each time, so that queued fragments of one case never meet another's. */
function firstTag(family: 4 | 6, random: () => number): number {
  return family === 4 ? 0x1000 + Math.floor(random() * 0xe000) : 0x10000 + Math.floor(random() * 0xe0000);
}

/** Part of the cases whose connections are asked of `conntrack -L -o extended`; the others' are read from /proc, which is quicker. */
const LISTED = 0.15;

/** Seconds of standstill that leave a case's times in doubt: it is played again, so often at most. */
const LONGEST_STALL = 0.5;
const MOST_PLAYS = 4;

/** Repeats what the machine's standstill has spoilt. */
async function undisturbed(play: () => Promise<CaseRecord & { readonly stall: number }>): Promise<CaseRecord> {
  for (let n = 1; ; n++) {
    const { stall, ...record } = await play();
    if (stall < LONGEST_STALL || n === MOST_PLAYS) return record;
  }
}

/** Runs a generated case. The packets depend on what comes out, so the record holds what was really put in. */
export function playOnKernel(kernel: Kernel, spec: CaseSpec, random: () => number, name: string): Promise<CaseRecord> {
  return undisturbed(() => playOnce(kernel, spec, random, name));
}

async function playOnce(
  kernel: Kernel,
  spec: CaseSpec,
  random: () => number,
  name: string,
): Promise<CaseRecord & { readonly stall: number }> {
  const { family } = spec.rules;
  const rules = ruleSetText(spec.rules, !spec.fresh);
  const fresh = spec.fresh || leavesTraces(spec.traffic);
  const loaded = await kernel.load(loadTexts(rules, fresh), fresh, kernel.log && writesLog(rules));
  const base = { name, family, fresh, rules };
  if (loaded.code !== 0) return { ...base, injections: [], endUs: 0, kernel: refused(loaded), stall: 0 };
  const injections: RecordedInjection[] = [];
  const out: SentFrame[] = [];
  const inject = async (packets: readonly Injection[]) => {
    const sent = await kernel.send(packets);
    for (const [i, p] of packets.entries()) {
      if (NEVER_SENT.has(sent.errors[i]!)) continue;
      injections.push({ where: p.where, bytes: p.bytes, to: p.to ?? '', mark: p.mark ?? 0, atUs: sent.timesUs[i]! });
    }
    out.push(...sent.out);
    return sent.out;
  };
  await new Conversation(family, spec.traffic, inject, firstTag(family, random)).play(spec.traffic.steps);
  return { ...base, injections, ...(await ending(kernel, out, kernel.log && writesLog(rules), random() < LISTED)) };
}

/** Puts recorded packets in again; `fresh`: into a namespace of its own. */
export function replayOnKernel(kernel: Kernel, record: CaseRecord, fresh: boolean): Promise<CaseRecord> {
  return undisturbed(() => replayOnce(kernel, record, fresh));
}

async function replayOnce(
  kernel: Kernel,
  record: CaseRecord,
  fresh: boolean,
): Promise<CaseRecord & { readonly stall: number }> {
  const loaded = await kernel.load(loadTexts(record.rules, fresh), fresh, kernel.log && writesLog(record.rules));
  if (loaded.code !== 0) return { ...record, kernel: refused(loaded), stall: 0 };
  const packets = record.injections.map((i): Injection => ({ where: i.where, bytes: i.bytes, to: i.to, mark: i.mark }));
  const sent = await kernel.send(packets);
  const injections = record.injections.map((i, n) => ({ ...i, atUs: sent.timesUs[n]! }));
  return {
    ...record,
    injections,
    ...(await ending(kernel, sent.out, kernel.log && record.kernel.log !== undefined, false)),
  };
}

async function ending(
  kernel: Kernel,
  out: readonly SentFrame[],
  logs: boolean,
  listed: boolean,
): Promise<Pick<CaseRecord, 'endUs' | 'kernel'> & { readonly stall: number }> {
  const end = await kernel.finish(listed);
  return {
    endUs: end.nowUs,
    stall: end.stall,
    kernel: {
      refusal: undefined,
      out: [...out, ...end.out],
      saved: end.saved,
      connections: end.listing ?? end.connections,
      // The kernel has one log: only cases that run alone can tell whose a line is.
      log: logs ? end.log.filter(([, line]) => line.includes('IN=')) : undefined,
    },
  };
}

/** Loads a rule file that may hold mistakes, without traffic. */
export async function loadWrong(kernel: Kernel, rules: string, name: string): Promise<CaseRecord> {
  const result = await kernel.save([EMPTY_TABLES, rules]);
  const base = { name, family: kernel.family, fresh: false, rules, injections: [], endUs: 0 };
  if (result.code !== 0) return { ...base, kernel: refused(result) };
  return { ...base, kernel: { ...NOTHING, refusal: undefined, saved: result.saved } };
}
