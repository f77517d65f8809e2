/**
 * The packet view: one reused object over a frame's bytes. Decoded fields lie in `f` (see field.ts); offsets and
 * the kernel's per-packet state (skb) are plain properties. Whoever changes bytes keeps the fields in step
 * (mangle.ts does both). Per packet: allocates nothing.
 */
import { checksumOf, sumBytes } from '../net/checksum.js';
import type { Direction, Family, Hook } from '../net/netfilter.js';
import {
  IPPROTO_AH,
  IPPROTO_DCCP,
  IPPROTO_DSTOPTS,
  IPPROTO_ESP,
  IPPROTO_FRAGMENT,
  IPPROTO_HOPOPTS,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_NONE,
  IPPROTO_ROUTING,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import { FIELD_COUNT, Field } from './field.js';

/** Why a frame is no packet that netfilter would see (kernel: ip_rcv_core(), ip6_rcv_core()). */
export const PARSE_OK = 0;
export const BAD_VERSION = 1;
export const BAD_HEADER_SIZE = 2;
export const BAD_HEADER_CHECKSUM = 3;
export const BAD_LENGTH = 4;
/** The capture holds fewer bytes than even the IP header needs; nothing can be said about this packet. */
export const CUT_HEADER = 5;
export type ParseResult = 0 | 1 | 2 | 3 | 4 | 5;
export const PARSE_REASONS = [
  'ok',
  'bad version',
  'bad header length',
  'bad header checksum',
  'bad total length',
  'cut inside the IP header',
] as const;

/** State of the transport header. */
export const L4_OK = 0;
/** A fragment with offset > 0: there is no transport header. */
export const L4_FRAGMENT = 1;
/** The header that extensions need is incomplete (they hotdrop). */
export const L4_SHORT = 2;
/**
 * IPv6: the extension chain runs past the packet, or goes on behind a later fragment's header where nothing can be read
 * (kernel: -EBADMSG, -ENOENT; `-p` hotdrops either way).
 */
export const L4_BROKEN = 4;
export type L4State = 0 | 1 | 2 | 4;

/** Bytes of transport header that the kernel's own match of a protocol insists on, by protocol number; 0: none. */
const L4_MINIMUM = new Uint8Array(256);
L4_MINIMUM[IPPROTO_TCP] = 20;
L4_MINIMUM[IPPROTO_UDP] = 8;
L4_MINIMUM[IPPROTO_UDPLITE] = 8;
L4_MINIMUM[IPPROTO_SCTP] = 12;
L4_MINIMUM[IPPROTO_DCCP] = 12;
L4_MINIMUM[IPPROTO_ICMP] = 8;
L4_MINIMUM[IPPROTO_ICMPV6] = 8;
L4_MINIMUM[IPPROTO_AH] = 12;
L4_MINIMUM[IPPROTO_ESP] = 8;

const HAS_PORTS = new Uint8Array(256);
for (const p of [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_SCTP, IPPROTO_DCCP]) HAS_PORTS[p] = 1;

/** True for protocols whose header begins with source and destination port. */
export function hasPorts(protocol: number): boolean {
  return HAS_PORTS[protocol] === 1;
}

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);

/** What the sender left to its network card, or what is known of the transport checksum. */
export const CSUM_WIRE = 0;
/** Only the pseudo-header's sum is in the field (CHECKSUM_PARTIAL): valid, completed when written. */
export const CSUM_PARTIAL = 1;
/** Made by this host: never verified. */
export const CSUM_OWN = 2;

export class Packet {
  /** Decoded fields, by slot of `Field`. */
  readonly f = new Uint32Array(FIELD_COUNT);
  bytes: Uint8Array = NO_BYTES;
  view: DataView = NO_VIEW;
  family: Family = 4;

