/**
 * The captures of the million of mutated inputs (rule-file.test.ts has the rest): small captures of every format and link
 * type, broken in a few places, give records or one located fault; some of them go through a whole replay.
 * FUZZ_SEED varies the seed.
 */
import { expect, it } from 'vitest';
import { Rng } from '../../src/base/rng.js';
import { LinkLayer, locatePacket } from '../../src/capture/link-type.js';
import { PcapWriter } from '../../src/capture/pcap-writer.js';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { CaptureReader } from '../../src/capture/reader.js';
import { CaptureRecord } from '../../src/capture/record.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import { FrameSource } from '../../src/replay/frame-source.js';
import { makeReplayHost } from '../../src/replay/replay-host.js';
import { ReplaySession } from '../../src/replay/session.js';
import { emptyTotals } from '../../src/replay/totals.js';
import { printReplaySummary } from '../../src/report/replay-text.js';
import { rulesOf } from '../host/lab.js';
import { bytesOf, icmpBody, ipBytes, tcpBody, udpBody } from '../support/craft.js';
import { mutatePacket, pick } from '../support/mutate-packet.js';

const SEED = Number(process.env.FUZZ_SEED ?? 23);
const PIECES = 8;
const PIECE = 48_000;
/** Every so many captures is replayed as well. */
const REPLAY_EVERY = 20;
const LONGEST_MS = 5000;

const RULES = `*mangle
:PREROUTING ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j MARK --set-xmark 0x1/0xff
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.1.9:8080
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p tcp -j REJECT --reject-with tcp-reset
-A FORWARD -p udp -m multiport --dports 53,123 -j LOG
-A FORWARD -p udp -j REJECT --reject-with icmp-port-unreachable
COMMIT
`;
const LINK_TYPES = [1, 1, 1, 113, 276, 101, 0, 108, 228, 12];

/** A link header for the packet, as the type wants it. */
function framed(linkType: number, ip: Uint8Array, rng: Rng): Uint8Array {
  const type = ip[0]! >> 4 === 6 ? [0x86, 0xdd] : [8, 0];
  const mac = [2, 0, 0, 0, 1, 1 + rng.below(2)];
  const tag = rng.below(6) === 0 ? [0x81, 0, 0, rng.below(3)] : [];
  switch (linkType) {
    case 1:
      return bytesOf(mac, [2, 0, 0, 0, 9, 9], tag, type, ip);
    case 113:
      return bytesOf([0, rng.below(6), 0, 1, 0, 6], mac, [0, 0], type, ip);
    case 276:
      return bytesOf(type, [0, 0, 0, 0, 0, rng.below(4), 0, 1, rng.below(6), 6], mac, [0, 0], ip);
    case 0:
    case 108:
      return bytesOf(linkType === 0 ? [2, 0, 0, 0] : [0, 0, 0, 2], ip);
    default:
      return ip;
  }
}

function packet(rng: Rng): Uint8Array {
  const src = pick(rng, ['10.0.0.2', '10.0.1.9', '198.51.100.7']);
  const dst = pick(rng, ['10.0.0.1', '10.0.1.9', '198.51.100.7', '255.255.255.255']);
  const bodies = [
    [6, tcpBody({ sport: 40000, dport: pick(rng, [80, 22]), flags: pick(rng, [2, 16, 18, 4]) })],
    [17, udpBody(5353, pick(rng, [53, 9999]), new Uint8Array(rng.below(30)))],
    [1, icmpBody(8, 0, [0, 1, 0, 1])],
  ] as const;
  const [protocol, body] = pick(rng, bodies);
  const ip =
    rng.below(5) === 0
      ? ipBytes({ src: 'fd00::2', dst: 'fd00::1', protocol: protocol === 1 ? 58 : protocol, body })
      : ipBytes({ src, dst, protocol, body });
  return rng.below(4) === 0 ? mutatePacket(ip, ip, rng) : ip;
}

function capture(rng: Rng): Uint8Array {
  const count = 1 + rng.below(6);
  if (rng.below(2) === 0) {
    const linkType = pick(rng, LINK_TYPES);
    const pcap = new PcapWriter({ linkType, nanoseconds: rng.below(2) === 0 });
    for (let i = 0; i < count; i++) pcap.addPacket(1_700_000_000 + i, i, framed(linkType, packet(rng), rng));
    return pcap.take();
  }
  const ng = new PcapngWriter();
  const types = [pick(rng, LINK_TYPES), pick(rng, LINK_TYPES)];
  types.forEach((type, i) => void ng.addInterface(`eth${i}`, type, 65535));
  for (let i = 0; i < count; i++) {
    const bytes = framed(types[i & 1]!, packet(rng), rng);
    ng.addPacket(i & 1, 1_700_000_000 + i, i, bytes, 0, bytes.length, bytes.length + rng.below(2), rng.below(4));
  }
  return ng.take();
}

