/**
 * A packet on its way through a host: the view plus what the stack keeps beside it (the kernel's skb and its control
 * block), and a buffer of its own for packets that the host builds, gathers or has to copy. Pooled: nothing is
 * allocated per packet once the pool is warm.
 */
import { CT_STATE_INVALID } from '../conntrack/state-bit.js';
import type { Family } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import { Packet } from '../wire/packet.js';
import { RTN_UNICAST } from './host-config.js';

/** Room before the IP header in own buffers: an Ethernet header, and options that a target inserts do not use it. */
export const HEADROOM = 64;
export const ETHERNET_SIZE = 14;
const FIRST_SIZE = 2048;
/** Largest IP packet. */
export const MAX_PACKET = 65575;

export type Origin = 'forwarded' | 'answer' | 'own';

export class HostPacket extends Packet {
  /** First byte of the frame's buffer that belongs to this packet: there is room for a link header from here. */
  frameStart = 0;
  /** Device that the packet leaves by. */
  outDevice = 0;
  /** RTN_… of the routing decision. */
  routeType = RTN_UNICAST;
  /** The route leads back out of the incoming device to a nearer gateway: an ICMP redirect is due. */
  redirect = false;
  /** Segment that a network card has merged or will cut: larger than any MTU, and that is fine. */
  offloaded = false;
  /** Original capture had bytes that are not here, or the host built it: who put it on the way. */
  origin: Origin = 'forwarded';
  /** Its end (dropped) is the end of its unconfirmed connection; answers only borrow that of their cause. */
  ownsConnection = true;
  /** Offsets of the IPv4 options record route and time stamp, as read on arrival (0: none). */
  recordRouteOff = 0;
  timestampOff = 0;
  /** The host has written its entry into them, and answers write one more. */
  needsRecord = false;
  needsTimestamp = false;
  /** Options were written since the header checksum was made. */
  optionsChanged = false;

  /** Payload sizes of the pieces of a gathered datagram in offset order; `reassembly` counts them (-1: none). */
  pieceSizes = new Int32Array(8);
  /** Largest piece, IP header included (frag_max_size), and whether it had DF set (IPSKB_FRAG_PMTU). */
  maxPiece = 0;
  /** The queue had the don't-fragment bit on its largest piece. */
  piecesHadDf = false;
  /** Identification that its pieces get when an IPv6 datagram is cut; 0: a fresh one. */
  fragmentId = 0;
  /** Conntrack has found the transport checksum right: it is not looked at again, whatever a target did since. */
  verified = false;
  /** What traffic class and hop limit were when conntrack summed the IPv6 packet; -1: it has not. See `hasStaleSum6`. */
  #summed6 = -1;
  /** It waited for the hardware address of its next hop: what becomes of it now was begun at an earlier time. */
  waited = false;
  /** A piece behind the first of a datagram that is cut. */
  isLaterPiece = false;
  /** Conntrack gathered it: it may be cut again whatever DF says (skb->ignore_df). */
  mayBeCut = false;

  #ownBytes = new Uint8Array(FIRST_SIZE);
  #ownView = new DataView(this.#ownBytes.buffer);

  override reset(): void {
    super.reset();
    // Before conntrack has seen it a packet counts as INVALID (xt_conntrack: no ct, and not untracked).
    this.f[Field.CtState] = CT_STATE_INVALID;
    this.frameStart = 0;
    this.outDevice = 0;
    this.routeType = RTN_UNICAST;
    this.redirect = false;
    this.offloaded = false;
    this.origin = 'forwarded';
    this.ownsConnection = true;
    this.recordRouteOff = 0;
    this.timestampOff = 0;
    this.needsRecord = false;
    this.needsTimestamp = false;
    this.optionsChanged = false;
    this.maxPiece = 0;
    this.piecesHadDf = false;
    this.mayBeCut = false;
    this.waited = false;
    this.isLaterPiece = false;
    this.#summed6 = -1;
    this.verified = false;
    this.fragmentId = 0;
  }

  /** Conntrack has summed the whole packet, its IPv6 header included. Kernel: nf_ip6_checksum(), skb->csum_complete_sw. */
  noteVerified(): void {
    this.verified = true;
    if (this.family === 6) this.#summed6 = this.#mutable6();
  }

  /**
   * A target has changed the IPv6 header since: the remembered sum is wrong, and a UDP datagram of more than 76 bytes is
   * taken for damaged. Kernel: udp6_csum_init(); IPv4 keeps its header's sum at zero, so nothing shows there.
   */
  get hasStaleSum6(): boolean {
    return this.#summed6 !== -1 && this.#summed6 !== this.#mutable6();
  }

