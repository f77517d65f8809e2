/** Captures from files and standard input, in pieces, gzip undone. The only place where capture reading meets Node. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { CaptureReader } from '../capture/reader.js';

/** A piece stays in the processor's cache between being copied in and being parsed. */
const CHUNK_SIZE = 1 << 17;
const STDIN = '-';

/**
 * A capture being read:
 *
 *   const file = new CaptureFile(path), record = new CaptureRecord();
 *   do drain(file.reader); while (await file.more()); // drain: while (reader.next(record)) use(record);
 *   file.reader.fault // what was wrong, if anything
 *
 * The inner loop belongs into a function of its own: the engine does not optimize a loop that an `await` interrupts.
 */
export class CaptureFile {
  readonly reader: CaptureReader;
  /** Bytes read from the file so far (packed ones, if it is packed), and its size where that is known. */
  bytesRead = 0;
  size: number | undefined;
  readonly #chunks: AsyncGenerator<Uint8Array, void, undefined>;

  /** `path` of the file, or `-` for standard input. Opens it at the first `more`. */
  constructor(path: string, stdin: AsyncIterable<Uint8Array> = process.stdin) {
    this.reader = new CaptureReader(path);
    this.#chunks = unpacked(counted(path === STDIN ? stdin : fileChunks(path, this), this));
  }

  /** Feeds the reader its next piece; false when there is none, or the reader has stopped. */
  async more(): Promise<boolean> {
    if (this.reader.finished) {
      await this.close();
      return false;
    }
    try {
      const chunk = await this.#chunks.next();
      if (chunk.done !== true) {
        this.reader.feed(chunk.value);
        return true;
      }
      this.reader.end();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (isZlibError(error)) this.reader.stop('bad-gzip', `gzip: ${message}`);
      else this.reader.stop('unreadable', message);
    }
    return false;
  }

  /** Gives the file back before its end. */
  async close(): Promise<void> {
    await this.#chunks.return();
  }
}

/**
 * Reads are synchronous: handing each piece to a thread and back costs more than the copy out of the page cache, and
 * nothing else waits in this process. A pipe given by name blocks here as it would in any reader.
 */
async function* fileChunks(path: string, file: CaptureFile): AsyncGenerator<Uint8Array, void, undefined> {
  const descriptor = openSync(path, 'r');
  try {
    const stat = fstatSync(descriptor);
    if (stat.isFile()) file.size = stat.size;
    // One buffer does: whoever takes a chunk is done with it when it asks for the next.
    const buffer = new Uint8Array(CHUNK_SIZE);
    for (;;) {
      const bytesRead = readSync(descriptor, buffer, 0, CHUNK_SIZE, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    closeSync(descriptor);
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  file: CaptureFile,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    file.bytesRead += chunk.length;
    if (chunk.length > 0) yield chunk;
  }
}

/** Undoes gzip where the first two bytes say so. */
async function* unpacked(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let first: Uint8Array | undefined;
  try {
    const one = await chunks.next();
    if (one.done === true) return;
    first = one.value;
    while (first.length < 2) {
      const two = await chunks.next();
      if (two.done === true) break;
      first = Buffer.concat([first, two.value]);
    }
    if (first[0] === 0x1f && first[1] === 0x8b) {
      yield* gunzip(first, chunks);
      return;
    }
    yield first;
    yield* chunks;
  } finally {
    await chunks.return();
  }
}

/**
 * Every piece is waited for before the next is given, and the end is told apart from the last piece: so all that a truncated
 * file still yields is delivered before its error. Of a damaged stream, what zlib had ready of the last piece is lost.
 */
async function* gunzip(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = createGunzip({ chunkSize: CHUNK_SIZE });
  const write = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      stream.write(bytes, (error) => (error == null ? resolve() : reject(error)));
    });
  const pump = async (): Promise<void> => {
    try {
      await write(first);
      for await (const chunk of rest) await write(chunk);
      stream.end();
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const pumped = pump();
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
    await pumped;
  } finally {
    stream.destroy();
  }
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('Z_');
}
