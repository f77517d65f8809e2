/** Bytes being written: one buffer that doubles when full and is handed out in pieces. */
export class GrowingBytes {
  bytes: Uint8Array;
  view: DataView;
  size = 0;

  constructor(room: number) {
    this.bytes = new Uint8Array(room);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `count` more bytes, all zero, and returns where they start. */
  extend(count: number): number {
    const at = this.size;
    const needed = at + count;
    if (needed > this.bytes.length) {
      let room = this.bytes.length;
      while (room < needed) room *= 2;
      const grown = new Uint8Array(room);
      grown.set(this.bytes.subarray(0, at));
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.bytes.fill(0, at, needed);
    this.size = needed;
    return at;
  }

  /** A copy of what was written since the last call. */
  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.size);
    this.size = 0;
    return taken;
  }
}
