/** Says where two outcomes of a case differ: frames, counters, connections, log lines, refusals. */
import { connectionLine, maskFree, maskLogLine, type Tags, tagsWithoutCoincidence } from './allowance.js';
import type { CaseRecord, HostOutcome } from './case-record.js';
import { look } from './frame.js';
import { LOCAL, type SentFrame } from './kernel.js';
import { LINKS } from './topology.js';

export interface Difference {
  readonly where: 'refusal' | 'frames' | 'counters' | 'print' | 'connections' | 'log';
  readonly text: string;
}

/** Tags of all packets that were put in. */
export function tagsOf(record: CaseRecord): Tags {
  const tags = new Set<number>();
  for (const i of record.injections) {
    const seen = look(i.where === LOCAL ? i.bytes : i.bytes.subarray(14));
    if (seen !== undefined) tags.add(seen.tag);
  }
  return tags;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Frames of the case's family: what else is on the wire (reports of IPv6 groups) is not its business. */
export function framesOf(record: CaseRecord, outcome: HostOutcome): SentFrame[] {
  const type = record.family === 4 ? 0x0800 : 0x86dd;
  return outcome.out.filter((f) => f.bytes.length >= 14 && ((f.bytes[12]! << 8) | f.bytes[13]!) === type);
}

/** Key by which frames of two outcomes are set side by side: the injected packet on a link, or the host's own by order. */
export function frameKeys(record: CaseRecord, frames: readonly SentFrame[]): string[] {
  const tags = tagsOf(record);
  const seen = new Map<string, number>();
  return frames.map(({ link, bytes }) => {
    const tag = look(bytes.subarray(14))?.tag;
    const name = `${link} ${tag !== undefined && tags.has(tag) ? tag : 'own'}`;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return `${name} ${count}`;
  });
}

function maskedFrames(record: CaseRecord, outcome: HostOutcome, tags: Tags): string[][] {
  const perLink: string[][] = LINKS.map(() => []);
  const fragmentIds = LINKS.map(() => new Map<number, number>());
  for (const { link, bytes } of framesOf(record, outcome)) {
    const head = hex(bytes.subarray(0, 14));
    perLink[link]!.push(`${head} ${hex(maskFree(bytes.subarray(14), tags, fragmentIds[link]!))}`);
  }
  return perLink;
}

/** Frames that differ are the same after all if an identification drawn by one host happens to be a tag. */
function isCoincidence(a: SentFrame | undefined, b: SentFrame | undefined, tags: Tags): boolean {
  if (a === undefined || b === undefined) return false;
  if (hex(a.bytes.subarray(0, 14)) !== hex(b.bytes.subarray(0, 14))) return false;
  const fewer = tagsWithoutCoincidence(a.bytes.subarray(14), b.bytes.subarray(14), tags);
  if (fewer === undefined) return false;
  const mask = (f: SentFrame) => hex(maskFree(f.bytes.subarray(14), fewer, new Map()));
  return mask(a) === mask(b);
}

function compareFrames(record: CaseRecord, a: HostOutcome, b: HostOutcome): Difference[] {
  const tags = tagsOf(record);
  const left = maskedFrames(record, a, tags);
  const right = maskedFrames(record, b, tags);
  const found: Difference[] = [];
  for (const [link, { name }] of LINKS.entries()) {
    const l = left[link]!;
    const r = right[link]!;
    const on = (o: HostOutcome) => framesOf(record, o).filter((f) => f.link === link);
    for (let i = 0; i < Math.max(l.length, r.length); i++) {
      if (l[i] === r[i] || isCoincidence(on(a)[i], on(b)[i], tags)) continue;
      found.push({
        where: 'frames',
        text: `frame ${i + 1} on ${name}\n  kernel    ${l[i] ?? 'none'}\n  chainwalk ${r[i] ?? 'none'}`,
      });
      break;
    }
  }
  return found;
}

/** Tables of a saved file by name, without comments. */
export function tablesOf(saved: string): Map<string, string[]> {
  const tables = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) {
      lines = [];
      tables.set(line, lines);
    }
    if (line !== '' && !line.startsWith('#')) lines.push(line);
  }
  return tables;
}

const withoutCounters = (line: string) => line.replace(/^\[\d+:\d+\] /, '').replace(/^(:\S+ \S+) \[\d+:\d+\]$/, '$1');

function compareSaved(a: HostOutcome, b: HostOutcome): Difference[] {
  const left = tablesOf(a.saved);
  const right = tablesOf(b.saved);
  const found: Difference[] = [];
  for (const table of new Set([...left.keys(), ...right.keys()])) {
    const l = left.get(table) ?? [];
    const r = right.get(table) ?? [];
    for (let i = 0; i < Math.max(l.length, r.length); i++) {
      const x = l[i] ?? 'none';
      const y = r[i] ?? 'none';
      if (x === y) continue;
      const where = withoutCounters(x) === withoutCounters(y) ? 'counters' : 'print';
      found.push({ where, text: `${table}\n  kernel    ${x}\n  chainwalk ${y}` });
      if (where === 'print') break;
    }
  }
  return found;
}

