/** `-m pkttype`: link-layer class of the frame. Kernel: pkttype_mt(), net/netfilter/xt_pkttype.c. */
import { PACKET_BROADCAST, PACKET_HOST, PACKET_MULTICAST, PACKET_OTHERHOST } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { bang } from '../option.js';

export interface PkttypeMatch {
  /** PACKET_…. */
  readonly type: number;
  readonly invert: boolean;
}

/** Copy of an own multicast or broadcast that was looped back (include/uapi/linux/if_packet.h). */
const PACKET_LOOPBACK = 5;

/** The first name of a number is the one that prints. */
const TYPES: readonly (readonly [string, number])[] = [
  ['unicast', PACKET_HOST],
  ['broadcast', PACKET_BROADCAST],
  ['multicast', PACKET_MULTICAST],
  ['otherhost', PACKET_OTHERHOST],
  ['host', PACKET_HOST],
  ['bcast', PACKET_BROADCAST],
  ['mcast', PACKET_MULTICAST],
];

export const pkttype: MatchExt<PkttypeMatch> = {
  kind: 'pkttype',
  families: [4, 6],
  options: [{ name: '--pkt-type', invert: true }],
  parse(given) {
    const option = given.required('--pkt-type');
    const word = option?.values[0]?.toLowerCase();
    const found = TYPES.find(([name]) => name === word);
    if (option !== undefined && found === undefined)
      given.fail(
        option,
        'bad-word',
        `bad packet type "${option.values[0]}"`,
        'unicast, broadcast, multicast, otherhost',
      );
    return { type: found?.[1] ?? PACKET_HOST, invert: option?.invert ?? false };
  },
  print: (m) => `${bang(m.invert)}--pkt-type ${TYPES.find(([, type]) => type === m.type)![0]}`,
  bind: (m, env) => (packet) => {
    let type = packet.f[Field.PktType]!;
    if (type === PACKET_LOOPBACK) {
      const multicast = env.family === 6 || packet.f[Field.Dst0]! >>> 28 === 14;
      type = multicast ? PACKET_MULTICAST : PACKET_BROADCAST;
    }
    return (type === m.type) !== m.invert;
  },
  // Looped-back copies count as broadcast or multicast: those two cannot be told by the field alone.
  lower: (m) =>
    m.type === PACKET_HOST || m.type === PACKET_OTHERHOST
      ? [{ slot: Field.PktType, mask: 0xffffffff, value: m.type, invert: m.invert }]
      : undefined,
};
