/** `-m mac --mac-source`. Kernel: mac_mt(), net/netfilter/xt_mac.c. */
import type { MatchExt } from '../extension.js';
import { bang } from '../option.js';
import { onlyHooks } from '../place.js';

export interface MacMatch {
  readonly bytes: readonly number[];
  readonly invert: boolean;
}

/** At most two characters that strtoul(…, 16) takes; nothing is 0. */
function groupOf(text: string): number | undefined {
  if (text === '') return 0;
  if (/^([0-9a-f]{1,2}|[\s+-][0-9a-f])$/i.test(text)) return Number.parseInt(text, 16) & 255;
  return undefined;
}

export const mac: MatchExt<MacMatch> = {
  kind: 'mac',
  families: [4, 6],
  options: [{ name: '--mac-source', invert: true }],
  parse(given) {
    const option = given.required('--mac-source');
    const text = option?.values[0] ?? '';
    const groups = text.split(':').map(groupOf);
    if (option !== undefined && (groups.length !== 6 || groups.includes(undefined)))
      given.fail(option, 'bad-mac', `mac: bad address "${text}"`, 'six groups of hex digits: 00:11:22:aa:bb:cc');
    return { bytes: groups.map((group) => group ?? 0), invert: option?.invert ?? false };
  },
  print: (m) => `${bang(m.invert)}--mac-source ${m.bytes.map((b) => b.toString(16).padStart(2, '0')).join(':')}`,
  check: (_m, place) => onlyHooks('mac', place, 'PREROUTING', 'INPUT', 'FORWARD'),
  bind(m) {
    const wanted = Uint8Array.from(m.bytes);
    return (packet) => {
      // No Ethernet header: false, also inverted.
      if (packet.macOff === -1) return false;
      const at = packet.macOff + 6;
      for (let i = 0; i < 6; i++) if (packet.bytes[at + i] !== wanted[i]) return m.invert;
      return !m.invert;
    };
  },
};