  /** Offset of the Ethernet header, or -1 if the frame had none (lo, tunnel, own packets). */
  macOff = -1;
  /** Offset of the IP header. */
  l3Off = 0;
  /** Bytes of IPv4 header with options; IPv6: 40. */
  l3Size = 0;
  /** Offset of the transport header (behind the extension headers that ip6tables walks). */
  l4Off = 0;
  l4State: L4State = L4_OK;
  /** End of the packet's bytes that are here; less than `wireEnd` only if the capture was cut. */
  end = 0;
  /** l3Off + IP length: where the packet ended on the wire. Padding behind it is cut off. */
  wireEnd = 0;
  /** More-fragments bit of IPv4 or of the fragment header; with FragOff > 0 or this set the packet is a fragment. */
  moreFragments = false;
  /** IPv6: offset of the fragment header, or -1. */
  fragmentHeaderOff = -1;

  /** Where the packet stands; set by whoever runs a hook. */
  hook: Hook = 0;
  /** Made by this host (a local process, or the stack itself): no incoming device at OUTPUT. */
  local = false;
  /** Made by this host's stack itself: ICMP errors, resets, echo replies. */
  fromKernel = false;
  /** Made by this host without a socket behind it: some resets, and copies. */
  isOrphan = false;
  /** A match decided that the packet is broken: it is dropped at once and the rule does not count. */
  hotdrop = false;
  /** TRACE was hit: every later matching rule is logged (skb->nf_trace). */
  traced = false;
  csum: 0 | 1 | 2 = CSUM_WIRE;
  /** Fragment sizes of a reassembled datagram, largest piece first seen; index into the host's store, or -1. */
  reassembly = -1;
  /** Index of the route chosen for the packet in the host's route store, or -1. */
  route = -1;
  /** Device that the packet really came in by (Field.InDev is what the hook shows). */
  receivedOn = 0;
  /** skb->priority (CLASSIFY). */
  priority = 0;

  /** Connection entry, or -1. */
  ct = -1;
  /** Direction of the packet in its connection, and its state towards it (IP_CT_… of net/netfilter.ts). */
  ctDir: Direction = 0;
  ctInfo = 0;
  /** Exempted from tracking by NOTRACK, or neighbour discovery. */
  untracked = false;
  /** Made by the host about a packet without a connection: a connection was looked for, CT and NOTRACK leave it alone. */
  settledWithout = false;
  /** Zones for the entry that tracking will create (target CT): one per direction. */
  templateZoneOriginal = 0;
  templateZoneReply = 0;
  /** The template takes these zones from the mark as it is when conntrack sees the packet: 1 original, 2 reply, 3 both. */
  templateZoneFromMark = 0;
  hasTemplate = false;

  get src(): number {
    return this.f[Field.Src0]!;
  }
  get dst(): number {
    return this.f[Field.Dst0]!;
  }
  get protocol(): number {
    return this.f[Field.Protocol]!;
  }
  get srcPort(): number {
    return this.f[Field.SrcPort]!;
  }
  get dstPort(): number {
    return this.f[Field.DstPort]!;
  }
  get mark(): number {
    return this.f[Field.Mark]!;
  }
  set mark(value: number) {
    this.f[Field.Mark] = value;
  }
  /** IP length in bytes. */
  get length(): number {
    return this.f[Field.Length]!;
  }
  get ttl(): number {
    return this.f[Field.Ttl]!;
  }
  get tos(): number {
    return this.f[Field.Tos]!;
  }
  get isFragment(): boolean {
    return this.moreFragments || this.f[Field.FragOff]! !== 0;
  }
  /** The capture holds fewer bytes than the packet had. */
  get isCut(): boolean {
    return this.end < this.wireEnd;
  }
  /** Bytes behind the transport header's start, on the wire. */
  get l4Length(): number {
    return this.wireEnd - this.l4Off;
  }

