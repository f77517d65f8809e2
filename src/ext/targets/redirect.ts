/** `-j REDIRECT`: to this host. Kernel: nf_nat_redirect_ipv4(), nf_nat_redirect_ipv6(), net/netfilter/nf_nat_redirect.c. */
import { NF_DROP, NF_NAT_MANIP_DST } from '../../net/netfilter.js';
import type { TargetExt } from '../extension.js';
import { checkNat, type NatTarget, natOptions, parseToPorts, printToPorts, scratchRange } from '../nat-range.js';

export const REDIRECT: TargetExt<NatTarget> = {
  kind: 'REDIRECT',
  families: [4, 6],
  terminating: true,
  options: natOptions({ name: '--to-ports' }, '--random'),
  parse: (given) => parseToPorts(given, 'refused'),
  print: printToPorts,
  check: (_t, place) => checkNat('REDIRECT', place, 'PREROUTING', 'OUTPUT'),
  needs: () => 'conntrack',
  bind(t, env) {
    const range = scratchRange(t);
    return (packet) =>
      env.host.redirectAddress(packet, range.minAddress)
        ? env.conntrack.setupNat(packet, range, NF_NAT_MANIP_DST, packet.hook)
        : NF_DROP;
  },
};
