/** Run by run.ts in a process of its own with --expose-gc: bytes of a compiled rule, and of its model. Prints JSON. */
import { VirtualClock } from '../src/base/clock.js';
import { Rng } from '../src/base/rng.js';
import { ConntrackTable } from '../src/conntrack/conntrack-table.js';
import { compiledEngine } from '../src/engine/compiled/engine.js';
import type { HostServices } from '../src/ext/extension.js';
import { parseRuleSet } from '../src/ruleset/parse.js';
import { serviceRules } from './workloads.js';

declare const gc: () => void;

/** Bytes in use after collections, until two agree. */
function used(): number {
  let before = Infinity;
  for (let i = 0; i < 20; i++) {
    gc();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    if (Math.abs(before - heapUsed - arrayBuffers) < 4096) return heapUsed + arrayBuffers;
    before = heapUsed + arrayBuffers;
  }
  return before;
}

const clock = new VirtualClock();
const rng = new Rng(1);
const conntrack = new ConntrackTable({ clock, hz: 250, rng });
const host = new Proxy({} as HostServices, { get: () => () => '' });
const shared = { get: <T extends object>(_: string, create: () => T): T => create() };

function compile(services: number): { rules: number; modelBytes: number; engineBytes: number } {
  const empty = used();
  const { ruleSet } = parseRuleSet({ name: 'memory', text: serviceRules(services, 2, 4) }, { family: 4 });
  const parsed = used();
  const engine = compiledEngine(ruleSet, (table) => ({
    family: 4,
    table,
    clock,
    hz: 250,
    rng,
    host,
    conntrack,
    shared,
  }));
  const compiled = used();
  let rules = 0;
  for (const table of ruleSet.tables) for (const chain of table.chains.values()) rules += chain.rules.length;
  if (engine.tables.size !== 2) throw new Error('bug: tables lost');
  return { rules, modelBytes: parsed - empty, engineBytes: compiled - parsed };
}

compile(100); // code and shapes that stay belong to no rule
console.log(JSON.stringify(compile(10_000)));
