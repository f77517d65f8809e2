/**
 * Gathers fragments into datagrams. Kernel: ip_frag_queue(), ip_frag_reasm() (net/ipv4/ip_fragment.c);
 * nf_ct_frag6_queue(), nf_ct_frag6_reasm() (net/ipv6/netfilter/nf_conntrack_reasm.c); inet_frag_queue_insert().
 * Fragments are rare: this file allocates.
 */
import type { Clock } from '../base/clock.js';
import { checksumOf, sumBytes } from '../net/checksum.js';
import { IPPROTO_ICMPV6, IPPROTO_NONE, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { L4_BROKEN } from '../wire/packet.js';
import type { DropReason } from './drop-reason.js';
import { ETHERNET_SIZE, HEADROOM, type HostPacket } from './host-packet.js';
import { namingByte } from './ip6-option.js';

/** Who gathers: the same datagram may be gathered by several, apart from each other (enum ip_defrag_users). */
export type Gatherer = 'local-deliver' | 'conntrack-in' | 'conntrack-out' | 'own';

interface Piece {
  readonly offset: number;
  readonly end: number;
  /** The bytes of the fragment's own part. */
  readonly data: Uint8Array;
}

interface Run {
  readonly offset: number;
  end: number;
}

export interface FragmentQueue {
  readonly key: string;
  readonly family: 4 | 6;
  readonly gatherer: Gatherer;
  readonly deadlineUs: number;
  pieces: Piece[];
  /** Contiguous stretches that came in order, sorted by offset. */
  runs: Run[];
  /** Piece with the highest end. */
  tail: Piece | undefined;
  length: number;
  lastSeen: boolean;
  meat: number;
  ecn: number;
  maxSize: number;
  maxDfSize: number;
  memory: number;
  device: number;
  /**
   * Of the piece with offset 0: its IP header (IPv6: up to the fragment header), fragment header, link header, class, and what
   * rules had set on it. Kernel: inet_frag_reasm_prepare() makes of the last piece a clone of the first.
   */
  header: Uint8Array | undefined;
  fragmentHeader: Uint8Array | undefined;
  linkHeader: Uint8Array | undefined;
  pktType: number;
  mark: number;
  traced: boolean;
  /** IPv6: place of the next-header byte that names the fragment header, and what the fragment header names. */
  nextHeaderAt: number;
  nextHeader: number;
  peerCount: number;
}

/** Memory that the kernel charges for a fragment beside its bytes (skb and its data block). */
const PIECE_OVERHEAD = 768;
/** Fragments of other datagrams of one sender after which a queue is begun anew (net.ipv4.ipfrag_max_dist). */
const MAX_DISTANCE = 64;

/** Where the IPv6 header holds the payload's length. */
const PAYLOAD_LENGTH_OFF = 4;

const ICMPV6_HDR_INCOMP = 3;

const ECN_NOT_ECT = 1;
const ECN_CE = 8;

export class Reassembly {
  readonly #clock: Clock;
  readonly #memoryLimit: number;
  readonly #time4Us: number;
  readonly #time6Us: number;
  readonly #queues = new Map<string, FragmentQueue>();
  readonly #senders = new Map<number, number>();
  #memory = 0;
  /** Why `gather` returned false for a packet that it did not queue. */
  refused: DropReason | undefined;
  /**
   * The refused IPv6 fragment is wrong in itself, at this offset of the packet: conntrack lets it pass as it is, the
   * destination answers with a parameter problem. -1: no such thing.
   */
  wrongAt = -1;
  /** Code of that parameter problem. */
  wrongCode = 0;

  constructor(clock: Clock, memoryLimit: number, time4Ms: number, time6Ms: number) {
    this.#clock = clock;
    this.#memoryLimit = memoryLimit;
    this.#time4Us = time4Ms * 1000;
    this.#time6Us = time6Ms * 1000;
  }

  /** Called for each fragment that is taken. */
  watch: (() => void) | undefined;

  get isEmpty(): boolean {
    return this.#queues.size === 0;
  }

  /**
   * Takes a fragment. True: the datagram is whole and `packet` is now it, in its own buffer. False: the packet is
   * queued (its bytes are copied) if `refused` is undefined, else of no use.
   */
  gather(packet: HostPacket, gatherer: Gatherer): boolean {
    this.watch?.();
    this.refused = undefined;
    this.wrongAt = -1;
    this.wrongCode = 0;
    if (packet.isCut) return this.#refuse('fragment cut by the capture');
    if (packet.family === 6 && packet.fragmentHeaderOff + 8 > packet.end) return this.#refuse('bad fragment');
    if (packet.family === 6 && isHeaderCut(packet)) {
      this.wrongAt = 0;
      this.wrongCode = ICMPV6_HDR_INCOMP;
      return this.#refuse('bad fragment');
    }
    if (this.#memory > this.#memoryLimit) return this.#refuse('fragment memory full');
    const queue = this.#queueOf(packet, gatherer);
    const verdict = packet.family === 4 ? this.#insert4(queue, packet) : this.#insert6(queue, packet);
    if (verdict !== undefined) return this.#refuse(verdict);
    const whole = queue.lastSeen && queue.header !== undefined && queue.meat === queue.length;
    if (!whole) return false;
    this.#remove(queue);
    return this.#assemble(queue, packet);
  }

  /** Queues whose time is over, oldest first; they are gone from here. */
  *expired(): Generator<FragmentQueue> {
    for (const queue of this.#queues.values()) {
      if (queue.deadlineUs > this.#clock.nowUs) {
        // Queues of both families share the map: only within a family are they in order of their deadlines.
        if (this.#time4Us === this.#time6Us) return;
        continue;
      }
      this.#remove(queue);
      yield queue;
    }
  }

  #refuse(reason: DropReason): false {
    this.refused = reason;
    return false;
  }

  #queueOf(packet: HostPacket, gatherer: Gatherer): FragmentQueue {
    const { f, view } = packet;
    const id = packet.family === 4 ? view.getUint16(packet.l3Off + 4) : view.getUint32(packet.fragmentHeaderOff + 4);
    const protocol = packet.family === 4 ? f[Field.Protocol]! : 0;
    const zone = packet.hasTemplate ? packet.templateZoneOriginal : 0;
    const linkLocal = packet.family === 6 && (f[Field.Dst0]! >>> 22 === 0x3fa || f[Field.Dst0]! >>> 24 === 0xff);
    const device = linkLocal ? packet.receivedOn : 0;
    const addresses = f.subarray(Field.Src0, Field.Dst0 + 4).join();
    const key = `${packet.family} ${gatherer} ${zone} ${device} ${protocol} ${id} ${addresses}`;
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      const lifeUs = packet.family === 4 ? this.#time4Us : this.#time6Us;
      queue = {
        ...emptyQueue(),
        key,
        family: packet.family,
        gatherer,
        deadlineUs: this.#clock.nowUs + lifeUs,
        peerCount: 0,
      };
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #insert4(queue: FragmentQueue, packet: HostPacket): DropReason | undefined {
    if (this.#isTooFar(queue, packet)) {
      this.#memory -= queue.memory;
      Object.assign(queue, emptyQueue());
    }
    const { f, l3Off, l3Size } = packet;
    const offset = f[Field.FragOff]!;
    let end = offset + packet.wireEnd - l3Off - l3Size;
    if (packet.moreFragments) end -= end & 7;
    const fault = this.#place(queue, packet, offset, end, l3Off + l3Size);
    if (fault !== undefined) return fault;
    const size = end - offset + l3Size;
    if (size > queue.maxSize) queue.maxSize = size;
    if ((packet.view.getUint8(l3Off + 6) & 0x40) !== 0 && size > queue.maxDfSize) queue.maxDfSize = size;
    if (offset === 0) this.#keepHeader(queue, packet, l3Off + l3Size);
    return undefined;
  }

  #insert6(queue: FragmentQueue, packet: HostPacket): DropReason | undefined {
    const { f, view, l3Off, fragmentHeaderOff: at } = packet;
    const offset = f[Field.FragOff]!;
    const end = offset + packet.wireEnd - (at + 8);
    if (end > 65535) {
      if (queue.gatherer === 'local-deliver') this.wrongAt = at + 2 - l3Off;
      return 'bad fragment';
    }
    if (packet.moreFragments && (end & 7) !== 0) {
      this.#remove(queue);
      this.wrongAt = PAYLOAD_LENGTH_OFF;
      return 'bad fragment';
    }
    const fault = this.#place(queue, packet, offset, end, at + 8);
    if (fault !== undefined) return fault;
    const size = packet.wireEnd - l3Off;
    if (size > queue.maxSize) queue.maxSize = size;
    if (offset === 0) {
      this.#keepHeader(queue, packet, at);
      queue.nextHeaderAt = namingByte(packet, at) - l3Off;
      queue.nextHeader = view.getUint8(at);
      queue.fragmentHeader = packet.bytes.slice(at, at + 8);
    }
    return undefined;
  }

  /** Kernel: the common middle of ip_frag_queue() and nf_ct_frag6_queue(), and inet_frag_queue_insert(). */
  #place(
    queue: FragmentQueue,
    packet: HostPacket,
    offset: number,
    end: number,
    dataOff: number,
  ): DropReason | undefined {
    if (!packet.moreFragments) {
      if (end < queue.length || (queue.lastSeen && end !== queue.length)) return this.#discard(queue, 'bad fragment');
      queue.lastSeen = true;
      queue.length = end;
    } else if (end > queue.length) {
      if (queue.lastSeen) return this.#discard(queue, 'bad fragment');
      queue.length = end;
    }
    if (end === offset) return this.#discard(queue, 'bad fragment');

    const { tail, runs } = queue;
    if (tail === undefined || tail.end < end) {
      if (tail !== undefined && offset < tail.end) return this.#discard(queue, 'fragments overlap');
      if (tail !== undefined && offset === tail.end) runs[runs.length - 1]!.end = end;
      else runs.push({ offset, end });
    } else {
      let at = 0;
      while (at < runs.length && runs[at]!.end <= offset) at++;
      const run = runs[at];
      if (run !== undefined && end > run.offset) {
        // Wholly within what came in order: a repetition, which is ignored whatever its bytes say.
        if (offset >= run.offset && end <= run.end) return 'repeated fragment';
        return this.#discard(queue, 'fragments overlap');
      }
      runs.splice(at, 0, { offset, end });
    }
    const piece: Piece = { offset, end, data: packet.bytes.slice(dataOff, dataOff + end - offset) };
    if (tail === undefined || tail.end < end) queue.tail = piece;
    queue.pieces.push(piece);
    queue.meat += end - offset;
    queue.ecn |= 1 << (packet.f[Field.Tos]! & 3);
    queue.device = packet.receivedOn;
    const cost = piece.data.length + PIECE_OVERHEAD;
    queue.memory += cost;
    this.#memory += cost;
    return undefined;
  }

  #isTooFar(queue: FragmentQueue, packet: HostPacket): boolean {
    const source = packet.f[Field.Src0]!;
    const count = (this.#senders.get(source) ?? 0) + 1;
    if (this.#senders.size > 65536) this.#senders.clear();
    this.#senders.set(source, count);
    const before = queue.peerCount;
    queue.peerCount = count;
    return queue.tail !== undefined && count - before > MAX_DISTANCE;
  }

  #keepHeader(queue: FragmentQueue, packet: HostPacket, end: number): void {
    queue.header = packet.bytes.slice(packet.l3Off, end);
    queue.linkHeader = packet.macOff < 0 ? undefined : packet.bytes.slice(packet.macOff, packet.macOff + ETHERNET_SIZE);
    queue.pktType = packet.f[Field.PktType]!;
    queue.mark = packet.f[Field.Mark]!;
    queue.traced = packet.traced;
  }

  #discard(queue: FragmentQueue, reason: DropReason): DropReason {
    this.#remove(queue);
    return reason;
  }

  #remove(queue: FragmentQueue): void {
    if (this.#queues.delete(queue.key)) this.#memory -= queue.memory;
  }

  /** Turns `packet` into the datagram. */
  #assemble(queue: FragmentQueue, packet: HostPacket): boolean {
    const header = queue.header!;
    if ((queue.ecn & ECN_NOT_ECT) !== 0 && queue.ecn !== ECN_NOT_ECT) return this.#refuse('bad fragment');
    const ecn = (queue.ecn & ECN_CE) !== 0 && queue.ecn !== ECN_CE ? 3 : 0;
    const size = header.length + queue.length;
    if (size - (queue.family === 6 ? 40 : 0) > 65535) return this.#refuse('bad fragment');
    const { receivedOn } = packet;
    packet.attachOwn(size);
    const { bytes, view } = packet;
    bytes.set(header, HEADROOM);
    queue.pieces.sort((a, b) => a.offset - b.offset);
    packet.reassembly = -1;
    for (const [i, piece] of queue.pieces.entries()) {
      bytes.set(piece.data, HEADROOM + header.length + piece.offset);
      packet.addPiece(i, piece.end - piece.offset);
    }
    packet.macOff = -1;
    if (queue.linkHeader !== undefined) {
      packet.macOff = HEADROOM - ETHERNET_SIZE;
      bytes.set(queue.linkHeader, packet.macOff);
    }
    if (queue.family === 4) {
      view.setUint8(HEADROOM + 1, view.getUint8(HEADROOM + 1) | ecn);
      view.setUint16(HEADROOM + 2, size);
      view.setUint16(HEADROOM + 6, queue.maxDfSize === queue.maxSize ? 0x4000 : 0);
      view.setUint16(HEADROOM + 10, 0);
      view.setUint16(HEADROOM + 10, checksumOf(sumBytes(bytes, HEADROOM, HEADROOM + header.length)));
    } else {
      view.setUint32(HEADROOM, (view.getUint32(HEADROOM) | (ecn << 20)) >>> 0);
      view.setUint16(HEADROOM + 4, size - 40);
      view.setUint8(HEADROOM + queue.nextHeaderAt, queue.nextHeader);
    }
    packet.maxPiece = queue.maxSize;
    // What a process of this host sent was cut by this host: the same identification fits again.
    if (queue.gatherer === 'own' && queue.fragmentHeader !== undefined) {
      const { fragmentHeader: id } = queue;
      packet.fragmentId = ((id[4]! << 24) | (id[5]! << 16) | (id[6]! << 8) | id[7]!) >>> 0;
    }
    packet.piecesHadDf = queue.family === 4 && queue.maxDfSize === queue.maxSize;
    packet.receivedOn = receivedOn;
    packet.f[Field.PktType] = queue.pktType;
    packet.f[Field.Mark] = queue.mark;
    packet.traced = queue.traced;
    if (!packet.parse(queue.family, HEADROOM, HEADROOM + size, HEADROOM + size)) return this.#refuse('bad fragment');
    return true;
  }
}

