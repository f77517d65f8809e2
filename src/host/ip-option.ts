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

export const OPTIONS_OK = -1;
export const OPTIONS_SOURCE_ROUTE = -2;

/**
 * Reads the options of a received packet and writes what a receiver writes into them: `address` (its own, as seen from
 * the sender) into record route, and `milliseconds` since midnight into a time stamp. Returns OPTIONS_OK,
 * OPTIONS_SOURCE_ROUTE, or the offset in the IP header of the byte that is wrong (for ICMP 12/0).
 */
export function readOptions(p: HostPacket, address: number, milliseconds: number): number {
  const { view, l3Off } = p;
  const end = l3Off + p.l3Size;
  p.recordRouteOff = 0;
  p.timestampOff = 0;
  p.routerAlert = false;
  let sourceRoute = false;
  let touched = false;
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
    switch (kind) {
      case LOOSE_ROUTE:
      case STRICT_ROUTE:
        if (size < 3) return at + 1 - l3Off;
        if (view.getUint8(at + 2) < 4) return at + 2 - l3Off;
        if (sourceRoute) return at - l3Off;
        sourceRoute = true;
        break;
      case RECORD_ROUTE: {
        if (p.recordRouteOff !== 0) return at - l3Off;
        if (size < 3) return at + 1 - l3Off;
        const pointer = view.getUint8(at + 2);
        if (pointer < 4) return at + 2 - l3Off;
        if (pointer <= size) {
          if (pointer + 3 > size) return at + 2 - l3Off;
          view.setUint32(at + pointer - 1, address);
          view.setUint8(at + 2, pointer + 4);
          p.recordRouteOff = at;
          touched = true;
        }
        break;
      }
      case TIMESTAMP: {
        const fault = readTimestamp(p, at, size, address, milliseconds);
        if (fault !== -1) return fault - l3Off;
        touched = true;
        break;
      }
      case ROUTER_ALERT:
        if (size < 4) return at + 1 - l3Off;
        if (view.getUint16(at + 2) === 0) p.routerAlert = true;
        break;
      default:
        break;
    }
    at += size;
  }
  if (sourceRoute) return OPTIONS_SOURCE_ROUTE;
  if (touched) writeHeaderChecksum(p);
  return OPTIONS_OK;
}

/** Offset of the wrong byte, or -1. */
function readTimestamp(p: HostPacket, at: number, size: number, address: number, milliseconds: number): number {
  const { view } = p;
  if (p.timestampOff !== 0) return at;
  if (size < 4) return at + 1;
  const pointer = view.getUint8(at + 2);
  if (pointer < 5) return at + 2;
  const flags = view.getUint8(at + 3) & 15;
  if (pointer <= size) {
    if (pointer + 3 > size) return at + 2;
    if (flags === 0) {
      view.setUint32(at + pointer - 1, milliseconds);
      view.setUint8(at + 2, pointer + 4);
    } else if (flags === 1) {
      if (pointer + 7 > size) return at + 2;
      view.setUint32(at + pointer - 1, address);
      view.setUint32(at + pointer + 3, milliseconds);
      view.setUint8(at + 2, pointer + 8);
      p.timestampOff = at;
    } else if (flags === 3) {
      if (pointer + 7 > size) return at + 2;
    } else return at + 3;
  } else if (flags !== 3) {
    const overflow = view.getUint8(at + 3) >> 4;
    if (overflow === 15) return at + 3;
    view.setUint8(at + 3, flags | ((overflow + 1) << 4));
  }
  return -1;
}

/** On leaving, the address of the device that the packet leaves by is what stands in the options. */
export function writeForwardOptions(p: HostPacket, address: number): void {
  if (p.recordRouteOff === 0 && p.timestampOff === 0) return;
  const { view } = p;
  if (p.recordRouteOff !== 0) {
    view.setUint32(p.recordRouteOff + view.getUint8(p.recordRouteOff + 2) - 5, address);
  }
  if (p.timestampOff !== 0) {
    view.setUint32(p.timestampOff + view.getUint8(p.timestampOff + 2) - 9, address);
  }
  writeHeaderChecksum(p);
}

function writeHeaderChecksum(p: HostPacket): void {
  const { view, l3Off } = p;
  view.setUint16(l3Off + 10, 0);
  view.setUint16(l3Off + 10, checksumOf(sumBytes(p.bytes, l3Off, l3Off + p.l3Size)));
}

/** Bytes of options in an answer to the packet: its record route option, padded; 0 without one. */
export function optionSizeOf(cause: HostPacket): number {
  const at = findRecordRoute(cause);
  return at === 0 ? 0 : (cause.view.getUint8(at + 1) + 3) & ~3;
}

function findRecordRoute(p: HostPacket): number {
  if (p.family !== 4 || p.l3Size === 20) return 0;
  const { view } = p;
  const end = p.l3Off + p.l3Size;
  let at = p.l3Off + 20;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === END) return 0;
    if (kind === NOP) {
      at++;
      continue;
    }
    const size = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (size < 2 || at + size > end) return 0;
    if (kind === RECORD_ROUTE) return size < 3 ? 0 : at;
    at += size;
  }
  return 0;
}

/** Copies the record route option into an answer and puts the answer's source behind what is recorded. */
export function echoRecordRoute(
  cause: HostPacket,
  answer: HostPacket,
  at: number,
  optionSize: number,
  source: number,
): void {
  const from = findRecordRoute(cause);
  const size = cause.view.getUint8(from + 1);
  answer.bytes.set(cause.bytes.subarray(from, from + size), at);
  answer.bytes.fill(END, at + size, at + optionSize);
  if (cause.recordRouteOff === 0) return;
  const pointer = cause.view.getUint8(from + 2);
  if (pointer <= size && pointer + 3 <= size) {
    answer.view.setUint32(at + pointer - 1, source);
    answer.view.setUint8(at + 2, pointer + 4);
  }
}