const SIZES = [0, 1, 4, 12, 16, 0x7f, 0xff, 0xfffc, 0x40000, 0x7fffffff, 0x80000000, 0xffffffff];

function mutate(bytes: Uint8Array, rng: Rng): Uint8Array {
  let out: Uint8Array = bytes.slice();
  for (let n = 1 + rng.below(3); n > 0; n--) {
    const at = rng.below(out.length);
    switch (rng.below(6)) {
      case 0:
        out[at] = rng.u32();
        break;
      case 1:
        out[at]! ^= 1 << rng.below(8);
        break;
      case 2: // a word of a telling size
        if (out.length >= 4)
          new DataView(out.buffer).setUint32(Math.min(at & ~3, out.length - 4), pick(rng, SIZES), rng.below(2) === 0);
        break;
      case 3:
        out = out.slice(0, Math.max(1, at));
        break;
      case 4: // a stretch moved away
        out = bytesOf(out.subarray(0, at), out.subarray(Math.min(out.length, at + 1 + rng.below(8))), [0]);
        break;
      default: // a stretch doubled
        out = bytesOf(out.subarray(0, at), out.subarray(at, at + rng.below(40)), out.subarray(at));
    }
  }
  return out;
}

const rules = rulesOf(RULES, 4);
const { config } = makeDefaultHost({ devices: ['eth0', 'eth1'], addresses: ['eth0=10.0.0.1/24', 'eth1=10.0.1.1/24'] });

function replay(bytes: Uint8Array): void {
  const made = makeReplayHost(config, {
    ruleSet4: rules,
    buildEngine: compiledEngine,
    seed: 1,
    assumeNeighbours: true,
  });
  const totals = emptyTotals();
  totals.captures.push({ name: 'm', device: '', records: 0 });
  const source = new FrameSource(config, [{ name: 'm' }], { inDevices: new Set(), local: false });
  const session = new ReplaySession(made, source, totals, {
    packet: (result) => void JSON.stringify(result),
  });
  for (const pass of ['survey', 'replay'] as const) {
    const reader = new CaptureReader('m');
    reader.feed(bytes.slice());
    const record = new CaptureRecord();
    while (reader.next(record)) session[pass](0, record);
  }
  session.finish();
  printReplaySummary(totals, [rules]);
}

it.each(
  Array.from({ length: PIECES }, (_, i) => i),
)('mutated captures give records or one located fault, part %i', (piece) => {
  const rng = new Rng(SEED * 1000 + piece);
  const pool = Array.from({ length: 400 }, () => capture(rng));
  const link = new LinkLayer();
  const record = new CaptureRecord();
  let records = 0;
  let faults = 0;
  for (let i = 0; i < PIECE; i++) {
    const bytes = mutate(pool[i % pool.length]!, rng);
    const fail = (what: string) =>
      expect.fail(`FUZZ_SEED=${SEED} part ${piece} capture ${i}: ${what}\n${Buffer.from(bytes).toString('hex')}`);
    const before = performance.now();
    try {
      const reader = new CaptureReader('m');
      // Bytes in two pieces: what is cut there is read like the rest.
      const cut = i % 3 === 0 ? rng.below(bytes.length + 1) : bytes.length;
      for (const part of [bytes.slice(0, cut), bytes.slice(cut)]) {
        if (part.length === 0 || reader.finished) continue;
        reader.feed(part);
        while (reader.next(record)) {
          records++;
          if (record.off + record.capturedSize > record.bytes.length) fail('a record passes its chunk');
          if (record.originalSize < 0 || record.nanoseconds >= 1e9) fail('a record makes no sense');
          locatePacket(record.linkType, record.view, record.off, record.capturedSize, link);
        }
      }
      reader.end();
      const { fault } = reader;
      if (fault !== undefined) {
        faults++;
        if (!(fault.offset >= 0 && fault.offset <= bytes.length) || fault.message === '')
          fail(`bad fault ${fault.code}`);
      }
      if (i % REPLAY_EVERY === 0) replay(bytes);
    } catch (error) {
      if (error instanceof Error && error.name === 'AssertionError') throw error;
      fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    if (performance.now() - before > LONGEST_MS) fail(`took ${Math.round(performance.now() - before)} ms`);
  }
  expect(records).toBeGreaterThan(PIECE);
  expect(faults).toBeGreaterThan(PIECE / 10);
}, 600_000);