/** The first piece does not hold the whole transport header. Kernel: ipv6frag_thdr_truncated(). */
function isHeaderCut(packet: HostPacket): boolean {
  const { protocol } = packet;
  if (packet.f[Field.FragOff]! !== 0 || packet.l4State === L4_BROKEN || protocol === IPPROTO_NONE) return false;
  const size = protocol === IPPROTO_TCP ? 20 : protocol === IPPROTO_UDP || protocol === IPPROTO_ICMPV6 ? 8 : 1;
  return packet.l4Off + size > packet.wireEnd;
}

/** Puts the first piece of a queue back into a packet, as it came; false if it has not come. */
export function restoreFirstPiece(queue: FragmentQueue, packet: HostPacket): boolean {
  const first = queue.pieces.find((piece) => piece.offset === 0);
  if (queue.header === undefined || first === undefined) return false;
  const parts = [queue.header, queue.fragmentHeader ?? new Uint8Array(0), first.data];
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  packet.attachOwn(size);
  let at = HEADROOM;
  for (const part of parts) {
    packet.bytes.set(part, at);
    at += part.length;
  }
  packet.receivedOn = queue.device;
  packet.f[Field.PktType] = queue.pktType;
  return packet.parse(queue.family, HEADROOM, at, at);
}

function emptyQueue() {
  return {
    pieces: [] as Piece[],
    runs: [] as Run[],
    tail: undefined as Piece | undefined,
    length: 0,
    lastSeen: false,
    meat: 0,
    ecn: 0,
    maxSize: 0,
    maxDfSize: 0,
    memory: 0,
    device: 0,
    header: undefined as Uint8Array | undefined,
    fragmentHeader: undefined as Uint8Array | undefined,
    linkHeader: undefined as Uint8Array | undefined,
    pktType: 0,
    mark: 0,
    traced: false,
    nextHeaderAt: 0,
    nextHeader: 0,
  };
}
