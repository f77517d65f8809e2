/** IP packets broken in the ways that captures and attackers break them. Every function gives new bytes. */
import type { Rng } from '../../src/base/rng.js';
import { checksumOf, sumBytes } from '../../src/net/checksum.js';
import { Packet } from '../../src/wire/packet.js';
import { writeTransportChecksum } from '../../src/wire/transport-checksum.js';

export const pick = <T>(rng: Rng, list: readonly T[]): T => list[rng.below(list.length)]!;

const randomBytes = (rng: Rng, size: number): Uint8Array => Uint8Array.from({ length: size }, () => rng.u32());

function joined(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const isIp4 = (ip: Uint8Array): boolean => (ip[0] ?? 0) >> 4 === 4;

function setWord(ip: Uint8Array, at: number, value: number): void {
  if (at + 2 > ip.length) return;
  ip[at] = value >> 8;
  ip[at + 1] = value;
}

/** Makes lengths and checksums of the header right again, as far as there is a header: else all that came after is dropped unseen. */
export function repaired(ip: Uint8Array, withTransport: boolean): Uint8Array {
  const out = ip.slice();
  const size = ((out[0] ?? 0) & 15) << 2;
  if (isIp4(out) && out.length >= 20 && size >= 20 && size <= out.length) {
    setWord(out, 2, out.length);
    setWord(out, 10, 0);
    setWord(out, 10, checksumOf(sumBytes(out, 0, size)));
  } else if ((out[0] ?? 0) >> 4 === 6 && out.length >= 40) setWord(out, 4, out.length - 40);
  if (!withTransport) return out;
  const packet = new Packet();
  packet.reset();
  packet.attach(out, new DataView(out.buffer));
  const result = isIp4(out) ? packet.parse4(0, out.length, out.length) : packet.parse6(0, out.length, out.length);
  if (result === 0 && !packet.isFragment) writeTransportChecksum(packet);
  return out;
}

const LENGTHS = [0, 1, 7, 8, 19, 20, 21, 39, 40, 41, 60, 0x5ff, 0x7fff, 0x8000, 0xfffe, 0xffff];
const IP4_OPTIONS = [0, 1, 7, 68, 130, 131, 136, 137, 148, 25, 94, 205];
const EXTENSIONS = [0, 43, 44, 51, 60, 59, 135, 139, 140, 253];
const PROTOCOLS = [0, 1, 2, 4, 6, 17, 33, 41, 47, 50, 51, 58, 59, 132, 136, 255];

/** IPv4 options: well-formed, half-formed or noise; up to 40 bytes. */
function options4(rng: Rng): Uint8Array {
  const out: number[] = [];
  while (out.length < 40 && rng.below(4) !== 0) {
    const kind = pick(rng, IP4_OPTIONS);
    if (kind < 2) out.push(kind);
    else {
      const size = rng.below(8) === 0 ? rng.below(256) : 3 + rng.below(12);
      out.push(kind, size, rng.below(2) === 0 ? 4 + rng.below(2) : rng.below(256));
      for (let i = 3; i < Math.min(size, 40); i++) out.push(rng.u32() & 255);
    }
  }
  const cut = out.slice(0, 40);
  while (cut.length % 4 !== 0) cut.push(rng.below(4) === 0 ? 7 : 0);
  return Uint8Array.from(cut);
}

/** A chain of extension headers in front of the rest, their sizes mostly true. */
function withExtensions(ip: Uint8Array, rng: Rng): Uint8Array {
  let next = ip[6]!;
  let chain: Uint8Array = new Uint8Array(0);
  for (let n = 1 + rng.below(4); n > 0; n--) {
    const kind = pick(rng, EXTENSIONS);
    const units = rng.below(4) === 0 ? rng.below(256) : rng.below(3);
    const body = randomBytes(rng, 8 + (units & 3) * 8);
    body[0] = next;
    body[1] = kind === 44 ? 0 : units & (rng.below(8) === 0 ? 255 : 3);
    if (kind === 44) setWord(body, 2, rng.below(2) === 0 ? rng.below(2) : rng.u32() & 0xffff);
    if ((kind === 0 || kind === 60) && rng.below(3) !== 0) body.fill(0, 2);
    chain = joined(body, chain);
    next = kind;
  }
  const out = joined(ip.subarray(0, 40), chain, ip.subarray(40));
  out[6] = next;
  return out;
}

/** An ICMP error about `other`, which may be broken itself. */
function errorAbout(ip: Uint8Array, other: Uint8Array, rng: Rng): Uint8Array {
  const quoted = other.slice(0, rng.below(3) === 0 ? rng.below(other.length + 1) : Math.min(other.length, 128));
  const four = isIp4(ip);
  const header = ip.slice(0, four ? 20 : 40);
  if (four) header[0] = 0x45;
  header[four ? 9 : 6] = four ? 1 : 58;
  const type = four ? pick(rng, [3, 4, 5, 11, 12]) : pick(rng, [1, 2, 3, 4, 137]);
  return joined(header, [type, rng.below(16), 0, 0], randomBytes(rng, 4), quoted);
}

/** One to three faults. `other`: another packet of the same family, for what is quoted or swapped in. */
export function mutatePacket(ip: Uint8Array, other: Uint8Array, rng: Rng): Uint8Array {
  let out: Uint8Array = ip.slice();
  for (let n = 1 + rng.below(3); n > 0; n--) {
    const four = isIp4(out);
    const headerSize = four ? ((out[0] ?? 0) & 15) << 2 : 40;
    switch (rng.below(13)) {
      case 0: // a byte
        if (out.length > 0) out[rng.below(out.length)] = rng.u32();
        break;
      case 1: // a bit of the first headers
        if (out.length > 0) out[rng.below(Math.min(out.length, 64))]! ^= 1 << rng.below(8);
        break;
      case 2: // shorter
        out = out.slice(0, rng.below(3) === 0 ? rng.below(Math.min(64, out.length + 1)) : rng.below(out.length + 1));
        break;
      case 3: // a length that is not true
        setWord(out, four ? 2 : 4, pick(rng, LENGTHS));
        break;
      case 4: // the transport's length or offset field
        setWord(
          out,
          headerSize + pick(rng, [0, 2, 4, 12]),
          rng.below(2) === 0 ? pick(rng, LENGTHS) : rng.u32() & 0xffff,
        );
        break;
      case 5: // a fragment; half as often: it waits for the rest and nothing more is seen of it
        if (rng.below(2) === 0) break;
        if (four)
          setWord(
            out,
            6,
            rng.below(2) === 0 ? rng.u32() & 0xffff : pick(rng, [0x2000, 1, 2, 0x2001, 0x1fff, 0x3fff, 0x4000]),
          );
        else if (out.length >= 40)
          out = joined(
            out.subarray(0, 6),
            [44],
            out.subarray(7, 40),
            [out[6]!, 0, ...randomBytes(rng, 2), 0, 0, 0, rng.below(3)],
            out.subarray(40),
          );
        break;
      case 6: // options or extension headers
        if (out.length < headerSize || out.length < 20) break;
        if (four) {
          const options = options4(rng);
          out = joined(out.subarray(0, 20), options, out.subarray(Math.max(20, headerSize)));
          out[0] = 0x45 + (options.length >> 2);
        } else out = withExtensions(out, rng);
        break;
      case 7: // another protocol
        if (out.length > 9) out[four ? 9 : 6] = pick(rng, PROTOCOLS);
        break;
      case 8: // TCP flags and header size
        if (out.length > headerSize + 13) {
          out[headerSize + 13] = rng.u32();
          if (rng.below(3) === 0) out[headerSize + 12] = rng.u32();
        }
        break;
      case 9: // an ICMP error about something
        if (out.length >= headerSize && out.length >= 20)
          out = errorAbout(out, rng.below(2) === 0 ? other : mutatePacket(other, out, rng), rng);
        break;
      case 10: // time to live
        if (out.length > 8) out[four ? 8 : 7] = rng.below(3);
        break;
      case 11: // addresses: swapped, the same twice, or special
        if (out.length >= headerSize && out.length >= 20) {
          const [at, size] = four ? [12, 4] : [8, 16];
          const src = out.slice(at, at + size);
          const dst = out.slice(at + size, at + 2 * size);
          const kind = rng.below(5);
          if (kind === 0) out.set(dst, at);
          if (kind <= 1) out.set(src, at + size);
          if (kind === 1) out.set(dst, at);
          if (kind === 2) out.fill(pick(rng, [0, 127, 224, 255]), at, at + 1 + rng.below(size));
          if (kind === 3) out.fill(pick(rng, [0, 127, 224, 255]), at + size, at + size + 1 + rng.below(size));
        }
        break;
      default: // more bytes
        out = joined(out, randomBytes(rng, rng.below(rng.below(20) === 0 ? 3000 : 40)));
    }
  }
  return rng.below(8) === 0 ? out : repaired(out, rng.below(3) !== 0);
}
