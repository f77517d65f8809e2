import { describe, expect, it } from 'vitest';
import { L4_BROKEN, L4_FRAGMENT, L4_OK } from '../../src/wire/packet.js';
import { bytesOf, ipBytes, packetOf, udpBody } from '../support/craft.js';

const UDP = 17;
const udp = udpBody(1000, 53, new Uint8Array(4));
/** An IPv6 packet whose next header is `first`, with the bytes that follow. */
const packet = (first: number, ...parts: (number | readonly number[] | Uint8Array)[]) =>
  packetOf(ipBytes({ src: 'fd00::1', dst: 'fd00::2', protocol: first, body: bytesOf(...parts), rawChecksum: true }));
const options = (next: number) => [next, 0, 1, 4, 0, 0, 0, 0];
const authentication = (next: number) => [next, 4, ...new Array<number>(22).fill(0)];
const fragment = (next: number, offset: number) => [next, 0, offset >> 8, offset & 255, 0, 0, 0, 1];

describe('IPv6 extension headers, as ip6tables walks them (counters of Linux 6.18 agree)', () => {
  it.each([
    // name                              packet                                                        protocol  state        destination port
    ['none', packet(UDP, udp), UDP, L4_OK, 53],
    ['options', packet(60, options(UDP), udp), UDP, L4_OK, 53],
    ['hop-by-hop and routing', packet(0, options(43), [UDP, 0, 9, 0, 0, 0, 0, 0], udp), UDP, L4_OK, 53],
    ['authentication is walked over', packet(51, authentication(UDP), udp), UDP, L4_OK, 53],
    ['ESP ends it', packet(50, new Uint8Array(16)), 50, L4_OK, 0],
    ['no next header ends it', packet(59), 59, L4_OK, 0],
    ['first fragment', packet(44, fragment(UDP, 1), udp), UDP, L4_OK, 53],
    ['later fragment', packet(44, fragment(UDP, 8), udp), UDP, L4_FRAGMENT, 0],
    ['later fragment of an extension header', packet(44, fragment(60, 8), udp), 44, L4_BROKEN, 0],
    ['one byte of options', packet(60, [UDP]), 60, L4_BROKEN, 0],
    ['three bytes of a fragment header', packet(44, [UDP, 0, 0]), 44, L4_BROKEN, 0],
    ['two bytes of a routing header', packet(43, [UDP, 0]), 43, L4_BROKEN, 0],
  ])('%s', (_name, p, protocol, state, port) => {
    expect([p.protocol, p.l4State, p.dstPort]).toEqual([protocol, state, port]);
  });
  it('four bytes of a fragment header are enough to go on', () => {
    expect(packet(44, [UDP, 0, 0, 1]).protocol).toBe(UDP);
  });
});
