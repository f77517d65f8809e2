/**
 * The last part of a packet's way out: cut to size, the neighbour's address, the link header, the wire.
 * Kernel: ip_finish_output(), ip6_finish_output(), neigh_output(). Per packet: allocates nothing, but for fragments.
 */
import { Field } from '../wire/field.js';
import { completeTransportChecksum } from '../wire/transport-checksum.js';
import type { Device, Devices } from './device.js';
import type { DropReason } from './drop-reason.js';
import type { HostEvents, SentFrame } from './event.js';
import { cut4, cut6, type TakePiece } from './fragment.js';
import { RTN_BROADCAST, RTN_MULTICAST } from './host-config.js';
import { ETHERNET_SIZE, type HostPacket, type PacketPool } from './host-packet.js';
import type { Neighbours } from './neighbour.js';
import type { RoutePath } from './route.js';

const IPV6_MIN_MTU = 1280;
/** What a packet is to be cut into, if not into pieces of a size. */
const WHOLE = 0;
const TOO_LONG = -1;

/** What the sender needs of the pipeline. */
export interface SendPort {
  path(packet: HostPacket): RoutePath | undefined;
  /** The packet is longer than `mtu` and must not be cut: the sender of it is told. */
  tooBig(packet: HostPacket, mtu: number): void;
  drop(packet: HostPacket, reason: DropReason): void;
  /** The neighbour is not known: the packet waits until it is. */
  hold(packet: HostPacket, device: Device, family: 4 | 6, words: ArrayLike<number>, at: number): void;
  /** Nobody answered for the packet's next hop: the sender of it is told. */
  unreachable(packet: HostPacket): void;
  /** A packet that left by the loopback device comes in again, after what is under way. */
  loopBack(packet: HostPacket): void;
  /** A fresh identification for the pieces of an IPv6 datagram. */
  nextFragmentId(): number;
}

export class Sender {
  readonly #port: SendPort;
  readonly #devices: Devices;
  readonly #neighbours: Neighbours;
  readonly #assumeNeighbours: boolean;
  readonly #pool: PacketPool;
  readonly #events: HostEvents;
  readonly #frame: SentFrame;
  /** Frames that left, by device index. */
  readonly sentCounts: Float64Array;
  readonly #group = new Uint32Array(2);

