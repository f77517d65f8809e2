/** What extensions ask of the host: addresses, routes, REJECT, log, nfacct. */
import { TransportPlace } from '../conntrack/tuple.js';
import type { HostServices, SharedState } from '../ext/extension.js';
import { fold } from '../net/checksum.js';
import { NF_INET_FORWARD, NF_INET_LOCAL_OUT } from '../net/netfilter.js';
import {
  IPPROTO_AH,
  IPPROTO_DCCP,
  IPPROTO_ESP,
  IPPROTO_GRE,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_WIRE, type Packet } from '../wire/packet.js';
import {
  CHECKSUM_UNKNOWN,
  CHECKSUM_WRONG,
  pseudoHeaderSum,
  sumView,
  transportChecksumState,
} from '../wire/transport-checksum.js';
import { type Answers4, ICMP_DEST_UNREACH, mayBeReset } from './answer.js';
import { type Answers6, ICMPV6_DEST_UNREACH } from './answer6.js';
import { type Devices, scopeOf6 } from './device.js';
import { type HostConfig, type NfacctConfig, RT_SCOPE_UNIVERSE } from './host-config.js';
import type { HostPacket } from './host-packet.js';
import type { Routing4 } from './ip4-routing.js';
import type { Routing6 } from './ip6-routing.js';

/** Codes of ICMP destination unreachable by the printed reject type. */
const CODES4: ReadonlyMap<string, number> = new Map([
  ['icmp-net-unreachable', 0],
  ['icmp-host-unreachable', 1],
  ['icmp-proto-unreachable', 2],
  ['icmp-port-unreachable', 3],
  ['icmp-net-prohibited', 9],
  ['icmp-host-prohibited', 10],
  ['icmp-admin-prohibited', 13],
]);
const CODES6: ReadonlyMap<string, number> = new Map([
  ['icmp6-no-route', 0],
  ['icmp6-adm-prohibited', 1],
  ['icmp6-addr-unreachable', 3],
  ['icmp6-port-unreachable', 4],
  ['icmp6-policy-fail', 5],
  ['icmp6-reject-route', 6],
]);

const LOOPBACK_ADDRESS = 0x7f000001;

/** What the services need of the pipeline. */
export interface ServicePort {
  readonly devices: Devices;
  readonly routing4: Routing4;
  readonly routing6: Routing6;
  readonly answers4: Answers4;
  readonly answers6: Answers6;
  log(level: number, line: string): void;
}

interface Nfacct {
  readonly config: NfacctConfig;
  packets: number;
  bytes: number;
}

export class Services implements HostServices {
  readonly #port: ServicePort;
  readonly #nfacct = new Map<string, Nfacct>();
  readonly #place = new TransportPlace();

  constructor(port: ServicePort, config: HostConfig) {
    this.#port = port;
    for (const [name, made] of config.nfacct ?? []) this.#nfacct.set(name, { config: made, packets: 0, bytes: 0 });
  }

  deviceName(index: number): string {
    return this.#port.devices.at(index)?.name ?? '';
  }

  isEthernet(index: number): boolean {
    return this.#port.devices.at(index)?.hasEthernet ?? false;
  }

  addressType(packet: Packet, first: 0 | 4, device: number): number {
    return this.#port.routing4.addressType(packet.f[first]!, device);
  }

  addressTypeMatches6(packet: Packet, first: 0 | 4, device: number, typeMask: number): boolean {
    return this.#port.routing6.matchesTypes(packet.f, first, device, typeMask);
  }

  reject(packet: Packet, how: string): void {
    const p = packet as HostPacket; // Every packet that walks a host's tables is one of its own.
    if (how === 'tcp-reset') this.#rejectWithReset(p);
    else if (p.family === 4) this.#reject4(p, CODES4.get(how)!);
    else this.#reject6(p, CODES6.get(how)!);
  }