  #mutable6(): number {
    const { view, l3Off } = this;
    return (view.getUint16(l3Off) + view.getUint16(l3Off + 6)) % 0xffff;
  }

  /** Attaches the own buffer, with room for `size` bytes of IP packet behind HEADROOM. The bytes are not cleared. */
  attachOwn(size: number): void {
    if (this.#ownBytes.length < HEADROOM + size) {
      const room = Math.max(HEADROOM + size, Math.min(this.#ownBytes.length * 2, HEADROOM + MAX_PACKET));
      this.#ownBytes = new Uint8Array(room);
      this.#ownView = new DataView(this.#ownBytes.buffer);
    }
    this.attach(this.#ownBytes, this.#ownView);
    this.frameStart = 0;
  }

  /** The own buffer, whatever the packet is attached to now. */
  get ownBytes(): Uint8Array {
    return this.#ownBytes;
  }

  /** Moves the IP packet into the own buffer, with `extra` bytes of room at its end. Offsets follow; fields stay. */
  moveToOwn(extra = 0): void {
    const { bytes, l3Off, end } = this;
    const size = end - l3Off;
    const macOff = this.macOff;
    const isOwn = bytes === this.#ownBytes;
    if (isOwn && this.#ownBytes.length >= end + extra && l3Off >= ETHERNET_SIZE) return;
    const copy = isOwn ? bytes.slice() : bytes;
    this.attachOwn(size + extra);
    this.bytes.set(copy.subarray(l3Off, end), HEADROOM);
    if (macOff >= 0) {
      this.macOff = HEADROOM - ETHERNET_SIZE;
      this.bytes.set(copy.subarray(macOff, macOff + 12), this.macOff);
      this.view.setUint16(this.macOff + 12, this.family === 4 ? 0x0800 : 0x86dd);
    }
    this.shift(HEADROOM - l3Off);
  }

  /** Becomes a copy of a packet (the kernel's skb_clone()), in its own buffer; it borrows the connection. */
  copyOf(from: HostPacket): void {
    const size = from.end - from.l3Off;
    const missing = from.wireEnd - from.end;
    this.attachOwn(size);
    this.bytes.set(from.bytes.subarray(from.l3Off, from.end), HEADROOM);
    this.parse(from.family, HEADROOM, HEADROOM + size, HEADROOM + size + missing);
    this.f.set(from.f);
    this.csum = from.csum;
    this.ct = from.ct;
    this.ctDir = from.ctDir;
    this.ctInfo = from.ctInfo;
    this.untracked = from.untracked;
    this.settledWithout = from.settledWithout;
    this.ownsConnection = false;
    this.traced = from.traced;
    this.priority = from.priority;
    this.local = from.local;
    this.fromKernel = from.fromKernel;
    this.isOrphan = true;
    this.origin = from.origin;
    this.receivedOn = from.receivedOn;
    this.route = from.route;
    this.routeType = from.routeType;
    this.outDevice = from.outDevice;
    this.offloaded = from.offloaded;
  }

  /** Adds `by` to every offset of the IP packet. */
  shift(by: number): void {
    this.l3Off += by;
    this.l4Off += by;
    this.end += by;
    this.wireEnd += by;
    if (this.fragmentHeaderOff >= 0) this.fragmentHeaderOff += by;
    if (this.recordRouteOff > 0) this.recordRouteOff += by;
    if (this.timestampOff > 0) this.timestampOff += by;
  }

  /** Reads the IP packet at `l3Off` again (whole or cut, as given); true if it is well-formed. */
  parse(family: Family, l3Off: number, captured: number, original: number): boolean {
    return (family === 4 ? this.parse4(l3Off, captured, original) : this.parse6(l3Off, captured, original)) === 0;
  }

  /**
   * The first `size` bytes of the payload are read as a header: bytes of later pieces move into the first one, and a datagram
   * so joined leaves cut differently. Kernel: pskb_may_pull() on a list of fragments.
   */
  pull(size: number): void {
    if (this.reassembly < 1 || this.pieceSizes[0]! >= size) return;
    let missing = size - this.pieceSizes[0]!;
    let to = 1;
    for (let i = 1; i < this.reassembly; i++) {
      const taken = Math.min(missing, this.pieceSizes[i]!);
      missing -= taken;
      if (this.pieceSizes[i]! > taken) this.pieceSizes[to++] = this.pieceSizes[i]! - taken;
    }
    this.pieceSizes[0] = size - missing;
    this.reassembly = to;
  }

  /** Notes the size of one more piece. */
  addPiece(index: number, size: number): void {
    if (index >= this.pieceSizes.length) {
      const more = new Int32Array(this.pieceSizes.length * 2);
      more.set(this.pieceSizes);
      this.pieceSizes = more;
    }
    this.pieceSizes[index] = size;
    this.reassembly = index + 1;
  }
}

/** Reuses packets: as many exist as were ever on their way at once. */
export class PacketPool {
  readonly #free: HostPacket[] = [];

  acquire(): HostPacket {
    const packet = this.#free.pop() ?? new HostPacket();
    packet.reset();
    return packet;
  }

  release(packet: HostPacket): void {
    this.#free.push(packet);
  }
}
