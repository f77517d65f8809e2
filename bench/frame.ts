/** Ethernet frames with right checksums, and classic pcap files of them, for workloads. */
import { parseIp6 } from '../src/net/ip6.js';

const ETHERNET_SIZE = 14;
const PCAP_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;

export interface Segment {
  readonly family: 4 | 6;
  /** Dotted or colon text. */
  readonly src: string;
  readonly dst: string;
  readonly protocol: 6 | 17;
  readonly srcPort: number;
  readonly dstPort: number;
  /** TCP only. */
  readonly flags?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly payloadSize?: number;
  readonly srcMac: string;
  readonly dstMac: string;
}

function addressBytes(text: string, family: 4 | 6): Uint8Array {
  if (family === 4) return Uint8Array.from(text.split('.').map(Number));
  const out = new Uint8Array(16);
  const view = new DataView(out.buffer);
  for (const [i, word] of parseIp6(text)!.entries()) view.setUint32(4 * i, word);
  return out;
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':').map((part) => Number.parseInt(part, 16)));
}

function sum16(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i + 1 < to; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if ((to - from) & 1) sum += bytes[to - 1]! << 8;
  return sum;
}

function folded(sum: number): number {
  let s = sum;
  while (s > 0xffff) s = (s & 0xffff) + Math.floor(s / 0x10000);
  return ~s & 0xffff;
}

/** The whole frame. */
export function frameOf(s: Segment): Uint8Array {
  const ipSize = s.family === 4 ? 20 : 40;
  const l4Size = (s.protocol === 6 ? 20 : 8) + (s.payloadSize ?? 0);
  const bytes = new Uint8Array(ETHERNET_SIZE + ipSize + l4Size);
  const view = new DataView(bytes.buffer);
  bytes.set(macBytes(s.dstMac), 0);
  bytes.set(macBytes(s.srcMac), 6);
  view.setUint16(12, s.family === 4 ? 0x0800 : 0x86dd);
  const src = addressBytes(s.src, s.family);
  const dst = addressBytes(s.dst, s.family);
  const l3 = ETHERNET_SIZE;
  const l4 = l3 + ipSize;
  if (s.family === 4) {
    bytes[l3] = 0x45;
    view.setUint16(l3 + 2, ipSize + l4Size);
    view.setUint16(l3 + 6, 0x4000);
    bytes[l3 + 8] = 64;
    bytes[l3 + 9] = s.protocol;
    bytes.set(src, l3 + 12);
    bytes.set(dst, l3 + 16);
    view.setUint16(l3 + 10, folded(sum16(bytes, l3, l4)));
  } else {
    bytes[l3] = 0x60;
    view.setUint16(l3 + 4, l4Size);
    bytes[l3 + 6] = s.protocol;
    bytes[l3 + 7] = 64;
    bytes.set(src, l3 + 8);
    bytes.set(dst, l3 + 24);
  }
  view.setUint16(l4, s.srcPort);
  view.setUint16(l4 + 2, s.dstPort);
  if (s.protocol === 6) {
    view.setUint32(l4 + 4, s.seq ?? 0);
    view.setUint32(l4 + 8, s.ack ?? 0);
    bytes[l4 + 12] = 0x50;
    bytes[l4 + 13] = s.flags ?? 0;
    view.setUint16(l4 + 14, 0xffff);
  } else {
    view.setUint16(l4 + 4, l4Size);
  }
  const pseudo = sum16(src, 0, src.length) + sum16(dst, 0, dst.length) + s.protocol + l4Size;
  const checksum = folded(pseudo + sum16(bytes, l4, bytes.length));
  view.setUint16(l4 + (s.protocol === 6 ? 16 : 6), checksum === 0 && s.protocol === 17 ? 0xffff : checksum);
  return bytes;
}

/** A pcap file (microseconds, Ethernet) with one frame every `gapUs`. */
export function pcapOf(frames: readonly Uint8Array[], startUs: number, gapUs: number): Uint8Array {
  const size = frames.reduce((sum, frame) => sum + RECORD_HEADER_SIZE + frame.length, PCAP_HEADER_SIZE);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 262144, true);
  view.setUint32(20, 1, true);
  let at = PCAP_HEADER_SIZE;
  frames.forEach((frame, i) => {
    const us = startUs + i * gapUs;
    view.setUint32(at, Math.floor(us / 1e6), true);
    view.setUint32(at + 4, us % 1e6, true);
    view.setUint32(at + 8, frame.length, true);
    view.setUint32(at + 12, frame.length, true);
    bytes.set(frame, at + RECORD_HEADER_SIZE);
    at += RECORD_HEADER_SIZE + frame.length;
  });
  return bytes;
}
