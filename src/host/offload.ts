/** What a captured frame says of a network card's work: checksums still to be made, segments still to be cut. */
import { fold } from '../net/checksum.js';
import { IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import { Field } from '../wire/field.js';
import { checksumOffsetOf } from '../wire/mangle.js';
import { CSUM_PARTIAL, L4_OK } from '../wire/packet.js';
import { CHECKSUM_RIGHT, pseudoHeaderSum, transportChecksumState } from '../wire/transport-checksum.js';
import type { HostPacket } from './host-packet.js';

/**
 * Notes on a freshly read packet whether its checksum is partial (the field holds the pseudo header's sum alone), and
 * whether it is a segment that a card merged or is to cut: told so, or longer than its device could carry.
 * The full sum is computed only for the one packet in 65,536 whose field looks so by chance.
 */
export function noteOffload(p: HostPacket, offloaded: boolean, mtu: number): void {
  const { protocol } = p;
  const isSegment = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP;
  p.offloaded = isSegment && !p.isFragment && (offloaded || p.f[Field.Length]! > mtu);
  if (p.l4State !== L4_OK || p.isFragment || !(isSegment || protocol === IPPROTO_ICMPV6)) return;
  const field = p.view.getUint16(p.l4Off + checksumOffsetOf(protocol));
  if (field === 0 || field !== fold(pseudoHeaderSum(p, protocol, p.l4Length))) return;
  if (transportChecksumState(p) !== CHECKSUM_RIGHT) p.csum = CSUM_PARTIAL;
}
