/**
 * A text of many megabytes put together from small pieces, as UTF-8. Kept as bytes it is no burden for the garbage
 * collector, which would otherwise copy every piece of it twice.
 */
const LEAST_SIZE = 1 << 16;
/** Pieces are collected up to about this many characters before they are encoded: each call of the encoder costs. */
const CHUNK = 1 << 13;
/** UTF-8 bytes that one UTF-16 unit may need. */
const MAX_UNIT_SIZE = 3;

export class TextBytes {
  readonly #encoder = new TextEncoder();
  #bytes: Uint8Array;
  #size = 0;
  #chunk = '';

  /** `expectedSize` in bytes; a good guess saves copies. */
  constructor(expectedSize = 0) {
    this.#bytes = new Uint8Array(Math.max(LEAST_SIZE, expectedSize));
  }

  add(text: string): void {
    this.#chunk += text;
    if (this.#chunk.length > CHUNK) this.#flush();
  }

  #flush(): void {
    const room = this.#chunk.length * MAX_UNIT_SIZE;
    if (this.#bytes.length - this.#size < room) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#size + room));
      larger.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = larger;
    }
    this.#size += this.#encoder.encodeInto(this.#chunk, this.#bytes.subarray(this.#size)).written;
    this.#chunk = '';
  }

  /** The bytes so far; valid until the next `add`. */
  view(): Uint8Array {
    if (this.#chunk !== '') this.#flush();
    return this.#bytes.subarray(0, this.#size);
  }
}

/** Bytes of several texts, one behind the other. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
