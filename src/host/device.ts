/** The devices of a namespace under small indices: position in kernel order from 1; 0 is no device. */
import type { Words6 } from '../net/ip6.js';
import {
  type AddressConfig,
  type DeviceConfig,
  type DeviceKind,
  type HostConfig,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
} from './host-config.js';
import { type DeviceSettings, deviceSettingsOf } from './sysctl.js';

export class Device {
  readonly index: number;
  readonly name: string;
  readonly kind: DeviceKind;
  readonly isLoopback: boolean;
  readonly hasEthernet: boolean;
  /** First two and last four bytes of the hardware address. */
  readonly macHigh: number;
  readonly macLow: number;
  readonly mtu: number;
  readonly up: boolean;
  readonly noArp: boolean;
  /** Index of the master, or 0. */
  master = 0;
  readonly addresses4: readonly AddressConfig[];
  readonly addresses6: readonly AddressConfig[];
  readonly settings: DeviceSettings;

  constructor(index: number, config: DeviceConfig, settings: DeviceSettings) {
    this.index = index;
    this.name = config.name;
    this.kind = config.kind;
    this.isLoopback = config.kind === 'loopback';
    this.hasEthernet = config.kind === 'ethernet';
    const { mac } = config;
    this.macHigh = mac === undefined ? 0 : (mac[0]! << 8) | mac[1]!;
    this.macLow = mac === undefined ? 0 : ((mac[2]! << 24) | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!) >>> 0;
    this.mtu = config.mtu;
    this.up = config.up;
    this.noArp = config.noArp ?? false;
    this.addresses4 = config.addresses.filter((a) => a.family === 4);
    this.addresses6 = config.addresses.filter((a) => a.family === 6);
    this.settings = settings;
  }

  /** True if an own IPv4 subnet of the device contains the address (kernel: inet_ifa_match()). */
  onSubnet4(address: number): boolean {
    for (const a of this.addresses4) if (matches4(a, address)) return true;
    return false;
  }
}

function matches4(a: AddressConfig, address: number): boolean {
  const mask = a.bits === 0 ? 0 : (0xffffffff << (32 - a.bits)) >>> 0;
  const base = a.peer === undefined ? a.address[0] : a.peer[0];
  return ((base ^ address) & mask) === 0;
}

export class Devices {
  /** By index; entry 0 is undefined. */
  readonly list: readonly (Device | undefined)[];
  /** Index of `lo`, or 0. */
  readonly loopback: number;
  readonly #byName = new Map<string, number>();
  readonly #local4 = new Set<number>();

  constructor(config: HostConfig) {
    const list: (Device | undefined)[] = [undefined];
    let loopback = 0;
    for (const device of config.devices) {
      const made = new Device(list.length, device, deviceSettingsOf(config, device.name));
      this.#byName.set(device.name, made.index);
      if (made.isLoopback) loopback = made.index;
      for (const a of made.addresses4) this.#local4.add(a.address[0]);
      list.push(made);
    }
    for (const device of config.devices) {
      if (device.master !== undefined) list[this.indexOf(device.name)]!.master = this.indexOf(device.master);
    }
    this.list = list;
    this.loopback = loopback;
  }

  /** Index of a name, 0 if there is no such device. */
  indexOf(name: string): number {
    return this.#byName.get(name) ?? 0;
  }

  at(index: number): Device | undefined {
    return this.list[index];
  }

  /** Index of the device that has the IPv4 address, or 0. Kernel: __ip_dev_find(). */
  ownerOf4(address: number): number {
    for (const device of this.list) {
      if (device?.addresses4.some((a) => a.address[0] === address)) return device.index;
    }
    return 0;
  }

  /** True if the address is configured on any device (kernel: inet_lookup_ifaddr_rcu()). */
  isOwn4(address: number): boolean {
    return this.#local4.has(address);
  }

  /**
   * First primary address of the device that may be seen from `scope` outward, in the subnet of `destination` if there
   * is one; without any on the device, the first of another device that is not of link scope. 0: none.
   * Kernel: inet_select_addr().
   */
  selectAddress4(index: number, destination: number, scope: number): number {
    const device = this.list[index];
    let found = 0;
    if (device !== undefined) {
      // With route_localnet even 127/8 may be seen from outside.
      const farthest = device.settings.routeLocalnet ? RT_SCOPE_LINK : RT_SCOPE_HOST;
      for (const a of device.addresses4) {
        if (a.secondary || Math.min(a.scope, farthest) > scope) continue;
        if (destination === 0 || matches4(a, destination)) return a.address[0];
        if (found === 0) found = a.address[0];
      }
    }
    if (found !== 0) return found;
    for (let i = 1; i < this.list.length; i++) {
      for (const a of this.list[i]!.addresses4) {
        if (!a.secondary && a.scope !== RT_SCOPE_LINK && a.scope <= scope) return a.address[0];
      }
    }
    return 0;
  }

