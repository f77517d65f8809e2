/** Packets built from Reprs for tests: bytes with right checksums (unless told), and a parsed Packet over them. */
import { checksumOf, fold, sumBytes } from '../../src/net/checksum.js';
import { CSUM_WIRE, Packet } from '../../src/wire/packet.js';
import { writeTransportChecksum } from '../../src/wire/transport-checksum.js';
import { parseAddress } from './address.js';

export interface PacketRepr {
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  /** Transport header and payload; its checksum field is filled in. */
  readonly body: Uint8Array;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  /** Leave the transport checksum as it stands in `body`. */
  readonly rawChecksum?: boolean;
}

export function bytesOf(...parts: (number | readonly number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])));
}

export const be16 = (n: number): number[] => [(n >> 8) & 255, n & 255];
export const be32 = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

export interface TcpRepr {
  readonly sport: number;
  readonly dport: number;
  readonly flags: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly win?: number;
  readonly options?: readonly number[];
  readonly payload?: Uint8Array;
}
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;

export function tcpBody(t: TcpRepr): Uint8Array {
  const options = [...(t.options ?? [])];
  while (options.length % 4 !== 0) options.push(0);
  return bytesOf(
    be16(t.sport),
    be16(t.dport),
    be32(t.seq ?? 0),
    be32(t.ack ?? 0),
    (5 + options.length / 4) << 4,
    t.flags,
    be16(t.win ?? 65535),
    [0, 0, 0, 0],
    options,
    t.payload ?? [],
  );
}

export function udpBody(sport: number, dport: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  return bytesOf(be16(sport), be16(dport), be16(8 + payload.length), [0, 0], payload);
}

/** ICMP or ICMPv6 message; `rest` follows the four bytes of type, code and checksum. */
export function icmpBody(type: number, code: number, ...rest: (number | readonly number[] | Uint8Array)[]): Uint8Array {
  return bytesOf(type, code, [0, 0], ...rest);
}

/** The IP packet's bytes. */
export function ipBytes(r: PacketRepr): Uint8Array {
  const src = parseAddress(r.src);
  const dst = parseAddress(r.dst);
  let bytes: Uint8Array;
  if (src.length === 1) {
    const header = bytesOf(
      [0x45, r.tos ?? 0],
      be16(20 + r.body.length),
      be16(r.id ?? 0),
      [0x40, 0, r.ttl ?? 64, r.protocol, 0, 0],
      be32(src[0]!),
      be32(dst[0]!),
    );
    const sum = checksumOf(fold(sumBytes(header, 0, 20)));
    header.set(be16(sum), 10);
    bytes = bytesOf(header, r.body);
  } else {
    const first = ((6 << 28) | ((r.tos ?? 0) << 20)) >>> 0;
    bytes = bytesOf(
      be32(first),
      be16(r.body.length),
      r.protocol,
      r.ttl ?? 64,
      ...[...src].map(be32),
      ...[...dst].map(be32),
      r.body,
    );
  }
  if (r.rawChecksum !== true) writeTransportChecksum(packetOf(bytes));
  return bytes;
}

/** A fresh Packet over an IP packet's bytes; `captured` cuts it. */
export function packetOf(bytes: Uint8Array, captured: number = bytes.length): Packet {
  const packet = new Packet();
  packet.reset();
  packet.attach(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const result =
    bytes[0]! >> 4 === 6 ? packet.parse6(0, captured, bytes.length) : packet.parse4(0, captured, bytes.length);
  if (result !== 0) throw new Error(`bug: crafted packet does not parse (${result})`);
  packet.csum = CSUM_WIRE;
  return packet;
}

export function craft(r: PacketRepr): Packet {
  return packetOf(ipBytes(r));
}
