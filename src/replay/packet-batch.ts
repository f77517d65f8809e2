/**
 * Packets of a capture that came in, kept in memory and carried through hosts again and again: what a benchmark runs.
 * Each run begins with the bytes as they were captured, and so late that connections of the run before have expired.
 */
import { emptyFrame, type InFrame } from '../host/event.js';
import type { Host } from '../host/host.js';

/** Longer than any timeout of a connection (nf_conntrack_tcp_timeout_established: five days). */
const PAUSE_US = 10 * 24 * 3600 * 1e6;
/** Between frames: room for whoever reads a little too far. */
const GAP = 16;

/** Numbers of one frame, in this order. */
const [START, L3, CAPTURED_END, ORIGINAL_END, FAMILY, DEVICE, MAC, PKT_TYPE, OFFLOADED, WIDTH] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
];

export class PacketBatch {
  #original = new Uint8Array(1 << 16);
  #work = new Uint8Array(0);
  #size = 0;
  readonly #numbers: number[] = [];
  readonly #timesUs: number[] = [];
  readonly #frame: InFrame = emptyFrame();

  get count(): number {
    return this.#timesUs.length;
  }

  /** Copies the frame. `timeUs`: its capture time. */
  add(frame: InFrame, timeUs: number): void {
    const size = frame.capturedEnd - frame.start;
    this.#reserve(size + GAP);
    this.#original.set(frame.bytes.subarray(frame.start, frame.capturedEnd), this.#size);
    const by = this.#size - frame.start;
    this.#numbers.push(this.#size, frame.l3Off + by, frame.capturedEnd + by, frame.originalEnd + by, frame.family);
    this.#numbers.push(frame.device, frame.macOff < 0 ? -1 : frame.macOff + by, frame.pktType, frame.offloaded ? 1 : 0);
    this.#timesUs.push(timeUs);
    this.#size += size + GAP;
  }

  /** Carries the first `count` packets through the host, at the times of the capture, moved to after the run before. */
  run(host: Host, count: number): void {
    const frame = this.#restore();
    const n = this.#numbers;
    const { clock } = host;
    const fromUs = clock.nowUs === 0 ? this.#timesUs[0]! : clock.nowUs + PAUSE_US;
    const shiftUs = fromUs - this.#timesUs[0]!;
    for (let i = 0; i < count; i++) {
      const at = i * WIDTH;
      frame.start = n[at + START]!;
      frame.l3Off = n[at + L3]!;
      frame.capturedEnd = n[at + CAPTURED_END]!;
      frame.originalEnd = n[at + ORIGINAL_END]!;
      frame.family = n[at + FAMILY] === 6 ? 6 : 4;
      frame.device = n[at + DEVICE]!;
      frame.macOff = n[at + MAC]!;
      frame.pktType = n[at + PKT_TYPE]!;
      frame.offloaded = n[at + OFFLOADED] === 1;
      clock.advanceTo(this.#timesUs[i]! + shiftUs);
      host.runTimers();
      host.receive(frame);
    }
  }

  /**
   * The cheapest loop that could do anything with the packets: reads each five-tuple and looks one key up in a hash of
   * `keyCount` entries. Every second packet's key is put in, as far as there is room.
   */
  floor(keyCount: number): () => number {
    const { view } = this.#restore();
    const n = this.#numbers;
    const { count } = this;
    let slotCount = 8;
    while (slotCount < 3 * keyCount) slotCount *= 2;
    const keys = new Int32Array(slotCount * 2);
    const taken = new Uint8Array(slotCount);
    const slotOf = (a: number, b: number): number => {
      let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
      hash ^= hash >>> 15;
      let slot = hash & (slotCount - 1);
      while (taken[slot] === 1 && (keys[2 * slot] !== a || keys[2 * slot + 1] !== b)) slot = (slot + 1) % slotCount;
      return slot;
    };
    const enter = (a: number, b: number): void => {
      const slot = slotOf(a, b);
      keys[2 * slot] = a;
      keys[2 * slot + 1] = b;
      taken[slot] = 1;
    };
    for (let i = 0; i < keyCount; i++) enter(i, -1);
    let sink = 0;
    const look = (entering: boolean): number => {
      let found = 0;
      for (let i = 0; i < count; i++) {
        const at = i * WIDTH;
        const l3 = n[at + L3]!;
        const room = n[at + CAPTURED_END]! - l3;
        const v6 = n[at + FAMILY] === 6;
        // Last words of the addresses, and where ports stand without options.
        const address = v6 ? 36 : 16;
        if (room < address + 8) continue;
        const destination = view.getInt32(l3 + address);
        const ports = view.getUint32(l3 + address + 4);
        sink ^= view.getInt32(l3 + address - (v6 ? 16 : 4)) ^ ports;
        const key = (view.getUint8(l3 + (v6 ? 6 : 9)) << 16) | (ports & 0xffff);
        if (!entering) found += taken[slotOf(destination, key)]!;
        else if (i % 2 === 0 && i < keyCount) enter(destination, key);
      }
      return found;
    };
    look(true);
    // The sum of what was read is used, so that no compiler leaves the reading out.
    return () => look(false) + (sink & 1);
  }

  #reserve(size: number): void {
    if (this.#size + size <= this.#original.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#original.length, this.#size + size));
    larger.set(this.#original.subarray(0, this.#size));
    this.#original = larger;
  }

  #restore(): InFrame {
    if (this.#work.length !== this.#size) {
      this.#work = new Uint8Array(this.#size);
      this.#frame.bytes = this.#work;
      this.#frame.view = new DataView(this.#work.buffer);
    }
    this.#work.set(this.#original.subarray(0, this.#size));
    return this.#frame;
  }
}