  #rejectWithReset(p: HostPacket): void {
    if (!mayBeReset(p) || p.f[Field.FragOff]! !== 0) return;
    // Forwarding gives up the sum that conntrack took (skb_forward_csum()); errors ask only whether it was right.
    if (!sumsUp(p, p.verified && p.hook !== NF_INET_FORWARD)) return;
    if (p.family === 4) this.#port.answers4.rejectWithReset(p);
    else this.#port.answers6.rejectWithReset(p);
  }

  #reject4(p: HostPacket, code: number): void {
    if (p.f[Field.FragOff]! !== 0) return;
    // The ICMP code is not re-entrant: while it sends a message it makes no other.
    if (p.fromKernel && p.protocol === IPPROTO_ICMP && p.hook === NF_INET_LOCAL_OUT) return;
    if (p.csum === CSUM_WIRE && !mayAnswer(p)) return;
    this.#port.answers4.sendError(p, ICMP_DEST_UNREACH, code);
  }

  #reject6(p: HostPacket, code: number): void {
    if (p.fromKernel && p.protocol === IPPROTO_ICMPV6 && p.hook === NF_INET_LOCAL_OUT) return;
    if (p.f[Field.FragOff]! !== 0) return;
    if (p.csum === CSUM_WIRE && !this.#mayAnswer6(p)) return;
    const device = p.hook === NF_INET_LOCAL_OUT ? this.#port.devices.loopback : p.receivedOn;
    this.#port.answers6.sendError(p, ICMPV6_DEST_UNREACH, code, 0, device);
  }

  /** Kernel: reject6_csum_ok(). Unlike ip6tables it looks behind an authentication header, and wants a payload. */
  #mayAnswer6(p: HostPacket): boolean {
    if (p.verified) return true;
    const place = this.#place;
    const { view, l3Off, end, wireEnd } = p;
    if (!place.skipFrom(view, end, view.getUint8(l3Off + 6), l3Off + 40) || place.off >= wireEnd) return false;
    if (p.protocol !== IPPROTO_AH || NO_WHOLE_SUM.has(place.protocol)) return mayAnswer(p);
    if (p.isCut) return true;
    const pseudo = pseudoHeaderSum(p, place.protocol, wireEnd - place.off);
    return fold(pseudo + sumView(view, place.off, wireEnd)) === 0xffff;
  }

  log(level: number, line: string): void {
    this.#port.log(level, line);
  }

  pathMtu(packet: Packet): number {
    const p = packet as HostPacket;
    const forward = this.#mtu(p.family, p.route, p.outDevice);
    const { f } = p;
    if (p.family === 4) {
      const { routing4 } = this.#port;
      const back = routing4.lookup(f[Field.Src0]!, 0, 0, 0, this.#port.devices.loopback, 0);
      return Math.min(forward, this.#mtu(4, back, routing4.path(back)?.device ?? 0));
    }
    const { routing6 } = this.#port;
    const back = routing6.lookup(f, Field.Src0, 0);
    return Math.min(forward, this.#mtu(6, back, routing6.path(back)?.device ?? 0));
  }

  #mtu(family: 4 | 6, route: number, device: number): number {
    const path = family === 4 ? this.#port.routing4.path(route) : this.#port.routing6.path(route);
    if (path !== undefined && path.mtu !== 0) return path.mtu;
    return this.#port.devices.at(device)?.mtu ?? 0xffffffff;
  }

  /** The packet may move to another buffer: read its offsets again afterwards. The IP length is the caller's. */
  insertBytes(packet: Packet, at: number, size: number): void {
    const p = packet as HostPacket;
    const within = at - p.l3Off;
    p.moveToOwn(size);
    const place = p.l3Off + within;
    p.bytes.copyWithin(place + size, place, p.end);
    p.bytes.fill(0, place, place + size);
    p.end += size;
    p.wireEnd += size;
    if (p.l4Off > place) p.l4Off += size;
  }

  masqueradeAddress(packet: Packet, out: Uint32Array): boolean {
    const p = packet as HostPacket;
    const { devices, routing4 } = this.#port;
    const { f } = p;
    if (p.family === 6) {
      const chosen = devices.selectAddress6(p.outDevice, [f[4]!, f[5]!, f[6]!, f[7]!]);
      if (chosen === undefined) return false;
      out.set(chosen);
      return true;
    }
    const path = routing4.path(p.route);
    const hop = path !== undefined && path.gatewayFamily === 4 ? path.gateway[0] : p.dst;
    // Written out: a call of fill() costs more than the rest.
    out[1] = out[2] = out[3] = 0;
    out[0] = devices.selectAddress4(p.outDevice, hop, RT_SCOPE_UNIVERSE);
    return out[0] !== 0;
  }

  redirectAddress(packet: Packet, out: Uint32Array): boolean {
    const p = packet as HostPacket;
    const { devices } = this.#port;
    out.fill(0, 0, 4);
    if (p.hook === NF_INET_LOCAL_OUT) {
      if (p.family === 4) out[0] = LOOPBACK_ADDRESS;
      else out[3] = 1;
      return true;
    }
    const device = devices.at(p.receivedOn);
    if (device === undefined) return false;
    if (p.family === 4) {
      const first = device.addresses4.find((a) => !a.secondary) ?? device.addresses4[0];
      if (first === undefined) return false;
      out[0] = first.address[0];
      return true;
    }
    const scope = scopeOf6(p.f, Field.Dst0);
    const found = device.addresses6.find((a) => !a.tentative && !a.deprecated && scopeOf6(a.address) === scope);
    if (found === undefined) return false;
    out.set(found.address);
    return true;
  }

  hasNfacct(name: string): boolean {
    return this.#nfacct.has(name);
  }

  countNfacct(name: string, bytes: number): boolean {
    let object = this.#nfacct.get(name);
    if (object === undefined) {
      // The kernel loads no rule that names a missing object, so a dump that names it proves that it was there.
      object = { config: {}, packets: 0, bytes: 0 };
      this.#nfacct.set(name, object);
    }
    object.packets++;
    object.bytes += bytes;
    const { quota, unit } = object.config;
    if (quota === undefined) return true;
    return (unit === 'packets' ? object.packets : object.bytes) > quota;
  }

  /** Packets and bytes of a nfacct object. */
  nfacct(name: string): { readonly packets: number; readonly bytes: number } | undefined {
    return this.#nfacct.get(name);
  }
}

/** Protocols without a sum over their whole payload. */
const NO_WHOLE_SUM: ReadonlySet<number> = new Set([
  IPPROTO_GRE,
  IPPROTO_ESP,
  IPPROTO_AH,
  IPPROTO_SCTP,
  IPPROTO_UDPLITE,
]);

/** Kernel: nf_reject_verify_csum() and the sum that it calls for. */
function mayAnswer(p: HostPacket): boolean {
  if (NO_WHOLE_SUM.has(p.protocol)) return true;
  if (p.protocol === IPPROTO_UDP && p.end >= p.l4Off + 8 && p.view.getUint16(p.l4Off + 6) === 0) return true;
  return sumsUp(p, p.verified);
}

/**
 * Kernel: nf_ip_checksum(), nf_ip6_checksum(): the payload, with the pseudo header where there is one, sums to 0xffff.
 * Protocols without such a checksum, and first fragments, are summed all the same, but for what was `verified` before.
 */
function sumsUp(p: HostPacket, verified: boolean): boolean {
  if (p.csum !== CSUM_WIRE || verified) return true;
  // IPv4 sums over the IP header too, which is wrong once options were written into it.
  if (p.optionsChanged) return false;
  // Linux 6.16 took DCCP out: its sum is that of a protocol that nobody knows.
  const state = p.protocol === IPPROTO_DCCP ? CHECKSUM_UNKNOWN : transportChecksumState(p);
  if (state !== CHECKSUM_UNKNOWN) return state !== CHECKSUM_WRONG;
  if (p.isCut) return true;
  const { protocol } = p;
  const covered = p.family === 6 || protocol === IPPROTO_TCP || protocol === IPPROTO_UDP;
  const pseudo = covered ? pseudoHeaderSum(p, protocol, p.l4Length) : 0;
  const sum = fold(pseudo + sumView(p.view, p.l4Off, p.wireEnd));
  // IPv4 sums from the IP header on, which is 0xffff: nothing but zeros behind it is right too.
  return sum === 0xffff || (p.family === 4 && sum === 0);
}

/** State by name for the life of a host. */
export class NamedState implements SharedState {
  readonly #objects = new Map<string, object>();

  get<T extends object>(key: string, create: () => T): T {
    let object = this.#objects.get(key);
    if (object === undefined) {
      object = create();
      this.#objects.set(key, object);
    }
    return object as T; // One key always names one kind of object.
  }
}
