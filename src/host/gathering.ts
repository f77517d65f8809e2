/**
 * Fragments on their way through the host: joined into datagrams where somebody needs the whole, and given up in time.
 * Kernel: ip_defrag(), ipv6_frag_rcv(), ip_expire(), ip6frag_expire_frag_queue().
 */
import { ICMP_TIME_EXCEEDED } from './answer.js';
import { ICMPV6_PARAMPROB, ICMPV6_TIME_EXCEED } from './answer6.js';
import { RTN_LOCAL } from './host-config.js';
import type { HostPacket } from './host-packet.js';
import { TO_LOCAL } from './ip4-routing.js';
import type { Pipeline } from './pipeline.js';
import { type FragmentQueue, type Gatherer, restoreFirstPiece } from './reassembly.js';

const CODE_REASSEMBLY = 1;

export class Gathering {
  readonly #pipeline: Pipeline;

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline;
  }

  /** Gives up the datagrams that were not completed by now. */
  runTimers(): void {
    const { reassembly } = this.#pipeline;
    if (reassembly.isEmpty) return;
    for (const queue of reassembly.expired()) this.#expire(queue);
  }

  /** True: the packet is now the whole datagram, or one to go on with as it is. False: it waits in a queue, or was of no use; either way it is gone. */
  gather(p: HostPacket, gatherer: Gatherer): boolean {
    if (this.#pipeline.reassembly.gather(p, gatherer)) {
      if (gatherer === 'own') {
        p.mayBeCut = true;
        p.piecesHadDf = false;
      }
      return true;
    }
    const { refused, wrongAt, wrongCode } = this.#pipeline.reassembly;
    if (wrongAt >= 0) {
      if (gatherer !== 'local-deliver') return true;
      this.#pipeline.answers6.sendError(p, ICMPV6_PARAMPROB, wrongCode, wrongAt);
    }
    if (refused !== undefined) this.#pipeline.drop(p, 'reassembly', refused);
    else {
      this.#pipeline.events.held?.(p, 'fragments');
      this.#pipeline.pool.release(p);
    }
    return false;
  }

  /** Kernel: ip_expire(), ip6frag_expire_frag_queue(): the sender is told if the first piece had come. */
  #expire(queue: FragmentQueue): void {
    const p = this.#pipeline.pool.acquire();
    p.family = queue.family;
    const own = queue.gatherer === 'own' || queue.gatherer === 'conntrack-out';
    if (own || !restoreFirstPiece(queue, p)) {
      this.#pipeline.drop(p, 'reassembly', 'fragments not completed in time');
      return;
    }
    if (queue.family === 6) this.#pipeline.answers6.sendError(p, ICMPV6_TIME_EXCEED, CODE_REASSEMBLY);
    else if (this.#pipeline.routing4.input(p) === TO_LOCAL && p.routeType === RTN_LOCAL) {
      this.#pipeline.answers4.sendError(p, ICMP_TIME_EXCEEDED, CODE_REASSEMBLY);
    }
    this.#pipeline.drop(p, 'reassembly', 'fragments not completed in time');
  }
}
