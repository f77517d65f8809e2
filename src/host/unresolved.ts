/**
 * Packets that wait for the hardware address of their next hop: until somebody tells it, or the host gives up.
 * Kernel: __neigh_event_send(), neigh_timer_handler(), neigh_update() (net/core/neighbour.c). Rare: this file allocates.
 * Differs: the host's own solicitations are not sent (ARP is no packet of netfilter's, and neighbour solicitations in a
 * capture are replayed as the host's own); the kernel's timers add up to a tenth of a second; how much memory a packet
 * takes is the driver's choice, here it is that of a socket and of veth.
 */
import type { Clock } from '../base/clock.js';
import type { Device } from './device.js';
import type { HostPacket } from './host-packet.js';

/** What waiting packets need of the pipeline. */
export interface UnresolvedPort {
  /** Tells connections apart that had the same place in the table. */
  serialOf(packet: HostPacket): number;
  held(packet: HostPacket): void;
  /** No room is left for a packet. */
  overflow(packet: HostPacket): void;
  /** The address is known: the packet goes on. */
  send(packet: HostPacket): void;
  /** Nobody has told the address in time. */
  giveUp(packet: HostPacket): void;
}

interface Queue {
  readonly deadlineUs: number;
  readonly packets: HostPacket[];
  readonly serials: number[];
  /** Bytes as the kernel counts them. */
  size: number;
}

/** Next hops waited for at once (net.ipv4.neigh.default.gc_thresh3). */
const MOST_QUEUES = 1024;
/** Packets that wait at once; the kernel has no such limit but its memory. */
const MOST_PACKETS = 16_384;

/** A socket buffer's own size, room before and behind the packet, and the smallest buffer. */
const SKB_SIZE = 256;
const HEAD_ROOM = 32;
const SHARED_INFO_SIZE = 320;
const SMALL_HEAD_SIZE = 576;

/** skb->truesize of a packet of `length` bytes. */
function memoryOf(length: number): number {
  const head = length + HEAD_ROOM + SHARED_INFO_SIZE;
  return SKB_SIZE + (head <= SMALL_HEAD_SIZE ? SMALL_HEAD_SIZE : 2 ** Math.ceil(Math.log2(head)));
}

export class Unresolved {
  readonly #port: UnresolvedPort;
  readonly #clock: Clock;
  readonly #queues = new Map<string, Queue>();
  #count = 0;

  constructor(port: UnresolvedPort, clock: Clock) {
    this.#port = port;
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#queues.size === 0;
  }

  /** When the host gives up next, µs since the epoch; undefined: nothing waits. */
  get deadlineUs(): number | undefined {
    let first: number | undefined;
    for (const { deadlineUs } of this.#queues.values()) {
      if (first === undefined || deadlineUs < first) first = deadlineUs;
    }
    return first;
  }

  /** Takes a routed packet; its next hop is words[at..at+4) on the device. The first packet is what asks for the address. */
  hold(p: HostPacket, device: Device, family: 4 | 6, words: ArrayLike<number>, at: number): void {
    const { probeCount, probeIntervalMs, queueSize } = device.settings.resolution[family];
    const key = keyOf(device.index, family, words, at);
    let queue = this.#queues.get(key);
    const isFull = this.#count >= MOST_PACKETS || (queue === undefined && this.#queues.size >= MOST_QUEUES);
    if (isFull || probeCount <= 0) {
      this.#port.overflow(p);
      return;
    }
    if (queue === undefined) {
      const deadlineUs = this.#clock.nowUs + probeCount * Math.max(probeIntervalMs, 10) * 1000;
      queue = { deadlineUs, packets: [], serials: [], size: 0 };
      this.#queues.set(key, queue);
    }
    const memory = memoryOf(p.length);
    // The oldest makes room for the newest.
    while (queue.size + memory > queueSize && queue.packets.length > 0) {
      const oldest = this.#shift(queue)!;
      queue.size -= memoryOf(oldest.length);
      this.#port.overflow(oldest);
    }
    p.moveToOwn();
    p.waited = true;
    queue.packets.push(p);
    queue.serials.push(this.#port.serialOf(p));
    queue.size += memory;
    this.#count++;
    this.#port.held(p);
  }

  /** The address of a next hop has become known: what waited for it goes, in order. */
  release(device: number, family: 4 | 6, words: ArrayLike<number>, at: number): void {
    const key = keyOf(device, family, words, at);
    const queue = this.#queues.get(key);
    if (queue === undefined) return;
    this.#queues.delete(key);
    for (let p = this.#shift(queue); p !== undefined; p = this.#shift(queue)) this.#port.send(p);
  }

  /** Gives up what nobody has answered for by now. The next packet to such a neighbour asks anew. */
  runTimers(): void {
    const now = this.#clock.nowUs;
    const expired: Queue[] = [];
    for (const [key, queue] of this.#queues) {
      if (queue.deadlineUs > now) continue;
      expired.push(queue);
      this.#queues.delete(key);
    }
    expired.sort((a, b) => a.deadlineUs - b.deadlineUs);
    for (const queue of expired) {
      for (let p = this.#shift(queue); p !== undefined; p = this.#shift(queue)) this.#port.giveUp(p);
    }
  }

  #shift(queue: Queue): HostPacket | undefined {
    const p = queue.packets.shift();
    if (p === undefined) return undefined;
    this.#count--;
    // The connection may have ended meanwhile, and another taken its place.
    if (queue.serials.shift() !== this.#port.serialOf(p)) p.ct = -1;
    return p;
  }
}

function keyOf(device: number, family: 4 | 6, words: ArrayLike<number>, at: number): string {
  if (family === 4) return `${device} ${words[at]}`;
  return `${device} ${words[at]} ${words[at + 1]} ${words[at + 2]} ${words[at + 3]}`;
}
