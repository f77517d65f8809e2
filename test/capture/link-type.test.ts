import { describe, expect, it } from 'vitest';
import { LinkLayer, locatePacket } from '../../src/capture/link-type.js';

const MACS = '020000000001 020000000002';
const SLL = '0004 0001 0006 0200000000020000';
const SLL2 = '0000 00000007 0001 00 06 0200000000020000';

function locate(linkType: number, hex: string): Record<string, unknown> {
  const packet = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  // Off 3 in a larger buffer: a wrong base would show.
  const bytes = new Uint8Array(packet.length + 6).fill(0xee);
  bytes.set(packet, 3);
  const out = new LinkLayer();
  const fault = locatePacket(linkType, new DataView(bytes.buffer), 3, packet.length, out);
  return fault === undefined
    ? {
        l3: out.l3Off - 3,
        protocol: out.protocol.toString(16),
        vlans: [out.outerVlan, out.innerVlan].slice(0, out.vlanCount),
        ...(out.packetType === -1
          ? {}
          : {
              type: out.packetType,
              ifindex: out.interfaceIndex,
              hw: out.hardwareType,
              source: out.sourceMacOff - 3,
              sourceSize: out.sourceMacSize,
            }),
        mac: out.macOff === -1 ? -1 : out.macOff - 3,
      }
    : { fault };
}

const ethernet = (l3: number, protocol: string, vlans: number[] = []) => ({ l3, protocol, vlans, mac: 0 });
const raw = (l3: number, protocol: string) => ({ l3, protocol, vlans: [], mac: -1 });

describe('locatePacket', () => {
  it.each<[string, number, string, Record<string, unknown>]>([
    ['ethernet', 1, `${MACS} 0800 45`, ethernet(14, '800')],
    ['ethernet arp', 1, `${MACS} 0806`, ethernet(14, '806')],
    ['ethernet, no ethertype', 1, `${MACS} 08`, { fault: 'link-header-cut' }],
    ['802.1Q', 1, `${MACS} 8100 600a 86dd 60`, ethernet(18, '86dd', [0x600a])],
    ['802.1ad and 802.1Q', 1, `${MACS} 88a8 0001 8100 0002 0800 45`, ethernet(22, '800', [1, 2])],
    ['a third tag', 1, `${MACS} 8100 0001 8100 0002 8100 0003 0800`, ethernet(22, '8100', [1, 2])],
    ['tag cut', 1, `${MACS} 8100 0001 08`, { fault: 'link-header-cut' }],
    ['802.3 with LLC', 1, `${MACS} 0026 4242 03`, ethernet(14, '4')],
    ['802.3 raw', 1, `${MACS} 0026 ffff 03`, ethernet(14, '1')],
    [
      'cooked',
      113,
      `${SLL} 0800 45`,
      { l3: 16, protocol: '800', vlans: [], type: 4, ifindex: 0, hw: 1, source: 6, sourceSize: 6, mac: -1 },
    ],
    [
      'cooked, long address',
      113,
      '0000 0020 0014 0200000000020000 86dd 60',
      { l3: 16, protocol: '86dd', vlans: [], type: 0, ifindex: 0, hw: 32, source: 6, sourceSize: 8, mac: -1 },
    ],
    [
      'cooked with tag',
      113,
      `${SLL} 8100 0005 0800 45`,
      { l3: 20, protocol: '800', vlans: [5], type: 4, ifindex: 0, hw: 1, source: 6, sourceSize: 6, mac: -1 },
    ],
    ['cooked cut', 113, SLL, { fault: 'link-header-cut' }],
    [
      'cooked 2',
      276,
      `86dd ${SLL2} 60`,
      { l3: 20, protocol: '86dd', vlans: [], type: 0, ifindex: 7, hw: 1, source: 12, sourceSize: 6, mac: -1 },
    ],
    [
      'cooked 2 with LLC',
      276,
      `0004 ${SLL2} 42`,
      { l3: 20, protocol: '4', vlans: [], type: 0, ifindex: 7, hw: 1, source: 12, sourceSize: 6, mac: -1 },
    ],
    ['cooked 2 cut', 276, `86dd ${SLL2}`.slice(0, -2), { fault: 'link-header-cut' }],
    ['raw 4', 101, '45', raw(0, '800')],
    ['raw 6', 12, '60', raw(0, '86dd')],
    ['raw neither', 14, '50', { fault: 'not-ip' }],
    ['raw empty', 101, '', { fault: 'link-header-cut' }],
    ['ipv4', 228, '45', raw(0, '800')],
    ['ipv6', 229, '60', raw(0, '86dd')],
    ['null little', 0, '02000000 45', raw(4, '800')],
    ['null big', 0, '00000002 45', raw(4, '800')],
    ['null little 6', 0, '1e000000 60', raw(4, '86dd')],
    ['loop 6', 108, '00000018 60', raw(4, '86dd')],
    ['loop other', 108, '00000007 60', { fault: 'not-ip' }],
    ['loop cut', 108, '0000', { fault: 'link-header-cut' }],
    ['wireless', 105, '0000', { fault: 'unsupported-link-type' }],
  ])('%s', (_what, linkType, hex, expected) => expect(locate(linkType, hex)).toEqual(expected));
});
