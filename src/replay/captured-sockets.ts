/**
 * Sockets of the host, told by what the host was seen to send: an address and port that answered has a process behind
 * it. A redirected connection is seen on the wire under the port that the client dialled, so that one is asked for too.
 */
import type { Conntrack, TupleView } from '../conntrack/conntrack.js';
import { Sockets } from '../host/socket.js';
import { IP_CT_DIR_ORIGINAL } from '../net/netfilter.js';
import { IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { L4_OK, type Packet } from '../wire/packet.js';

const TCP_RST = 4;

export interface SeenSockets {
  readonly ports: ReadonlySet<number>;
  readonly bound: ReadonlyMap<number, ReadonlySet<string>>;
}

export class CapturedSockets extends Sockets {
  #conntrack: Conntrack | undefined;
  readonly #tuple: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
  /** Protocol << 16 | port under which the host was seen to answer. */
  readonly #seenPorts = new Set<number>();

  /** Connections by which redirected packets are told from others. */
  attach(conntrack: Conntrack): void {
    this.#conntrack = conntrack;
  }

  /** A packet that the host was seen to send. A reset may come from the stack itself and proves nothing. */
  sawSent(packet: Packet): void {
    if (packet.l4State !== L4_OK) return;
    const isTcp = packet.protocol === IPPROTO_TCP && (packet.f[Field.TcpFlags]! & TCP_RST) === 0;
    if (!isTcp && packet.protocol !== IPPROTO_UDP) return;
    const key = (packet.protocol << 16) | packet.srcPort;
    this.#seenPorts.add(key);
    this.add(packet.protocol, packet.family, packet.f.slice(Field.Src0, Field.Src0 + 4), packet.srcPort);
  }

  /** All that the capture has told, as plain data for another host's `take`. */
  get seen(): SeenSockets {
    return { ports: this.#seenPorts, bound: this.bound };
  }

  take(seen: SeenSockets): void {
    for (const key of seen.ports) this.#seenPorts.add(key);
    this.addAll(seen.bound);
  }

  override takes(packet: Packet): boolean {
    if (super.takes(packet)) return true;
    if (this.#conntrack === undefined || packet.ct < 0) return false;
    this.#conntrack.tuple(packet.ct, IP_CT_DIR_ORIGINAL, this.#tuple);
    const dialled = this.#tuple.dstPort;
    return dialled !== packet.dstPort && this.#seenPorts.has((packet.protocol << 16) | dialled);
  }
}
