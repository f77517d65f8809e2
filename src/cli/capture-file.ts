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
  readonly #path: string;
  readonly #stdin: AsyncIterable<Uint8Array>;
  #started = false;
  /** A plain file, read piece by piece; undefined before it is opened, after its end, and for all else. */
  #plain: PlainFile | undefined;
  /** Standard input, or whatever has to be unpacked. */
  #chunks: AsyncGenerator<Uint8Array, void, undefined> | undefined;

  /** `path` of the file, or `-` for standard input. Opens it at the first `more`. */
  constructor(path: string, stdin: AsyncIterable<Uint8Array> = process.stdin) {
    this.reader = new CaptureReader(path);
    this.#path = path;
    this.#stdin = stdin;
  }

  /** Feeds the reader its next piece; false when there is none, or the reader has stopped. */
  async more(): Promise<boolean> {
    if (this.reader.finished) {
      await this.close();
      return false;
    }
    try {
      const chunk = this.#started ? await this.#next() : await this.#start();
      if (chunk !== undefined) {
        this.reader.feed(chunk);
        return true;
      }
      this.reader.end();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (isZlibError(error)) this.reader.stop('bad-gzip', `gzip: ${message}`);
      else this.reader.stop('unreadable', message);
    }
    await this.close();
    return false;
  }

  /** Gives the file back before its end. */
  async close(): Promise<void> {
    this.#plain?.close();
    this.#plain = undefined;
    await this.#chunks?.return();
  }

  #next(): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    if (this.#plain === undefined) return this.#chunks?.next().then((chunk) => chunk.value ?? undefined);
    const chunk = this.#plain.read();
    this.bytesRead += chunk?.length ?? 0;
    return chunk;
  }

  #start(): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    this.#started = true;
    if (this.#path === STDIN) {
      this.#chunks = unpacked(counted(this.#stdin, this));
    } else {
      const file = new PlainFile(this.#path);
      this.size = file.size;
      if (file.packed) this.#chunks = unpacked(counted(file.chunks(), this));
      else this.#plain = file;
    }
    return this.#next();
  }
}

/**
 * A file read synchronously: handing each piece to a thread and back costs more than the copy out of the page cache, and
 * nothing else waits in this process. A pipe given by name blocks here as it would in any reader.
 */
class PlainFile {
  readonly size: number | undefined;
  /** Whether it starts as gzip does. A file that cannot be read at a place (a pipe) is taken for packed: it may be. */
  readonly packed: boolean;
  readonly #descriptor: number;
  // One buffer does: whoever takes a chunk is done with it when it asks for the next.
  readonly #buffer = new Uint8Array(CHUNK_SIZE);
  #open = true;

  constructor(path: string) {
    this.#descriptor = openSync(path, 'r');
    const stat = fstatSync(this.#descriptor);
    if (stat.isFile()) {
      this.size = stat.size;
      const read = readSync(this.#descriptor, this.#buffer, 0, 2, 0);
      this.packed = read === 2 && this.#buffer[0] === 0x1f && this.#buffer[1] === 0x8b;
    } else {
      this.packed = true;
    }
  }

  /** The next piece, or undefined at the end. It is valid until the next call. */
  read(): Uint8Array | undefined {
    const count = readSync(this.#descriptor, this.#buffer, 0, CHUNK_SIZE, null);
    return count === 0 ? undefined : this.#buffer.subarray(0, count);
  }

  *chunks(): Generator<Uint8Array, void, undefined> {
    try {
      for (let chunk = this.read(); chunk !== undefined; chunk = this.read()) yield chunk;
    } finally {
      this.close();
    }
  }

  close(): void {
    if (this.#open) closeSync(this.#descriptor);
    this.#open = false;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
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
