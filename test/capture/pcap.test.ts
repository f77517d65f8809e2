import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { parse as independentParse } from 'pcap-parser';
import { describe, expect, it } from 'vitest';
import { renderCaptureFault } from '../../src/capture/fault.js';
import { PcapWriter } from '../../src/capture/pcap-writer.js';
import { captureRecords } from '../../src/capture/reader.js';
import { plain, readInPieces, readWhole, u16, u32 } from './sample.js';

const arbPacket = fc.record({
  seconds: fc.constantFrom(0, 1, 1_700_000_000, 0x7fffffff, 0x80000000, 0xffffffff),
  nanoseconds: fc.constantFrom(0, 1, 999, 1000, 123_456_789, 999_999_999),
  packet: fc.uint8Array({ maxLength: 80 }),
  cut: fc.constantFrom(0, 1, 70_000),
});
const arbSizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 });

describe('pcap', () => {
  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('reads what is written, in pieces of any size (nanoseconds %s, big endian %s)', (nanoseconds, bigEndian) => {
    fc.assert(
      fc.property(fc.array(arbPacket, { maxLength: 12 }), arbSizes, (packets, sizes) => {
        const writer = new PcapWriter({ linkType: 276, nanoseconds, bigEndian });
        for (const p of packets) {
          writer.addPacket(p.seconds, p.nanoseconds, p.packet, p.packet.length + p.cut);
        }
        const { records, reader } = readInPieces(writer.take(), sizes);
        expect(reader.fault).toBeUndefined();
        expect(records).toEqual(
          packets.map((p) => ({
            seconds: p.seconds,
            nanoseconds: nanoseconds ? p.nanoseconds : Math.floor(p.nanoseconds / 1000) * 1000,
            packet: Buffer.from(p.packet).toString('hex'),
            originalSize: p.packet.length + p.cut,
            linkType: 276,
            interfaceName: '',
            flags: 0,
          })),
        );
      }),
      { seed: 3 },
    );
  });

  it('agrees with an independent reader', async () => {
    const writer = new PcapWriter({ linkType: 1 });
    for (let i = 0; i < 40; i++) writer.addPacket(1_700_000_000 + i, i * 25_000_000, new Uint8Array(i * 7).fill(i));
    const bytes = writer.take();
    const stream = new PassThrough();
    const theirs: unknown[] = [];
    const parser = independentParse(stream);
    parser.on('packet', (packet) =>
      theirs.push({
        seconds: packet.header.timestampSeconds,
        nanoseconds: packet.header.timestampMicroseconds * 1000,
        packet: packet.data.toString('hex'),
        originalSize: packet.header.originalLength,
      }),
    );
    const ended = new Promise((resolve) => parser.on('end', resolve));
    stream.end(Buffer.from(bytes));
    await ended;
    const ours = readWhole(bytes).records.map(({ seconds, nanoseconds, packet, originalSize }) => ({
      seconds,
      nanoseconds,
      packet,
      originalSize,
    }));
    expect(ours).toHaveLength(40);
    expect(ours).toEqual(theirs);
  });

  const header = (magic: number, little: boolean, linkType: number): number[] =>
    [...u32(magic, little), ...u16(2, little), ...u16(4, little), ...u32(0, little), ...u32(0, little)].concat(
      u32(65535, little),
      u32(linkType, little),
    );
  const record = (size: number, given: number): number[] => [
    ...u32(5, true),
    ...u32(6, true),
    ...u32(size, true),
    ...u32(size, true),
    ...Array(given).fill(7),
  ];
  const le = header(0xa1b2c3d4, true, 1);

  it.each<[string, number[], number, string]>([
    // what                            bytes                                                 records  fault
    ['nothing', [], 0, 'x.pcap:0: error: file is empty [truncated]'],
    ['three bytes', [0xd4, 0xc3, 0xb2], 0, 'x.pcap:0: error: file ends within its header [truncated]'],
    ['half a file header', le.slice(0, 20), 0, 'x.pcap:0: error: file ends within its header [truncated]'],
    [
      'a text',
      [0x23, 0x20, 0x61, 0x62],
      0,
      'x.pcap:0: error: neither pcap nor pcapng: the file starts with 0x23206162 [unknown-format]',
    ],
    [
      'another version',
      [...u32(0xa1b2c3d4, true), 3, 0, ...Array(18).fill(0)],
      0,
      'x.pcap:0: error: pcap version 3 is not known, only 2 [bad-version]',
    ],
    ['only a file header', le, 0, ''],
    [
      'half a record header',
      [...le, ...record(4, 4), 1, 2, 3],
      1,
      'x.pcap:44: error: file ends within a record [truncated]',
    ],
    [
      'half a packet',
      [...le, ...record(4, 4), ...record(9, 8)],
      1,
      'x.pcap:44: error: file ends within a record [truncated]',
    ],
    [
      'a giant packet',
      [...le, ...record(4, 4), ...record(0xfffffff0, 4)],
      1,
      'x.pcap:44: error: record says it holds 4294967280 bytes, more than any snap length (278528) [record-too-large]',
    ],
    ['an empty packet', [...le, ...record(0, 0), ...record(1, 1)], 2, ''],
  ])('faults: %s', (_what, bytes, count, fault) => {
    for (const size of [1, 3, 16, 1000]) {
      const { records, reader } = readInPieces(new Uint8Array(bytes), [size]);
      expect(records).toHaveLength(count);
      expect(reader.fault === undefined ? '' : renderCaptureFault(reader.fault)).toBe(fault);
      expect(reader.finished).toBe(true);
    }
  });

  it('takes the frame check sequence bits off the link type and carries microseconds over', () => {
    const bytes = [...header(0xa1b2c3d4, false, 0x24000001), ...u32(5, false), ...u32(2_000_001, false)];
    bytes.push(...u32(1, false), ...u32(1, false), 9);
    const [only] = [...captureRecords(new Uint8Array(bytes))].map(plain);
    expect(only).toMatchObject({ linkType: 1, seconds: 7, nanoseconds: 1000, packet: '09' });
  });

  it('points into the chunk instead of copying', () => {
    const writer = new PcapWriter({ linkType: 1 });
    for (let i = 0; i < 3; i++) writer.addPacket(i, 0, new Uint8Array(10));
    const bytes = writer.take();
    for (const record of captureRecords(bytes)) {
      expect(record.bytes).toBe(bytes);
      expect(record.view.buffer).toBe(bytes.buffer);
    }
  });
});
