/**
 * A case as it really ran: rules, every packet that was put in with its time, and what Linux made of it. It can be
 * replayed without a kernel, so a difference that was found and mended stays as a file in test/regression.
 */
import type { Family } from '../../src/net/netfilter.js';
import type { SentFrame } from './kernel.js';

export interface RecordedInjection {
  /** Link number, or LOCAL (-1). */
  readonly where: number;
  readonly bytes: Uint8Array;
  readonly to: string;
  readonly mark: number;
  readonly atUs: number;
}

/** What a host made of a case: the kernel's or the emulator's. */
export interface HostOutcome {
  /** Why the rules were refused; undefined: they were not, and the rest is filled in. */
  readonly refusal: string | undefined;
  readonly out: readonly SentFrame[];
  /** iptables-save -c. */
  readonly saved: string;
  /** Connections, one per line, as conntrack -L -o extended or /proc/net/nf_conntrack print them. */
  readonly connections: string;
  readonly log: readonly (readonly [level: number, line: string])[] | undefined;
}

export interface CaseRecord {
  readonly name: string;
  readonly family: Family;
  /** Needs a namespace of its own: not all tables are named, or fragments stay behind. */
  readonly fresh: boolean;
  /** Fed to iptables-restore -c. */
  readonly rules: string;
  readonly injections: readonly RecordedInjection[];
  /** When connections were listed. */
  readonly endUs: number;
  readonly kernel: HostOutcome;
}

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));

interface StoredRecord {
  readonly name: string;
  readonly family: Family;
  readonly fresh: boolean;
  readonly rules: readonly string[];
  readonly injections: readonly { where: number; hex: string; to?: string; mark?: number; atUs: number }[];
  readonly endUs: number;
  readonly kernel: {
    readonly refusal?: string;
    readonly out: readonly { link: number; hex: string }[];
    readonly saved: readonly string[];
    readonly connections: readonly string[];
    readonly log?: readonly (readonly [number, string])[];
  };
}

/** JSON text; lines of text stay lines, so that a diff of two cases can be read. */
export function printRecord(record: CaseRecord): string {
  const { kernel } = record;
  const stored: StoredRecord = {
    name: record.name,
    family: record.family,
    fresh: record.fresh,
    rules: record.rules.split('\n'),
    injections: record.injections.map((i) => ({
      where: i.where,
      ...(i.where < 0 ? { to: i.to, mark: i.mark } : {}),
      atUs: i.atUs,
      hex: hexOf(i.bytes),
    })),
    endUs: record.endUs,
    kernel: {
      ...(kernel.refusal === undefined ? {} : { refusal: kernel.refusal }),
      out: kernel.out.map((f) => ({ link: f.link, hex: hexOf(f.bytes) })),
      saved: kernel.saved.split('\n'),
      connections: kernel.connections.split('\n').filter((l) => l !== ''),
      ...(kernel.log === undefined ? {} : { log: kernel.log }),
    },
  };
  return `${JSON.stringify(stored, undefined, 1)}\n`;
}

export function parseRecord(text: string): CaseRecord {
  const stored = JSON.parse(text) as StoredRecord;
  return {
    name: stored.name,
    family: stored.family,
    fresh: stored.fresh,
    rules: stored.rules.join('\n'),
    injections: stored.injections.map((i) => ({
      where: i.where,
      bytes: bytesOf(i.hex),
      to: i.to ?? '',
      mark: i.mark ?? 0,
      atUs: i.atUs,
    })),
    endUs: stored.endUs,
    kernel: {
      refusal: stored.kernel.refusal,
      out: stored.kernel.out.map((f) => ({ link: f.link, bytes: bytesOf(f.hex) })),
      saved: stored.kernel.saved.join('\n'),
      connections: stored.kernel.connections.join('\n'),
      log: stored.kernel.log,
    },
  };
}
