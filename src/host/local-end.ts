/**
 * What the stack does with a packet that passed INPUT, when no process is to have it: echo replies, resets of closed
 * ports, unreachables (spec 1.9). Kernel: ip_protocol_deliver_rcu(), icmp_rcv(), __udp4_lib_rcv(), tcp_v4_rcv();
 * ip6_protocol_deliver_rcu(), icmpv6_rcv().
 */
import { PACKET_HOST } from '../net/netfilter.js';
import {
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IGMP,
  IPPROTO_NONE,
  IPPROTO_PIM,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { CSUM_WIRE, L4_OK } from '../wire/packet.js';
import { CHECKSUM_WRONG, transportChecksumState } from '../wire/transport-checksum.js';
import {
  type Answers4,
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_TIMESTAMP,
  ICMP_TIMESTAMPREPLY,
  mayBeReset,
} from './answer.js';
import { type Answers6, ICMPV6_DEST_UNREACH, ICMPV6_ECHO_REQUEST, ICMPV6_PARAMPROB } from './answer6.js';
import type { DropReason } from './drop-reason.js';
import { RTN_BROADCAST, RTN_MULTICAST } from './host-config.js';
import type { HostPacket } from './host-packet.js';
import { EXTENSIONS_OK, namingByte, problemCode, problemPointer, readDestinationChain } from './ip6-option.js';
import type { Sockets } from './socket.js';
import type { Settings } from './sysctl.js';

const ICMP_PROT_UNREACH = 2;
const ICMP_PORT_UNREACH = 3;
const ICMPV6_PORT_UNREACH = 4;
const ICMPV6_UNK_NEXTHDR = 1;
const LAST_ICMP_TYPE = 18;

/** Datagrams up to this size are summed anew in any case (include/linux/skbuff.h). */
const CHECKSUM_BREAK = 76;

export class LocalEnd {
  readonly #answers4: Answers4;
  readonly #answers6: Answers6;
  readonly #settings: Settings;
  /** Undefined: no process listens anywhere. */
  readonly #sockets: Sockets | undefined;

  constructor(answers4: Answers4, answers6: Answers6, settings: Settings, sockets: Sockets | undefined) {
    this.#answers4 = answers4;
    this.#answers6 = answers6;
    this.#settings = settings;
    this.#sockets = sockets;
  }

  /** Answers the packet if the stack would; the result says why nobody took it, undefined if somebody did. */
  take(p: HostPacket): DropReason | undefined {
    if (p.family === 6) {
      const fault = readDestinationChain(p);
      if (fault > 0) this.#answers6.sendError(p, ICMPV6_PARAMPROB, problemCode(fault), problemPointer(fault));
      if (fault !== EXTENSIONS_OK) return 'bad extension header';
    }
    const { protocol } = p;
    if (protocol === IPPROTO_TCP) return this.#tcp(p);
    if (protocol === IPPROTO_UDP) return this.#udp(p);
    return p.family === 4 ? this.#other4(p) : this.#other6(p);
  }

  #tcp(p: HostPacket): DropReason | undefined {
    if (p.f[Field.PktType]! !== PACKET_HOST) return 'no socket';
    // A multicast destination may reach the TCP code of IPv6, which refuses it.
    if (p.l4State !== L4_OK) return 'bad transport header';
    const headerSize = (p.view.getUint8(p.l4Off + 12) >> 4) << 2;
    if (headerSize < 20 || headerSize > p.l4Length) return 'bad transport header';
    if (isWrong(p, p.l4Length)) return 'bad transport checksum';
    if (this.#sockets?.takes(p)) return undefined;
    if (!mayBeReset(p)) return 'closed port';
    forgetConnection(p);
    if (p.family === 4) this.#answers4.closedPort(p);
    else this.#answers6.closedPort(p);
    return 'closed port';
  }

  #udp(p: HostPacket): DropReason | undefined {
    if (p.l4State !== L4_OK) return 'bad transport header';
    let length = p.view.getUint16(p.l4Off + 4);
    if (p.family === 6 && length === 0) length = p.l4Length;
    if (length < 8 || length > p.l4Length) return 'bad transport header';
    if (isWrong(p, length)) return 'bad transport checksum';
    if (p.family === 6 && p.csum === CSUM_WIRE && p.view.getUint16(p.l4Off + 6) === 0) return 'bad transport checksum';
    if (p.family === 6 && length > CHECKSUM_BREAK && p.hasStaleSum6) return 'bad transport checksum';
    if (this.#sockets?.takes(p)) return undefined;
    if (p.routeType === RTN_BROADCAST || p.routeType === RTN_MULTICAST) return 'no socket';
    forgetConnection(p);
    // What stands behind the datagram is cut off before the error quotes it.
    p.wireEnd = p.l4Off + length;
    if (p.end > p.wireEnd) p.end = p.wireEnd;
    if (p.family === 4) this.#answers4.sendError(p, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH);
    else this.#answers6.sendError(p, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH);
    return 'closed port';
  }

  /** As UDP, but the length is the checksum's coverage, and there must be a checksum. Kernel: udplite_rcv(). */
  #udplite(p: HostPacket): DropReason | undefined {
    if (p.l4State !== L4_OK) return 'bad transport header';
    if (p.view.getUint16(p.l4Off + 4) > p.l4Length) return 'bad transport header';
    if (p.view.getUint16(p.l4Off + 6) === 0 || isWrong(p, p.l4Length)) return 'bad transport checksum';
    if (p.routeType === RTN_BROADCAST || p.routeType === RTN_MULTICAST) return 'no socket';
    forgetConnection(p);
    if (p.family === 4) this.#answers4.sendError(p, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH);
    else this.#answers6.sendError(p, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH);
    return 'closed port';
  }

  #other4(p: HostPacket): DropReason | undefined {
    switch (p.protocol) {
      case IPPROTO_ICMP:
        return this.#icmp(p);
      case IPPROTO_UDPLITE:
        return this.#udplite(p);
      case IPPROTO_IGMP:
      case IPPROTO_PIM:
        return undefined;
      default:
        this.#answers4.sendError(p, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH);
        return 'unknown protocol';
    }
  }

  #icmp(p: HostPacket): DropReason | undefined {
    if (p.l4Length < 8 || p.end < p.l4Off + 8) return 'bad transport header';
    if (isWrong(p, p.l4Length)) return 'bad transport checksum';
    const type = p.view.getUint8(p.l4Off);
    if (type > LAST_ICMP_TYPE) return 'unknown protocol';
    const toMany = p.routeType === RTN_BROADCAST || p.routeType === RTN_MULTICAST;
    if (toMany && this.#settings.icmpEchoIgnoreBroadcasts && (type === ICMP_ECHO || type === ICMP_TIMESTAMP)) {
      return 'no socket';
    }
    if (type === ICMP_ECHO && !this.#settings.icmpEchoIgnoreAll) {
      forgetConnection(p);
      this.#answers4.reply(p, ICMP_ECHOREPLY, p.l4Length);
    } else if (type === ICMP_TIMESTAMP && p.l4Length >= 12) {
      forgetConnection(p);
      this.#answers4.reply(p, ICMP_TIMESTAMPREPLY, p.l4Length);
    }
    return undefined;
  }

  #other6(p: HostPacket): DropReason | undefined {
    switch (p.protocol) {
      case IPPROTO_ICMPV6:
        return this.#icmp6(p);
      case IPPROTO_UDPLITE:
        return this.#udplite(p);
      case IPPROTO_NONE:
      case IPPROTO_PIM:
        return undefined;
      default:
        this.#answers6.sendError(p, ICMPV6_PARAMPROB, ICMPV6_UNK_NEXTHDR, namingByte(p, p.l4Off) - p.l3Off);
        return 'unknown protocol';
    }
  }

  #icmp6(p: HostPacket): DropReason | undefined {
    if (p.l4Length < 8 || p.end < p.l4Off + 8) return 'bad transport header';
    if (isWrong(p, p.l4Length)) return 'bad transport checksum';
    if (p.view.getUint8(p.l4Off) !== ICMPV6_ECHO_REQUEST || this.#settings.icmp6EchoIgnoreAll) return undefined;
    const group = p.routeType === RTN_MULTICAST;
    if (group && this.#settings.icmp6EchoIgnoreMulticast) return 'no socket';
    forgetConnection(p);
    this.#answers6.echoReply(p, group);
    return undefined;
  }
}

/** Above the protocol's entry the packet is no longer part of its connection (kernel: nf_reset_ct()). */
function forgetConnection(p: HostPacket): void {
  p.ct = -1;
  p.untracked = false;
}

function isWrong(p: HostPacket, length: number): boolean {
  if (p.verified && !p.hasStaleSum6) return false;
  return p.csum === CSUM_WIRE && transportChecksumState(p, length) === CHECKSUM_WRONG;
}