  /** Forgets the state of the packet before: a fresh skb. Bytes and fields are set by parse4/parse6. */
  reset(): void {
    this.macOff = -1;
    this.local = false;
    this.fromKernel = false;
    this.isOrphan = false;
    this.hotdrop = false;
    this.traced = false;
    this.csum = CSUM_WIRE;
    this.reassembly = -1;
    this.route = -1;
    this.receivedOn = 0;
    this.priority = 0;
    this.ct = -1;
    this.ctDir = 0;
    this.ctInfo = 0;
    this.untracked = false;
    this.settledWithout = false;
    this.templateZoneOriginal = 0;
    this.templateZoneReply = 0;
    this.templateZoneFromMark = 0;
    this.hasTemplate = false;
    this.f[Field.Mark] = 0;
    this.f[Field.InDev] = 0;
    this.f[Field.OutDev] = 0;
    this.f[Field.PktType] = 0;
    this.f[Field.CtState] = 0;
  }

  /** Points the view at another buffer (once per capture chunk; making a DataView per packet would dominate). */
  attach(bytes: Uint8Array, view: DataView): void {
    this.bytes = bytes;
    this.view = view;
  }

  /**
   * Reads the IPv4 packet at `l3Off`. `captured` and `original` are the ends of the frame's bytes in the buffer and on
   * the wire (original ≥ captured). Checks what ip_rcv_core() checks.
   */
  parse4(l3Off: number, captured: number, original: number): ParseResult {
    const { view, f } = this;
    if (captured - l3Off < 20) return original - l3Off < 20 ? BAD_HEADER_SIZE : CUT_HEADER;
    const first = view.getUint8(l3Off);
    if (first >> 4 !== 4) return BAD_VERSION;
    const l3Size = (first & 15) << 2;
    if (l3Size < 20 || l3Size > original - l3Off) return BAD_HEADER_SIZE;
    if (l3Size > captured - l3Off) return CUT_HEADER;
    if (checksumOf(sumBytes(this.bytes, l3Off, l3Off + l3Size)) !== 0) return BAD_HEADER_CHECKSUM;
    const length = view.getUint16(l3Off + 2);
    if (length < l3Size || length > original - l3Off) return BAD_LENGTH;
    this.family = 4;
    this.l3Off = l3Off;
    this.l3Size = l3Size;
    this.l4Off = l3Off + l3Size;
    this.wireEnd = l3Off + length;
    this.end = captured < this.wireEnd ? captured : this.wireEnd;
    this.fragmentHeaderOff = -1;
    const frag = view.getUint16(l3Off + 6);
    this.moreFragments = (frag & 0x2000) !== 0;
    f[Field.FragOff] = (frag & 0x1fff) << 3;
    f[Field.Tos] = view.getUint8(l3Off + 1);
    f[Field.Ttl] = view.getUint8(l3Off + 8);
    f[Field.Length] = length;
    f[Field.Protocol] = view.getUint8(l3Off + 9);
    f[Field.Src0] = view.getUint32(l3Off + 12);
    f[Field.Dst0] = view.getUint32(l3Off + 16);
    f[Field.Src1] = f[Field.Src2] = f[Field.Src3] = 0;
    f[Field.Dst1] = f[Field.Dst2] = f[Field.Dst3] = 0;
    this.readTransport();
    return PARSE_OK;
  }

  /** Reads the IPv6 packet at `l3Off`; parameters as parse4. Checks what ip6_rcv_core() checks of the fixed header. */
  parse6(l3Off: number, captured: number, original: number): ParseResult {
    const { view, f } = this;
    if (captured - l3Off < 40) return original - l3Off < 40 ? BAD_HEADER_SIZE : CUT_HEADER;
    const first = view.getUint32(l3Off);
    if (first >>> 28 !== 6) return BAD_VERSION;
    const length = view.getUint16(l3Off + 4) + 40;
    if (length > original - l3Off) return BAD_LENGTH;
    this.family = 6;
    this.l3Off = l3Off;
    this.l3Size = 40;
    this.wireEnd = l3Off + length;
    this.end = captured < this.wireEnd ? captured : this.wireEnd;
    f[Field.Tos] = (first >>> 20) & 255;
    f[Field.Ttl] = view.getUint8(l3Off + 7);
    f[Field.Length] = length;
    for (let i = 0; i < 8; i++) f[i] = view.getUint32(l3Off + 8 + (i << 2));
    this.#walkExtensions(view.getUint8(l3Off + 6), l3Off + 40);
    if (this.l4State === L4_OK) this.readTransport();
    return PARSE_OK;
  }

