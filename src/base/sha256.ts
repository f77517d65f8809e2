/**
 * SHA-256 (FIPS 180-4) of short texts, without the platform's crypto so that it runs everywhere and at once. One object
 * holds the scratch memory; make one and hash many texts with it.
 */
const K = Int32Array.of(
  0x428a2f98,
  0x71374491,
  0xb5c0fbcf,
  0xe9b5dba5,
  0x3956c25b,
  0x59f111f1,
  0x923f82a4,
  0xab1c5ed5,
  0xd807aa98,
  0x12835b01,
  0x243185be,
  0x550c7dc3,
  0x72be5d74,
  0x80deb1fe,
  0x9bdc06a7,
  0xc19bf174,
  0xe49b69c1,
  0xefbe4786,
  0x0fc19dc6,
  0x240ca1cc,
  0x2de92c6f,
  0x4a7484aa,
  0x5cb0a9dc,
  0x76f988da,
  0x983e5152,
  0xa831c66d,
  0xb00327c8,
  0xbf597fc7,
  0xc6e00bf3,
  0xd5a79147,
  0x06ca6351,
  0x14292967,
  0x27b70a85,
  0x2e1b2138,
  0x4d2c6dfc,
  0x53380d13,
  0x650a7354,
  0x766a0abb,
  0x81c2c92e,
  0x92722c85,
  0xa2bfe8a1,
  0xa81a664b,
  0xc24b8b70,
  0xc76c51a3,
  0xd192e819,
  0xd6990624,
  0xf40e3585,
  0x106aa070,
  0x19a4c116,
  0x1e376c08,
  0x2748774c,
  0x34b0bcb5,
  0x391c0cb3,
  0x4ed8aa4a,
  0x5b9cca4f,
  0x682e6ff3,
  0x748f82ee,
  0x78a5636f,
  0x84c87814,
  0x8cc70208,
  0x90befffa,
  0xa4506ceb,
  0xbef9a3f7,
  0xc67178f2,
);

const BLOCK_SIZE = 64;
/** Bytes that the end mark and the bit length need at the end of the last block. */
const TRAILER_SIZE = 9;

export class Sha256 {
  /** The digest as eight words, first word first; valid until the next call of `hash`. Signed. */
  readonly words = new Int32Array(8);
  readonly #w = new Int32Array(64);
  #bytes = new Uint8Array(4 * BLOCK_SIZE);

  /** Hashes the UTF-8 bytes of `text` and leaves the digest in `words`. Allocates nothing for short ASCII texts. */
  hash(text: string): void {
    const size = this.#fill(text);
    const h = this.words;
    h[0] = 0x6a09e667;
    h[1] = 0xbb67ae85;
    h[2] = 0x3c6ef372;
    h[3] = 0xa54ff53a;
    h[4] = 0x510e527f;
    h[5] = 0x9b05688c;
    h[6] = 0x1f83d9ab;
    h[7] = 0x5be0cd19;
    for (let at = 0; at < size; at += BLOCK_SIZE) this.#block(at);
  }

  /** Writes text, end mark and bit length into the buffer; returns the padded size, a whole number of blocks. */
  #fill(text: string): number {
    let length = text.length;
    this.#reserve(length);
    let bytes = this.#bytes;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) {
        const encoded = new TextEncoder().encode(text);
        length = encoded.length;
        this.#reserve(length);
        bytes = this.#bytes;
        bytes.set(encoded);
        break;
      }
      bytes[i] = code;
    }
    const size = Math.ceil((length + TRAILER_SIZE) / BLOCK_SIZE) * BLOCK_SIZE;
    bytes[length] = 0x80;
    for (let i = length + 1; i < size; i++) bytes[i] = 0; // for so few, quicker than fill()
    const bits = length * 8;
    for (let i = 0; i < 4; i++) bytes[size - 1 - i] = bits >>> (8 * i);
    return size;
  }

  #reserve(length: number): void {
    if (length + TRAILER_SIZE + BLOCK_SIZE > this.#bytes.length)
      this.#bytes = new Uint8Array(2 * length + 4 * BLOCK_SIZE);
  }

  #block(at: number): void {
    const w = this.#w;
    const bytes = this.#bytes;
    for (let i = 0, p = at; i < 16; i++, p += 4) {
      w[i] = (bytes[p]! << 24) | (bytes[p + 1]! << 16) | (bytes[p + 2]! << 8) | bytes[p + 3]!;
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15]!;
      const y = w[i - 2]!;
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
    }
    const state = this.words;
    let a = state[0]!;
    let b = state[1]!;
    let c = state[2]!;
    let d = state[3]!;
    let e = state[4]!;
    let f = state[5]!;
    let g = state[6]!;
    let h = state[7]!;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    state[0] = (state[0]! + a) | 0;
    state[1] = (state[1]! + b) | 0;
    state[2] = (state[2]! + c) | 0;
    state[3] = (state[3]! + d) | 0;
    state[4] = (state[4]! + e) | 0;
    state[5] = (state[5]! + f) | 0;
    state[6] = (state[6]! + g) | 0;
    state[7] = (state[7]! + h) | 0;
  }
}
