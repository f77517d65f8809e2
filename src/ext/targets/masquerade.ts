/** `-j MASQUERADE`. Kernel: nf_nat_masquerade_ipv4(), nf_nat_masquerade_ipv6(), net/netfilter/nf_nat_masquerade.c. */
import type { TupleView } from '../../conntrack/conntrack.js';
import { NF_ACCEPT, NF_DROP, NF_NAT_MANIP_SRC } from '../../net/netfilter.js';
import type { TargetExt } from '../extension.js';
import { checkNat, type NatTarget, natOptions, parseToPorts, printToPorts, scratchRange } from '../nat-range.js';

export const MASQUERADE: TargetExt<NatTarget> = {
  kind: 'MASQUERADE',
  families: [4, 6],
  terminating: true,
  options: natOptions({ name: '--to-ports' }, '--random', '--random-fully'),
  parse: (given) => parseToPorts(given, 'lost'),
  print: printToPorts,
  check: (_t, place) => checkNat('MASQUERADE', place, 'POSTROUTING'),
  needs: () => 'conntrack',
  bind(t, env) {
    const range = scratchRange(t);
    const tuple: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
    return (packet) => {
      if (env.family === 4) {
        // Somebody who has no address yet (DHCP) keeps having none.
        env.conntrack.tuple(packet.ct, 0, tuple);
        if (tuple.address[0] === 0) return NF_ACCEPT;
      }
      if (!env.host.masqueradeAddress(packet, range.minAddress)) return NF_DROP;
      env.conntrack.setMasqueradeDevice(packet);
      return env.conntrack.setupNat(packet, range, NF_NAT_MANIP_SRC, packet.hook);
    };
  },
};
