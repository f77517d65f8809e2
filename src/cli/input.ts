/** Texts from files, folders and standard input (`-`). */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Source } from '../base/source.js';
import { describeSystemError, Failure } from './failure.js';

/** Largest rule file or bundle text that is read: far above any real one, and below a JavaScript string's limit. */
const MAX_TEXT_SIZE = 400 * 1024 * 1024;

/** The whole text of a file, or of standard input for `-`; gzip is undone. A file that cannot be read is a Failure. */
export function readSource(path: string): Source {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path === '-' ? 0 : path);
  } catch (error) {
    throw new Failure(describeSystemError(path, error));
  }
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: MAX_TEXT_SIZE });
    } catch (error) {
      throw new Failure(describeSystemError(`${path}: gzip`, error));
    }
  }
  if (bytes.length > MAX_TEXT_SIZE) throw new Failure(`${path}: larger than ${MAX_TEXT_SIZE} bytes`);
  return { name: path === '-' ? '<stdin>' : path, text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) };
}

export function isFolder(path: string): boolean {
  return path !== '-' && existsSync(path) && statSync(path).isDirectory();
}

/** The named files of a folder that exist, by name. */
export function readFolder(folder: string, names: readonly string[]): Map<string, Source> {
  const found = new Map<string, Source>();
  for (const name of names) {
    const path = join(folder, name);
    if (existsSync(path)) found.set(name, readSource(path));
  }
  return found;
}