  constructor(
    port: SendPort,
    devices: Devices,
    neighbours: Neighbours,
    assumeNeighbours: boolean,
    pool: PacketPool,
    events: HostEvents,
  ) {
    this.#port = port;
    this.#devices = devices;
    this.#neighbours = neighbours;
    this.#assumeNeighbours = assumeNeighbours;
    this.#pool = pool;
    this.#events = events;
    this.sentCounts = new Float64Array(devices.list.length);
    const packet = pool.acquire();
    this.#frame = {
      device: 0,
      bytes: packet.bytes,
      start: 0,
      end: 0,
      originalEnd: 0,
      hasEthernet: false,
      origin: 'forwarded',
      packet,
    };
  }

  /** MTU of the packet's route. */
  mtuOf(p: HostPacket): number {
    const path = this.#port.path(p);
    if (path !== undefined && path.mtu !== 0) return path.mtu;
    return this.#devices.at(p.outDevice)?.mtu ?? 0xffff;
  }

  /** Takes a packet that passed POSTROUTING. */
  send(p: HostPacket): void {
    const device = this.#devices.at(p.outDevice);
    if (device === undefined) {
      this.#port.drop(p, 'no route');
      return;
    }
    const limit = this.#limitOf(p);
    if (limit === WHOLE) this.#transmit(p, device);
    else if (limit === TOO_LONG) {
      this.#port.tooBig(p, this.mtuOf(p));
      this.#port.drop(p, 'longer than the MTU');
    } else {
      completeTransportChecksum(p);
      if (!this.#resolve(p, device)) return;
      this.#cut(p, limit, (piece) => this.#emitPiece(p, piece, device));
      this.#pool.release(p);
    }
  }

  /** Nobody answered for the next hop of a packet that waited. Kernel: arp_error_report(), ndisc_error_report(). */
  giveUp(p: HostPacket): void {
    const limit = this.#limitOf(p);
    if (limit > 0) {
      completeTransportChecksum(p);
      this.#cut(p, limit, (piece) => {
        this.#inherit(p, piece);
        piece.receivedOn = p.receivedOn;
        this.#port.unreachable(piece);
      });
    } else this.#port.unreachable(p);
    this.#port.drop(p, 'no neighbour');
  }

  /** Largest piece that the packet is to be cut into; WHOLE, or TOO_LONG to go and not to be cut. */
  #limitOf(p: HostPacket): number {
    const mtu = this.mtuOf(p);
    const length = p.f[Field.Length]!;
    const isLong = length > mtu && !p.offloaded;
    if (p.family === 4) {
      if (!isLong && p.maxPiece === 0) return WHOLE;
      const df = (p.view.getUint8(p.l3Off + 6) & 0x40) !== 0;
      if (df && (!p.mayBeCut || p.maxPiece > mtu)) return TOO_LONG;
      const limit = p.maxPiece > 0 && p.maxPiece < mtu ? p.maxPiece : mtu;
      return length <= limit ? WHOLE : limit;
    }
    if (!isLong && (p.maxPiece === 0 || length <= p.maxPiece)) return WHOLE;
    if ((!p.mayBeCut && !p.local && length > mtu) || p.maxPiece > mtu) return TOO_LONG;
    return p.maxPiece > 0 ? Math.max(p.maxPiece, IPV6_MIN_MTU) : mtu;
  }

  #cut(p: HostPacket, limit: number, take: TakePiece): void {
    const scratch = this.#pool.acquire();
    const takeNext: TakePiece = (piece) => {
      take(piece);
      piece.isLaterPiece = true;
    };
    if (p.family === 4) cut4(p, limit, scratch, takeNext);
    else cut6(p, limit, p.fragmentId === 0 ? this.#port.nextFragmentId() : p.fragmentId, scratch, takeNext);
    this.#pool.release(scratch);
  }

  #inherit(whole: HostPacket, piece: HostPacket): void {
    piece.origin = whole.origin;
    piece.outDevice = whole.outDevice;
    piece.route = whole.route;
    piece.mark = whole.mark;
    piece.waited = whole.waited;
  }

  #emitPiece(whole: HostPacket, piece: HostPacket, device: Device): void {
    this.#inherit(whole, piece);
    if (!device.isLoopback) {
      this.#emit(piece, device);
      return;
    }
    // Pieces on lo go on as packets of their own, with the connection of the whole.
    const own = this.#pool.acquire();
    piece.csum = whole.csum;
    piece.ct = whole.ct;
    piece.ctDir = whole.ctDir;
    piece.ctInfo = whole.ctInfo;
    piece.f[Field.CtState] = whole.f[Field.CtState]!;
    piece.untracked = whole.untracked;
    piece.fromKernel = whole.fromKernel;
    piece.routeType = whole.routeType;
    own.copyOf(piece);
    this.#emit(own, device);
    this.#port.loopBack(own);
  }

  #transmit(p: HostPacket, device: Device): void {
    if (device.isLoopback) {
      this.#emit(p, device);
      this.#port.loopBack(p);
      return;
    }
    if (!this.#resolve(p, device)) return;
    completeTransportChecksum(p);
    this.#emit(p, device);
    this.#pool.release(p);
  }

  /** Finds the hardware address to send to, in this.#group; false: there is none yet, and the packet is gone. */
  #resolve(p: HostPacket, device: Device): boolean {
    if (!device.hasEthernet) return true;
    const { f } = p;
    const to = this.#group;
    if (p.routeType === RTN_BROADCAST) {
      to[0] = 0xffff;
      to[1] = 0xffffffff;
      return true;
    }
    if (p.routeType === RTN_MULTICAST) {
      if (p.family === 4) {
        to[0] = 0x0100;
        to[1] = (0x5e000000 | (f[Field.Dst0]! & 0x7fffff)) >>> 0;
      } else {
        to[0] = 0x3333;
        to[1] = f[Field.Dst3]!;
      }
      return true;
    }
    const path = this.#port.path(p);
    const viaGateway = path !== undefined && path.gatewayFamily !== 0;
    const family = viaGateway ? (path.gatewayFamily as 4 | 6) : p.family;
    const words = viaGateway ? path.gateway : f;
    const at = viaGateway ? 0 : Field.Dst0;
    if (this.#neighbours.find(device.index, family, words, at)) {
      to[0] = this.#neighbours.macHigh;
      to[1] = this.#neighbours.macLow;
      return true;
    }
    // Frames to nobody in particular carry the device's own address (kernel: arp_constructor(), ndisc_constructor()).
    if (device.noArp) {
      to[0] = device.macHigh;
      to[1] = device.macLow;
      return true;
    }
    if (!this.#assumeNeighbours) {
      this.#port.hold(p, device, family, words, at);
      return false;
    }
    // A locally administered address that shows the IP address it stands for.
    to[0] = family === 4 ? 0x0200 : 0x0206;
    to[1] = words[family === 4 ? at : at + 3]!;
    return true;
  }

  /** Writes the link header in front of the packet and tells of the frame. */
  #emit(p: HostPacket, device: Device): void {
    let start = p.l3Off;
    if (device.hasEthernet) {
      if (p.l3Off - p.frameStart < ETHERNET_SIZE) p.moveToOwn();
      start = p.l3Off - ETHERNET_SIZE;
      const { view } = p;
      view.setUint16(start, this.#group[0]!);
      view.setUint32(start + 2, this.#group[1]!);
      view.setUint16(start + 6, device.macHigh);
      view.setUint32(start + 8, device.macLow);
      view.setUint16(start + 12, p.family === 4 ? 0x0800 : 0x86dd);
    }
    this.sentCounts[device.index]!++;
    if (this.#events.sent === undefined) return;
    const frame = this.#frame;
    frame.device = device.index;
    frame.bytes = p.bytes;
    frame.start = start;
    frame.end = p.end;
    frame.originalEnd = p.wireEnd;
    frame.hasEthernet = device.hasEthernet;
    frame.origin = p.origin;
    frame.packet = p;
    this.#events.sent(frame);
  }
}
