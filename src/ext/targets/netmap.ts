/** `-j NETMAP --to network`: the host part stays. Kernel: netmap_tg4(), netmap_tg6(), net/netfilter/xt_NETMAP.c. */
import type { Words6 } from '../../net/ip6.js';
import { NF_NAT_MANIP_DST } from '../../net/netfilter.js';
import { fullMask, hostMask, printAddress, printMask, ZERO_WORDS } from '../address.js';
import type { TargetExt } from '../extension.js';
import { checkNat, manipAt, scratchRange } from '../nat-range.js';

export interface NetmapTarget {
  /** Host bits clear. */
  readonly network: Words6;
  readonly mask: Words6;
}

export const NETMAP: TargetExt<NetmapTarget> = {
  kind: 'NETMAP',
  families: [4, 6],
  terminating: true,
  options: [{ name: '--to' }],
  parse(given) {
    const option = given.required('--to');
    if (option === undefined) return { network: ZERO_WORDS, mask: ZERO_WORDS };
    const { address, mask } = hostMask(given, option);
    const [a, b, c, d] = address.map((word, i) => (word & mask[i]!) >>> 0) as [number, number, number, number];
    return { network: [a, b, c, d], mask };
  },
  print(t, family) {
    const full = fullMask(family).every((word, i) => word === t.mask[i]);
    return `--to ${printAddress(t.network, family)}${full ? (family === 4 ? '/32' : '/128') : printMask(t.mask, family)}`;
  },
  check: (_t, place) => checkNat('NETMAP', place, 'PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'),
  needs: () => 'conntrack',
  bind(t, env) {
    const range = scratchRange({
      flags: 0,
      minAddress: ZERO_WORDS,
      maxAddress: ZERO_WORDS,
      minPort: 0,
      maxPort: 0,
      basePort: 0,
    });
    const words = env.family === 4 ? 1 : 4;
    return (packet) => {
      const manip = manipAt(packet);
      const first = manip === NF_NAT_MANIP_DST ? 4 : 0;
      for (let i = 0; i < words; i++) range.minAddress[i] = (packet.f[first + i]! & ~t.mask[i]!) | t.network[i]!;
      return env.conntrack.setupNat(packet, range, manip, packet.hook);
    };
  },
};
