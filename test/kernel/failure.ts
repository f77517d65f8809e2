/** A failing case as somebody needs it: what differs, a bundle with a capture, and the commands that run it again. */
import { cpSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LINKTYPE_ETHERNET } from '../../src/capture/link-type.js';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { type CaseRecord, printRecord, type RecordedInjection } from './case-record.js';
import { ethernet, look } from './frame.js';
import { LOCAL } from './kernel.js';
import type { Failure, SuiteOptions } from './suite.js';
import { LINKS } from './topology.js';

const BUNDLE = fileURLToPath(new URL('../regression/bundle', import.meta.url));
/** Packet flags of pcapng. */
const PCAPNG_INBOUND = 1;
const PCAPNG_OUTBOUND = 2;
const LO = LINKS.length;
const NO_MAC = '00:00:00:00:00:00';

let count = 0;

export function reportFailure(failure: Failure, options: SuiteOptions): void {
  const dir = join(options.outDir ?? join(tmpdir(), 'chainwalk-kernel'), `${options.seed}-${++count}`);
  cpSync(BUNDLE, dir, { recursive: true });
  const file = join(dir, 'case.json');
  writeFileSync(file, printRecord(failure.record));
  writeFileSync(join(dir, failure.record.family === 4 ? 'iptables-save' : 'ip6tables-save'), failure.record.rules);
  writeFileSync(join(dir, 'packets.pcapng'), captureOf(failure.record));
  if (options.json) return;
  const { record } = failure;
  const rules = record.rules.split('\n').filter((l) => l.startsWith('[') || l.startsWith('*') || / DROP /.test(l));
  process.stdout.write(`
--- differs (${failure.engine}; IPv${record.family}; ${record.name}; ${record.injections.length} packets)
${rules.join('\n')}
${failure.differences.map((d) => `${d.where}: ${d.text}`).join('\n')}
  again: npx tsx test/kernel/run.ts --case ${file}
  alone: npx tsx src/cli/main.ts replay ${dir} ${join(dir, 'packets.pcapng')}
`);
}

/** What was put in, as a capture at the host under test would hold it. */
function captureOf(record: CaseRecord): Uint8Array {
  const writer = new PcapngWriter();
  for (const { name } of [...LINKS, { name: 'lo' }]) writer.addInterface(name, LINKTYPE_ETHERNET);
  for (const injection of record.injections) {
    const own = injection.where === LOCAL;
    const link = own ? linkOf(record, injection) : injection.where;
    const { mac, peerMac } = LINKS[link] ?? { mac: NO_MAC, peerMac: NO_MAC };
    const frame = own ? ethernet(peerMac, mac, record.family, [...injection.bytes]) : injection.bytes;
    const seconds = Math.floor(injection.atUs / 1_000_000);
    const nanoseconds = (injection.atUs % 1_000_000) * 1000;
    const direction = own ? PCAPNG_OUTBOUND : PCAPNG_INBOUND;
    writer.addPacket(link, seconds, nanoseconds, frame, 0, frame.length, frame.length, direction);
  }
  return writer.take();
}

/** Where an own packet left on Linux; lo if it was not seen. */
function linkOf(record: CaseRecord, injection: RecordedInjection): number {
  const tag = look(injection.bytes)?.tag;
  const sent = record.kernel.out.find((f) => tag !== undefined && look(f.bytes.subarray(14))?.tag === tag);
  return sent?.link ?? LO;
}
