/** What the cases were about: how often each extension stood in a rule set, and how often one of its rules was hit. */
import type { Family } from '../../src/net/netfilter.js';
import type { CaseRecord } from './case-record.js';

export interface Count {
  /** Cases whose rule set holds it. */
  cases: number;
  /** Cases in which a rule with it matched a packet. */
  hit: number;
}

export class Evidence {
  readonly extensions = new Map<string, Count>();
  readonly features = new Map<string, number>();
  readonly cases: Record<Family, number> = { 4: 0, 6: 0 };
  packets = 0;
  frames = 0;
  refused = 0;
  selfCheckFreeChoices = 0;

  /** Takes a case that agreed. */
  add(record: CaseRecord): void {
    this.cases[record.family]++;
    this.packets += record.injections.length;
    this.frames += record.kernel.out.length;
    if (record.kernel.refusal !== undefined) {
      this.refused++;
      return;
    }
    const loaded = new Set<string>();
    const hit = new Set<string>();
    const before = record.rules.split('\n');
    const started = new Map(
      before.filter((l) => l.startsWith('[')).map((l) => [l.slice(l.indexOf(']') + 2), l.slice(0, l.indexOf(']') + 1)]),
    );
    for (const line of record.kernel.saved.split('\n')) {
      const rule = /^(\[\d+:\d+\]) (-A .*)$/.exec(line);
      if (rule === null) continue;
      const names = [...rule[2]!.matchAll(/ -([mjg]) (\S+)/g)].map((m) =>
        m[1] === 'g' ? '-g chain' : m[1] === 'j' && !/^[A-Z]+$/.test(m[2]!) ? '-j chain' : `-${m[1]} ${m[2]}`,
      );
      for (const option of [' -s ', ' -d ', ' -i ', ' -o ', ' -p ', ' -f'])
        if (rule[2]!.includes(option)) names.push(option.trim());
      const wasHit = rule[1] !== '[0:0]' && started.get(rule[2]!) !== rule[1];
      for (const name of names) {
        loaded.add(name);
        if (wasHit) hit.add(name);
      }
    }
    for (const name of loaded) {
      const count = this.extensions.get(name) ?? { cases: 0, hit: 0 };
      count.cases++;
      if (hit.has(name)) count.hit++;
      this.extensions.set(name, count);
    }
    for (const feature of featuresOf(record)) this.features.set(feature, (this.features.get(feature) ?? 0) + 1);
  }
}

/** Things a case shows in its outcome, whatever its rules. */
function featuresOf(record: CaseRecord): Set<string> {
  const found = new Set<string>();
  const { connections, log, out } = record.kernel;
  for (const line of connections.split('\n')) {
    if (line === '') continue;
    const words = line.split(/\s+/);
    if (words[0] !== `ipv${record.family}`) continue;
    found.add(`connection: ${words[2]}${words[2] === 'tcp' ? ` ${words[5]}` : ''}`);
    const tuples = [...line.matchAll(/src=(\S+) dst=(\S+)/g)];
    if (tuples.length === 2) {
      if (tuples[0]![2] !== tuples[1]![1]) found.add('connection: destination translated');
      if (tuples[0]![1] !== tuples[1]![2]) found.add('connection: source translated');
    }
    if (line.includes('[ASSURED]')) found.add('connection: ASSURED');
    if (/zone(-\w+)?=[1-9]/.test(line)) found.add('connection: zone');
    if (/ mark=[1-9]/.test(line)) found.add('connection: mark');
  }
  if (log !== undefined && log.length > 0) found.add('log lines');
  if (out.length > 0) found.add('frames sent');
  for (const i of record.injections) if (i.where < 0) found.add('packets of the host itself');
  return found;
}
