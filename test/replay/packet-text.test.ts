import { describe, expect, it } from 'vitest';
import { describePacket } from '../../src/replay/describe.js';
import { parsePacketText } from '../../src/replay/packet-text.js';
import { Packet } from '../../src/wire/packet.js';
import { emitIp, sizeOf } from '../../src/wire/repr.js';
import { CHECKSUM_RIGHT, transportChecksumState } from '../../src/wire/transport-checksum.js';

/** The described packet as bytes, read again. */
function packetOf(text: string): Packet {
  const { packet, diagnostics } = parsePacketText(text);
  expect(diagnostics).toEqual([]);
  const size = sizeOf(packet!.ip);
  const bytes = new Uint8Array(size);
  emitIp(packet!.ip, bytes, 0);
  const view = new Packet();
  view.attach(bytes, new DataView(bytes.buffer));
  expect(packet!.ip.family === 4 ? view.parse4(0, size, size) : view.parse6(0, size, size)).toBe(0);
  return view;
}

describe('a packet in words', () => {
  it.each([
    // as written                                               as described again
    ['tcp 10.0.0.2:1234 > 10.20.0.3:80', 'tcp 10.0.0.2:1234 > 10.20.0.3:80 syn'],
    ['tcp 10.0.0.2:1234 > 10.20.0.3:80 syn ack', 'tcp 10.0.0.2:1234 > 10.20.0.3:80 syn,ack'],
    ['tcp 10.0.0.2:1234 > 10.20.0.3:80 syn,ack', 'tcp 10.0.0.2:1234 > 10.20.0.3:80 syn,ack'],
    ['TCP 10.0.0.2:1234 > 10.20.0.3:80 rst', 'tcp 10.0.0.2:1234 > 10.20.0.3:80 rst'],
    ['tcp [2001:db8::2]:1 > [2001:db8::1]:80 ack', 'tcp [2001:db8::2]:1 > [2001:db8::1]:80 ack'],
    ['udp 10.0.0.2:53 > 10.0.0.1:5353 len=9', 'udp 10.0.0.2:53 > 10.0.0.1:5353'],
    ['icmp 10.0.0.2 > 10.0.0.1', 'icmp 10.0.0.2 > 10.0.0.1 echo-request'],
    ['icmp 10.0.0.2 > 10.0.0.1 pong', 'icmp 10.0.0.2 > 10.0.0.1 echo-reply'],
    ['icmp 2001:db8::2 > 2001:db8::1 ping', 'ipv6-icmp 2001:db8::2 > 2001:db8::1 echo-request'],
    ['icmp 10.0.0.2 > 10.0.0.1 type=3 code=1', 'icmp 10.0.0.2 > 10.0.0.1 unreachable code 1'],
    ['47 10.0.0.2 > 10.0.0.1', 'gre 10.0.0.2 > 10.0.0.1'],
    ['sctp 10.0.0.2:7 > 10.0.0.1:9', 'sctp 10.0.0.2:7 > 10.0.0.1:9'],
  ])('%s', (written, described) => expect(describePacket(packetOf(written))).toBe(described));

  it.each([
    'tcp 10.0.0.2:1 > 10.0.0.1:2 mss=1460',
    'udp 10.0.0.2:1 > 10.0.0.1:2 len=33',
    'icmp ::1 > ::2 len=7',
  ])('%s has right checksums', (written) => expect(transportChecksumState(packetOf(written))).toBe(CHECKSUM_RIGHT));

  it('sets what the words say', () => {
    const packet = packetOf('udp 10.0.0.2:1 > 10.0.0.1:2 ttl=3 tos=0x10 len=100');
    expect([packet.ttl, packet.tos, packet.length]).toEqual([3, 16, 128]);
    const { packet: described } = parsePacketText('udp 10.0.0.2:1 > 10.0.0.1:2 local mark=0x4000 in=eth1');
    expect([described?.isLocal, described?.mark, described?.inDevice]).toEqual([true, 0x4000, 'eth1']);
  });

  it.each([
    ['', 'no-packet', 0],
    ['tpc 1.2.3.4:1 > 1.2.3.5:2', 'unknown-protocol', 0],
    ['300 1.2.3.4 > 1.2.3.5', 'unknown-protocol', 0],
    ['tcp 1.2.3.400:1 > 1.2.3.5:2', 'bad-address', 4],
    ['tcp 1.2.3.4:1 > 1.2.3.5:99999', 'bad-port', 16],
    ['tcp 1.2.3.4:1', 'missing-address', 13],
    ['tcp 1.2.3.4:1 1.2.3.5:2', 'no-arrow', 14],
    ['tcp 1.2.3.4:1 > [::1]:2', 'mixed-families', 16],
    ['tcp 1.2.3.4:1 > 1.2.3.5:2 sny', 'unknown-word', 26],
    ['udp 1.2.3.4:1 > 1.2.3.5:2 syn', 'unknown-word', 26],
    ['udp 1.2.3.4:1 > 1.2.3.5:2 ttl=256', 'bad-number', 26],
    ['udp 1.2.3.4:1 > 1.2.3.5:2 speed=9', 'unknown-word', 26],
  ])('%j is refused as %s', (written, code, start) => {
    const { packet, diagnostics } = parsePacketText(written);
    expect(packet).toBeUndefined();
    expect([diagnostics[0]?.code, diagnostics[0]?.span.start]).toEqual([code, start]);
    expect(diagnostics[0]?.hint).not.toBe(undefined);
  });
});
