import { describe, expect, it } from 'vitest';
import { PcapWriter } from '../../src/capture/pcap-writer.js';
import { PcapngWriter } from '../../src/capture/pcapng-writer.js';
import { captureRecords } from '../../src/capture/reader.js';
import { makeDefaultHost } from '../../src/host/default-host.js';
import type { HostConfig } from '../../src/host/host-config.js';
import { WENT_IN, WENT_OUT } from '../../src/replay/direction.js';
import {
  FrameSource,
  SKIP_ARP,
  SKIP_LINK,
  SKIP_NO_DEVICE,
  SKIP_NOT_IP,
  SKIP_PORT,
  SKIP_VLAN,
} from '../../src/replay/frame-source.js';

const OWN = [2, 0, 0, 0, 0, 1];
const PEER = [2, 0, 0, 0, 0, 9];
const GROUP = [1, 0, 0x5e, 0, 0, 1];
const ALL = [255, 255, 255, 255, 255, 255];
const IP = [0x08, 0x00];
const PACKET = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 99, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];

/** eth0 with an address of its own, eth0.7 as a VLAN device, br0 with port veth0, lo. */
function config(): HostConfig {
  const { config: plain } = makeDefaultHost({ devices: ['eth0', 'eth0.7', 'br0', 'veth0'] });
  return {
    ...plain,
    devices: plain.devices.map((device, i) => ({
      ...device,
      kernelIndex: i + 10,
      ...(device.name === 'eth0' ? { mac: Uint8Array.from(OWN) } : {}),
      ...(device.name === 'veth0' ? { master: 'br0' } : {}),
    })),
  };
}

const NOTHING = { inDevices: new Set<string>(), local: false };

interface Taken {
  readonly skipped: string | undefined;
  readonly device: string;
  readonly way: number;
  readonly pktType: number;
}

function take(
  linkType: number,
  bytes: readonly number[],
  options: { name?: string; flags?: number; device?: string; choice?: typeof NOTHING; host?: HostConfig } = {},
): Taken {
  const writer = new PcapngWriter();
  const index = writer.addInterface(options.name ?? '', linkType);
  writer.addPacket(index, 1, 0, Uint8Array.from(bytes), 0, bytes.length, bytes.length, options.flags ?? 0);
  const inputs = [{ name: 'a.pcapng', device: options.device }];
  const source = new FrameSource(options.host ?? config(), inputs, options.choice ?? NOTHING);
  for (const record of captureRecords(writer.take())) {
    const skipped = source.take(0, record);
    return { skipped, device: source.deviceName(source.frame.device), way: source.way, pktType: source.frame.pktType };
  }
  throw new Error('no record');
}

const ethernet = (dst: number[], src: number[], type = IP, rest = PACKET) => [...dst, ...src, ...type, ...rest];
const sll2 = (ifindex: number, packetType: number) => [
  8,
  0,
  0,
  0,
  0,
  0,
  0,
  ifindex,
  0,
  1,
  packetType,
  6,
  ...PEER,
  0,
  0,
  ...PACKET,
];
const sll = (packetType: number, src = PEER) => [0, packetType, 0, 1, 0, 6, ...src, 0, 0, 8, 0, ...PACKET];

describe('direction', () => {
  it.each([
    ['a frame from elsewhere came in', take(1, ethernet(OWN, PEER), { name: 'eth0' }), WENT_IN],
    ['own source address: it went out', take(1, ethernet(PEER, OWN), { name: 'eth0' }), WENT_OUT],
    ['the packet flags win over the address', take(1, ethernet(PEER, OWN), { name: 'eth0', flags: 1 }), WENT_IN],
    ['outbound by packet flags', take(1, ethernet(OWN, PEER), { name: 'eth0', flags: 2 }), WENT_OUT],
    ['cooked: outgoing', take(113, sll(4), { name: 'eth0' }), WENT_OUT],
    ['cooked: to us', take(113, sll(0, OWN), { name: 'eth0' }), WENT_IN],
    ['cooked v2: outgoing', take(276, sll2(11, 4)), WENT_OUT],
    ['raw IP tells nothing', take(101, PACKET, { name: 'eth0' }), WENT_IN],
    ['raw IP with --local', take(101, PACKET, { name: 'eth0', choice: { ...NOTHING, local: true } }), WENT_OUT],
    [
      '--in makes it in',
      take(1, ethernet(PEER, OWN), { name: 'eth0', choice: { ...NOTHING, inDevices: new Set(['eth0']) } }),
      WENT_IN,
    ],
    [
      '--local leaves what the capture tells',
      take(113, sll(0), { name: 'eth0', choice: { ...NOTHING, local: true } }),
      WENT_IN,
    ],
  ])('%s', (_name, taken, way) => {
    expect(taken.skipped).toBeUndefined();
    expect(taken.way).toBe(way);
  });

  it.each([
    ['to the own address', OWN, 0],
    ['broadcast', ALL, 1],
    ['multicast', GROUP, 2],
    ['to somebody else', [2, 0, 0, 0, 0, 7], 3],
  ])('link-layer class: %s', (_name, dst, pktType) => {
    expect(take(1, ethernet(dst, PEER), { name: 'eth0' }).pktType).toBe(pktType);
  });
});

describe('device of a record', () => {
  it.each([
    ['named by the capture', take(1, ethernet(OWN, PEER), { name: 'br0' }).device, 'br0'],
    ['named on the command line', take(1, ethernet(OWN, PEER), { name: 'br0', device: 'eth0' }).device, 'eth0'],
    ['numbered by a cooked header', take(276, sll2(11, 0)).device, 'eth0'],
    ['not named at all: the first outside one', take(1, ethernet(OWN, PEER)).device, 'eth0'],
    [
      'a VLAN device by its tag',
      take(1, ethernet(OWN, PEER, [0x81, 0, 0, 7, 8, 0]), { name: 'eth0' }).device,
      'eth0.7',
    ],
  ])('%s', (_name, device, expected) => expect(device).toBe(expected));

  it.each([
    ['ARP', take(1, ethernet(ALL, PEER, [8, 6]), { name: 'eth0' }), SKIP_ARP],
    ['another protocol', take(1, ethernet(ALL, PEER, [0x88, 0xcc]), { name: 'eth0' }), SKIP_NOT_IP],
    ['a cut link header', take(1, [1, 2, 3], { name: 'eth0' }), SKIP_LINK],
    ['an unknown link type', take(147, PACKET, { name: 'eth0' }), SKIP_LINK],
    ['a number that the host does not have', take(276, sll2(99, 0)), SKIP_NO_DEVICE],
    ['a VLAN without a device', take(1, ethernet(OWN, PEER, [0x81, 0, 0, 8, 8, 0]), { name: 'eth0' }), SKIP_VLAN],
    ['a port of a bridge', take(1, ethernet(OWN, PEER), { name: 'veth0' }), SKIP_PORT],
  ])('%s is passed over', (_name, taken, reason) => expect(taken.skipped).toBe(reason));

  it('an unnamed classic capture is taken by its file name', () => {
    const writer = new PcapWriter({ linkType: 1 });
    writer.addPacket(1, 0, Uint8Array.from(ethernet(OWN, PEER)));
    const source = new FrameSource(config(), [{ name: '/tmp/br0.pcap.gz' }], NOTHING);
    for (const record of captureRecords(writer.take())) expect(source.take(0, record)).toBeUndefined();
    expect(source.deviceName(source.frame.device)).toBe('br0');
    expect([...source.assumptions]).toEqual([]);
  });
});
