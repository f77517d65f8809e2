import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderCaptureFault } from '../../src/capture/fault.js';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { captureRecords } from '../../src/capture/reader.js';
import { DIRECTION_IN, DIRECTION_OUT, DIRECTION_UNKNOWN } from '../../src/capture/record.js';
import { TimeResolution } from '../../src/capture/time-resolution.js';
import { block, option, plain, readInPieces, readWhole, section, text, u16, u32 } from './sample.js';

const arbPacket = fc.record({
  seconds: fc.constantFrom(0, 1, 65535, 65536, 1_700_000_000, 0xffffffff, 2 ** 34 - 1),
  nanoseconds: fc.constantFrom(0, 1, 999, 123_456_789, 999_999_999),
  packet: fc.uint8Array({ maxLength: 60 }),
  cut: fc.constantFrom(0, 9000),
  interface: fc.nat(2),
  flags: fc.constantFrom(0, 1, 2, 0x80000005),
});

const NAMES = ['eth0', '', 'veth-ä'];

function interfaceBlock(little: boolean, linkType: number, snapSize: number, options: number[] = []): number[] {
  return block(1, [...u16(linkType, little), 0, 0, ...u32(snapSize, little), ...options], little);
}

function enhanced(little: boolean, index: number, high: number, low: number, packet: number[], options: number[] = []) {
  const data = [...packet];
  while (data.length % 4 !== 0) data.push(0);
  const head = [index, high, low, packet.length, packet.length].flatMap((word) => u32(word, little));
  return block(6, [...head, ...data, ...options], little);
}

