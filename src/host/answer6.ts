/**
 * Packets that the stack makes itself over IPv6: ICMPv6 errors, echo replies, TCP resets.
 * Kernel: icmp6_send(), icmpv6_echo_reply() (net/ipv6/icmp.c); nf_send_reset6(); tcp_v6_send_response().
 * Differs: the flow label is 0 (the kernel's choice is free).
 */
import { checksumOf } from '../net/checksum.js';
import { PACKET_HOST } from '../net/netfilter.js';
import { IPPROTO_ICMPV6, IPPROTO_TCP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_OWN } from '../wire/packet.js';
import { leaveTransportChecksum, pseudoHeaderSum, sumView } from '../wire/transport-checksum.js';
import { type AnswerPort, writeReset } from './answer.js';
import { type Devices, SCOPE_LINK, scopeOf6 } from './device.js';
import { RTN_ANYCAST, RTN_LOCAL } from './host-config.js';
import { HEADROOM, type HostPacket } from './host-packet.js';
import type { IcmpLimit } from './icmp-limit.js';
import type { Routing6 } from './ip6-routing.js';
import type { Neighbours } from './neighbour.js';
import type { Settings } from './sysctl.js';

export const ICMPV6_DEST_UNREACH = 1;
export const ICMPV6_PKT_TOOBIG = 2;
export const ICMPV6_TIME_EXCEED = 3;
export const ICMPV6_PARAMPROB = 4;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;
const NDISC_REDIRECT = 137;
const MIN_MTU = 1280;
const ND_OPT_TARGET_LL_ADDR = 2;
const ND_OPT_REDIRECT_HDR = 4;
const REDIRECT_INTERVAL_MS = 1000;
const NO_ADDRESS = new Uint32Array(4);

export class Answers6 {
  readonly #port: AnswerPort;
  readonly #routing: Routing6;
  readonly #devices: Devices;
  readonly #settings: Settings;
  readonly #limit: IcmpLimit;
  readonly #neighbours: Neighbours;
  readonly #chosen = new Uint32Array(4);

  constructor(
    port: AnswerPort,
    routing: Routing6,
    devices: Devices,
    settings: Settings,
    limit: IcmpLimit,
    neighbours: Neighbours,
  ) {
    this.#neighbours = neighbours;
    this.#port = port;
    this.#routing = routing;
    this.#devices = devices;
    this.#settings = settings;
    this.#limit = limit;
  }

