/**
 * Slots of a packet's field words (`Packet.f`): what rules test, as unsigned 32-bit numbers in host order.
 * Both engines read packets through these slots; a compiled subtable's key is a list of (slot, mask).
 */
export const Field = {
  /** Source address: word 0 for IPv4 (1–3 zero), words 0–3 for IPv6. */
  Src0: 0,
  Src1: 1,
  Src2: 2,
  Src3: 3,
  Dst0: 4,
  Dst1: 5,
  Dst2: 6,
  Dst3: 7,
  /** IPv4 protocol; IPv6: last header of the chain as ip6tables sees it. */
  Protocol: 8,
  /** Transport ports; 0 where there are none (see Packet.l4State). */
  SrcPort: 9,
  DstPort: 10,
  /** ICMP or ICMPv6: type << 8 | code. 0 where there is none. */
  Icmp: 11,
  /** TCP flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128. */
  TcpFlags: 12,
  /** TOS byte or traffic class. */
  Tos: 13,
  /** TTL or hop limit. */
  Ttl: 14,
  /** IP length in bytes: total length (IPv6: payload length + 40). What byte counters add. */
  Length: 15,
  /** Fragment offset in bytes. */
  FragOff: 16,
  /** skb->mark. */
  Mark: 17,
  /** Device index of the incoming and outgoing interface; 0 where the hook shows none. */
  InDev: 18,
  OutDev: 19,
  /** PACKET_HOST, PACKET_BROADCAST … (net/netfilter.ts). */
  PktType: 20,
  /** Bit of the packet's conntrack state (CtState in conntrack/state-bit.ts), SNAT/DNAT bits included. */
  CtState: 21,
  /** Scratch of the compiled engine: numbers that it gives the names of InDev and OutDev at the start of a run. */
  InName: 22,
  OutName: 23,
} as const;
export type FieldSlot = (typeof Field)[keyof typeof Field];
export const FIELD_COUNT = 24;
