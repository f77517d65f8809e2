/**
 * Packets that the stack makes itself over IPv4: ICMP errors, echo and time stamp replies, TCP resets. Each is built in
 * a packet of its own and handed to the pipeline, which takes it through OUTPUT.
 * Kernel: __icmp_send(), icmp_reply() (net/ipv4/icmp.c); nf_send_reset(); tcp_v4_send_reset(), ip_send_unicast_reply().
 */
import { checksumOf, sumBytes } from '../net/checksum.js';
import { PACKET_HOST } from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_TCP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_OWN, L4_OK } from '../wire/packet.js';
import { leaveTransportChecksum, pseudoHeaderSum, sumView } from '../wire/transport-checksum.js';
import type { Devices } from './device.js';
import { RT_SCOPE_LINK, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from './host-config.js';
import { HEADROOM, type HostPacket } from './host-packet.js';
import type { IcmpLimit } from './icmp-limit.js';
import { echoOptions, optionSizeOf } from './ip-option.js';
import type { Routing4 } from './ip4-routing.js';
import type { Settings } from './sysctl.js';

export const ICMP_ECHOREPLY = 0;
export const ICMP_DEST_UNREACH = 3;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETERPROB = 12;
export const ICMP_TIMESTAMP = 13;
export const ICMP_TIMESTAMPREPLY = 14;
const NR_ICMP_TYPES = 18;
const MULTICAST_TTL = 1;
const ICMP_FRAG_NEEDED = 4;
/** Bit n: type n is an error. */
const ERROR_TYPES = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12].reduce((bits, type) => bits | (1 << type), 0);

const MILLISECONDS_A_DAY = 86_400_000;

const TCP_FIN = 1;
const TCP_SYN = 2;
const TCP_RST = 4;
const TCP_ACK = 16;

/** What answers need of the host. */
export interface AnswerPort {
  acquire(): HostPacket;
  release(packet: HostPacket): void;
  /** The answer belongs to the cause's connection (nf_ct_attach()); nothing if the cause has none. */
  attach(answer: HostPacket, cause: HostPacket): void;
  /** The cause's connection closes, for REJECT sends a reset (nf_ct_set_closing()). */
  close(cause: HostPacket): void;
  /** Sends a routed own packet through OUTPUT; takes it over. */
  sendOwn(answer: HostPacket): void;
  /** Microseconds since the epoch. */
  nowUs(): number;
}

export class Answers4 {
  readonly #port: AnswerPort;
  readonly #routing: Routing4;
  readonly #devices: Devices;
  readonly #settings: Settings;
  readonly #limit: IcmpLimit;
  /** An IP identification: never 0. The kernel is free in it, so it is drawn and hangs on nothing that was sent before. */
  readonly #nextId: () => number;

  constructor(
    port: AnswerPort,
    routing: Routing4,
    devices: Devices,
    settings: Settings,
    limit: IcmpLimit,
    nextId: () => number,
  ) {
    this.#port = port;
    this.#routing = routing;
    this.#devices = devices;
    this.#settings = settings;
    this.#limit = limit;
    this.#nextId = nextId;
  }

  #millisecondsOfDay(): number {
    return Math.floor(this.#port.nowUs() / 1000) % MILLISECONDS_A_DAY;
  }

