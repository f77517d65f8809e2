/**
 * The tests of a rule that are no extension: addresses, devices, protocol, fragment flag, in the kernel's order.
 * Kernel: ip_packet_match(), ip6_packet_match().
 */
import type { AddressTest, DeviceTest, Rule } from '../../ruleset/model.js';
import { Field } from '../../wire/field.js';
import { L4_BROKEN, type Packet } from '../../wire/packet.js';

/** Name of the first test that fails, or undefined if all pass. May set `packet.hotdrop`. */
export function failedHeaderTest(rule: Rule, packet: Packet, inName: string, outName: string): string | undefined {
  if (rule.src !== undefined && !addressMatches(rule.src, packet, Field.Src0)) return '-s';
  if (rule.dst !== undefined && !addressMatches(rule.dst, packet, Field.Dst0)) return '-d';
  if (rule.inDevice !== undefined && !deviceMatches(rule.inDevice, inName)) return '-i';
  if (rule.outDevice !== undefined && !deviceMatches(rule.outDevice, outName)) return '-o';
  if (rule.protocol !== undefined) {
    if (packet.family === 6 && packet.l4State === L4_BROKEN) {
      packet.hotdrop = true;
      return '-p';
    }
    if ((packet.protocol === rule.protocol.number) === rule.protocol.invert) return '-p';
  }
  if (rule.fragment !== undefined && (packet.f[Field.FragOff]! !== 0) !== rule.fragment) return '-f';
  return undefined;
}

function addressMatches(test: AddressTest, packet: Packet, first: number): boolean {
  let equal = true;
  for (let i = 0; i < 4; i++) {
    if ((packet.f[first + i]! & test.mask[i]!) >>> 0 !== test.address[i]! >>> 0) equal = false;
  }
  return equal !== test.invert;
}

/** Kernel: ifname_compare_aligned(). The name is '' where the hook shows no device. */
export function deviceMatches(test: DeviceTest, name: string): boolean {
  const equal = test.name.endsWith('+') ? name.startsWith(test.name.slice(0, -1)) : name === test.name;
  return equal !== test.invert;
}
