/**
 * Port searches with a random start: chainwalk is told the start that the kernel drew, read from the kernel's frames and
 * connections. A wrong set of candidates, a search too many or too few, or an unlike end still shows as a difference.
 */
import type { Rng } from '../../src/base/rng.js';
import { connectionLine } from './allowance.js';
import type { CaseRecord, HostOutcome } from './case-record.js';
import { frameKeys, framesOf } from './compare.js';

export interface PortSearch {
  readonly min: number;
  readonly size: number;
  /** Where this run started it. */
  offset: number;
}

/** Starts of searches that nobody knows yet: far apart, so that their ports can be told from all others. */
const START = 20_011;
const STRIDE = 4_099;

export class Searches {
  readonly #known: PortSearch[] = [];
  #at = 0;

  /** Searches that the last run made. */
  get count(): number {
    return this.#known.length;
  }

  begin(): void {
    this.#at = 0;
  }

  /** Offset from the first candidate. */
  choose(_tuple: Uint32Array, _manip: number, min: number, size: number): number {
    const index = this.#at++;
    const known = this.#known[index];
    if (known !== undefined && known.min === min && known.size === size) return known.offset;
    const offset = (START + index * STRIDE) % Math.min(size, 0x10000);
    this.#known[index] = { min, size, offset };
    this.#known.length = index + 1;
    return offset;
  }

  /** Other starts that the kernel's outcome speaks for, by search. */
  candidates(record: CaseRecord, outcome: HostOutcome): { readonly index: number; readonly offset: number }[] {
    const pairs = differentWords(record, outcome);
    const startsAt = (ports: Iterable<number>, { min, size, offset: now }: PortSearch, index: number) =>
      [...ports]
        .map((port) => ({ index, offset: port - min }))
        .filter(({ offset }) => offset >= 0 && offset < size && offset !== now);
    const spokenFor = this.#known.flatMap((search, index) => {
      const ours = (search.min + (search.offset % search.size)) & 0xffff;
      return startsAt(pairs.get(ours) ?? [], search, index);
    });
    // A port that only some log line shows, where chainwalk has no such line yet.
    const logged = loggedPorts(record);
    return [...spokenFor, ...this.#known.flatMap((search, index) => startsAt(logged, search, index))];
  }

  /** All searches as they stand; `restore` goes back to them. */
  save(): readonly PortSearch[] {
    return this.#known.map((search) => ({ ...search }));
  }

  restore(saved: readonly PortSearch[]): void {
    this.#known.splice(0, this.#known.length, ...saved.map((search) => ({ ...search })));
  }

  move(index: number, offset: number): void {
    this.#known[index]!.offset = offset;
  }

  /** To a start by chance; every other time to one of the ports that the kernel's log names, where it may lead to one. */
  moveAnywhere(index: number, rng: Rng, logged: readonly number[]): void {
    const search = this.#known[index]!;
    const { min, size } = search;
    const named = logged.map((port) => port - min).filter((offset) => offset >= 0 && offset < size);
    search.offset = named.length > 0 && rng.u32() % 2 === 0 ? named[rng.u32() % named.length]! : rng.u32() % size;
  }

  /** Searches whose port is in no frame, connection or log line of the outcome. */
  hidden(record: CaseRecord, outcome: HostOutcome): number[] {
    const shown = new Set<number>();
    for (const { bytes } of framesOf(record, outcome)) {
      for (let at = 34; at + 1 < bytes.length; at += 2) shown.add((bytes[at]! << 8) | bytes[at + 1]!);
    }
    const lines = [outcome.connections, ...(outcome.log ?? []).map(([, line]) => line)].join('\n');
    for (const m of lines.matchAll(/\b(?:sport|dport|id|SPT|DPT|ID)=(\d+)/g)) shown.add(Number(m[1]));
    return this.#known.flatMap(({ min, size, offset }, index) =>
      shown.has((min + (offset % size)) & 0xffff) ? [] : [index],
    );
  }
}

/** Ports and ids in the kernel's log lines, each once. */
export function loggedPorts(record: CaseRecord): number[] {
  const text = (record.kernel.log ?? []).map(([, line]) => line).join('\n');
  return [...new Set([...text.matchAll(/\b(?:SPT|DPT|ID)=(\d+)/g)].map((m) => Number(m[1])))];
}

/** 16-bit words that chainwalk has where the kernel has others: in frames at the same place, and in connections. */
function differentWords(record: CaseRecord, outcome: HostOutcome): Map<number, Set<number>> {
  const pairs = new Map<number, Set<number>>();
  const note = (ours: number, theirs: number) => {
    if (ours === theirs) return;
    const known = pairs.get(ours);
    if (known === undefined) pairs.set(ours, new Set([theirs]));
    else known.add(theirs);
  };
  const frames = (o: HostOutcome) => {
    const sent = framesOf(record, o);
    const keys = frameKeys(record, sent);
    return new Map(sent.map((f, i) => [keys[i]!, f.bytes]));
  };
  const known = frames(record.kernel);
  for (const [key, bytes] of frames(outcome)) {
    const other = known.get(key);
    if (other === undefined || other.length !== bytes.length) continue;
    for (let at = 34; at + 1 < bytes.length; at += 2) {
      note((bytes[at]! << 8) | bytes[at + 1]!, (other[at]! << 8) | other[at + 1]!);
    }
  }
  for (const [i, [, line]] of (outcome.log ?? []).entries()) {
    const other = record.kernel.log?.[i]?.[1];
    if (other === undefined) break;
    const numbers = (text: string) => [...text.matchAll(/\b(?:SPT|DPT|ID)=(\d+)/g)].map((m) => Number(m[1]));
    const theirs = numbers(other);
    for (const [k, number] of numbers(line).entries()) if (theirs[k] !== undefined) note(number, theirs[k]);
  }
  const lines = (o: HostOutcome) =>
    o.connections.split('\n').flatMap((line) => {
      if (line === '') return [];
      const { text } = connectionLine(line);
      const numbers = [...text.matchAll(/ (?:sport|dport|id)=(\d+)/g)].map((m) => Number(m[1]));
      // Connections are the same if their original tuples are.
      const original = /src=\S+ dst=\S+ (?:sport=\d+ dport=\d+|type=\d+ code=\d+ id=\d+)( zone-orig=\d+)?/.exec(text);
      const zone = / zone=\d+/.exec(text)?.[0] ?? '';
      return original === null ? [] : [{ numbers, original: original[0] + zone }];
    });
  const theirs = lines(record.kernel);
  for (const line of lines(outcome)) {
    const same = theirs.filter((t) => t.original === line.original && t.numbers.length === line.numbers.length);
    if (same.length !== 1) continue;
    for (const [i, number] of line.numbers.entries()) note(number, same[0]!.numbers[i]!);
  }
  return pairs;
}