  /** `info` is the second word of the ICMP header (gateway, MTU, pointer << 24). Kernel: __icmp_send(). */
  sendError(cause: HostPacket, type: number, code: number, info = 0): void {
    const { f } = cause;
    if (f[Field.PktType]! !== PACKET_HOST) return;
    if (cause.routeType === RTN_BROADCAST || cause.routeType === RTN_MULTICAST) return;
    if (f[Field.FragOff]! !== 0) return;
    if (f[Field.Protocol]! === IPPROTO_ICMP) {
      if (cause.end < cause.l4Off + 1) return;
      const inner = cause.view.getUint8(cause.l4Off);
      if (inner > NR_ICMP_TYPES || (ERROR_TYPES & (1 << inner)) !== 0) return;
    }
    const settings = this.#settings;
    const limited = isLimited(settings, type, code);
    const viaLoopback = this.#devices.at(cause.receivedOn)?.isLoopback ?? false;
    if (limited && !viaLoopback && !this.#limit.hasCredit()) return;

    let source = cause.routeType === RTN_LOCAL ? cause.dst : 0;
    if (source === 0 && settings.icmpErrorsUseInboundAddress && cause.receivedOn !== 0) {
      source = this.#devices.selectAddress4(cause.receivedOn, cause.src, RT_SCOPE_LINK);
    }
    const tos = (f[Field.Tos]! & 0x1e) | 0xc0;
    const mark = settings.reflectMark4 ? cause.mark : 0;
    const optionSize = optionSizeOf(cause);
    const answer = this.#port.acquire();
    if (!this.#route(answer, cause.src, source, tos, mark)) {
      this.#port.release(answer);
      return;
    }
    if (limited && !this.#mayReach(answer, cause.src, viaLoopback)) {
      this.#port.release(answer);
      return;
    }

    const room = Math.min(this.#mtuOf(answer), 576) - 20 - optionSize - 8;
    if (room <= 20) {
      this.#port.release(answer);
      return;
    }
    const quoted = Math.min(cause.wireEnd - cause.l3Off, room);
    this.#begin(
      answer,
      cause,
      optionSize,
      8 + quoted,
      IPPROTO_ICMP,
      this.#routing.source,
      cause.src,
      tos,
      this.#nextId(),
    );
    const at = answer.l3Off + 20 + optionSize;
    const { view } = answer;
    view.setUint16(at, (type << 8) | code);
    view.setUint32(at + 4, info >>> 0);
    answer.bytes.set(cause.bytes.subarray(cause.l3Off, Math.min(cause.l3Off + quoted, cause.end)), at + 8);
    this.#finish(answer, cause.l3Off + quoted - cause.end);
    this.#port.attach(answer, cause);
    this.#port.sendOwn(answer);
  }

  /** Routing failed for a received packet: an error within the limits of ip_error(). */
  sendRouteError(cause: HostPacket, code: number): void {
    // The kernel hangs an error route on the packet, neither local nor broadcast.
    cause.routeType = RTN_UNICAST;
    if (this.#limit.allowRouteError(cause.src)) this.sendError(cause, ICMP_DEST_UNREACH, code);
  }

  /** Tells the sender of a nearer gateway. Kernel: ip_rt_send_redirect(). */
  sendRedirect(cause: HostPacket): void {
    const { src } = cause;
    if (!this.#limit.allowRedirect(src)) return;
    const path = this.#routing.path(cause.route);
    const gateway = path !== undefined && path.gatewayFamily === 4 ? path.gateway[0] : cause.dst;
    this.sendError(cause, ICMP_REDIRECT, 1, gateway);
    this.#limit.redirected(src);
  }

  /** Echo and time stamp requests that reached the host. `size` is the ICMP message's on the wire. Kernel: icmp_reply(). */
  reply(cause: HostPacket, type: number, size: number): void {
    const tos = cause.tos;
    const mark = this.#settings.reflectMark4 ? cause.mark : 0;
    const optionSize = optionSizeOf(cause);
    const answer = this.#port.acquire();
    const source = cause.routeType === RTN_LOCAL ? cause.dst : this.#specificDestination(cause);
    if (!this.#route(answer, cause.src, source, tos, mark)) {
      this.#port.release(answer);
      return;
    }
    const length = type === ICMP_TIMESTAMPREPLY ? 20 : size;
    this.#begin(answer, cause, optionSize, length, IPPROTO_ICMP, this.#routing.source, cause.src, tos, this.#nextId());
    const at = answer.l3Off + 20 + optionSize;
    const here = Math.min(length, cause.end - cause.l4Off);
    answer.bytes.set(cause.bytes.subarray(cause.l4Off, cause.l4Off + here), at);
    answer.view.setUint8(at, type);
    answer.view.setUint16(at + 2, 0);
    if (type === ICMP_TIMESTAMPREPLY) {
      answer.view.setUint8(at + 1, 0);
      answer.view.setUint32(at + 12, this.#millisecondsOfDay());
      answer.view.setUint32(at + 16, this.#millisecondsOfDay());
    }
    // The stamps make up for what a short request has not.
    this.#finish(answer, type === ICMP_TIMESTAMPREPLY ? 0 : length - here);
    this.#port.sendOwn(answer);
  }

  /** An address to answer a broadcast from. Kernel: fib_compute_spec_dst(). */
  #specificDestination(cause: HostPacket): number {
    const routing = this.#routing;
    const found = routing.lookup(cause.src, 0, cause.tos & 0x1c, 0, this.#devices.loopback, 0);
    const path = routing.path(found);
    return path === undefined ? this.#devices.selectAddress4(cause.receivedOn, cause.src, 0) : routing.sourceOf(path);
  }

  /** Reset for a TCP segment to a port without a socket. */
  closedPort(cause: HostPacket): void {
    if (cause.routeType !== RTN_LOCAL) return;
    const tos = cause.tos & 0xfc;
    const mark = this.#settings.reflectMark4 ? cause.mark : 0;
    const optionSize = optionSizeOf(cause);
    const answer = this.#port.acquire();
    if (!this.#route(answer, cause.src, cause.dst, tos, mark)) {
      this.#port.release(answer);
      return;
    }
    this.#reset(answer, cause, optionSize, tos);
    this.#port.sendOwn(answer);
  }

  /** REJECT --reject-with tcp-reset. The checks on the segment are the caller's. */
  rejectWithReset(cause: HostPacket): void {
    if (cause.routeType === RTN_BROADCAST || cause.routeType === RTN_MULTICAST) return;
    const mark = this.#settings.reflectMark4 ? cause.mark : 0;
    const type = this.#routing.addressType(cause.dst, 0);
    const source = type === RTN_LOCAL || type === RTN_UNICAST ? cause.dst : 0;
    const answer = this.#port.acquire();
    const hopLimit = this.#routing.path(cause.route)?.hopLimit ?? 0;
    if (!this.#routing.output(answer, cause.src, source, 0, mark, 0, true)) {
      this.#port.release(answer);
      return;
    }
    answer.mark = mark;
    this.#reset(answer, cause, 0, 0);
    if (hopLimit !== 0) answer.view.setUint8(answer.l3Off + 8, hopLimit);
    answer.isOrphan = true;
    // Kernel: nf_reject_ip_tcphdr_put(); ip_send_unicast_reply() sums by itself.
    leaveTransportChecksum(answer);
    this.#port.attach(answer, cause);
    this.#port.close(cause);
    this.#port.sendOwn(answer);
  }

  #reset(answer: HostPacket, cause: HostPacket, optionSize: number, tos: number): void {
    const from = cause.view;
    const th = cause.l4Off;
    this.#begin(answer, cause, optionSize, 20, IPPROTO_TCP, cause.dst, cause.src, tos, 0);
    const { view } = answer;
    view.setUint16(answer.l3Off + 6, 0x4000);
    const at = answer.l3Off + 20 + optionSize;
    writeReset(answer, at, from, th, cause.wireEnd - th);
    this.#finish(answer, 0);
  }

  #route(answer: HostPacket, destination: number, source: number, tos: number, mark: number): boolean {
    answer.mark = mark;
    return this.#routing.output(answer, destination, source, tos & 0x1e, mark, 0, false);
  }

  #mayReach(answer: HostPacket, destination: number, causeViaLoopback: boolean): boolean {
    if (!(this.#devices.at(answer.outDevice)?.isLoopback ?? false)) {
      if (!this.#limit.allow4(destination, this.#settings.icmpRateLimitMs)) return false;
    }
    if (!causeViaLoopback) this.#limit.takeCredit();
    return true;
  }

  #mtuOf(answer: HostPacket): number {
    const path = this.#routing.path(answer.route);
    if (path !== undefined && path.mtu !== 0) return path.mtu;
    return this.#devices.at(answer.outDevice)?.mtu ?? 1500;
  }

  /** Writes the IP header and clears the body: `size` bytes. */
  #begin(
    answer: HostPacket,
    cause: HostPacket,
    optionSize: number,
    size: number,
    protocol: number,
    source: number,
    destination: number,
    tos: number,
    id: number,
  ): void {
    const headerSize = 20 + optionSize;
    answer.attachOwn(headerSize + size);
    const { view, bytes } = answer;
    const at = HEADROOM;
    bytes.fill(0, at, at + headerSize + size);
    answer.l3Off = at;
    const hopLimit = this.#routing.path(answer.route)?.hopLimit ?? 0;
    view.setUint8(at, 0x40 | (headerSize >> 2));
    view.setUint8(at + 1, tos);
    view.setUint16(at + 2, headerSize + size);
    view.setUint16(at + 4, id);
    // A group's answer may still be sent on to one host, where OUTPUT translates it.
    const unicastTtl = hopLimit !== 0 ? hopLimit : this.#settings.defaultTtl;
    view.setUint8(at + 8, answer.routeType === RTN_MULTICAST ? MULTICAST_TTL : unicastTtl);
    view.setUint8(at + 9, protocol);
    view.setUint32(at + 12, source);
    view.setUint32(at + 16, destination);
    if (optionSize > 0) echoOptions(cause, answer, at + 20, source, this.#millisecondsOfDay());
    answer.wireEnd = at + headerSize + size;
  }

  /** Header checksum, view, transport checksum. `missing`: bytes of the end that no capture has. */
  #finish(answer: HostPacket, missing: number): void {
    const { bytes, view, l3Off: at, wireEnd } = answer;
    const headerSize = (view.getUint8(at) & 15) << 2;
    view.setUint16(at + 10, 0);
    view.setUint16(at + 10, checksumOf(sumBytes(bytes, at, at + headerSize)));
    answer.parse(4, at, missing > 0 ? wireEnd - missing : wireEnd, wireEnd);
    answer.csum = CSUM_OWN;
    const l4 = answer.l4Off;
    if (missing > 0) return;
    if (answer.protocol === IPPROTO_ICMP) view.setUint16(l4 + 2, checksumOf(sumView(view, l4, wireEnd)));
    else {
      const pseudo = pseudoHeaderSum(answer, IPPROTO_TCP, wireEnd - l4);
      view.setUint16(l4 + 16, checksumOf(pseudo + sumView(view, l4, wireEnd)));
    }
  }
}

/** TCP header of a reset that answers the segment at `th`; `size` is the segment's, header included. */
export function writeReset(answer: HostPacket, at: number, from: DataView, th: number, size: number): void {
  const { view } = answer;
  const flags = from.getUint8(th + 13);
  view.setUint16(at, from.getUint16(th + 2));
  view.setUint16(at + 2, from.getUint16(th));
  view.setUint8(at + 12, 5 << 4);
  if ((flags & TCP_ACK) !== 0) {
    view.setUint32(at + 4, from.getUint32(th + 8));
    view.setUint8(at + 13, TCP_RST);
    return;
  }
  const data = size - ((from.getUint8(th + 12) >> 4) << 2);
  const count = ((flags & TCP_SYN) !== 0 ? 1 : 0) + ((flags & TCP_FIN) !== 0 ? 1 : 0) + data;
  view.setUint32(at + 8, (from.getUint32(th + 4) + count) >>> 0);
  view.setUint8(at + 13, TCP_RST | TCP_ACK);
}

/** True if the packet has a whole TCP header without RST. */
export function mayBeReset(p: HostPacket): boolean {
  return p.protocol === IPPROTO_TCP && p.l4State === L4_OK && (p.f[Field.TcpFlags]! & TCP_RST) === 0;
}

/** Kernel: icmpv4_mask_allow(), the other way round. */
function isLimited(settings: Settings, type: number, code: number): boolean {
  if (type > NR_ICMP_TYPES) return false;
  if (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED) return false;
  return (settings.icmpRateMask & (1 << type)) !== 0;
}
