/**
 * Where the network-layer packet begins in a record, by link type (tcpdump.org/linktypes.html), and what the link layer
 * says about it. Numbers only: what an ethertype or a packet type means is for the rooms above.
 */
export const LINKTYPE_NULL = 0;
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW_BSD = 12;
export const LINKTYPE_RAW_OPENBSD = 14;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_LOOP = 108;
export const LINKTYPE_LINUX_SLL = 113;
export const LINKTYPE_IPV4 = 228;
export const LINKTYPE_IPV6 = 229;
export const LINKTYPE_LINUX_SLL2 = 276;

/** Ethertypes (include/uapi/linux/if_ether.h). */
export const ETH_P_802_3 = 0x0001;
export const ETH_P_802_2 = 0x0004;
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_8021Q = 0x8100;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_8021AD = 0x88a8;

/** Below this, the third field of an Ethernet header is a size (802.3), not an ethertype. */
const ETH_P_802_3_MIN = 0x600;

const ETHERNET_SIZE = 14;
const SLL_SIZE = 16;
const SLL2_SIZE = 20;
const LOOP_SIZE = 4;
const VLAN_TAG_SIZE = 4;

export type LinkFault = 'unsupported-link-type' | 'link-header-cut' | 'not-ip';

/** Filled anew by every `locatePacket`. Offsets count from the start of the record's `bytes`. */
export class LinkLayer {
  /** First byte of the network-layer packet. */
  l3Off = 0;
  /** Its ethertype; for raw link types the one its IP version means. */
  protocol = 0;
  /** Where the Ethernet header (destination, source, ethertype) starts, or -1 where there is none. */
  macOff = -1;
  /** Link-layer source address (Ethernet or cooked header), or -1; its size in bytes. */
  sourceMacOff = -1;
  sourceMacSize = 0;
  /**
   * PACKET_HOST … PACKET_OUTGOING as a cooked header says it, or -1. For Ethernet the caller derives it from the
   * destination address, as it knows the interface's own.
   */
  packetType = -1;
  /** Kernel's number of the interface (cooked v2), or 0. */
  interfaceIndex = 0;
  /** ARPHRD_ number of a cooked header, or -1. */
  hardwareType = -1;
  /** 802.1Q and 802.1ad tags: how many (0 to 2), and their tag control words, outer one first. */
  vlanCount = 0;
  outerVlan = 0;
  innerVlan = 0;
}

/**
 * Finds the packet in [off, off + size) of `view`. Returns undefined and fills `out`, or says why there is no packet to be
 * found. Per packet: allocates nothing.
 */
export function locatePacket(
  linkType: number,
  view: DataView,
  off: number,
  size: number,
  out: LinkLayer,
): LinkFault | undefined {
  out.macOff = -1;
  out.sourceMacOff = -1;
  out.sourceMacSize = 0;
  out.packetType = -1;
  out.interfaceIndex = 0;
  out.hardwareType = -1;
  out.vlanCount = 0;
  out.outerVlan = 0;
  out.innerVlan = 0;
  const end = off + size;
  switch (linkType) {
    case LINKTYPE_ETHERNET: {
      if (size < ETHERNET_SIZE) return 'link-header-cut';
      out.macOff = off;
      out.sourceMacOff = off + 6;
      out.sourceMacSize = 6;
      const type = view.getUint16(off + 12);
      return passTags(view, type, off + ETHERNET_SIZE, end, out);
    }
    case LINKTYPE_LINUX_SLL:
      if (size < SLL_SIZE) return 'link-header-cut';
      out.packetType = view.getUint16(off);
      out.hardwareType = view.getUint16(off + 2);
      out.sourceMacOff = off + 6;
      out.sourceMacSize = Math.min(8, view.getUint16(off + 4));
      return passTags(view, view.getUint16(off + 14), off + SLL_SIZE, end, out);
    case LINKTYPE_LINUX_SLL2:
      if (size < SLL2_SIZE) return 'link-header-cut';
      out.interfaceIndex = view.getUint32(off + 4);
      out.hardwareType = view.getUint16(off + 8);
      out.packetType = view.getUint8(off + 10);
      out.sourceMacOff = off + 12;
      out.sourceMacSize = Math.min(8, view.getUint8(off + 11));
      return passTags(view, view.getUint16(off), off + SLL2_SIZE, end, out);
    case LINKTYPE_RAW:
    case LINKTYPE_RAW_BSD:
    case LINKTYPE_RAW_OPENBSD:
      return byVersion(view, off, end, out);
    case LINKTYPE_IPV4:
      out.l3Off = off;
      out.protocol = ETH_P_IP;
      return undefined;
    case LINKTYPE_IPV6:
      out.l3Off = off;
      out.protocol = ETH_P_IPV6;
      return undefined;
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP: {
      if (size < LOOP_SIZE) return 'link-header-cut';
      // NULL is in the order of whoever captured; families are small numbers, so only one order makes sense.
      const big = view.getUint32(off);
      out.l3Off = off + LOOP_SIZE;
      out.protocol = etherTypeOfFamily(big < 0x10000 ? big : view.getUint32(off, true));
      return out.protocol === 0 ? 'not-ip' : undefined;
    }
    default:
      return 'unsupported-link-type';
  }
}

/** Takes up to two VLAN tags off. A third is left for the caller to see as the protocol. */
function passTags(view: DataView, type: number, off: number, end: number, out: LinkLayer): LinkFault | undefined {
  while ((type === ETH_P_8021Q || type === ETH_P_8021AD) && out.vlanCount < 2) {
    if (off + VLAN_TAG_SIZE > end) return 'link-header-cut';
    const control = view.getUint16(off);
    if (out.vlanCount === 0) out.outerVlan = control;
    else out.innerVlan = control;
    out.vlanCount++;
    type = view.getUint16(off + 2);
    off += VLAN_TAG_SIZE;
  }
  out.l3Off = off;
  out.protocol = type;
  // As eth_type_trans() sorts them: a Novell frame starts with a checksum of all ones, any other is LLC. A cooked header
  // already holds the kernel's number.
  if (type < ETH_P_802_3_MIN && out.macOff !== -1) {
    out.protocol = off + 2 <= end && view.getUint16(off) === 0xffff ? ETH_P_802_3 : ETH_P_802_2;
  }
  return undefined;
}

function byVersion(view: DataView, off: number, end: number, out: LinkLayer): LinkFault | undefined {
  if (off >= end) return 'link-header-cut';
  const version = view.getUint8(off) >>> 4;
  out.l3Off = off;
  out.protocol = version === 4 ? ETH_P_IP : version === 6 ? ETH_P_IPV6 : 0;
  return out.protocol === 0 ? 'not-ip' : undefined;
}

/** Address families: AF_INET everywhere 2; AF_INET6 24 (NetBSD, OpenBSD), 28 (FreeBSD), 30 (Darwin), 10 (Linux). */
function etherTypeOfFamily(family: number): number {
  if (family === 2) return ETH_P_IP;
  if (family === 24 || family === 28 || family === 30 || family === 10) return ETH_P_IPV6;
  return 0;
}
