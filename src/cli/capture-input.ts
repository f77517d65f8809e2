/** Captures named on the command line: `FILE`, `IFACE=FILE`, `-`; read twice (a survey, then the replay). */
import { createWriteStream, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { renderCaptureFault } from '../capture/fault.js';
import { LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2 } from '../capture/link-type.js';
import { CaptureMerge, MERGE_END, MERGE_STARVED } from '../capture/merge.js';
import { CaptureRecord } from '../capture/record.js';
import type { CaptureInput } from '../replay/frame-source.js';
import { CaptureFile } from './capture-file.js';
import { describeSystemError, Failure } from './failure.js';
import { isFolder } from './input.js';

/** Records that are looked at to learn the names of a capture's interfaces. */
const NAMES_FROM = 2000;

export interface CaptureArgument extends CaptureInput {
  readonly path: string;
}

/** Splits `IFACE=FILE`; a file that has such a name itself is meant as it stands. */
export function parseCaptureArguments(words: readonly string[]): CaptureArgument[] {
  const captures = words.map((word): CaptureArgument => {
    const named = existsSync(word) ? null : /^([^=/\s]{1,15})=(.+)$/.exec(word);
    return named === null ? { path: word, name: word } : { path: named[2]!, name: named[2]!, device: named[1]! };
  });
  if (captures.filter((c) => c.path === '-').length > 1)
    throw new Failure('error: standard input can be read as one capture only');
  for (const { path } of captures) {
    if (path === '-') continue;
    if (!existsSync(path)) throw new Failure(`${path}: no such file or directory`);
    if (isFolder(path)) throw new Failure(`${path}: is a directory, not a capture`);
  }
  return captures;
}

/** Rules and a capture cannot both come from standard input. */
export function refuseStdinTwice(rulesPath: string, captures: readonly CaptureArgument[]): void {
  if (rulesPath === '-' && captures.some((c) => c.path === '-'))
    throw new Failure('error: standard input can be the rules or a capture, not both');
}

/** Standard input is read twice, so it goes to a file first; `done` removes it. */
export async function spoolStdin(
  captures: readonly CaptureArgument[],
): Promise<{ captures: readonly CaptureArgument[]; done: () => void }> {
  if (!captures.some((c) => c.path === '-')) return { captures, done: () => {} };
  const folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
  const file = join(folder, 'stdin');
  const done = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    await pipeline(process.stdin, createWriteStream(file));
  } catch (error) {
    done();
    throw new Failure(describeSystemError('<stdin>', error));
  }
  return { captures: captures.map((c) => (c.path === '-' ? { ...c, path: file, name: '<stdin>' } : c)), done };
}

export interface CaptureSurvey {
  /** Interface names that the captures give. */
  readonly devices: readonly string[];
  /** Those whose frames have no link header. */
  readonly bare: ReadonlySet<string>;
}

/** Names of interfaces, from the first records of each capture. Faults are left for the replay to report. */
export async function surveyNames(captures: readonly CaptureArgument[]): Promise<CaptureSurvey> {
  const devices = new Set<string>();
  const bare = new Set<string>();
  const record = new CaptureRecord();
  for (const capture of captures) {
    if (capture.device !== undefined) devices.add(capture.device);
    const file = new CaptureFile(capture.path);
    let left = NAMES_FROM;
    do {
      while (left > 0 && file.reader.next(record)) {
        left--;
        const name = capture.device ?? record.interfaceName;
        if (name === '' || name === 'any') continue;
        devices.add(name);
        const { linkType } = record;
        if (linkType !== LINKTYPE_ETHERNET && linkType !== LINKTYPE_LINUX_SLL && linkType !== LINKTYPE_LINUX_SLL2)
          bare.add(name);
      }
    } while (left > 0 && (await file.more()));
    await file.close();
  }
  devices.delete('lo');
  return { devices: [...devices], bare };
}

/** Every record of every capture, one capture after the other. */
export async function forEachRecord(
  captures: readonly CaptureArgument[],
  visit: (capture: number, record: CaptureRecord) => void,
): Promise<void> {
  const record = new CaptureRecord();
  for (const [i, capture] of captures.entries()) {
    const file = new CaptureFile(capture.path);
    do drain(file, record, i, visit);
    while (await file.more());
  }
}

// A function of its own: V8 does not optimise a loop that an `await` interrupts.
function drain(
  file: CaptureFile,
  record: CaptureRecord,
  i: number,
  visit: (capture: number, record: CaptureRecord) => void,
): void {
  while (file.reader.next(record)) visit(i, record);
}

/** All records of all captures, merged by time. Returns the captures' faults, rendered; each ended its capture only. */
export async function forEachMerged(
  captures: readonly CaptureArgument[],
  visit: (capture: number, record: CaptureRecord) => void,
  onProgress: (bytesRead: number) => void,
): Promise<string[]> {
  const files = captures.map((c) => new CaptureFile(c.path));
  const merge = new CaptureMerge(files.map((f) => f.reader));
  while (drainMerged(merge, visit)) {
    await files[merge.starved]!.more();
    onProgress(files.reduce((sum, f) => sum + f.bytesRead, 0));
  }
  return files.flatMap((f, i) => {
    const { fault } = f.reader;
    return fault === undefined ? [] : [renderCaptureFault({ ...fault, file: captures[i]!.name })];
  });
}

/** True if a capture needs more bytes, false at the end of all. */
function drainMerged(merge: CaptureMerge, visit: (capture: number, record: CaptureRecord) => void): boolean {
  for (;;) {
    const next = merge.next();
    if (next === MERGE_END) return false;
    if (next === MERGE_STARVED) return true;
    visit(next, merge.records[next]!);
  }
}
