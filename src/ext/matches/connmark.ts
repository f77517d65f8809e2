/** `-m connmark --mark value[/mask]`. Kernel: connmark_mt(), net/netfilter/xt_connmark.c. */
import type { MatchExt } from '../extension.js';
import { type MarkMatch, mark, printMarkTest } from './mark.js';

export const connmark: MatchExt<MarkMatch> = {
  kind: 'connmark',
  families: [4, 6],
  options: mark.options,
  parse: mark.parse,
  print: printMarkTest,
  needs: () => 'conntrack',
  isSteady: () => true,
  bind: (m, env) => (packet) => {
    // A template (target CT, before conntrack) has mark 0.
    if (packet.ct === -1) return packet.hasTemplate && env.table === 'raw' && (m.value === 0) !== m.invert;
    return ((env.conntrack.mark(packet.ct) & m.mask) >>> 0 === m.value) !== m.invert;
  },
};
