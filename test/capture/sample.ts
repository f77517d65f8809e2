/** Captures built byte by byte for the tests, with plain records to compare against. */
import { CaptureReader } from '../../src/capture/reader.js';
import { CaptureRecord } from '../../src/capture/record.js';

export interface PlainRecord {
  seconds: number;
  nanoseconds: number;
  packet: string;
  originalSize: number;
  linkType: number;
  interfaceName: string;
  flags: number;
}

export function plain(record: CaptureRecord): PlainRecord {
  return {
    seconds: record.seconds,
    nanoseconds: record.nanoseconds,
    packet: Buffer.from(record.packet).toString('hex'),
    originalSize: record.originalSize,
    linkType: record.linkType,
    interfaceName: record.interfaceName,
    flags: record.flags,
  };
}

/** Reads `bytes` in chunks of the given sizes (repeated), each chunk in a buffer that is wiped after use. */
export function readInPieces(
  bytes: Uint8Array,
  sizes: readonly number[],
): { records: PlainRecord[]; reader: CaptureReader } {
  const reader = new CaptureReader('x.pcap');
  const record = new CaptureRecord();
  const records: PlainRecord[] = [];
  for (let at = 0, turn = 0; at < bytes.length && reader.fault === undefined; turn++) {
    const chunk = bytes.slice(at, at + sizes[turn % sizes.length]!);
    at += chunk.length;
    reader.feed(chunk);
    while (reader.next(record)) records.push(plain(record));
    chunk.fill(0xee);
  }
  reader.next(record);
  reader.end();
  return { records, reader };
}

export function readWhole(bytes: Uint8Array): { records: PlainRecord[]; reader: CaptureReader } {
  return readInPieces(bytes, [Math.max(1, bytes.length)]);
}

/** A pcapng block, its body padded to words. */
export function block(type: number, body: readonly number[], little: boolean): number[] {
  const data = [...body];
  while (data.length % 4 !== 0) data.push(0);
  const size = u32(data.length + 12, little);
  return [...u32(type, little), ...size, ...data, ...size];
}

export function option(code: number, value: readonly number[], little: boolean): number[] {
  const data = [...value];
  while (data.length % 4 !== 0) data.push(0);
  return [...u16(code, little), ...u16(value.length, little), ...data];
}

export function u16(value: number, little: boolean): number[] {
  const bytes = [(value >>> 8) & 0xff, value & 0xff];
  return little ? bytes.reverse() : bytes;
}

export function u32(value: number, little: boolean): number[] {
  const bytes = [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
  return little ? bytes.reverse() : bytes;
}

export function text(value: string): number[] {
  return [...new TextEncoder().encode(value)];
}

export function section(little: boolean): number[] {
  return block(0x0a0d0d0a, [...u32(0x1a2b3c4d, little), ...u16(1, little), 0, 0, ...Array(8).fill(0xff)], little);
}
