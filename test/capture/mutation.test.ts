import { expect, it } from 'vitest';
import { Rng } from '../../src/base/rng.js';
import { LinkLayer, locatePacket } from '../../src/capture/link-type.js';
import { PcapWriter } from '../../src/capture/pcap-writer.js';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { CaptureReader } from '../../src/capture/reader.js';
import { CaptureRecord } from '../../src/capture/record.js';

function seedFiles(): Uint8Array[] {
  const pcap = new PcapWriter({ linkType: 1, nanoseconds: true });
  const ng = new PcapngWriter();
  ng.addInterface('eth0', 1, 65535);
  ng.addInterface('any', 276);
  for (let i = 0; i < 12; i++) {
    const packet = new Uint8Array(i * 5 + 14).fill(i);
    pcap.addPacket(1_700_000_000 + i, i, packet);
    ng.addPacket(i & 1, 1_700_000_000 + i, i, packet, 0, packet.length, packet.length, i);
    if (i === 6) {
      ng.startSection();
      ng.addInterface('raw', 101);
      ng.addInterface('null', 0);
    }
  }
  return [pcap.take(), ng.take()];
}

const SIZES = [0, 1, 4, 12, 0x7f, 0xff, 0xfffc, 0x7fffffff, 0xffffffff];

function mutate(bytes: Uint8Array, rng: Rng): Uint8Array {
  let out = bytes.slice();
  for (let k = rng.below(4) + 1; k > 0; k--) {
    const at = rng.below(out.length);
    switch (rng.below(5)) {
      case 0:
        out[at] = rng.u32();
        break;
      case 1:
        out[at]! ^= 1 << rng.below(8);
        break;
      case 2: // a whole word, aligned, of a telling size
        if (out.length >= 4) {
          const word = SIZES[rng.below(SIZES.length)]!;
          new DataView(out.buffer).setUint32(Math.min(at & ~3, out.length - 4), word, rng.below(2) === 0);
        }
        break;
      case 3:
        out = out.slice(0, Math.max(1, at));
        break;
      default: // a stretch doubled
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at, at + rng.below(40)), ...out.subarray(at)]);
    }
  }
  return out;
}

it('a mutated capture gives records or one located fault, the same in pieces as in one', () => {
  const files = seedFiles();
  const rng = new Rng(20);
  const codes = new Set<string>();
  const link = new LinkLayer();
  const read = (bytes: Uint8Array, size: number): string => {
    const reader = new CaptureReader('m');
    const record = new CaptureRecord();
    const seen: string[] = [];
    for (let at = 0; at < bytes.length && reader.fault === undefined; at += size) {
      reader.feed(bytes.slice(at, at + size));
      while (reader.next(record)) {
        if (record.off + record.capturedSize > record.bytes.length) throw new Error('record passes its chunk');
        const where =
          locatePacket(record.linkType, record.view, record.off, record.capturedSize, link) ?? link.l3Off - record.off;
        seen.push(
          `${record.fileOff} ${record.capturedSize} ${record.seconds}.${record.nanoseconds} ${record.flags} ${where}`,
        );
      }
    }
    reader.end();
    if (reader.fault !== undefined) {
      codes.add(reader.fault.code);
      expect(reader.fault.offset).toBeGreaterThanOrEqual(0);
      expect(reader.fault.offset).toBeLessThanOrEqual(bytes.length);
      seen.push(`${reader.fault.code} ${reader.fault.message}`);
    }
    expect(reader.finished).toBe(true);
    return seen.join('\n');
  };
  for (let run = 0; run < 6000; run++) {
    const bytes = mutate(files[run & 1]!, rng);
    const whole = read(bytes, bytes.length);
    if (read(bytes, 1 + rng.below(70)) !== whole) expect.fail(`run ${run} differs in pieces`);
  }
  // The mutations reach every kind of fault that bytes alone can cause.
  expect([...codes].sort()).toEqual(
    expect.arrayContaining([
      'bad-block',
      'bad-version',
      'missing-interface',
      'record-too-large',
      'truncated',
      'unknown-format',
    ]),
  );
});
