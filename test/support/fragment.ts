/** Cuts and fragments of crafted packets. */
import { checksumOf, sumBytes } from '../../src/net/checksum.js';

/** The same IPv4 packet with another fragment word: offset in units of 8, more fragments. Header checksum anew. */
export function asFragment4(bytes: Uint8Array, offset: number, more: boolean): Uint8Array {
  const out = bytes.slice();
  const view = new DataView(out.buffer);
  view.setUint16(6, offset | (more ? 0x2000 : 0));
  return resummed(out);
}

/** The IPv4 packet cut to `size` bytes on the wire: the header says so too. */
export function shortened4(bytes: Uint8Array, size: number): Uint8Array {
  const out = bytes.slice(0, size);
  new DataView(out.buffer).setUint16(2, size);
  return resummed(out);
}

function resummed(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer);
  view.setUint16(10, 0);
  view.setUint16(10, checksumOf(sumBytes(bytes, 0, (bytes[0]! & 15) << 2)));
  return bytes;
}

/** The IPv6 packet with a fragment header: offset in bytes (a multiple of 8), more fragments. */
export function asFragment6(bytes: Uint8Array, offset: number, more: boolean): Uint8Array {
  const out = new Uint8Array(bytes.length + 8);
  out.set(bytes.subarray(0, 40));
  out.set(bytes.subarray(40), 48);
  const view = new DataView(out.buffer);
  view.setUint16(4, out.length - 40);
  view.setUint8(40, bytes[6]!);
  view.setUint8(6, 44);
  view.setUint16(42, offset | (more ? 1 : 0));
  view.setUint32(44, 0x1234);
  return out;
}
