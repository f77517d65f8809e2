/**
 * Frames of the suite: made from plain values, and looked into. Written without the product's own code, so that a
 * fault there cannot hide itself here.
 */
import type { Family } from '../../src/net/netfilter.js';

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMP6 = 58;

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;

/** Address text → its 4 or 16 bytes. */
export function addressBytes(text: string): number[] {
  if (!text.includes(':')) return text.split('.').map(Number);
  const [head, tail] = text.split('::') as [string, string | undefined];
  const groups = (part: string | undefined) =>
    part === undefined || part === '' ? [] : part.split(':').map((g) => Number.parseInt(g, 16));
  const front = groups(head);
  const back = groups(tail);
  const middle = tail === undefined ? [] : new Array<number>(8 - front.length - back.length).fill(0);
  return [...front, ...middle, ...back].flatMap((g) => [g >> 8, g & 255]);
}

/** 4 or 16 bytes → text (full groups for IPv6). */
export function addressText(bytes: ArrayLike<number>): string {
  if (bytes.length === 4) return Array.from(bytes).join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  return groups.join(':');
}

/** Ones' complement sum of the bytes as 16-bit words, folded. */
export function onesSum(bytes: ArrayLike<number>, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (i + 1 < bytes.length ? bytes[i + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

export const word16 = (n: number) => [(n >> 8) & 255, n & 255];
export const word32 = (n: number) => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

export interface Ip {
  readonly family: Family;
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  readonly ttl: number;
  readonly tos: number;
  /** Identification (IPv4, 16 bits) or flow label (IPv6): tells the suite's own packets apart. */
  readonly tag: number;
  readonly dontFragment: boolean;
  /** IPv4 options, a multiple of four bytes. */
  readonly options: readonly number[];
}

/** A transport header with its payload; the checksum is filled in at `checksumAt` (-1: has none). */
export interface Segment {
  readonly bytes: readonly number[];
  readonly checksumAt: number;
  /** Protocol number in the checksum's pseudo header, where it is not the packet's. */
  readonly pseudoProtocol?: number;
}

/** CRC-32C as SCTP writes it. */
export function crc32c(bytes: readonly number[]): number[] {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78);
  }
  const value = ~crc >>> 0;
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
}

export interface TcpRepr {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  /** A multiple of four bytes. */
  readonly options: readonly number[];
  readonly payload: readonly number[];
}

export function tcpSegment(t: TcpRepr): Segment {
  return {
    bytes: [
      ...word16(t.srcPort),
      ...word16(t.dstPort),
      ...word32(t.seq),
      ...word32(t.ack),
      ((20 + t.options.length) / 4) << 4,
      t.flags,
      ...word16(t.window),
      0,
      0,
      0,
      0,
      ...t.options,
      ...t.payload,
    ],
    checksumAt: 16,
  };
}

export function udpSegment(srcPort: number, dstPort: number, payload: readonly number[]): Segment {
  return {
    bytes: [...word16(srcPort), ...word16(dstPort), ...word16(8 + payload.length), 0, 0, ...payload],
    checksumAt: 6,
  };
}

export function icmpSegment(type: number, code: number, rest: readonly number[], payload: readonly number[]): Segment {
  return { bytes: [type, code, 0, 0, ...rest, ...payload], checksumAt: 2 };
}

/** The transport's bytes with the right checksum. */
export function completed(ip: Ip, segment: Segment): number[] {
  const bytes = [...segment.bytes];
  if (segment.checksumAt < 0) return bytes;
  let sum = 0;
  if (ip.protocol !== ICMP) {
    sum = onesSum(
      [...addressBytes(ip.src), ...addressBytes(ip.dst)],
      (segment.pseudoProtocol ?? ip.protocol) + bytes.length,
    );
  }
  const checksum = ~onesSum(bytes, sum) & 0xffff;
  const value = checksum === 0 && ip.protocol === UDP ? 0xffff : checksum;
  bytes[segment.checksumAt] = value >> 8;
  bytes[segment.checksumAt + 1] = value & 255;
  return bytes;
}

/** An IP packet; `fragment` is the raw IPv4 fragment word (flags and offset) or undefined. */
export function ipPacket(ip: Ip, payload: readonly number[], fragment?: number): number[] {
  if (ip.family === 6) {
    return [
      0x60 | (ip.tos >> 4),
      ((ip.tos & 15) << 4) | ((ip.tag >> 16) & 15),
      ...word16(ip.tag & 0xffff),
      ...word16(payload.length),
      ip.protocol,
      ip.ttl,
      ...addressBytes(ip.src),
      ...addressBytes(ip.dst),
      ...payload,
    ];
  }
  const header = [
    0x40 | ((20 + ip.options.length) / 4),
    ip.tos,
    ...word16(20 + ip.options.length + payload.length),
    ...word16(ip.tag),
    ...word16(fragment ?? (ip.dontFragment ? 0x4000 : 0)),
    ip.ttl,
    ip.protocol,
    0,
    0,
    ...addressBytes(ip.src),
    ...addressBytes(ip.dst),
    ...ip.options,
  ];
  const checksum = ~onesSum(header) & 0xffff;
  header[10] = checksum >> 8;
  header[11] = checksum & 255;
  return [...header, ...payload];
}

/**
 * The packet in pieces: `cuts` are offsets into the payload (multiples of 8). IPv6 pieces get a fragment header with
 * identification `id`.
 */
export function fragments(ip: Ip, payload: readonly number[], cuts: readonly number[], id: number): number[][] {
  const edges = [0, ...cuts.filter((c) => c > 0 && c < payload.length && c % 8 === 0), payload.length];
  const starts = [...new Set(edges)].sort((a, b) => a - b);
  const pieces: number[][] = [];
  for (let i = 0; i + 1 < starts.length; i++) {
    const from = starts[i]!;
    const to = starts[i + 1]!;
    const more = to < payload.length ? 1 : 0;
    if (ip.family === 4) {
      pieces.push(ipPacket(ip, payload.slice(from, to), (more << 13) | (from / 8)));
    } else {
      const header = [ip.protocol, 0, ...word16(from | more), ...word32(id)];
      pieces.push(ipPacket({ ...ip, protocol: 44 }, [...header, ...payload.slice(from, to)]));
    }
  }
  return pieces;
}

export function ethernet(dst: string, src: string, family: Family, packet: readonly number[]): Uint8Array {
  const mac = (text: string) => text.split(':').map((x) => Number.parseInt(x, 16));
  return Uint8Array.from([...mac(dst), ...mac(src), ...(family === 4 ? [8, 0] : [0x86, 0xdd]), ...packet]);
}

/** What the suite reads from a frame or packet that came out. */
export interface Seen {
  readonly family: Family;
  readonly src: string;
  readonly dst: string;
  /** Last protocol after the IPv6 extension headers that the suite itself makes (fragment header). */
  readonly protocol: number;
  readonly tag: number;
  readonly ttl: number;
  /** Offset of the transport header from the start of the IP header. */
  readonly l4: number;
  readonly srcPort: number;
  readonly dstPort: number;
  /** The IP packet's bytes. */
  readonly packet: Uint8Array;
  readonly fragment: boolean;
}

/** Reads an IP packet; undefined if it is none, or too short. */
export function look(packet: Uint8Array): Seen | undefined {
  if (packet.length < 20) return undefined;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const version = packet[0]! >> 4;
  let l4: number;
  let protocol: number;
  let fragment = false;
  if (version === 4) {
    l4 = (packet[0]! & 15) * 4;
    protocol = packet[9]!;
    fragment = (view.getUint16(6) & 0x3fff) !== 0;
  } else if (version === 6 && packet.length >= 40) {
    l4 = 40;
    protocol = packet[6]!;
    while ([0, 43, 44, 60].includes(protocol) && l4 + 8 <= packet.length) {
      if (protocol === 44) fragment = (view.getUint16(l4 + 2) & 0xfff9) !== 0;
      const size = protocol === 44 ? 8 : (packet[l4 + 1]! + 1) * 8;
      protocol = packet[l4]!;
      l4 += size;
    }
  } else return undefined;
  const ports = l4 + 4 <= packet.length && (protocol === TCP || protocol === UDP || [132, 33, 136].includes(protocol));
  return {
    family: version === 4 ? 4 : 6,
    src: addressText(version === 4 ? packet.subarray(12, 16) : packet.subarray(8, 24)),
    dst: addressText(version === 4 ? packet.subarray(16, 20) : packet.subarray(24, 40)),
    protocol,
    tag: version === 4 ? view.getUint16(4) : view.getUint32(0) & 0xfffff,
    ttl: packet[version === 4 ? 8 : 7]!,
    l4,
    srcPort: ports ? view.getUint16(l4) : 0,
    dstPort: ports ? view.getUint16(l4 + 2) : 0,
    packet,
    fragment,
  };
}