  /**
   * `info` is the second word of the ICMPv6 header (MTU, pointer). `device`: where the kernel takes the packet to stand
   * (the incoming one, or for too-big the outgoing one). Kernel: icmp6_send().
   */
  sendError(cause: HostPacket, type: number, code: number, info = 0, device: number = cause.receivedOn): void {
    const { f } = cause;
    const toGroup = f[Field.Dst0]! >>> 24 === 0xff || f[Field.PktType]! !== PACKET_HOST;
    if (toGroup && type !== ICMPV6_PKT_TOOBIG && !(type === ICMPV6_PARAMPROB && code === 2)) return;
    const src0 = f[Field.Src0]!;
    if (src0 >>> 24 === 0xff) return;
    if ((src0 | f[Field.Src1]! | f[Field.Src2]! | f[Field.Src3]!) === 0) return;
    if (this.#isIneligible(cause)) return;
    const viaLoopback = this.#devices.at(cause.receivedOn)?.isLoopback ?? false;
    const limited = type !== ICMPV6_PKT_TOOBIG;
    if (limited && !viaLoopback && !this.#limit.hasCredit()) return;

    const mark = this.#settings.reflectMark6 ? cause.mark : 0;
    const chosen = this.#chosen.fill(0);
    const own = this.#routing.isOwn(f, Field.Dst0, device, false) || cause.routeType === RTN_ANYCAST;
    if (!toGroup && own) chosen.set(f.subarray(Field.Dst0, Field.Dst0 + 4));
    const bound = scopeOf6(f, Field.Src0) === SCOPE_LINK ? cause.receivedOn : 0;
    const answer = this.#port.acquire();
    answer.mark = mark;
    if (!this.#routing.output(answer, f, Field.Src0, chosen, 0, mark, bound)) {
      this.#port.release(answer);
      return;
    }
    // Nothing is sent to an anycast address (sysctl icmp.error_anycast_as_unicast).
    if (answer.routeType === RTN_ANYCAST) {
      this.#port.release(answer);
      return;
    }
    if (!own || toGroup) this.#preferIncoming(answer, cause);
    if (limited && !this.#mayReach(answer, cause, viaLoopback)) {
      this.#port.release(answer);
      return;
    }
    const quoted = Math.min(cause.wireEnd - cause.l3Off, MIN_MTU - 48);
    this.#begin(answer, 8 + quoted, IPPROTO_ICMPV6, this.#routing.source, 0, f, Field.Src0, 0);
    const at = answer.l3Off + 40;
    answer.view.setUint16(at, (type << 8) | code);
    answer.view.setUint32(at + 4, info >>> 0);
    answer.bytes.set(cause.bytes.subarray(cause.l3Off, Math.min(cause.l3Off + quoted, cause.end)), at + 8);
    this.#finish(answer, cause.l3Off + quoted - cause.end);
    this.#port.attach(answer, cause);
    this.#port.sendOwn(answer);
  }

  /**
   * Without a preferred source on the route, an error is sent from an address of the device that the packet came in by
   * (kernel: icmpv6_rt_has_prefsrc(), ipv6_dev_get_saddr()).
   */
  #preferIncoming(answer: HostPacket, cause: HostPacket): void {
    if (cause.receivedOn === 0 || this.#routing.path(answer.route)?.preferredSource !== undefined) return;
    const { f } = cause;
    const words = [f[Field.Src0]!, f[Field.Src1]!, f[Field.Src2]!, f[Field.Src3]!] as const;
    const here = this.#devices.selectAddress6(cause.receivedOn, words);
    if (here !== undefined) this.#routing.source.set(here);
  }

  /**
   * Tells a sender on the link of a nearer next hop, before the packet goes back out where it came in. `target` is that
   * next hop, at words[at..at+4). Kernel: the first half of ip6_forward(), ndisc_send_redirect().
   */
  sendRedirect(cause: HostPacket, target: ArrayLike<number>, at: number): void {
    const { f } = cause;
    const device = this.#devices.at(cause.receivedOn)!;
    if (!this.#limit.allow6(f, Field.Dst0, REDIRECT_INTERVAL_MS)) return;
    const own = device.addresses6.find((a) => !a.tentative && scopeOf6(a.address) === SCOPE_LINK);
    if (own === undefined) return;
    const isDestination = [0, 1, 2, 3].every((i) => f[Field.Dst0 + i] === target[at + i]);
    if (!isDestination && target[at]! >>> 22 !== 0x3fa) return;
    const answer = this.#port.acquire();
    const routed = this.#routing.output(answer, f, Field.Src0, own.address, 0, 0, device.index);
    const viaGateway = (this.#routing.path(answer.route)?.gatewayFamily ?? 0) !== 0;
    if (!routed || viaGateway || !this.#limit.allow6(f, Field.Src0, REDIRECT_INTERVAL_MS)) {
      this.#port.release(answer);
      return;
    }
    const hasTargetMac = device.hasEthernet && this.#neighbours.find(device.index, 6, target, at);
    const macSize = hasTargetMac ? 8 : 0;
    const size = Math.min(MIN_MTU - 80 - macSize, cause.length + 8) & ~7;
    this.#begin(answer, 40 + macSize + size, IPPROTO_ICMPV6, own.address, 0, f, Field.Src0, 0);
    const { view, bytes, l3Off } = answer;
    const message = l3Off + 40;
    view.setUint8(l3Off + 7, 255);
    view.setUint16(message, NDISC_REDIRECT << 8);
    for (let i = 0; i < 4; i++) {
      view.setUint32(message + 8 + (i << 2), target[at + i]!);
      view.setUint32(message + 24 + (i << 2), f[Field.Dst0 + i]!);
    }
    let option = message + 40;
    if (hasTargetMac) {
      view.setUint16(option, (ND_OPT_TARGET_LL_ADDR << 8) | 1);
      view.setUint16(option + 2, this.#neighbours.macHigh);
      view.setUint32(option + 4, this.#neighbours.macLow);
      option += 8;
    }
    view.setUint16(option, (ND_OPT_REDIRECT_HDR << 8) | (size >> 3));
    const quoted = size - 8;
    bytes.set(cause.bytes.subarray(cause.l3Off, Math.min(cause.l3Off + quoted, cause.end)), option + 8);
    this.#finish(answer, cause.l3Off + quoted - cause.end);
    this.#port.sendOwn(answer);
  }

  /** Echo reply; `group`: the request went to a multicast group. */
  echoReply(cause: HostPacket, group: boolean): void {
    const { f } = cause;
    const mark = this.#settings.reflectMark6 ? cause.mark : 0;
    const { isLoopback } = this.#devices.at(cause.receivedOn)!;
    const answer = this.#port.acquire();
    answer.mark = mark;
    // An anycast address is no source either (sysctl anycast_src_echo_reply).
    const choose = group || cause.routeType === RTN_ANYCAST;
    const from = choose ? NO_ADDRESS : f;
    // What came by lo counts as come by the device of its route (icmp6_dev()).
    const home = choose ? (this.#routing.path(cause.route)?.device ?? 0) : 0;
    const bound = isLoopback ? home : cause.receivedOn;
    if (!this.#routing.output(answer, f, Field.Src0, from, choose ? 0 : Field.Dst0, mark, bound)) {
      this.#port.release(answer);
      return;
    }
    const size = cause.l4Length;
    this.#begin(answer, size, IPPROTO_ICMPV6, this.#routing.source, 0, f, Field.Src0, cause.tos);
    const at = answer.l3Off + 40;
    answer.bytes.set(cause.bytes.subarray(cause.l4Off, cause.end), at);
    answer.view.setUint8(at, ICMPV6_ECHO_REPLY);
    answer.view.setUint16(at + 2, 0);
    this.#finish(answer, cause.wireEnd - cause.end);
    this.#port.sendOwn(answer);
  }

  /** Reset for a segment to a port without a socket. */
  closedPort(cause: HostPacket): void {
    if (cause.routeType !== RTN_LOCAL) return;
    this.#reset(cause, cause.tos & 0xfc, false);
  }

  /** REJECT --reject-with tcp-reset. The checks on the segment are the caller's. */
  rejectWithReset(cause: HostPacket): void {
    if (!isUnicast(cause, Field.Src0) || !isUnicast(cause, Field.Dst0)) return;
    this.#reset(cause, 0, true);
  }

  #reset(cause: HostPacket, trafficClass: number, reject: boolean): void {
    const { f } = cause;
    const mark = this.#settings.reflectMark6 ? cause.mark : 0;
    const bound = scopeOf6(f, Field.Src0) === SCOPE_LINK ? cause.receivedOn : 0;
    const answer = this.#port.acquire();
    answer.mark = mark;
    if (!this.#routing.output(answer, f, Field.Src0, f, Field.Dst0, mark, bound)) {
      this.#port.release(answer);
      return;
    }
    this.#begin(answer, 20, IPPROTO_TCP, f, Field.Dst0, f, Field.Src0, trafficClass);
    writeReset(answer, answer.l3Off + 40, cause.view, cause.l4Off, cause.wireEnd - cause.l4Off);
    this.#finish(answer, 0);
    answer.isOrphan = true;
    // Errors that quote the reset show it. Kernel: tcp_v6_send_response(); nf_reject_ip6_tcphdr_put() sums by itself.
    if (reject) {
      this.#port.attach(answer, cause);
      this.#port.close(cause);
    } else leaveTransportChecksum(answer);
    this.#port.sendOwn(answer);
  }

  /** ICMPv6 errors get no error. Kernel: is_ineligible(). */
  #isIneligible(cause: HostPacket): boolean {
    if (cause.protocol !== IPPROTO_ICMPV6 || cause.f[Field.FragOff]! !== 0) return false;
    return cause.end < cause.l4Off + 1 || cause.view.getUint8(cause.l4Off) < 128;
  }

  #mayReach(answer: HostPacket, cause: HostPacket, causeViaLoopback: boolean): boolean {
    if (!(this.#devices.at(answer.outDevice)?.isLoopback ?? false)) {
      if (!this.#limit.allow6(cause.f, Field.Src0, this.#settings.icmp6RateLimitMs)) return false;
    }
    if (!causeViaLoopback) this.#limit.takeCredit();
    return true;
  }

  #begin(
    answer: HostPacket,
    size: number,
    protocol: number,
    source: ArrayLike<number>,
    sourceAt: number,
    destination: ArrayLike<number>,
    destinationAt: number,
    trafficClass: number,
  ): void {
    answer.attachOwn(40 + size);
    const { view, bytes } = answer;
    const at = HEADROOM;
    bytes.fill(0, at, at + 40 + size);
    answer.l3Off = at;
    const routeLimit = this.#routing.path(answer.route)?.hopLimit ?? 0;
    const deviceLimit = this.#devices.at(answer.outDevice)?.settings.hopLimit6 ?? 64;
    view.setUint32(at, (0x60000000 | (trafficClass << 20)) >>> 0);
    view.setUint16(at + 4, size);
    view.setUint8(at + 6, protocol);
    view.setUint8(at + 7, routeLimit !== 0 ? routeLimit : deviceLimit);
    for (let i = 0; i < 4; i++) {
      view.setUint32(at + 8 + (i << 2), source[sourceAt + i]!);
      view.setUint32(at + 24 + (i << 2), destination[destinationAt + i]!);
    }
    answer.wireEnd = at + 40 + size;
  }

  #finish(answer: HostPacket, missing: number): void {
    const { view, l3Off, wireEnd } = answer;
    answer.parse(6, l3Off, missing > 0 ? wireEnd - missing : wireEnd, wireEnd);
    answer.csum = CSUM_OWN;
    if (missing > 0) return;
    const l4 = answer.l4Off;
    const { protocol } = answer;
    const sum = pseudoHeaderSum(answer, protocol, wireEnd - l4) + sumView(view, l4, wireEnd);
    view.setUint16(l4 + (protocol === IPPROTO_ICMPV6 ? 2 : 16), checksumOf(sum));
  }
}

function isUnicast(p: HostPacket, at: number): boolean {
  const { f } = p;
  const some = (f[at]! | f[at + 1]! | f[at + 2]! | f[at + 3]!) !== 0;
  return some && f[at]! >>> 24 !== 0xff;
}
