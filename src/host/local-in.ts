/**
 * A packet's way to the host's own processes: INPUT, then whoever listens. Kernel: ip_local_deliver(), ip6_input().
 * Per packet: allocates nothing, but for fragments.
 */
import { NF_INET_LOCAL_IN } from '../net/netfilter.js';
import type { Gathering } from './gathering.js';
import type { HostPacket } from './host-packet.js';
import { LocalEnd } from './local-end.js';
import type { Pipeline } from './pipeline.js';
import type { Sockets } from './socket.js';

export class LocalIn {
  /** Packets that passed INPUT. */
  deliveredCount = 0;
  readonly #pipeline: Pipeline;
  readonly #gathering: Gathering;
  readonly #localEnd: LocalEnd;

  constructor(pipeline: Pipeline, gathering: Gathering, sockets: Sockets | undefined) {
    this.#pipeline = pipeline;
    this.#gathering = gathering;
    this.#localEnd = new LocalEnd(pipeline.answers4, pipeline.answers6, pipeline.settings, sockets);
  }

  /** Kernel: ip_local_deliver(). */
  input4(p: HostPacket): void {
    if (p.isFragment && !this.#gathering.gather(p, 'local-deliver')) return;
    if (this.#pipeline.hook(p, NF_INET_LOCAL_IN, p.receivedOn, 0)) this.#deliver(p);
  }

  input6(p: HostPacket, device: number): void {
    if (this.#pipeline.hook(p, NF_INET_LOCAL_IN, device, 0)) this.#deliver(p);
  }

  #deliver(p: HostPacket): void {
    // IPv6 gathers after INPUT what nobody gathered before.
    if (p.family === 6 && p.fragmentHeaderOff >= 0 && !isAtomic(p) && !this.#gathering.gather(p, 'local-deliver'))
      return;
    this.deliveredCount++;
    this.#pipeline.events.delivered?.(p);
    const reason = this.#localEnd.take(p);
    if (reason !== undefined) {
      this.#pipeline.drops.add(reason);
      this.#pipeline.events.dropped?.(p, 'local end', reason, undefined);
    }
    this.#pipeline.pool.release(p);
  }
}

/** A fragment header on a whole packet: the destination steps over it (ipv6_frag_rcv()). */
function isAtomic(p: HostPacket): boolean {
  const at = p.fragmentHeaderOff + 2;
  return at + 2 <= p.end && (p.view.getUint16(at) & 0xfff9) === 0;
}