describe('pcapng', () => {
  it('reads what is written, in pieces of any size', () => {
    const arbSizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(arbPacket, { maxLength: 12 }), arbSizes, fc.nat(12), (packets, sizes, split) => {
        const writer = new PcapngWriter();
        const describeAll = (): void => {
          for (const [i, name] of NAMES.entries()) writer.addInterface(name, i, 0);
        };
        describeAll();
        packets.forEach((p, i) => {
          if (i === split) {
            writer.startSection();
            describeAll();
          }
          const size = p.packet.length;
          writer.addPacket(p.interface, p.seconds, p.nanoseconds, p.packet, 0, size, size + p.cut, p.flags);
        });
        const { records, reader } = readInPieces(writer.take(), sizes);
        expect(reader.fault).toBeUndefined();
        expect(records).toEqual(
          packets.map((p) => ({
            seconds: p.seconds,
            nanoseconds: p.nanoseconds,
            packet: Buffer.from(p.packet).toString('hex'),
            originalSize: p.packet.length + p.cut,
            linkType: p.interface,
            interfaceName: NAMES[p.interface],
            flags: p.flags,
          })),
        );
      }),
      { seed: 4 },
    );
  });

  it.each([true, false])('reads every kind of packet block and skips the others (little endian %s)', (little) => {
    const bytes = [
      ...section(little),
      ...block(0x0bad, Array(5000).fill(1), little),
      ...interfaceBlock(little, 1, 3, [...option(2, text('lan0'), little), ...option(0, [], little)]),
      ...interfaceBlock(little, 101, 0, option(9, [9], little)),
      ...block(3, [...u32(5, little), 1, 2, 3, 4], little),
      ...enhanced(
        little,
        1,
        0x17979cfe,
        0x362a0001,
        [1, 2],
        [...option(1, text('hi'), little), ...option(2, u32(2, little), little)],
      ),
      ...block(
        2,
        [
          ...u16(0, little),
          ...u16(0xffff, little),
          ...[0, 7, 1, 1].flatMap((w) => u32(w, little)),
          9,
          0,
          0,
          0,
          ...option(2, u32(1, little), little),
        ],
        little,
      ),
      // A new section in the other byte order has interfaces of its own.
      ...section(!little),
      ...block(5, [0, 0, 0, 0], !little),
      ...interfaceBlock(!little, 113, 0, option(2, text('wan\0junk'), !little)),
      ...enhanced(!little, 0, 0, 1_500_000, [5]),
    ];
    for (const size of [1, 7, 4096, 1e6]) {
      const { records, reader } = readInPieces(new Uint8Array(bytes), [size]);
      expect(reader.fault).toBeUndefined();
      expect(records).toEqual([
        { seconds: 0, nanoseconds: 0, packet: '010203', originalSize: 5, linkType: 1, interfaceName: 'lan0', flags: 0 },
        {
          seconds: 1_700_000_000,
          nanoseconds: 1,
          packet: '0102',
          originalSize: 2,
          linkType: 101,
          interfaceName: '',
          flags: 2,
        },
        { seconds: 0, nanoseconds: 7000, packet: '09', originalSize: 1, linkType: 1, interfaceName: 'lan0', flags: 1 },
        {
          seconds: 1,
          nanoseconds: 500_000_000,
          packet: '05',
          originalSize: 1,
          linkType: 113,
          interfaceName: 'wan',
          flags: 0,
        },
      ]);
    }
  });

  it.each([
    [0, DIRECTION_UNKNOWN, 0],
    [1, DIRECTION_IN, 0],
    [2 | (3 << 2), DIRECTION_OUT, 3],
    [3 | (7 << 2), DIRECTION_UNKNOWN, 0],
    [0xffff0000 | 1 | (4 << 2), DIRECTION_IN, 4],
  ])('flags %i', (flags, direction, reception) => {
    const writer = new PcapngWriter();
    writer.addInterface('a', 1);
    writer.addPacket(0, 1, 0, new Uint8Array(5), 1, 3, 3, flags >>> 0);
    for (const record of captureRecords(writer.take())) {
      expect([record.direction, record.reception, record.interfaceIndex]).toEqual([direction, reception, 0]);
    }
  });

  it('a simple packet has no time of its own', () => {
    const bytes = [...section(true), ...interfaceBlock(true, 1, 0), ...block(3, [...u32(1, true), 1], true)];
    for (const record of captureRecords(new Uint8Array(bytes))) expect(record.hasTime).toBe(false);
  });

  const start = section(true);
  const one = [...start, ...interfaceBlock(true, 1, 0), ...enhanced(true, 0, 0, 0, [1])];
  const oneSize = one.length;
  const wrongEnd = enhanced(true, 0, 0, 0, [1]);
  wrongEnd[wrongEnd.length - 4] = 99;
  const longPacket = enhanced(true, 0, 0, 0, [1]);
  longPacket[20] = 99;
  const unknown = block(77, [0, 0, 0, 0], true);

  it.each<[string, number[], number, string]>([
    ['half a section header', start.slice(0, 20), 0, '0: error: file ends within a record [truncated]'],
    [
      'no magic',
      [...start.slice(0, 8), ...Array(20).fill(0)],
      0,
      '0: error: section header has no byte-order magic [bad-block]',
    ],
    [
      'version 2',
      start.map((b, i) => (i === 12 ? 2 : b)),
      0,
      '0: error: pcapng version 2 is not known, only 1 [bad-version]',
    ],
    [
      'odd size',
      [...one, ...u32(6, true), ...u32(33, true), ...Array(40).fill(0)],
      1,
      `${oneSize}: error: block size 33 is not possible [bad-block]`,
    ],
    [
      'size 4',
      [...one, ...u32(77, true), ...u32(4, true), ...Array(40).fill(0)],
      1,
      `${oneSize}: error: block size 4 is not possible [bad-block]`,
    ],
    [
      'giant packet block',
      [...one, ...u32(6, true), ...u32(0x7ffffffc, true), 0, 0, 0, 0],
      1,
      `${oneSize}: error: block of 2147483644 bytes is larger than any packet (344064) [record-too-large]`,
    ],
    [
      'giant unknown block',
      [...one, ...u32(77, true), ...u32(0x7ffffffc, true), 0, 0, 0, 0],
      1,
      `${oneSize + 12}: error: file ends within a record [truncated]`,
    ],
    [
      'unknown block cut',
      [...one, ...unknown.slice(0, -1)],
      1,
      `${oneSize + 12}: error: file ends within a record [truncated]`,
    ],
    [
      'two sizes',
      [...one, ...wrongEnd],
      1,
      `${oneSize}: error: block starts with size 36 and ends with another [bad-block]`,
    ],
    [
      'packet longer than block',
      [...one, ...longPacket],
      1,
      `${oneSize}: error: packet of 99 bytes passes its block [bad-block]`,
    ],
    [
      'no such interface',
      [...one, ...enhanced(true, 1, 0, 0, [1])],
      1,
      `${oneSize}: error: packet of interface 1, which the section does not describe [missing-interface]`,
    ],
    [
      'short packet block',
      [...one, ...block(6, [0, 0, 0, 0], true)],
      1,
      `${oneSize}: error: packet block is too short [bad-block]`,
    ],
    [
      'short interface',
      [...start, ...block(1, [0, 0, 0, 0], true)],
      0,
      '28: error: interface description is too short [bad-block]',
    ],
    [
      'option past block',
      [...start, ...interfaceBlock(true, 1, 0, [9, 0, 200, 0])],
      0,
      '28: error: interface option passes the end of its block [bad-block]',
    ],
    [
      'too many interfaces',
      [
        ...start,
        ...Array(65_537)
          .fill(interfaceBlock(true, 1, 0))
          .flat(),
      ],
      0,
      '1310748: error: section has more than 65536 interfaces [too-many-interfaces]',
    ],
  ])('faults: %s', (_what, bytes, count, fault) => {
    for (const size of bytes.length > 100_000 ? [4096] : [1, 5, 4096]) {
      const { records, reader } = readInPieces(new Uint8Array(bytes), [size]);
      expect(records).toHaveLength(count);
      expect(reader.fault === undefined ? '' : renderCaptureFault(reader.fault)).toBe(`x.pcap:${fault}`);
    }
  });
});

