/**
 * The way out: from a process, an answer of the stack, or FORWARD to the sender. Kernel: __ip_local_out(), ip_output(),
 * ip_mc_output(), ip_route_me_harder() and their IPv6 counterparts. Per packet: allocates nothing, but for fragments.
 */
import { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, PACKET_HOST } from '../net/netfilter.js';
import { IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_OWN, L4_OK } from '../wire/packet.js';
import { SCOPE_LINK, scopeOf6 } from './device.js';
import type { InFrame } from './event.js';
import type { Gathering } from './gathering.js';
import { RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from './host-config.js';
import type { HostPacket } from './host-packet.js';
import { ALL_HOSTS, isMulticast4 } from './ip4-routing.js';
import type { Pipeline } from './pipeline.js';

export class Output {
  readonly #pipeline: Pipeline;
  readonly #gathering: Gathering;
  readonly #drain: () => void;

  /** `drain`: lets in what waits on lo. */
  constructor(pipeline: Pipeline, gathering: Gathering, drain: () => void) {
    this.#pipeline = pipeline;
    this.#gathering = gathering;
    this.#drain = drain;
  }

  sendLocal(frame: InFrame): void {
    const p = this.#pipeline.open(frame, true);
    if (p === undefined) return;
    p.origin = 'own';
    // Sockets of TCP, UDP and SCTP leave the checksum to the card; what others send is as it is.
    const { protocol } = p;
    const byCard = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP;
    if (p.csum === 0 && byCard) p.csum = CSUM_OWN;
    // A process sends datagrams; what left in pieces had been cut behind POSTROUTING.
    if ((p.family === 4 ? p.isFragment : p.fragmentHeaderOff >= 0) && !this.#gathering.gather(p, 'own')) return;
    if (!this.#routeOwn(p, frame.device)) {
      this.#pipeline.drop(p, 'routing', 'no route');
      return;
    }
    p.f[Field.PktType] = PACKET_HOST;
    this.localOut(p);
  }

  /** The way that the routing tables give, or if it is not by the device that the packet left by, one by that. */
  #routeOwn(p: HostPacket, device: number): boolean {
    const { f } = p;
    if (p.family === 6) {
      const link = f[Field.Dst0]! >>> 24 === 0xff || scopeOf6(f, Field.Dst0) === SCOPE_LINK;
      const bound = link ? device : 0;
      const found = this.#pipeline.routing6.output(p, f, Field.Dst0, f, Field.Src0, p.mark, bound);
      if (found && (device === 0 || p.outDevice === device)) return true;
      if (device === 0 || link) return found;
      return this.#pipeline.routing6.output(p, f, Field.Dst0, f, Field.Src0, p.mark, device) || this.#routeOwn(p, 0);
    }
    const { routing4 } = this.#pipeline;
    const found = routing4.output(p, p.dst, p.src, p.tos, p.mark, 0, true);
    if (found && (device === 0 || p.outDevice === device)) return true;
    if (device === 0) return found;
    return routing4.output(p, p.dst, p.src, p.tos, p.mark, device, true);
  }

  /** Kernel: __ip_local_out(), ip6_local_out(). The packet is routed. */
  localOut(p: HostPacket): void {
    p.local = true;
    this.#pipeline.events.routed?.(p);
    if (this.#pipeline.hook(p, NF_INET_LOCAL_OUT, 0, p.outDevice)) this.output(p);
  }

  /** Kernel: ip_output(), ip_mc_output(), ip6_output(). What goes to an own group with a TTL of 0 stays within the host. */
  output(p: HostPacket): void {
    const heard = p.local && this.#isHeardHere(p);
    if (heard && p.family === 4) {
      this.#hearCopy(p);
      if (p.ttl === 0 && p.routeType === RTN_MULTICAST) {
        this.#pipeline.drop(p, 'send', 'TTL exceeded');
        return;
      }
    }
    if (!this.#pipeline.hook(p, NF_INET_POST_ROUTING, p.local ? 0 : p.receivedOn, p.outDevice)) return;
    // IPv6 makes the copy behind POSTROUTING (ip6_finish_output2()), IPv4 before it (ip_mc_output()).
    if (heard && p.family === 6) {
      this.#hearCopy(p);
      if (p.ttl === 0) {
        this.#pipeline.drop(p, 'send', 'TTL exceeded');
        return;
      }
    }
    if (p.family === 6 && isNodeLocal(p) && p.outDevice !== this.#pipeline.devices.loopback) {
      this.#pipeline.drop(p, 'send', 'bad multicast scope');
      return;
    }
    this.#pipeline.sender.send(p);
  }

  /**
   * An own broadcast, or multicast to a group that the host is in, reaches its own sockets too.
   * Differs: a socket that asked not to hear itself (IP_MULTICAST_LOOP) does.
   */
  #isHeardHere(p: HostPacket): boolean {
    if (p.routeType !== RTN_BROADCAST && p.routeType !== RTN_MULTICAST) return false;
    if (p.outDevice === this.#pipeline.devices.loopback) return false;
    if (p.family === 4) return p.routeType === RTN_BROADCAST || p.dst === ALL_HOSTS;
    // Neighbour discovery is sent by a socket of the kernel that does not.
    if (p.fromKernel || (p.protocol === IPPROTO_ICMPV6 && p.ttl === 255 && isDiscovery(p))) return false;
    return this.#pipeline.routing6.isJoined(p.f, Field.Dst0, p.outDevice);
  }

  #hearCopy(p: HostPacket): void {
    this.#outputCopy(p);
    // A process's own copy is received, and answered, before the packet itself leaves (netif_rx() enables softirqs).
    if (p.origin === 'own') this.#drain();
  }

  /** The copy walks POSTROUTING on its own, and comes in by the device that the packet leaves by. Kernel: ip_mc_output(). */
  #outputCopy(p: HostPacket): void {
    const copy = this.#pipeline.pool.acquire();
    copy.copyOf(p);
    if (this.#pipeline.hook(copy, NF_INET_POST_ROUTING, 0, copy.outDevice)) this.#pipeline.backlog.push(copy);
  }

  /** Kernel: ip_route_me_harder(), ip6_route_me_harder(). The source address stays. */
  reroute(p: HostPacket): boolean {
    if (p.family === 6) {
      const { f } = p;
      const bound = scopeOf6(f, Field.Dst0) === SCOPE_LINK ? p.outDevice : 0;
      const found = this.#pipeline.routing6.output(p, f, Field.Dst0, f, Field.Src0, p.mark, bound);
      if (found) this.#pipeline.events.routed?.(p);
      return found;
    }
    const type = this.#pipeline.routing4.addressType(p.src, 0);
    const source = type === RTN_LOCAL || type === RTN_UNICAST ? p.src : 0;
    // With a source address, what goes to a group leaves by the device that has it (ip_route_output_key_hash_rcu()).
    const toGroup = isMulticast4(p.dst) || p.dst === 0xffffffff;
    const bound = toGroup && source !== 0 ? this.#pipeline.devices.ownerOf4(source) : 0;
    const found = this.#pipeline.routing4.output(p, p.dst, source, p.tos, p.mark, bound, true);
    if (found) this.#pipeline.events.routed?.(p);
    return found;
  }
}

/** To a group of interface-local scope or less: such packets never leave by a wire. */
function isNodeLocal(p: HostPacket): boolean {
  return p.f[Field.Dst0]! >>> 24 === 0xff && ((p.f[Field.Dst0]! >>> 16) & 15) <= 1;
}

/** Neighbour discovery: ICMPv6 types 133 to 137. */
function isDiscovery(p: HostPacket): boolean {
  const type = p.l4State === L4_OK ? p.view.getUint8(p.l4Off) : 0;
  return type >= 133 && type <= 137;
}
