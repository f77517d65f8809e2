/** `-j TCPMSS`: lowers or adds the MSS option. Kernel: tcpmss_mangle_packet(), net/netfilter/xt_TCPMSS.c. */
import { replaceWord } from '../../net/checksum.js';
import { NF_DROP, XT_CONTINUE } from '../../net/netfilter.js';
import { IPPROTO_TCP } from '../../net/protocol.js';
import { Field } from '../../wire/field.js';
import { adjustTransportChecksum } from '../../wire/mangle.js';
import { L4_FRAGMENT, type Packet } from '../../wire/packet.js';
import type { HostServices, Refusal, RulePlace, TargetExt } from '../extension.js';
import { TCP_SYN, type TcpMatch, tcp } from '../matches/tcp.js';
import { needsProtocol, onlyHooks } from '../place.js';

export interface TcpmssTarget {
  /** The largest MSS, or undefined: what the path's MTU leaves. */
  readonly mss: number | undefined;
}

const OPTION_MSS = 2;
const OPTION_MSS_SIZE = 4;
/** MSS that a peer without the option assumes, and so the most that an added one may say. */
const DEFAULT_MSS = { 4: 536, 6: 1220 } as const;
/** IP and TCP header without options. */
const HEADERS_SIZE = { 4: 40, 6: 60 } as const;

/** True if a match of the rule lets only SYN segments through, as far as the kernel's find_syn_match() sees. */
function matchesSyn(place: RulePlace): boolean {
  return place.matches.some((use) => {
    if (use.ext !== tcp) return false;
    const m = use.value as TcpMatch; // the value of the tcp match is always one
    return (m.flagComp & TCP_SYN) !== 0 && !m.flagInvert;
  });
}

/** Offset of the MSS option in [l4Off + 20, end), or -1. */
function findMss(packet: Packet, end: number): number {
  const { bytes, l4Off } = packet;
  for (let at = l4Off + 20; at <= end - OPTION_MSS_SIZE; ) {
    const kind = bytes[at]!;
    const size = bytes[at + 1]!;
    if (kind === OPTION_MSS && size === OPTION_MSS_SIZE) return at;
    at += kind <= 1 || size === 0 ? 1 : size;
  }
  return -1;
}

/** Adds the option behind byte 20 of a header without data, and makes header and packet that much longer. */
function addMss(packet: Packet, host: HostServices, mss: number): void {
  const before = packet.l4Length;
  host.insertBytes(packet, packet.l4Off + 20, OPTION_MSS_SIZE);
  const { view, l4Off, l3Off, f } = packet;
  const option = ((OPTION_MSS << 24) | (OPTION_MSS_SIZE << 16) | mss) >>> 0;
  // The packet may lie in another buffer now.
  view.setUint32(l4Off + 20, option);
  adjustTransportChecksum(packet, before, before + OPTION_MSS_SIZE, true);
  adjustTransportChecksum(packet, 0, option, false);
  const flagsBefore = view.getUint16(l4Off + 12);
  view.setUint16(l4Off + 12, flagsBefore + 0x1000);
  adjustTransportChecksum(packet, flagsBefore, flagsBefore + 0x1000, false);
  if (packet.family === 4) {
    const length = view.getUint16(l3Off + 2);
    view.setUint16(l3Off + 2, length + OPTION_MSS_SIZE);
    view.setUint16(l3Off + 10, replaceWord(view.getUint16(l3Off + 10), length, length + OPTION_MSS_SIZE));
  } else {
    view.setUint16(l3Off + 4, view.getUint16(l3Off + 4) + OPTION_MSS_SIZE);
  }
  f[Field.Length] = f[Field.Length]! + OPTION_MSS_SIZE;
}

export const TCPMSS: TargetExt<TcpmssTarget> = {
  kind: 'TCPMSS',
  families: [4, 6],
  terminating: false,
  options: [{ name: '--set-mss' }, { name: '--clamp-mss-to-pmtu', args: 0 }],
  parse(given) {
    const last = given.given.at(-1);
    if (last === undefined) {
      given.fail(undefined, 'option-missing', 'TCPMSS: at least one of --set-mss or --clamp-mss-to-pmtu is required');
      return { mss: undefined };
    }
    const set = given.get('--set-mss');
    const mss = set === undefined ? undefined : given.number(set, 0, 65535 - HEADERS_SIZE[given.family] + 20);
    return { mss: last.spec.name === '--set-mss' ? mss : undefined };
  },
  print: (t) => (t.mss === undefined ? '--clamp-mss-to-pmtu' : `--set-mss ${t.mss}`),
  check(t, place): Refusal | undefined {
    const refusal =
      needsProtocol('TCPMSS', place, IPPROTO_TCP) ??
      (t.mss === undefined
        ? onlyHooks('TCPMSS --clamp-mss-to-pmtu', place, 'FORWARD', 'OUTPUT', 'POSTROUTING')
        : undefined);
    if (refusal !== undefined || matchesSyn(place)) return refusal;
    return {
      code: 'needs-syn',
      message: 'TCPMSS only works on TCP SYN packets',
      hint: 'add -m tcp --tcp-flags SYN,RST SYN',
      errno: 'EINVAL',
    };
  },
  bind(t, env) {
    const { host, family } = env;
    return (packet) => {
      if (packet.l4State === L4_FRAGMENT) return XT_CONTINUE;
      const size = packet.l4Length;
      if (size < 20 || packet.l4Off + 20 > packet.end) return NF_DROP;
      const headerSize = (packet.view.getUint8(packet.l4Off + 12) >> 4) << 2;
      if (headerSize < 20 || size < headerSize || packet.l4Off + headerSize > packet.end) return NF_DROP;
      let mss = t.mss;
      if (mss === undefined) {
        const mtu = host.pathMtu(packet);
        if (mtu <= HEADERS_SIZE[family]) return NF_DROP;
        mss = (mtu - HEADERS_SIZE[family]) & 0xffff;
      }
      const at = findMss(packet, packet.l4Off + headerSize);
      if (at !== -1) {
        const old = packet.view.getUint16(at + 2);
        if (old <= mss) return XT_CONTINUE;
        packet.view.setUint16(at + 2, mss);
        // At an odd offset this is the wrong sum: the kernel, too, adds the difference as if it were aligned.
        adjustTransportChecksum(packet, old, mss, false);
        return XT_CONTINUE;
      }
      if (size > headerSize || headerSize >= 60) return XT_CONTINUE;
      addMss(packet, host, Math.min(mss, DEFAULT_MSS[family]));
      return XT_CONTINUE;
    };
  },
};
