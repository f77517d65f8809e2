/**
 * Packets as plain values that can only hold what can be sent, and their bytes. Views show any bytes, even nonsense;
 * a Repr is what programs, tests and people build packets from.
 */
import { checksumOf, sumBytes } from '../net/checksum.js';
import type { Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';

export interface TcpRepr {
  readonly kind: 'tcp';
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq: number;
  readonly ack: number;
  /** Flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128. */
  readonly flags: number;
  readonly window: number;
  /** Option bytes, a multiple of 4, at most 40. */
  readonly options: Uint8Array;
}
export interface UdpRepr {
  readonly kind: 'udp';
  readonly srcPort: number;
  readonly dstPort: number;
}
export interface IcmpRepr {
  /** ICMP in IPv4 packets, ICMPv6 in IPv6 ones. */
  readonly kind: 'icmp';
  readonly type: number;
  readonly code: number;
  /** The four bytes behind the checksum: id and sequence number of an echo. */
  readonly rest: number;
}
export interface RawRepr {
  readonly kind: 'raw';
  readonly protocol: number;
}
export type TransportRepr = TcpRepr | UdpRepr | IcmpRepr | RawRepr;

export interface IpRepr {
  readonly family: Family;
  /** Words as in Field.Src0: IPv4 in word 0. */
  readonly src: Words6;
  readonly dst: Words6;
  readonly ttl: number;
  readonly tos: number;
  /** IPv4 identification; IPv6 flow label. */
  readonly id: number;
  readonly dontFragment: boolean;
  readonly transport: TransportRepr;
  readonly payload: Uint8Array;
}

export function protocolOf(r: IpRepr): number {
  switch (r.transport.kind) {
    case 'tcp':
      return IPPROTO_TCP;
    case 'udp':
      return IPPROTO_UDP;
    case 'icmp':
      return r.family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    case 'raw':
      return r.transport.protocol;
  }
}

function transportHeaderSize(t: TransportRepr): number {
  return t.kind === 'tcp' ? 20 + t.options.length : t.kind === 'raw' ? 0 : 8;
}

/** Bytes of the IP packet. */
export function sizeOf(r: IpRepr): number {
  return (r.family === 4 ? 20 : 40) + transportHeaderSize(r.transport) + r.payload.length;
}

/** Writes the packet at `off` with right checksums; returns the bytes written. Precondition: sizeOf(r) bytes are there. */
export function emitIp(r: IpRepr, bytes: Uint8Array, off: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = sizeOf(r);
  const l4 = off + (r.family === 4 ? 20 : 40);
  const end = off + size;
  bytes.fill(0, off, end);
  if (r.family === 4) {
    view.setUint16(off, 0x4500 | r.tos);
    view.setUint16(off + 2, size);
    view.setUint16(off + 4, r.id);
    view.setUint16(off + 6, r.dontFragment ? 0x4000 : 0);
    view.setUint8(off + 8, r.ttl);
    view.setUint8(off + 9, protocolOf(r));
    view.setUint32(off + 12, r.src[0]);
    view.setUint32(off + 16, r.dst[0]);
    view.setUint16(off + 10, checksumOf(sumBytes(bytes, off, l4)));
  } else {
    view.setUint32(off, (0x60000000 | (r.tos << 20) | (r.id & 0xfffff)) >>> 0);
    view.setUint16(off + 4, size - 40);
    view.setUint8(off + 6, protocolOf(r));
    view.setUint8(off + 7, r.ttl);
    for (let i = 0; i < 4; i++) {
      view.setUint32(off + 8 + 4 * i, r.src[i]!);
      view.setUint32(off + 24 + 4 * i, r.dst[i]!);
    }
  }
  const t = r.transport;
  bytes.set(r.payload, l4 + transportHeaderSize(t));
  // The pseudo header is both addresses, the protocol and the transport length.
  const pseudo =
    sumBytes(bytes, r.family === 4 ? off + 12 : off + 8, r.family === 4 ? off + 20 : off + 40) +
    protocolOf(r) +
    (end - l4);
  switch (t.kind) {
    case 'tcp':
      view.setUint16(l4, t.srcPort);
      view.setUint16(l4 + 2, t.dstPort);
      view.setUint32(l4 + 4, t.seq);
      view.setUint32(l4 + 8, t.ack);
      view.setUint8(l4 + 12, (20 + t.options.length) << 2);
      view.setUint8(l4 + 13, t.flags);
      view.setUint16(l4 + 14, t.window);
      bytes.set(t.options, l4 + 20);
      view.setUint16(l4 + 16, checksumOf(sumBytes(bytes, l4, end, pseudo)));
      break;
    case 'udp':
      view.setUint16(l4, t.srcPort);
      view.setUint16(l4 + 2, t.dstPort);
      view.setUint16(l4 + 4, end - l4);
      view.setUint16(l4 + 6, checksumOf(sumBytes(bytes, l4, end, pseudo)) || 0xffff);
      break;
    case 'icmp':
      view.setUint8(l4, t.type);
      view.setUint8(l4 + 1, t.code);
      view.setUint32(l4 + 4, t.rest);
      view.setUint16(l4 + 2, checksumOf(sumBytes(bytes, l4, end, r.family === 4 ? 0 : pseudo)));
      break;
    case 'raw':
      break;
  }
  return size;
}
