/** What the cases were about: how often each part of a rule stood in a rule set, and how often such a rule was hit. */
import type { Family } from '../../src/net/netfilter.js';
import { Packet } from '../../src/wire/packet.js';
import { CHECKSUM_WRONG, transportChecksumState } from '../../src/wire/transport-checksum.js';
import type { Tags } from './allowance.js';
import type { CaseRecord, RecordedInjection } from './case-record.js';
import { framesOf, tagsOf } from './compare.js';
import { look } from './frame.js';
import { partsOf, supportedParts } from './rule-part.js';

export interface Count {
  /** Cases whose rule set holds it. */
  cases: number;
  /** Cases in which a rule with it matched a packet. */
  hit: number;
}

export class Evidence {
  /** By part of a rule, those that no case had included. */
  readonly parts = new Map<string, Count>(supportedParts().map((part) => [part, { cases: 0, hit: 0 }]));
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
    const saved = rulesOf(record.kernel.saved);
    for (const [place, rule] of rulesOf(record.rules)) {
      const after = saved.get(place);
      const wasHit = after !== undefined && after.counters !== rule.counters;
      for (const part of partsOf(rule.text)) {
        loaded.add(part);
        if (wasHit) hit.add(part);
      }
    }
    for (const name of loaded) {
      const count = this.parts.get(name) ?? { cases: 0, hit: 0 };
      count.cases++;
      if (hit.has(name)) count.hit++;
      this.parts.set(name, count);
    }
    for (const feature of featuresOf(record)) this.features.set(feature, (this.features.get(feature) ?? 0) + 1);
  }
}

interface CountedRule {
  readonly text: string;
  readonly counters: string;
}

/** Rules of a file by table, chain and place in the chain: the order of the chains is not the same in all files. */
function rulesOf(file: string): Map<string, CountedRule> {
  const rules = new Map<string, CountedRule>();
  const lengths = new Map<string, number>();
  let table = '';
  for (const line of file.split('\n')) {
    if (line.startsWith('*')) table = line;
    const found = /^(\[\d+:\d+\]) (-A (\S+).*)$/.exec(line);
    if (found === null) continue;
    const chain = `${table} ${found[3]}`;
    const index = lengths.get(chain) ?? 0;
    lengths.set(chain, index + 1);
    rules.set(`${chain} ${index}`, { text: found[2]!, counters: found[1]! });
  }
  return rules;
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  33: 'DCCP',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  58: 'ICMPv6',
  132: 'SCTP',
  136: 'UDP-Lite',
};
const ERRORS4: Readonly<Record<number, string>> = {
  3: 'destination unreachable',
  11: 'time exceeded',
  12: 'parameter problem',
  5: 'redirect',
};
const ERRORS6: Readonly<Record<number, string>> = {
  1: 'destination unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  4: 'parameter problem',
  137: 'redirect',
};

/** Things a case shows in its packets and its outcome, whatever its rules. */
function featuresOf(record: CaseRecord): Set<string> {
  const found = new Set<string>();
  for (const i of record.injections) noteInjected(found, i);
  const tags = tagsOf(record);
  for (const { bytes } of framesOf(record, record.kernel)) noteSent(found, bytes.subarray(14), tags);
  noteConnections(found, record);
  if (/^:\S+ DROP /m.test(record.rules)) found.add('rules: a policy of DROP');
  if ((record.kernel.log?.length ?? 0) > 0) found.add('log lines');
  return found;
}

function noteInjected(found: Set<string>, { where, bytes }: RecordedInjection): void {
  const packet = where < 0 ? bytes : bytes.subarray(14);
  found.add(where < 0 ? 'in: from the host itself' : 'in: from a link');
  const seen = look(packet);
  if (seen === undefined) {
    found.add('in: not a whole IP header');
    return;
  }
  found.add(`in: ${PROTOCOLS[seen.protocol] ?? 'another protocol'}`);
  if (seen.fragment) found.add('in: fragments');
  if (seen.ttl <= 1) found.add('in: TTL or hop limit 1');
  if (seen.family === 4 && (packet[0]! & 15) > 5) found.add('in: IPv4 options');
  if (seen.family === 6 && [0, 43, 60].includes(packet[6]!)) found.add('in: IPv6 extension header');
  const group = seen.family === 4 ? packet[16]! >> 4 === 14 : packet[24] === 255;
  if (group) found.add('in: to a multicast group');
  if (where >= 0 && bytes[0] === 255) found.add('in: link-layer broadcast');
  if (where >= 0 && bytes[0] === 2 && bytes[4] === 9) found.add('in: for another hardware address');
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const p = new Packet();
  p.attach(packet, view);
  const size = packet.length;
  const result = seen.family === 4 ? p.parse4(0, size, size) : p.parse6(0, size, size);
  if (result !== 0) found.add('in: bad IP header');
  else if (transportChecksumState(p) === CHECKSUM_WRONG) found.add('in: wrong transport checksum');
}

function noteSent(found: Set<string>, packet: Uint8Array, tags: Tags): void {
  const seen = look(packet);
  if (seen === undefined) return;
  if (seen.fragment) found.add('out: fragments');
  if (tags.has(seen.tag)) {
    found.add('out: forwarded, or own as it was put in');
    return;
  }
  if (seen.protocol === 6) found.add('out: TCP reset of the host');
  const icmp = seen.protocol === 1 || seen.protocol === 58;
  if (!icmp || seen.l4 >= packet.length) return;
  const type = packet[seen.l4]!;
  const error = (seen.family === 4 ? ERRORS4 : ERRORS6)[type];
  found.add(
    error === undefined ? 'out: echo or time stamp reply of the host' : `out: IPv${seen.family} error, ${error}`,
  );
}

function noteConnections(found: Set<string>, record: CaseRecord): void {
  for (const line of record.kernel.connections.split('\n')) {
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
}
