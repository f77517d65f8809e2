/**
 * IPv4 options as the stack treats them on the way in, forward, and in its answers: record route is filled in, time
 * stamps are filled in, router alert noted, source routes found, malformed ones pointed at.
 * Kernel: ip_options_compile(), ip_options_echo(), ip_forward_options() (net/ipv4/ip_options.c).
 */
import { checksumOf, sumBytes } from '../net/checksum.js';
import type { HostPacket } from './host-packet.js';

const END = 0;
const NOP = 1;
const RECORD_ROUTE = 7;
const TIMESTAMP = 68;
const LOOSE_ROUTE = 131;
const STRICT_ROUTE = 137;
const ROUTER_ALERT = 148;

/** Kinds of time stamp. */
const TS_ONLY = 0;
const TS_AND_ADDRESS = 1;
const TS_PRESPECIFIED = 3;

export const OPTIONS_OK = -1;
export const OPTIONS_SOURCE_ROUTE = -2;

/** What reading options asks of the host. */
export interface OptionReader {
  /** The host's address as the sender sees it. */
  readonly address: number;
  /** Milliseconds since midnight UTC. */
  readonly milliseconds: number;
  /** True if the address is the host's own, or no plain unicast one. */
  isOwn(address: number): boolean;
}

/**
 * Reads the options of a received packet and writes what a receiver writes into them: its address into record route,
 * time into a time stamp. The header checksum stays behind until the packet is forwarded, as the kernel's does.
 * Returns OPTIONS_OK, OPTIONS_SOURCE_ROUTE, or the offset in the IP header of the byte that is wrong (for ICMP 12/0).
 */
export function readOptions(p: HostPacket, reader: OptionReader): number {
  const { view, l3Off } = p;
  const end = l3Off + p.l3Size;
  p.recordRouteOff = 0;
  p.timestampOff = 0;
  p.optionsChanged = false;
  p.needsRecord = false;
  p.needsTimestamp = false;
  let sourceRoute = false;
  let at = l3Off + 20;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === END) break;
    if (kind === NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return at - l3Off;
    const size = view.getUint8(at + 1);
    if (size < 2 || at + size > end) return at - l3Off;
    let fault = -1;
    if (kind === LOOSE_ROUTE || kind === STRICT_ROUTE) {
      if (size < 3) fault = at + 1;
      else if (view.getUint8(at + 2) < 4) fault = at + 2;
      else if (sourceRoute) fault = at;
      sourceRoute = true;
    } else if (kind === RECORD_ROUTE) fault = readRecordRoute(p, at, size, reader);
    else if (kind === TIMESTAMP) fault = readTimestamp(p, at, size, reader);
    else if (kind === ROUTER_ALERT && size < 4) fault = at + 1;
    if (fault !== -1) return fault - l3Off;
    at += size;
  }
  return sourceRoute ? OPTIONS_SOURCE_ROUTE : OPTIONS_OK;
}

/** Offset of the wrong byte, or -1. */
function readRecordRoute(p: HostPacket, at: number, size: number, reader: OptionReader): number {
  const { view } = p;
  if (p.recordRouteOff !== 0) return at;
  if (size < 3) return at + 1;
  const pointer = view.getUint8(at + 2);
  if (pointer < 4) return at + 2;
  if (pointer <= size) {
    if (pointer + 3 > size) return at + 2;
    view.setUint32(at + pointer - 1, reader.address);
    view.setUint8(at + 2, pointer + 4);
    p.needsRecord = true;
    p.optionsChanged = true;
  }
  p.recordRouteOff = at;
  return -1;
}

