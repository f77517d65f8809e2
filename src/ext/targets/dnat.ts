/** `-j DNAT`. Kernel: xt_dnat_target_v2(), net/netfilter/xt_nat.c. */
import { NF_NAT_MANIP_DST } from '../../net/netfilter.js';
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
};
