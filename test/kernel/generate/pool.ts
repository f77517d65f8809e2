/** Few addresses, ports and numbers, shared by rules and traffic so that they meet. */
import type { Family } from '../../../src/net/netfilter.js';
import { address, FAR, GATEWAY_HOST, SECOND_ADDRESS_HOST } from '../topology.js';

/** Hosts on each link that talk and are talked to. */
export const HOSTS = [2, 3, 9, 10] as const;
export const CLIENT_PORTS = [40000, 5000, 1000, 53, 600, 300] as const;
export const SERVER_PORTS = [80, 443, 53, 5000, 22, 1000] as const;
/** A service address that no route but the default knows. */
export const VIRTUAL: Readonly<Record<Family, readonly string[]>> = {
  4: ['10.96.0.1', '10.96.0.10'],
  6: ['fd00:96::1', 'fd00:96::a'],
};

export function hostAddresses(family: Family): string[] {
  return [0, 1, 2].flatMap((link) => HOSTS.map((host) => address(family, link, host)));
}

/** The host under test's own addresses. */
export function ownAddresses(family: Family): string[] {
  return [...[0, 1, 2].map((link) => address(family, link, 1)), address(family, 0, SECOND_ADDRESS_HOST)];
}

export function farAddresses(family: Family): string[] {
  return Object.values(FAR[family]);
}

/** Addresses whose neighbours are known: targets of translation. */
export function deliverable(family: Family): string[] {
  return [...hostAddresses(family), FAR[family].away, FAR[family].behind];
}

export const GATEWAY = GATEWAY_HOST;
export const MARKS = [0, 1, 2, 0x10, 0xff, 0x4000, 0x8000, 0x80000000, 0xffffffff] as const;
export const MASKS = [0xffffffff, 0xff, 0x1, 0x4000, 0xf0, 0x80000000, 0] as const;
