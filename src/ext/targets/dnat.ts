/** `-j DNAT`. Kernel: xt_dnat_target_v2(), net/netfilter/xt_nat.c. */
import { NF_NAT_MANIP_DST, NF_NAT_RANGE_MAP_IPS } from '../../net/netfilter.js';
import type { TargetExt } from '../extension.js';
import { checkNat, type NatTarget, natOptions, parseTo, printTo } from '../nat-range.js';

export const DNAT: TargetExt<NatTarget> = {
  kind: 'DNAT',
  families: [4, 6],
  terminating: true,
  options: natOptions({ name: '--to-destination', plain: 'endpoint' }, '--random', '--persistent'),
  parse: (given) => parseTo(given, '--to-destination', 'kept'),
  print: (t, family) => printTo('--to-destination', t, family),
  check: (_t, place) => checkNat('DNAT', place, 'PREROUTING', 'OUTPUT'),
  needs: () => 'conntrack',
  bind: (t, env) => (packet) => env.conntrack.setupNat(packet, t, NF_NAT_MANIP_DST, packet.hook),
  /** One IPv4 address and at most one port: the address, and port << 16 | flags. */
  words(t, family) {
    const one = t.minAddress[0] === t.maxAddress[0] && t.minPort === t.maxPort && t.basePort === 0;
    if (family !== 4 || !one || (t.flags & NF_NAT_RANGE_MAP_IPS) === 0) return undefined;
    return [t.minAddress[0] | 0, (t.minPort << 16) | t.flags];
  },
  bindWords(env) {
    const address = new Uint32Array(4);
    const range = { flags: 0, minAddress: address, maxAddress: address, minPort: 0, maxPort: 0, basePort: 0 };
    return (packet, first, second) => {
      address[0] = first;
      range.flags = second & 0xffff;
      range.minPort = range.maxPort = second >>> 16;
      return env.conntrack.setupNat(packet, range, NF_NAT_MANIP_DST, packet.hook);
    };
  },
};
