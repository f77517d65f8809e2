/** The way of packets that are for somebody else. Kernel: ip_forward(), ip6_forward(). Per packet: allocates nothing. */
import { NF_INET_FORWARD, PACKET_HOST } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import { setTtl } from '../wire/mangle.js';
import { ICMP_TIME_EXCEEDED } from './answer.js';
import { ICMPV6_DEST_UNREACH, ICMPV6_TIME_EXCEED } from './answer6.js';
import { SCOPE_LINK, scopeOf6 } from './device.js';
import type { HostPacket } from './host-packet.js';
import { writeForwardOptions } from './ip-option.js';
import type { Output } from './output.js';
import type { Pipeline } from './pipeline.js';

const CODE_NOT_NEIGHBOUR = 2;
const IPV6_MIN_MTU = 1280;

export class Forwarder {
  readonly #pipeline: Pipeline;
  readonly #output: Output;

  constructor(pipeline: Pipeline, output: Output) {
    this.#pipeline = pipeline;
    this.#output = output;
  }

  /** Kernel: ip_forward(). */
  forward4(p: HostPacket): void {
    if (p.f[Field.PktType]! !== PACKET_HOST) {
      this.#pipeline.drop(p, 'forward', 'link-layer broadcast is not forwarded');
      return;
    }
    const { ttl } = p;
    if (ttl <= 1) {
      this.#pipeline.answers4.sendError(p, ICMP_TIME_EXCEEDED, 0);
      this.#pipeline.drop(p, 'forward', 'TTL exceeded');
      return;
    }
    const mtu = this.#pipeline.sender.mtuOf(p);
    const df = (p.view.getUint8(p.l3Off + 6) & 0x40) !== 0;
    if (p.length > mtu && df && (p.maxPiece > mtu || !(p.mayBeCut || p.offloaded))) {
      this.#pipeline.tooBig(p, mtu);
      this.#pipeline.drop(p, 'forward', 'longer than the MTU');
      return;
    }
    setTtl(p, ttl - 1);
    if (p.redirect) this.#pipeline.answers4.sendRedirect(p);
    if (!this.#pipeline.hook(p, NF_INET_FORWARD, p.receivedOn, p.outDevice)) return;
    if (p.optionsChanged) {
      const path = this.#pipeline.routing4.path(p.route);
      writeForwardOptions(p, path === undefined ? 0 : this.#pipeline.routing4.sourceOf(path));
    }
    this.#output.output(p);
  }

  /** Kernel: ip6_forward(). */
  forward6(p: HostPacket): void {
    const { f } = p;
    if (f[Field.PktType]! !== PACKET_HOST) {
      this.#pipeline.drop(p, 'forward', 'link-layer broadcast is not forwarded');
      return;
    }
    if (p.ttl <= 1) {
      this.#pipeline.answers6.sendError(p, ICMPV6_TIME_EXCEED, 0);
      this.#pipeline.drop(p, 'forward', 'TTL exceeded');
      return;
    }
    if (p.receivedOn === p.outDevice) {
      const path = this.#pipeline.routing6.path(p.route);
      if (path !== undefined && path.gatewayFamily !== 0) this.#pipeline.answers6.sendRedirect(p, path.gateway, 0);
      else this.#pipeline.answers6.sendRedirect(p, f, Field.Dst0);
    } else {
      if ((f[Field.Src0]! | f[Field.Src1]! | f[Field.Src2]! | f[Field.Src3]!) === 0) {
        this.#pipeline.drop(p, 'forward', 'source address may not be forwarded');
        return;
      }
      if (scopeOf6(f, Field.Src0) === SCOPE_LINK) {
        this.#pipeline.answers6.sendError(p, ICMPV6_DEST_UNREACH, CODE_NOT_NEIGHBOUR);
        this.#pipeline.drop(p, 'forward', 'beyond scope of the source address');
        return;
      }
    }
    const mtu = Math.max(this.#pipeline.sender.mtuOf(p), IPV6_MIN_MTU);
    if (p.length > mtu && (p.maxPiece > mtu || !(p.mayBeCut || p.offloaded))) {
      this.#pipeline.tooBig(p, mtu);
      this.#pipeline.drop(p, 'forward', 'longer than the MTU');
      return;
    }
    setTtl(p, p.ttl - 1);
    if (this.#pipeline.hook(p, NF_INET_FORWARD, p.receivedOn, p.outDevice)) this.#output.output(p);
  }
}