describe('time resolution', () => {
  it.each([
    // if_tsresol, offset, high, low → seconds, nanoseconds
    [6, 0, 0x60a24, 0x181e4000, 1_700_000_000, 0],
    [9, 0, 0x17979cfe, 0x362a0001, 1_700_000_000, 1],
    [0, 0, 0, 12, 12, 0],
    [3, 0, 0, 1001, 1, 1_000_000],
    [12, 0, 0, 1_999, 0, 1],
    [0x80, 0, 0, 5, 5, 0],
    [0x81, 0, 0, 3, 1, 500_000_000],
    [0xa0, 0, 7, 0x80000000, 7, 500_000_000],
    [0xff, 0, 0xffffffff, 0xffffffff, 0, 0],
    [6, 100, 0, 1, 100, 1000],
    [6, -100, 0, 1, -100, 1000],
  ])('resolution %i offset %i: %i:%i', (resolution, offset, high, low, seconds, nanoseconds) => {
    const time = new TimeResolution(resolution, offset);
    time.split(high, low);
    expect([time.seconds, time.nanoseconds]).toEqual([seconds, nanoseconds]);
  });

  it('is exact where a double is not', () => {
    const u32s = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(fc.constantFrom(6, 7, 9), u32s, u32s, (power, high, low) => {
        const time = new TimeResolution(power, 0);
        time.split(high, low);
        const stamp = (BigInt(high) << 32n) | BigInt(low);
        const units = 10n ** BigInt(power);
        expect(BigInt(time.seconds)).toBe(stamp / units);
        expect(BigInt(time.nanoseconds)).toBe(((stamp % units) * 1_000_000_000n) / units);
      }),
      { seed: 5, numRuns: 1000 },
    );
  });
});

describe('whole file', () => {
  it('the generator delivers everything and then tells the fault', () => {
    const writer = new PcapngWriter();
    writer.addInterface('a', 1);
    writer.addPacket(0, 1, 2, new Uint8Array([1, 2, 3]), 0, 3, 3);
    const bytes = writer.take();
    expect([...captureRecords(bytes)].map(plain)).toHaveLength(1);
    expect(readWhole(bytes.subarray(0, bytes.length - 1)).reader.fault?.code).toBe('truncated');
  });
});