  /** The address of the device that IPv6 source selection (RFC 6724) gives for a destination; undefined: none there. */
  selectAddress6(index: number, destination: Words6): Words6 | undefined {
    let best: AddressConfig | undefined;
    for (let i = 1; i < this.list.length; i++) {
      const device = this.list[i]!;
      // Link-local and multicast destinations only take an address of the device itself.
      if (i !== index && index !== 0 && (isMulticast6(destination) || scopeOf6(destination) === SCOPE_LINK)) continue;
      for (const a of device.addresses6) {
        if (a.tentative || isMulticast6(a.address)) continue;
        if (best === undefined || this.#better6(a, i === index, best, this.#holds6(index, best), destination)) best = a;
      }
    }
    return best?.address;
  }

  #holds6(index: number, address: AddressConfig): boolean {
    return this.list[index]?.addresses6.includes(address) ?? false;
  }

  /** Rules 1, 2, 3, 5, 6 and 8 of RFC 6724; the kernel keeps the earlier candidate on a tie. */
  #better6(a: AddressConfig, aHere: boolean, b: AddressConfig, bHere: boolean, destination: Words6): boolean {
    const same = (x: AddressConfig) => x.address.every((word, i) => word === destination[i]);
    if (same(a) !== same(b)) return same(a);
    const scope = scopeOf6(destination);
    const sa = scopeOf6(a.address);
    const sb = scopeOf6(b.address);
    if (sa !== sb) return sa < sb ? sa >= scope : sb < scope;
    if (a.deprecated !== b.deprecated) return b.deprecated;
    if (aHere !== bHere) return aHere;
    const label = labelOf6(destination);
    const la = labelOf6(a.address) === label;
    const lb = labelOf6(b.address) === label;
    if (la !== lb) return la;
    return commonBits(a, destination) > commonBits(b, destination);
  }
}

export const SCOPE_NODE = 1;
export const SCOPE_LINK = 2;
export const SCOPE_SITE = 5;
export const SCOPE_GLOBAL = 14;

export function isMulticast6(a: ArrayLike<number>): boolean {
  return a[0]! >>> 24 === 0xff;
}

/** Kernel: ipv6_addr_scope(). Loopback counts as link-local scope, as in source selection. */
export function scopeOf6(a: ArrayLike<number>, at = 0): number {
  const first = a[at]!;
  if (first >>> 24 === 0xff) return (first >>> 16) & 15;
  if (first >>> 22 === 0x3fa) return SCOPE_LINK;
  if (first >>> 22 === 0x3fb) return SCOPE_SITE;
  if (first === 0 && a[at + 1] === 0 && a[at + 2] === 0 && a[at + 3] === 1) return SCOPE_LINK;
  return SCOPE_GLOBAL;
}

/** Default policy table (net/ipv6/addrlabel.c). */
function labelOf6(a: Words6): number {
  if (a[0] === 0 && a[1] === 0 && a[2] === 0 && a[3] === 1) return 0;
  if (a[0] === 0 && a[1] === 0 && a[2] === 0xffff) return 4;
  if (a[0] === 0 && a[1] === 0 && a[2] === 0) return 3;
  if (a[0] === 0x20010000) return 6;
  if (a[0] >>> 16 === 0x2002) return 2;
  if (a[0] >>> 4 === 0x2001001) return 7;
  if (a[0] >>> 25 === 0x7e) return 5;
  if (a[0] >>> 22 === 0x3fb) return 11;
  if (a[0] >>> 16 === 0x3ffe) return 12;
  return 1;
}

function commonBits(a: AddressConfig, destination: Words6): number {
  let bits = 0;
  for (let i = 0; i < 4; i++) {
    const same = Math.clz32(a.address[i]! ^ destination[i]!);
    bits += same;
    if (same < 32) break;
  }
  return Math.min(bits, a.bits);
}
