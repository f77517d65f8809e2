/** chainwalk as the other host: the same bundle, rules and packets, the same outcome in the same words. */
import { readFileSync } from 'node:fs';
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { Rng } from '../../src/base/rng.js';
import type { Source } from '../../src/base/source.js';
import { printEntries } from '../../src/conntrack/print.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import type { BuildEngine } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import { parseBundle } from '../../src/host/bundle.js';
import { Host } from '../../src/host/host.js';
import type { HostConfig } from '../../src/host/host-config.js';
import type { RuleSet } from '../../src/ruleset/model.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import type { CaseRecord, HostOutcome, RecordedInjection } from './case-record.js';
import { compare, distance, framesInStep } from './compare.js';
import { LOCAL, type SentFrame } from './kernel.js';
import { loggedPorts, Searches } from './port-search.js';
import { LINKS } from './topology.js';

const BUILDERS = { reference: referenceEngine, compiled: compiledEngine } as const satisfies Record<
  string,
  BuildEngine
>;

export type EngineName = keyof typeof BUILDERS;

/** Engines that exist; each runs every case. */
export const ENGINES = Object.keys(BUILDERS) as EngineName[];

const NOTHING: HostOutcome = { refusal: undefined, out: [], saved: '', connections: '', log: undefined };
/** Runs of a case to find where the kernel's port searches started. */
const MOST_RUNS = 400;
/** Runs to find starts that leave no trace but in what rules matched. */
const MOST_TRIALS = 200;

let config: HostConfig | undefined;

/** What test/regression/bundle says of the host under test (run.ts --bundle writes it). */
function hostConfig(): HostConfig {
  if (config === undefined) {
    const files = new Map<string, Source>();
    for (const name of ['addr.json', 'route.json', 'route6.json', 'neigh.json', 'sysctl', 'nfacct']) {
      files.set(name, { name, text: readFileSync(new URL(`../regression/bundle/${name}`, import.meta.url), 'utf8') });
    }
    const bundle = parseBundle(files);
    const error = bundle.diagnostics.find((d) => d.severity === 'error');
    if (error !== undefined) throw new Error(`bug: ${renderDiagnostic(error)}`);
    config = bundle.config;
  }
  return config;
}

function read(record: CaseRecord): { ruleSet: RuleSet; refusal: string | undefined } {
  const parsed = parseRuleSet({ name: 'rules', text: record.rules }, { family: record.family, counters: true });
  const error = parsed.diagnostics.find((d) => d.severity === 'error');
  return { ruleSet: parsed.ruleSet, refusal: error === undefined ? undefined : renderDiagnostic(error) };
}

/** Reads and prints the rules: what is refused, and how the rest is saved. */
export function loadAndSave(record: CaseRecord): HostOutcome {
  const { ruleSet, refusal } = read(record);
  return refusal === undefined
    ? { ...NOTHING, saved: printRuleSet(ruleSet, { counters: true }) }
    : { ...NOTHING, refusal };
}

/**
 * Runs the record through chainwalk. Port searches start where the kernel's did, as far as its frames and connections
 * tell; see allowance `port-search`.
 */
export function emulate(record: CaseRecord, engine: EngineName): HostOutcome {
  const { ruleSet, refusal } = read(record);
  if (refusal !== undefined) return { ...NOTHING, refusal };
  const searches = new Searches();
  let best = run(record, ruleSet, BUILDERS[engine], searches);
  let runs = 0;
  for (let improved = searches.count > 0; improved && runs < MOST_RUNS; ) {
    improved = false;
    const before = distance(record, best);
    if (before === 0) break;
    const inStep = framesInStep(record, best);
    const saved = searches.save();
    for (const { index, offset } of searches.candidates(record, best)) {
      searches.move(index, offset);
      const outcome = run(record, ruleSet, BUILDERS[engine], searches);
      // What comes first is right first: a later search may still be anywhere.
      const steps = framesInStep(record, outcome);
      if (steps > inStep || (steps === inStep && distance(record, outcome) < before)) {
        best = outcome;
        improved = true;
        break;
      }
      searches.restore(saved);
      if (++runs >= MOST_RUNS) break;
    }
  }
  if (searches.count === 0 || compare(record, best).length === 0) return best;
  return withHiddenSearches(record, ruleSet, BUILDERS[engine], searches, best);
}

/** Ports that nothing shows any more may still have decided what rules matched: some start of their searches must do. */
function withHiddenSearches(
  record: CaseRecord,
  ruleSet: RuleSet,
  buildEngine: BuildEngine,
  searches: Searches,
  best: HostOutcome,
): HostOutcome {
  const hidden = searches.hidden(record, best);
  if (hidden.length === 0) return best;
  const rng = new Rng(1);
  const logged = loggedPorts(record);
  const saved = searches.save();
  for (let trial = 0; trial < MOST_TRIALS; trial++) {
    searches.restore(saved);
    for (const index of hidden) searches.moveAnywhere(index, rng, logged);
    const outcome = run(record, ruleSet, buildEngine, searches);
    if (compare(record, outcome).length === 0) return outcome;
  }
  return best;
}

function run(record: CaseRecord, ruleSet: RuleSet, buildEngine: BuildEngine, searches: Searches): HostOutcome {
  const out: SentFrame[] = [];
  const log: [number, string][] = [];
  const host = new Host(hostConfig(), {
    ...(record.family === 4 ? { ruleSet4: ruleSet } : { ruleSet6: ruleSet }),
    buildEngine,
    seed: 1,
    learnNeighbours: false,
    events: {
      sent: (frame) => {
        const link = LINKS.findIndex((l) => host.deviceIndex(l.name) === frame.device);
        if (link !== -1) out.push({ link, bytes: frame.bytes.slice(frame.start, frame.end) });
      },
      log: (level, line) => log.push([level, line]),
    },
  });
  searches.begin();
  host.conntrack.chooseOffset = (tuple, manip, min, size) => searches.choose(tuple, manip, min, size);
  for (const injection of record.injections) {
    host.clock.advanceTo(injection.atUs);
    put(host, injection);
  }
  host.clock.advanceTo(record.endUs);
  host.runTimers();
  return {
    refusal: undefined,
    out,
    saved: printRuleSet(host.engine(record.family)?.snapshot() ?? ruleSet, { counters: true }),
    connections: printEntries(host.conntrack.entries),
    log,
  };
}

function put(host: Host, injection: RecordedInjection): void {
  const bytes = injection.bytes.slice();
  const local = injection.where === LOCAL;
  const l3Off = local ? 0 : 14;
  const frame = {
    bytes,
    view: new DataView(bytes.buffer),
    start: 0,
    l3Off,
    capturedEnd: bytes.length,
    originalEnd: bytes.length,
    family: bytes[l3Off]! >> 4 === 6 ? (6 as const) : (4 as const),
    device: local ? 0 : host.deviceIndex(LINKS[injection.where]!.name),
    macOff: local ? -1 : 0,
    pktType: -1,
    offloaded: false,
  };
  if (local) host.sendLocal(frame);
  else host.receive(frame);
}
