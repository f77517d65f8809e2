import { describe, expect, it } from 'vitest';
import { fold, sumBytes } from '../../src/net/checksum.js';
import { CRC32C_START, finishCrc32c, updateCrc32c } from '../../src/net/crc32c.js';
import { CSUM_PARTIAL } from '../../src/wire/packet.js';
import {
  CHECKSUM_LEFT_PARTIAL,
  CHECKSUM_RIGHT,
  CHECKSUM_UNKNOWN,
  CHECKSUM_WRONG,
  completeTransportChecksum,
  pseudoHeaderSum,
  sumView,
  transportChecksumState,
} from '../../src/wire/transport-checksum.js';
import { bytesOf, craft, icmpBody, ipBytes, packetOf, SYN, tcpBody, udpBody } from '../support/craft.js';

const V4 = { src: '10.1.0.2', dst: '10.2.0.2' };
const V6 = { src: 'fd00:1::2', dst: 'fd00:2::2' };
const DATA = bytesOf(1, 2, 3, 4, 5);
const SCTP_DATA = bytesOf([0, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0], [3, 0, 0, 4]);
const DCCP = bytesOf([0, 1, 0, 2, 4, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7], DATA);

const KINDS: readonly [string, { src: string; dst: string }, number, Uint8Array, number][] = [
  // name, addresses, protocol, body, offset of the checksum field
  ['tcp', V4, 6, tcpBody({ sport: 1, dport: 2, flags: SYN, payload: DATA }), 16],
  ['tcp v6', V6, 6, tcpBody({ sport: 1, dport: 2, flags: SYN, payload: DATA }), 16],
  ['udp', V4, 17, udpBody(5, 7, DATA), 6],
  ['udp v6', V6, 17, udpBody(5, 7, DATA), 6],
  ['udplite, whole', V4, 136, bytesOf([0, 1, 0, 2, 0, 0, 0, 0], DATA), 6],
  ['udplite, 8 bytes covered', V4, 136, bytesOf([0, 1, 0, 2, 0, 8, 0, 0], DATA), 6],
  ['icmp', V4, 1, icmpBody(8, 0, [0, 77, 0, 1], DATA), 2],
  ['icmpv6', V6, 58, icmpBody(128, 0, [0, 77, 0, 1], DATA), 2],
  ['dccp', V4, 33, DCCP, 6],
  ['sctp', V4, 132, SCTP_DATA, 8],
];

describe('transport checksum', () => {
  it('CRC-32C of the check string', () => {
    const text = new TextEncoder().encode('123456789');
    const view = new DataView(text.buffer);
    expect(finishCrc32c(updateCrc32c(CRC32C_START, view, 0, 9))).toBe(0xe3069283);
  });

  it.each([
    // checksums seen on a wire (tcpdump of a Linux host)
    ['10.1.0.2 → 10.2.0.2 echo request, id 77', 'icmp'],
  ])('%s', () => {
    const bytes = ipBytes({ ...V4, protocol: 1, body: icmpBody(8, 0, [0, 77, 0, 1]) });
    expect((bytes[22]! << 8) | bytes[23]!).toBe(0xf7b1);
  });

  it.each(
    KINDS,
  )('%s: written is right, every changed covered bit is wrong', (_name, addresses, protocol, body, field) => {
    const bytes = ipBytes({ ...addresses, protocol, body });
    expect(transportChecksumState(packetOf(bytes))).toBe(CHECKSUM_RIGHT);
    const start = bytes.length - body.length;
    bytes[start + field]! ^= 0x40;
    expect(transportChecksumState(packetOf(bytes))).toBe(CHECKSUM_WRONG);
    bytes[start + field]! ^= 0x40;
    bytes[start]! ^= 1;
    expect(transportChecksumState(packetOf(bytes))).toBe(CHECKSUM_WRONG);
  });

  it('UDP-Lite does not cover what lies behind its coverage', () => {
    const bytes = ipBytes({ ...V4, protocol: 136, body: bytesOf([0, 1, 0, 2, 0, 8, 0, 0], DATA) });
    bytes[bytes.length - 1]! ^= 1;
    expect(transportChecksumState(packetOf(bytes))).toBe(CHECKSUM_RIGHT);
  });

  it.each(KINDS.filter(([name]) => !name.startsWith('icmp')))('%s: partial is recognised and completed', (...row) => {
    const [, addresses, protocol, body, field] = row;
    const right = ipBytes({ ...addresses, protocol, body });
    const bytes = right.slice();
    const packet = packetOf(bytes);
    if (protocol === 132) packet.view.setUint32(packet.l4Off + 8, 0);
    else packet.view.setUint16(packet.l4Off + field, fold(pseudoHeaderSum(packet, protocol, body.length)));
    expect(transportChecksumState(packet)).toBe(CHECKSUM_LEFT_PARTIAL);
    completeTransportChecksum(packet);
    expect(bytes).not.toEqual(right); // csum does not say partial: untouched
    packet.csum = CSUM_PARTIAL;
    completeTransportChecksum(packet);
    expect(bytes).toEqual(right);
  });

  it.each([
    ['a cut packet', packetOf(ipBytes({ ...V4, protocol: 17, body: udpBody(1, 2, DATA) }), 30)],
    ['protocol 99', craft({ ...V4, protocol: 99, body: DATA })],
    ['a short header', craft({ ...V4, protocol: 6, body: DATA })],
  ])('%s: unknown', (_name, packet) => expect(transportChecksumState(packet)).toBe(CHECKSUM_UNKNOWN));

  it('UDP without a checksum is right', () => {
    expect(transportChecksumState(craft({ ...V4, protocol: 17, body: udpBody(1, 2), rawChecksum: true }))).toBe(
      CHECKSUM_RIGHT,
    );
  });

  it('sums like the plain loop at every length', () => {
    const bytes = Uint8Array.from({ length: 70 }, (_, i) => (i * 37 + 200) & 255);
    const view = new DataView(bytes.buffer);
    for (let to = 0; to <= 70; to++)
      expect(sumView(view, 1, Math.max(1, to))).toBe(sumBytes(bytes, 1, Math.max(1, to)));
    const big = new Uint8Array(65536).fill(255);
    expect(sumView(new DataView(big.buffer), 0, 65536)).toBe(sumBytes(big, 0, 65536));
  });
});
