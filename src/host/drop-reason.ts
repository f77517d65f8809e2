/** Why a packet went no further, by number: counted without string work, named in reports. */
export const DROP_REASONS = [
  // Before any hook.
  'unknown device',
  'frame of an enslaved device',
  'for another host',
  'IPv6 is off on the device',
  'bad version',
  'bad header length',
  'bad header checksum',
  'bad total length',
  'cut inside the IP header',
  'loopback address from the wire',
  'bad multicast scope',
  'multicast source address',
  // Reassembly.
  'bad fragment',
  'fragment cut by the capture',
  'fragment memory full',
  'fragments not completed in time',
  'fragments overlap',
  'repeated fragment',
  // Tables.
  'rule',
  'policy',
  'hotdrop',
  'queued without a listener',
  'stolen',
  'conntrack',
  // Routing.
  'martian source',
  'martian destination',
  'no route',
  'unreachable route',
  'prohibit route',
  'blackhole route',
  'forwarding is off',
  'multicast group not joined',
  'link-layer broadcast is not forwarded',
  'TTL exceeded',
  'longer than the MTU',
  'source address may not be forwarded',
  'beyond scope of the source address',
  'source route',
  'bad IPv4 option',
  'bad extension header',
  'no neighbour',
  'too many packets wait for a neighbour',
  'reroute failed',
  // Local end: nothing answers.
  'bad transport header',
  'bad transport checksum',
  'no socket',
  'closed port',
  'unknown protocol',
  'device is down',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** Counts by reason. */
export class DropCounts {
  readonly #counts = new Map<DropReason, number>();

  constructor() {
    for (const reason of DROP_REASONS) this.#counts.set(reason, 0);
  }
  add(reason: DropReason): void {
    this.#counts.set(reason, this.#counts.get(reason)! + 1);
  }
  get(reason: DropReason): number {
    return this.#counts.get(reason)!;
  }
  /** Reasons that occurred, with their counts. */
  *entries(): Generator<[DropReason, number]> {
    for (const [reason, count] of this.#counts) if (count > 0) yield [reason, count];
  }
}
