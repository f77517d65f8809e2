import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { PcapWriter } from '../../src/capture/pcap-writer.js';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { CaptureRecord } from '../../src/capture/record.js';
import { CaptureFile } from '../../src/cli/capture-file.js';

const folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
afterAll(() => rmSync(folder, { recursive: true }));

function capture(count: number): Uint8Array {
  const writer = new PcapWriter({ linkType: 1 });
  for (let i = 0; i < count; i++) writer.addPacket(1_700_000_000 + i, 0, new Uint8Array(i % 1500).fill((i * 7) & 0xff));
  return writer.take();
}

async function read(
  path: string,
  stdin?: AsyncIterable<Uint8Array>,
): Promise<{ count: number; sum: number; fault: string }> {
  const file = new CaptureFile(path, stdin);
  const record = new CaptureRecord();
  let count = 0;
  let sum = 0;
  do {
    while (file.reader.next(record)) {
      count++;
      for (let i = 0; i < record.capturedSize; i++) sum += record.bytes[record.off + i]!;
    }
  } while (await file.more());
  return { count, sum, fault: file.reader.fault?.code ?? '' };
}

describe('CaptureFile', () => {
  const bytes = capture(2000);
  const packed = gzipSync(bytes, { level: 1 });
  const whole = { count: 2000, sum: 0, fault: '' };
  for (let i = 0; i < 2000; i++) whole.sum += (i % 1500) * ((i * 7) & 0xff);
  const put = (name: string, content: Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  it('reads a file, plain or packed, in several pieces', async () => {
    expect(await read(put('a.pcap', bytes))).toEqual(whole);
    expect(await read(put('a.pcap.gz', packed))).toEqual(whole);
    // Two members in a row unpack as one file.
    const two = [gzipSync(bytes.subarray(0, 70_000)), gzipSync(bytes.subarray(70_000))];
    expect(await read(put('two.gz', Buffer.concat(two)))).toEqual(whole);
  });

  it('reads standard input in pieces of any size', async () => {
    const pieces = [bytes.slice(0, 1), bytes.slice(1, 3), bytes.slice(3, 50_000), bytes.slice(50_000)];
    expect(await read('-', Readable.from(pieces))).toEqual(whole);
    expect(await read('-', Readable.from([packed.subarray(0, 1), packed.subarray(1)]))).toEqual(whole);
    expect(await read('-', Readable.from([]))).toEqual({ count: 0, sum: 0, fault: 'truncated' });
  });

  it.each([
    ['no such file', join(folder, 'missing'), 0, 'unreadable'],
    ['a folder', folder, 0, 'unreadable'],
    ['cut', put('cut.pcap', bytes.subarray(0, bytes.length - 1)), 1999, 'truncated'],
    ['packed, then cut', put('cut.gz', gzipSync(bytes.subarray(0, bytes.length - 1))), 1999, 'truncated'],
    ['cut in its last byte after packing', put('end.gz', packed.subarray(0, packed.length - 1)), 2000, 'bad-gzip'],
    ['only the magic of gzip', put('magic.gz', packed.subarray(0, 2)), 0, 'bad-gzip'],
  ])('%s', async (_what, path, count, fault) => expect(await read(path)).toMatchObject({ count, fault }));

  it('delivers what a damaged gzip file holds before the damage', async () => {
    const half = await read(put('half.gz', packed.subarray(0, packed.length >> 1)));
    expect(half.fault).toBe('bad-gzip');
    expect(half.count).toBeGreaterThan(500);
  });

  const tshark = spawnSync('editcap', ['--version']).status === 0;
  it.runIf(tshark)('reads what Wireshark writes', async () => {
    const source = put('source.pcap', bytes);
    for (const format of ['pcapng', 'nsecpcap', 'pcap']) {
      const target = join(folder, `wireshark.${format}`);
      expect(spawnSync('editcap', ['-F', format, source, target]).status).toBe(0);
      expect(await read(target)).toEqual(whole);
    }
  });

  it.runIf(tshark)('writes what Wireshark reads, and reads what it makes of it', async () => {
    const writer = new PcapngWriter();
    const names = ['eth0', 'wan-ä'];
    for (const name of names) writer.addInterface(name, 1);
    for (let i = 0; i < 4; i++)
      writer.addPacket(i & 1, 1_700_000_000, i, new Uint8Array(60 + i), i, 60, 60, 1 + (i & 1));
    const ours = put('ours.pcapng', writer.take());
    const fields = ['frame.time_epoch', 'frame.interface_name', 'frame.packet_flags_direction', 'frame.len'];
    const shown = spawnSync('tshark', ['-r', ours, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])], {
      encoding: 'utf8',
    });
    expect(shown.stdout.trim().split('\n')).toEqual(
      [0, 1, 2, 3].map((i) => `1700000000.00000000${i}\t${names[i & 1]}\t0x0000000${1 + (i & 1)}\t60`),
    );
    // Two files merged by Wireshark: their interfaces stay apart.
    const merged = join(folder, 'merged.pcapng');
    expect(spawnSync('mergecap', ['-I', 'none', '-w', merged, ours, ours]).status).toBe(0);
    const file = new CaptureFile(merged);
    const record = new CaptureRecord();
    const seen: string[] = [];
    do {
      while (file.reader.next(record)) {
        seen.push(`${record.interfaceIndex} ${record.interfaceName} ${record.nanoseconds} ${record.direction}`);
      }
    } while (await file.more());
    expect(file.reader.fault).toBeUndefined();
    const expected = [0, 1, 2, 3].flatMap((i) =>
      [0, 2].map((base) => `${base + (i & 1)} ${names[i & 1]} ${i} ${1 + (i & 1)}`),
    );
    expect(seen.sort()).toEqual(expected.sort());
  });
});
