/** `-j SNAT`. Kernel: xt_snat_target_v1(), net/netfilter/xt_nat.c. */
import { NF_NAT_MANIP_SRC } from '../../net/netfilter.js';
import type { TargetExt } from '../extension.js';
import { checkNat, type NatTarget, natOptions, parseTo, printTo } from '../nat-range.js';

export const SNAT: TargetExt<NatTarget> = {
  kind: 'SNAT',
  families: [4, 6],
  terminating: true,
  options: natOptions({ name: '--to-source' }, '--random', '--random-fully', '--persistent'),
  parse: (given) => parseTo(given, '--to-source', 'lost'),
  print: (t, family) => printTo('--to-source', t, family),
  check: (_t, place) => checkNat('SNAT', place, 'POSTROUTING', 'INPUT'),
  needs: () => 'conntrack',
  bind: (t, env) => (packet) => env.conntrack.setupNat(packet, t, NF_NAT_MANIP_SRC, packet.hook),
};
