/**
 * The way in: from the wire, or from lo, through PREROUTING to the routing decision. Kernel: ip_rcv(), ip_rcv_finish(),
 * ip6_rcv_core(), ip6_rcv_finish(). Per packet: allocates nothing.
 */
import {
  NF_INET_PRE_ROUTING,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
} from '../net/netfilter.js';
import { IPPROTO_TCP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { ICMP_PARAMETERPROB } from './answer.js';
import { ICMPV6_DEST_UNREACH, ICMPV6_PARAMPROB } from './answer6.js';
import type { Device } from './device.js';
import type { DropReason } from './drop-reason.js';
import type { InFrame } from './event.js';
import type { FlowCache } from './flow-cache.js';
import type { Forwarder } from './forward.js';
import { RTN_BROADCAST, RTN_LOCAL, RTN_UNICAST } from './host-config.js';
import type { HostPacket } from './host-packet.js';
import { OPTIONS_OK, OPTIONS_SOURCE_ROUTE, type OptionReader, readOptions } from './ip-option.js';
import { TO_ERROR, TO_FORWARD, TO_LOCAL } from './ip4-routing.js';
import { EXTENSIONS_OK, problemCode, problemPointer, readHopByHop } from './ip6-option.js';
import type { LocalIn } from './local-in.js';
import type { NeighbourLearning } from './neighbour-learning.js';
import type { Pipeline } from './pipeline.js';

const TCP_HEADER_SIZE = 20;
const MILLISECONDS_A_DAY = 86_400_000;

export class Receiver {
  readonly #pipeline: Pipeline;
  readonly #localIn: LocalIn;
  readonly #forwarder: Forwarder;
  readonly #flows4: FlowCache;
  readonly #flows6: FlowCache;
  readonly #learning: NeighbourLearning | undefined;

  /** `learning`: received frames teach it hardware addresses. */
  constructor(
    pipeline: Pipeline,
    localIn: LocalIn,
    forwarder: Forwarder,
    flows4: FlowCache,
    flows6: FlowCache,
    learning: NeighbourLearning | undefined,
  ) {
    this.#pipeline = pipeline;
    this.#localIn = localIn;
    this.#forwarder = forwarder;
    this.#flows4 = flows4;
    this.#flows6 = flows6;
    this.#learning = learning;
  }

  receive(frame: InFrame): void {
    const device = this.#pipeline.devices.at(frame.device);
    const refusal =
      device === undefined ? 'unknown device' : device.master !== 0 ? 'frame of an enslaved device' : undefined;
    const p = this.#pipeline.open(frame, false);
    if (p === undefined) return;
    if (device === undefined || refusal !== undefined) {
      this.#pipeline.drop(p, 'receive', refusal ?? 'unknown device');
      return;
    }
    const pktType = frame.pktType >= 0 ? frame.pktType : pktTypeOf(frame, device);
    p.f[Field.PktType] = pktType;
    if (pktType === PACKET_OTHERHOST) {
      this.#pipeline.drop(p, 'receive', 'for another host');
      return;
    }
    if (frame.macOff >= 0 && this.#learning !== undefined) this.#learning.fromReceived(p, device);
    if (p.family === 4) {
      this.#flows4.begin(p);
      if (this.#pipeline.hook(p, NF_INET_PRE_ROUTING, device.index, 0)) this.#route4(p, device);
      return;
    }
    const fault = this.#sanity6(p, device, false);
    if (fault !== undefined) {
      this.#pipeline.drop(p, 'receive', fault);
      return;
    }
    this.#flows6.begin(p);
    if (this.#pipeline.hook(p, NF_INET_PRE_ROUTING, device.index, 0)) this.#route6(p);
  }

  /** Learns from a frame what `receive` would, and does nothing else with it. True: there was something to learn. */
  learnFrom(frame: InFrame): boolean {
    const device = this.#pipeline.devices.at(frame.device);
    if (this.#learning === undefined || device === undefined || device.master !== 0 || frame.macOff < 0) return false;
    if ((frame.pktType >= 0 ? frame.pktType : pktTypeOf(frame, device)) === PACKET_OTHERHOST) return false;
    const p = this.#pipeline.pool.acquire();
    p.attach(frame.bytes, frame.view);
    p.macOff = frame.macOff;
    const isWhole = p.parse(frame.family, frame.l3Off, frame.capturedEnd, frame.originalEnd);
    const learnt = isWhole && this.#learning.fromReceived(p, device);
    this.#pipeline.pool.release(p);
    return learnt;
  }

  /** Kernel: ip_rcv_finish(). */
  #route4(p: HostPacket, device: Device): void {
    earlyDemux(p);
    const verdict = this.#pipeline.routing4.input(p);
    if (p.l3Size > 20 && verdict !== 3 && !this.#options4(p, device)) return;
    this.#pipeline.events.routed?.(p);
    if (verdict === TO_LOCAL) {
      const { settings } = device;
      const toMany = p.f[Field.PktType]! === PACKET_BROADCAST || p.f[Field.PktType]! === PACKET_MULTICAST;
      if (toMany && p.routeType === RTN_LOCAL && settings.dropUnicastInMulticast) {
        this.#pipeline.drop(p, 'routing', 'link-layer broadcast is not forwarded');
        return;
      }
      this.#localIn.input4(p);
    } else if (verdict === TO_FORWARD) this.#forwarder.forward4(p);
    else {
      if (verdict === TO_ERROR) this.#pipeline.answers4.sendRouteError(p, this.#pipeline.routing4.code);
      this.#pipeline.drop(p, 'routing', this.#pipeline.routing4.reason);
    }
  }

  /** IPv4 options are rare: this allocates. False: they are such that the packet is dropped. */
  #options4(p: HostPacket, device: Device): boolean {
    const reader: OptionReader = {
      address: p.routeType === RTN_LOCAL ? p.dst : this.#pipeline.devices.selectAddress4(device.index, p.src, 0),
      milliseconds: Math.floor(this.#pipeline.clock.nowUs / 1000) % MILLISECONDS_A_DAY,
      isOwn: (address) => this.#pipeline.routing4.addressType(address, 0) !== RTN_UNICAST,
    };
    const result = readOptions(p, reader);
    if (result === OPTIONS_OK) return true;
    if (result === OPTIONS_SOURCE_ROUTE) {
      this.#pipeline.drop(p, 'routing', 'source route');
      return false;
    }
    this.#pipeline.answers4.sendError(p, ICMP_PARAMETERPROB, 0, (result << 24) >>> 0);
    this.#pipeline.drop(p, 'routing', 'bad IPv4 option');
    return false;
  }

  /** Kernel: ip6_rcv_core(). `isCopy`: of an own packet to a group that the host is in. */
  #sanity6(p: HostPacket, device: Device, isCopy: boolean): DropReason | undefined {
    const { f, view, l3Off } = p;
    if (device.settings.disabled6) return 'IPv6 is off on the device';
    if (!device.isLoopback && (isLoopback6(f, Field.Src0) || isLoopback6(f, Field.Dst0))) {
      return 'loopback address from the wire';
    }
    if (f[Field.Dst0]! >>> 24 === 0xff) {
      const scope = (f[Field.Dst0]! >>> 16) & 15;
      if (scope === 0 || (scope === 1 && !device.isLoopback && !isCopy)) return 'bad multicast scope';
    }
    if (f[Field.Src0]! >>> 24 === 0xff) return 'multicast source address';
    if (view.getUint8(l3Off + 6) !== 0) return undefined;
    const fault = readHopByHop(p);
    if (fault === EXTENSIONS_OK) return undefined;
    if (fault > 0) this.#pipeline.answers6.sendError(p, ICMPV6_PARAMPROB, problemCode(fault), problemPointer(fault));
    return 'bad extension header';
  }

  #route6(p: HostPacket): void {
    earlyDemux(p);
    const verdict = this.#pipeline.routing6.input(p);
    this.#pipeline.events.routed?.(p);
    if (verdict === TO_LOCAL) {
      this.#localIn.input6(p, p.receivedOn);
    } else if (verdict === TO_FORWARD) this.#forwarder.forward6(p);
    else {
      if (verdict === TO_ERROR) this.#pipeline.answers6.sendError(p, ICMPV6_DEST_UNREACH, this.#pipeline.routing6.code);
      this.#pipeline.drop(p, 'routing', this.#pipeline.routing6.reason);
    }
  }

  /**
   * A packet that left by lo comes in: its route and its connection are the ones that it has. If it is given another
   * destination only now, it is routed like one from a wire. Kernel: nf_nat_ipv4_pre_routing(), nf_nat_ipv6_in().
   */
  loopedBack(p: HostPacket): void {
    const toGroup = p.outDevice !== this.#pipeline.devices.loopback;
    const device = p.outDevice;
    p.receivedOn = device;
    p.local = false;
    p.redirect = false;
    p.f[Field.PktType] = !toGroup ? PACKET_HOST : p.routeType === RTN_BROADCAST ? PACKET_BROADCAST : PACKET_MULTICAST;
    p.macOff = -1;
    const fault = p.family === 6 ? this.#sanity6(p, this.#pipeline.devices.at(device)!, toGroup) : undefined;
    if (fault !== undefined) {
      this.#pipeline.drop(p, 'receive', fault);
      return;
    }
    const { f } = p;
    const d0 = f[Field.Dst0]!;
    const d1 = f[Field.Dst1]!;
    const d2 = f[Field.Dst2]!;
    const d3 = f[Field.Dst3]!;
    if (!this.#pipeline.hook(p, NF_INET_PRE_ROUTING, device, 0)) return;
    if (p.family === 4 && f[Field.Dst0] !== d0) {
      this.#route4(p, this.#pipeline.devices.at(device)!);
      return;
    }
    if (
      p.family === 6 &&
      (f[Field.Dst0] !== d0 || f[Field.Dst1] !== d1 || f[Field.Dst2] !== d2 || f[Field.Dst3] !== d3)
    ) {
      this.#route6(p);
      return;
    }
    this.#pipeline.events.routed?.(p);
    if (p.family === 4) {
      if (p.l3Size > 20 && !this.#options4(p, this.#pipeline.devices.at(device)!)) return;
      this.#localIn.input4(p);
    } else this.#localIn.input6(p, device);
  }
}

/** Kernel: eth_type_trans(). */
function pktTypeOf(frame: InFrame, device: Device): number {
  const { view, macOff } = frame;
  if (macOff < 0 || !device.hasEthernet) return PACKET_HOST;
  const high = view.getUint16(macOff);
  const low = view.getUint32(macOff + 2);
  if ((high & 0x100) !== 0) return high === 0xffff && low === 0xffffffff ? PACKET_BROADCAST : PACKET_MULTICAST;
  return high === device.macHigh && low === device.macLow ? PACKET_HOST : PACKET_OTHERHOST;
}

function isLoopback6(words: ArrayLike<number>, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 1;
}

/** The socket look-up before routing reads the whole TCP header. Kernel: tcp_v4_early_demux(), tcp_v6_early_demux(). */
function earlyDemux(p: HostPacket): void {
  if (p.reassembly < 1 || p.f[Field.PktType]! !== PACKET_HOST || p.protocol !== IPPROTO_TCP) return;
  // IPv6: only where TCP follows the IPv6 header at once.
  if (p.family === 4 ? !p.isFragment : p.l4Off === p.l3Off + 40) p.pull(TCP_HEADER_SIZE);
}