function compareConnections(record: CaseRecord, a: HostOutcome, b: HostOutcome): Difference[] {
  const prefix = record.family === 4 ? 'ipv4' : 'ipv6';
  const lines = (o: HostOutcome) =>
    o.connections
      .split('\n')
      .filter((l) => l.startsWith(prefix))
      .map(connectionLine)
      .sort((x, y) => (x.text < y.text ? -1 : x.text > y.text ? 1 : x.seconds - y.seconds));
  const left = lines(a);
  const right = lines(b);
  const began = record.injections[0]?.atUs ?? record.endUs;
  const slack = record.endUs - began > 1_000_000 ? 2 : 1;
  const found: Difference[] = [];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const x = left[i];
    const y = right[i];
    if (x !== undefined && y !== undefined && x.text === y.text && Math.abs(x.seconds - y.seconds) <= slack) continue;
    const show = (c: typeof x) => (c === undefined ? 'none' : `${c.seconds}s ${c.text}`);
    found.push({ where: 'connections', text: `connection\n  kernel    ${show(x)}\n  chainwalk ${show(y)}` });
    break;
  }
  return found;
}

function compareLog(record: CaseRecord, a: HostOutcome, b: HostOutcome): Difference[] {
  if (a.log === undefined || b.log === undefined) return [];
  const tags = tagsOf(record);
  const show = (l: readonly [number, string] | undefined) =>
    l === undefined ? 'none' : `<${l[0]}>${maskLogLine(l[1], tags)}`;
  for (let i = 0; i < Math.max(a.log.length, b.log.length); i++) {
    const x = show(a.log[i]);
    const y = show(b.log[i]);
    // An identification that was drawn may happen to be a tag: the line of the other host then says ID=*.
    const drawn = (line: string) => line.replace(/ ID=\S+(?= .*PROTO=ICMP )/, ' ID=*');
    if (x !== y && !((x.includes(' ID=*') || y.includes(' ID=*')) && drawn(x) === drawn(y)))
      return [{ where: 'log', text: `log line ${i + 1}\n  kernel    ${x}\n  chainwalk ${y}` }];
  }
  return [];
}

/** Differences of `other` from the kernel's outcome of the case. */
export function compare(record: CaseRecord, other: HostOutcome): Difference[] {
  const { kernel } = record;
  if (kernel.refusal !== undefined || other.refusal !== undefined) {
    if ((kernel.refusal === undefined) === (other.refusal === undefined)) return [];
    const text = `refused\n  kernel    ${kernel.refusal ?? 'loads'}\n  chainwalk ${other.refusal ?? 'loads'}`;
    return [{ where: 'refusal', text }];
  }
  return [
    ...compareFrames(record, kernel, other),
    ...compareSaved(kernel, other),
    ...compareConnections(record, kernel, other),
    ...compareLog(record, kernel, other),
  ];
}

function framesByKey(record: CaseRecord, outcome: HostOutcome, tags: Tags): Map<string, string> {
  const frames = framesOf(record, outcome);
  const next = LINKS.map(() => 0);
  const masked = maskedFrames(record, outcome, tags);
  const keys = frameKeys(record, frames);
  return new Map(frames.map(({ link }, i) => [keys[i]!, masked[link]![next[link]!++]!]));
}

/** Frames of the kernel, from the first on, that `other` has too. */
export function framesInStep(record: CaseRecord, other: HostOutcome): number {
  const tags = tagsOf(record);
  const ours = framesByKey(record, other, tags);
  let count = 0;
  for (const [key, frame] of framesByKey(record, record.kernel, tags)) {
    if (ours.get(key) !== frame) break;
    count++;
  }
  return count;
}

/** How far `other` is from the kernel's outcome: frames, connections and log lines that differ. */
export function distance(record: CaseRecord, other: HostOutcome): number {
  const { kernel } = record;
  const tags = tagsOf(record);
  let count = 0;
  const theirs = framesByKey(record, kernel, tags);
  const ours = framesByKey(record, other, tags);
  for (const key of new Set([...theirs.keys(), ...ours.keys()])) count += unlike(ours.get(key), theirs.get(key));
  const prefix = record.family === 4 ? 'ipv4' : 'ipv6';
  const lines = (o: HostOutcome) =>
    o.connections.split('\n').flatMap((l) => (l.startsWith(prefix) ? [connectionLine(l).text] : []));
  const left = lines(kernel);
  for (const line of lines(other)) {
    // The likest of those that are left.
    const best = left.reduce((b, l, i) => (unlike(line, l) < unlike(line, left[b]) ? i : b), 0);
    count += unlike(line, left[best]);
    left.splice(best, 1);
  }
  count += left.length * MUCH;
  const log = other.log ?? [];
  for (const [i, [, line]] of (kernel.log ?? []).entries()) {
    if (maskLogLine(log[i]?.[1] ?? '', tags) !== maskLogLine(line, tags)) count++;
  }
  return count;
}

/** What a frame or connection too many or too few weighs. */
const MUCH = 100;

/** Places in which two texts differ, four characters at a time. */
function unlike(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  if (a === undefined || b === undefined) return MUCH;
  let count = 1;
  const wordsOfA = a.includes('=') ? a.split(' ') : (a.match(/.{1,4}/g) ?? []);
  const wordsOfB = b.includes('=') ? b.split(' ') : (b.match(/.{1,4}/g) ?? []);
  for (const [i, word] of wordsOfA.entries()) if (word !== wordsOfB[i]) count++;
  return Math.min(count, MUCH);
}