  /** Kernel: ipv6_find_hdr(skb, &protoff, -1, &frag_off, NULL), as ip6_packet_match() calls it: AH is walked over. */
  #walkExtensions(firstHeader: number, start: number): void {
    const { view, f } = this;
    let next = firstHeader;
    let at = start;
    this.moreFragments = false;
    this.fragmentHeaderOff = -1;
    f[Field.FragOff] = 0;
    this.l4State = L4_OK;
    f[Field.SrcPort] = f[Field.DstPort] = f[Field.Icmp] = f[Field.TcpFlags] = 0;
    while (isExtensionHeader(next) && next !== IPPROTO_NONE) {
      // The kernel asks for what it reads, not for the whole header.
      const needed = next === IPPROTO_FRAGMENT || next === IPPROTO_ROUTING ? 4 : 2;
      if (at + needed > this.end) {
        this.l4State = L4_BROKEN;
        break;
      }
      const following = view.getUint8(at);
      const units = view.getUint8(at + 1);
      let size = next === IPPROTO_AH ? (units + 2) << 2 : (units + 1) << 3;
      if (next === IPPROTO_FRAGMENT) {
        const frag = view.getUint16(at + 2);
        this.fragmentHeaderOff = at;
        this.moreFragments = (frag & 1) !== 0;
        f[Field.FragOff] = frag & 0xfff8;
        if ((frag & 0xfff8) !== 0) {
          if (isExtensionHeader(following) && following !== IPPROTO_NONE) {
            this.l4State = L4_BROKEN;
          } else {
            next = following;
            this.l4State = L4_FRAGMENT;
          }
          at += 8;
          break;
        }
        size = 8;
      }
      next = following;
      at += size;
    }
    f[Field.Protocol] = next;
    this.l4Off = at;
  }

  /** Decodes ports, ICMP type and TCP flags at l4Off; public so that a change of the transport header can be re-read. */
  readTransport(): void {
    const { view, f } = this;
    f[Field.SrcPort] = f[Field.DstPort] = f[Field.Icmp] = f[Field.TcpFlags] = 0;
    if (f[Field.FragOff]! !== 0) {
      this.l4State = L4_FRAGMENT;
      return;
    }
    const protocol = f[Field.Protocol]!;
    const at = this.l4Off;
    const here = this.end - at;
    this.l4State = here < L4_MINIMUM[protocol]! ? L4_SHORT : L4_OK;
    if (HAS_PORTS[protocol] === 1) {
      if (here >= 4) {
        const ports = view.getUint32(at);
        f[Field.SrcPort] = ports >>> 16;
        f[Field.DstPort] = ports & 0xffff;
      }
      if (protocol === IPPROTO_TCP && here >= 14) f[Field.TcpFlags] = view.getUint8(at + 13);
    } else if ((protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) && here >= 2) {
      f[Field.Icmp] = view.getUint16(at);
    }
  }
}

/** Kernel: ipv6_ext_hdr(). */
export function isExtensionHeader(next: number): boolean {
  return (
    next === IPPROTO_HOPOPTS ||
    next === IPPROTO_ROUTING ||
    next === IPPROTO_FRAGMENT ||
    next === IPPROTO_AH ||
    next === IPPROTO_NONE ||
    next === IPPROTO_DSTOPTS
  );
}