/** Offset of the wrong byte, or -1. */
function readTimestamp(p: HostPacket, at: number, size: number, reader: OptionReader): number {
  const { view } = p;
  if (p.timestampOff !== 0) return at;
  if (size < 4) return at + 1;
  const pointer = view.getUint8(at + 2);
  if (pointer < 5) return at + 2;
  const flags = view.getUint8(at + 3) & 15;
  if (pointer <= size) {
    if (pointer + 3 > size) return at + 2;
    if (flags !== TS_ONLY && pointer + 7 > size) return at + 2;
    let timeAt = at + pointer - 1;
    if (flags === TS_ONLY) view.setUint8(at + 2, pointer + 4);
    else if (flags === TS_AND_ADDRESS) {
      view.setUint32(timeAt, reader.address);
      timeAt += 4;
      view.setUint8(at + 2, pointer + 8);
    } else if (flags === TS_PRESPECIFIED) {
      if (reader.isOwn(view.getUint32(timeAt))) {
        timeAt += 4;
        view.setUint8(at + 2, pointer + 8);
      } else timeAt = 0;
    } else return at + 3;
    if (timeAt !== 0) {
      view.setUint32(timeAt, reader.milliseconds);
      p.needsTimestamp = true;
      p.optionsChanged = true;
    }
  } else if (flags !== TS_PRESPECIFIED) {
    const overflow = view.getUint8(at + 3) >> 4;
    if (overflow === 15) return at + 3;
    view.setUint8(at + 3, flags | ((overflow + 1) << 4));
    p.optionsChanged = true;
  }
  p.timestampOff = at;
  return -1;
}

/** On being forwarded, record route shows the address on the way out; the checksum catches up with what was written. */
export function writeForwardOptions(p: HostPacket, address: number): void {
  if (!p.optionsChanged) return;
  const { view, l3Off } = p;
  if (p.needsRecord) view.setUint32(p.recordRouteOff + view.getUint8(p.recordRouteOff + 2) - 5, address);
  view.setUint16(l3Off + 10, 0);
  view.setUint16(l3Off + 10, checksumOf(sumBytes(p.bytes, l3Off, l3Off + p.l3Size)));
}

/** Bytes of options in an answer to the packet: its record route and time stamp, padded. */
export function optionSizeOf(cause: HostPacket): number {
  let size = 0;
  if (cause.recordRouteOff !== 0) size += cause.view.getUint8(cause.recordRouteOff + 1);
  if (cause.timestampOff !== 0) size += cause.view.getUint8(cause.timestampOff + 1);
  return (size + 3) & ~3;
}

/**
 * Writes an answer's options: those of the cause, with one more entry by the answering host, whose address is `source`.
 * Kernel: __ip_options_echo(), ip_options_build().
 */
export function echoOptions(cause: HostPacket, answer: HostPacket, start: number, source: number, ms: number): void {
  const { view } = answer;
  let at = start;
  if (cause.recordRouteOff !== 0) {
    const size = cause.view.getUint8(cause.recordRouteOff + 1);
    answer.bytes.set(cause.bytes.subarray(cause.recordRouteOff, cause.recordRouteOff + size), at);
    const pointer = view.getUint8(at + 2);
    if (cause.needsRecord && pointer + 3 <= size) {
      view.setUint32(at + pointer - 1, source);
      view.setUint8(at + 2, pointer + 4);
    }
    at += size;
  }
  if (cause.timestampOff === 0) return;
  const size = cause.view.getUint8(cause.timestampOff + 1);
  answer.bytes.set(cause.bytes.subarray(cause.timestampOff, cause.timestampOff + size), at);
  const pointer = view.getUint8(at + 2);
  const flags = view.getUint8(at + 3) & 15;
  const entry = flags === TS_ONLY ? 4 : 8;
  // Answers add nothing where the sender has named the hosts.
  if (!cause.needsTimestamp || flags === TS_PRESPECIFIED || pointer + entry - 1 > size) return;
  if (flags === TS_AND_ADDRESS) view.setUint32(at + pointer - 1, source);
  view.setUint32(at + pointer - 1 + entry - 4, ms);
  view.setUint8(at + 2, pointer + entry);
}
