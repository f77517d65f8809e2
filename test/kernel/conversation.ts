/**
 * Plays traffic against a host and keeps what really came out, so that peers answer the translated packets. The frames
 * that it injects, in order, are the case that both hosts are judged on.
 */
import type { Family } from '../../src/net/netfilter.js';
import {
  ACK,
  addressBytes,
  completed,
  crc32c,
  ethernet,
  FIN,
  fragments,
  ICMP,
  ICMP6,
  type Ip,
  icmpSegment,
  ipPacket,
  look,
  onesSum,
  PSH,
  RST,
  type Seen,
  type Segment,
  SYN,
  TCP,
  tcpSegment,
  UDP,
  URG,
  udpSegment,
  word16,
  word32,
} from './frame.js';
import {
  type Flow,
  MOST_REFUSED_ROUTES,
  type Step,
  type StepKind,
  saysNo,
  type Traffic,
  type Twist,
} from './generate/traffic.js';
import { type Injection, LOCAL, type SentFrame } from './kernel.js';
import { address, LINKS } from './topology.js';

/** Puts packets into the host under test and tells what came out. */
export type Inject = (packets: readonly Injection[]) => Promise<readonly SentFrame[]>;

/** Where a side of a flow stands: what it sent and what it last saw of the other. */
interface Side {
  seq: number;
  ack: number;
  last: { readonly flags: number; readonly payload: readonly number[] } | undefined;
  /** The other side's last packet as it arrived here. */
  seen: { readonly link: number; readonly packet: Seen } | undefined;
}

interface FlowState {
  readonly flow: Flow;
  readonly client: Side;
  readonly server: Side;
  echo: number;
}

const TRAILER_SIZE = 5;
const SMALLEST_MTU = 1280;

const ODD_FLAGS = [
  0,
  FIN,
  SYN | FIN,
  SYN | RST,
  SYN | URG,
  SYN | PSH,
  ACK | URG,
  FIN | ACK | URG,
  0x3f,
  PSH,
  SYN | ACK | 0xc0,
  SYN | 0xc0,
];

export class Conversation {
  readonly #family: Family;
  readonly #flows: FlowState[];
  readonly #inject: Inject;
  /** Owner of an injected packet, by tag. */
  readonly #owners = new Map<number, { state: FlowState; up: boolean }>();
  #tag: number;
  #refusedRoutes = 0;

  constructor(family: Family, traffic: Traffic, inject: Inject, firstTag: number) {
    this.#family = family;
    this.#inject = inject;
    this.#tag = firstTag;
    this.#flows = traffic.flows.map((flow, i) => ({
      flow,
      client: { seq: (i + 1) * 100_000, ack: 0, last: undefined, seen: undefined },
      server: { seq: (i + 1) * 0x10000000, ack: 0, last: undefined, seen: undefined },
      echo: 0,
    }));
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      const state = this.#flows[step.flow % this.#flows.length]!;
      for (const [kind, twist] of expand(step.kind, state.flow.protocol, step.twist)) {
        await this.#step(state, { ...step, kind, twist });
      }
    }
  }

  async #step(state: FlowState, step: Step): Promise<void> {
    const { flow } = state;
    switch (step.kind) {
      case 'errorDown':
        return this.#error(state, step, state.server.seen, true);
      case 'errorUp':
        return this.#error(state, step, state.client.seen, false);
      case 'blindDown': {
        // The server answers as if nothing had been translated.
        const link = flow.from === 1 ? 0 : 1;
        return this.#emit(state, step, false, link, flow.server, flow.client, flow.serverPort, flow.clientPort);
      }
    }
    const up = step.kind === 'open' || step.kind === 'again' || step.kind.endsWith('Up') || step.kind === 'up';
    if (up) return this.#emit(state, step, true, flow.from, flow.client, flow.server, flow.clientPort, flow.serverPort);
    const seen = state.server.seen;
    if (seen === undefined) return;
    const p = seen.packet;
    await this.#emit(state, step, false, seen.link, p.dst, p.src, p.dstPort, p.srcPort);
  }

  async #emit(
    state: FlowState,
    step: Step,
    up: boolean,
    where: number,
    src: string,
    dst: string,
    srcPort: number,
    dstPort: number,
  ): Promise<void> {
    if ((saysNo(src) || saysNo(dst)) && ++this.#refusedRoutes > MOST_REFUSED_ROUTES) return;
    const own = up ? state.client : state.server;
    const other = up ? state.server : state.client;
    const ip: Ip = {
      family: this.#family,
      src,
      dst,
      protocol: state.flow.protocol,
      ttl: step.twist === 'ttl1' ? 1 : step.twist === 'ttl2' ? 2 : [64, 64, 128, 255][step.n % 4]!,
      tos: step.twist === 'tos' ? [0x10, 0x08, 0xb8, 0x03, 0x02, 0x01, 0xfc, 0x1c][step.n % 8]! : 0,
      tag: this.#tag++,
      dontFragment: state.flow.protocol === TCP || step.twist === 'dontFragment',
      options:
        this.#family === 4 && step.twist === 'ipOptions'
          ? [
              [1, 1, 1, 1],
              [0x94, 4, 0, 0],
              [0x94, 4, 0, 0, 1, 1, 0, 0],
            ][step.n % 3]!
          : [],
    };
    this.#owners.set(ip.tag, { state, up });
    const size = step.twist === 'large' ? [1232, 1252, 1272, 1300, 1420][step.n % 5]! : step.size;
    const payload = Array.from({ length: size }, (_, i) => (i * 7 + step.n) & 255);
    const segment = this.#segment(state, step, own, other, srcPort, dstPort, payload, up);
    await this.#put(ip, segment, step, where, state.flow.mark);
  }

  #segment(
    state: FlowState,
    step: Step,
    own: Side,
    other: Side,
    srcPort: number,
    dstPort: number,
    payload: readonly number[],
    up: boolean,
  ): Segment {
    const { protocol } = state.flow;
    switch (protocol) {
      case TCP:
        return tcpOf(step, own, other, srcPort, dstPort, payload);
      case UDP:
        return udpSegment(srcPort, dstPort, payload);
      case 136:
        // Linux checks UDP-Lite with the protocol number of UDP.
        return { ...udpSegment(srcPort, dstPort, payload), ...(step.n % 3 === 0 ? {} : { pseudoProtocol: UDP }) };
      case ICMP:
      case ICMP6:
        return this.#echo(state, step, payload, up);
      case 132: {
        // INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, ABORT, SHUTDOWN and so on.
        const init = [up ? 1 : 2, 0, 0, 20, ...word32(7), ...word32(65535), 0, 1, 0, 1, ...word32(1)];
        const plain = [
          [10, 0, 0, 4],
          [11, 0, 0, 4],
          [6, 0, 0, 4],
          [7, 0, 0, 8, 0, 0, 0, 1],
          [8, 0, 0, 4],
          [14, 0, 0, 4],
          [4, 0, 0, 8, 0, 1, 0, 4],
          [5, 0, 0, 8, 0, 1, 0, 4],
        ];
        const first = step.kind === 'open' || step.kind === 'answer';
        const tag = first && up ? 0 : 7;
        const head = [...word16(srcPort), ...word16(dstPort), ...word32(tag)];
        const chunk = first
          ? init
          : plain.slice(step.n % plain.length, (step.n % plain.length) + 1 + (step.n % 2)).flat();
        const crc = step.twist === 'badChecksum' ? [1, 2, 3, 4] : crc32c([...head, 0, 0, 0, 0, ...chunk]);
        return { bytes: [...head, ...crc, ...chunk], checksumAt: -1 };
      }
      case 33: {
        const header = [...word16(srcPort), ...word16(dstPort), 4, 0, 0, 0, up ? 0 : 2, 0, 0, 1, ...word32(0)];
        return { bytes: [...header, ...payload], checksumAt: 6 };
      }
      case 47:
        return { bytes: [0, 0, 8, 0, ...payload], checksumAt: -1 };
      case 51:
        return {
          bytes: [59, 4, 0, 0, ...word32(srcPort), ...word32(1), ...new Array<number>(12).fill(9)],
          checksumAt: -1,
        };
      default:
        return { bytes: [...word32(srcPort), ...word32(1), ...payload], checksumAt: -1 };
    }
  }

  #echo(state: FlowState, step: Step, payload: readonly number[], up: boolean): Segment {
    const id = up
      ? state.flow.clientPort
      : state.server.seen === undefined
        ? state.flow.clientPort
        : echoId(state.server.seen.packet);
    const [request, reply] = this.#family === 4 ? [8, 0] : [128, 129];
    let type = up ? request! : reply!;
    let code = 0;
    if (step.kind.startsWith('odd')) {
      [type, code] = (
        this.#family === 4
          ? ([
              [13, 0],
              [14, 0],
              [17, 0],
              [8, 3],
              [9, 0],
              [0, 0],
              [30, 0],
              [15, 0],
            ] as const)
          : ([
              [128, 3],
              [139, 0],
              [140, 0],
              [129, 0],
              [150, 0],
              [200, 1],
              [128, 0],
              [129, 3],
            ] as const)
      )[step.n % 8]!;
    }
    return icmpSegment(type, code, [...word16(id), ...word16(++state.echo)], payload);
  }

  /** An ICMP error about what a side last saw, from that side or from a router on its link. */
  async #error(state: FlowState, step: Step, seen: Side['seen'], down: boolean): Promise<void> {
    if (seen === undefined) return;
    const p = seen.packet;
    if (saysNo(p.src) && ++this.#refusedRoutes > MOST_REFUSED_ROUTES) return;
    const router = step.n % 3 === 0 && seen.link !== LOCAL;
    const ip: Ip = {
      family: this.#family,
      src: router ? address(this.#family, seen.link, 10) : p.dst,
      dst: p.src,
      protocol: this.#family === 4 ? ICMP : ICMP6,
      ttl: step.twist === 'ttl1' ? 1 : 64,
      tos: 0,
      tag: this.#tag++,
      dontFragment: false,
      options: [],
    };
    this.#owners.set(ip.tag, { state, up: !down });
    const quoteSize = [p.packet.length, p.l4 + 8, p.l4 + 4, p.l4 + 20, p.l4 + 2][step.n % 5]!;
    const quote = Array.from(p.packet.subarray(0, Math.min(quoteSize, 500)));
    const [type, code] = (
      this.#family === 4
        ? ([
            [3, 3],
            [3, 1],
            [11, 0],
            [3, 4],
            [12, 0],
            [5, 1],
            [4, 0],
            [3, 13],
          ] as const)
        : ([
            [1, 4],
            [1, 0],
            [3, 0],
            [2, 0],
            [4, 1],
            [1, 1],
            [3, 1],
            [4, 0],
          ] as const)
    )[(step.n >> 3) % 8]!;
    const rest = type === 5 ? addressBytes(address(4, seen.link === LOCAL ? 0 : seen.link, 3)) : [0, 0, 0x04, 0xb0];
    await this.#put(ip, icmpSegment(type, code, rest, quote), { ...step, twist: plainTwist(step.twist) }, seen.link, 0);
  }

  async #put(ip: Ip, segment: Segment, step: Step, where: number, mark: number): Promise<void> {
    const { twist, n } = step;
    let body = completed(ip, segment);
    // A process of the host does not send wrong checksums: its card fills them in.
    if (twist === 'badChecksum' && where !== LOCAL && segment.checksumAt >= 0 && segment.checksumAt < body.length) {
      body[segment.checksumAt]! ^= 1 + (n & 0x7f);
      // The bare sum of the pseudo header is what a card is left to complete: chainwalk takes it so, on purpose.
      if (isPartial(ip, segment, body)) body[segment.checksumAt]! ^= 0x80;
    }
    if (twist === 'zeroUdpChecksum' && ip.protocol === UDP && where !== LOCAL) body[6] = body[7] = 0;
    // Nor does it send a part of a segment.
    if (twist === 'short' && (where !== LOCAL || ![TCP, UDP].includes(ip.protocol)))
      body = body.slice(0, [0, 2, 4, 7, 8, 12, 19][n % 7]!);
    let outer = ip;
    if (twist === 'ipOptions' && ip.family === 6) {
      // Hop-by-hop or destination options with nothing but padding.
      body = [ip.protocol, 0, 1, 4, 0, 0, 0, 0, ...body];
      outer = { ...ip, protocol: n % 2 === 0 ? 0 : 60 };
    }
    let packets: number[][];
    if (twist.startsWith('fragment') && where !== LOCAL) {
      packets = fragments(outer, body, [8 + (n & 0x18), 40 + (n & 0xe0)], ip.tag);
      if (twist === 'fragmentsReversed') packets.reverse();
      if (twist === 'fragmentLost') packets.pop();
    } else {
      packets = [ipPacket(outer, body)];
    }
    if (twist === 'badIpChecksum' && ip.family === 4 && where !== LOCAL) packets[0]![10]! ^= 0x55;
    await this.#deliver(packets, ip, twist, where, mark);
  }

  async #deliver(packets: readonly number[][], ip: Ip, twist: Twist, where: number, mark: number): Promise<void> {
    // A link takes no frame that is longer than its MTU, and a send call that fails half way would be two things at once.
    const most = where === LOCAL ? SMALLEST_MTU : LINKS[where]!.mtu - TRAILER_SIZE;
    const fitting = packets.filter((p) => p.length <= most);
    if (fitting.length === 0) return;
    const injections: Injection[] = fitting.map((packet) => {
      if (where === LOCAL) return { where, bytes: Uint8Array.from(packet), to: ip.dst, mark };
      const link = LINKS[where]!;
      const bytes = twist === 'trailer' ? [...packet, 1, 2, 3, 4, 5] : packet;
      return { where, bytes: ethernet(macFor(ip.dst, link.mac, twist), link.peerMac, ip.family, bytes) };
    });
    for (const { link, bytes } of await this.#inject(injections)) this.#see(link, bytes);
  }

  /** Hands a frame that came out to the side that it is for. */
  #see(link: number, bytes: Uint8Array): void {
    const packet = look(bytes.subarray(14));
    if (packet === undefined || packet.fragment) return;
    const owner = this.#owners.get(packet.tag);
    if (owner === undefined || packet.protocol !== owner.state.flow.protocol) return;
    const side = owner.up ? owner.state.server : owner.state.client;
    side.seen = { link, packet };
  }
}

/** The checksum field holds the pseudo header's sum and nothing else. */
function isPartial(ip: Ip, segment: Segment, body: readonly number[]): boolean {
  const protocol = segment.pseudoProtocol ?? ip.protocol;
  const pseudo = onesSum([...addressBytes(ip.src), ...addressBytes(ip.dst)], protocol + body.length);
  return ((body[segment.checksumAt]! << 8) | body[segment.checksumAt + 1]!) === pseudo;
}

/** Kinds that stand for several packets, with the twist on the last but one thing that matters. */
function expand(kind: StepKind, protocol: number, twist: Twist): [StepKind, Twist][] {
  const tcp = protocol === TCP;
  switch (kind) {
    case 'handshake':
      return tcp
        ? [
            ['open', twist],
            ['answer', 'none'],
            ['ackUp', 'none'],
          ]
        : [
            ['open', twist],
            ['answer', 'none'],
          ];
    case 'exchange':
      return tcp
        ? [
            ['up', twist],
            ['ackDown', 'none'],
            ['down', 'none'],
            ['ackUp', 'none'],
          ]
        : [
            ['up', 'none'],
            ['down', twist],
          ];
    case 'close':
      return tcp
        ? [
            ['closeUp', twist],
            ['closeDown', 'none'],
            ['ackUp', 'none'],
          ]
        : [['up', twist]];
    default:
      return [[kind, twist]];
  }
}

function plainTwist(twist: Twist): Twist {
  return twist === 'badChecksum' || twist === 'ttl1' || twist === 'otherMac' || twist === 'broadcastMac'
    ? twist
    : 'none';
}

function macFor(dst: string, own: string, twist: Twist): string {
  if (twist === 'broadcastMac') return 'ff:ff:ff:ff:ff:ff';
  if (twist === 'otherMac') return '02:00:00:00:09:09';
  if (dst === '255.255.255.255' || dst.endsWith('.15')) return 'ff:ff:ff:ff:ff:ff';
  const bytes = addressBytes(dst);
  const hex = (n: number) => n.toString(16).padStart(2, '0');
  if (bytes.length === 4 && bytes[0]! >> 4 === 14) {
    return `01:00:5e:${hex(bytes[1]! & 127)}:${hex(bytes[2]!)}:${hex(bytes[3]!)}`;
  }
  if (bytes.length === 16 && bytes[0] === 255) return `33:33:${bytes.slice(12).map(hex).join(':')}`;
  return own;
}

function echoId(packet: Seen): number {
  const at = packet.l4 + 4;
  return at + 2 <= packet.packet.length ? (packet.packet[at]! << 8) | packet.packet[at + 1]! : 0;
}

/** The next TCP segment of a side; moves its sequence on (unless the twist says that this is none that counts). */
function tcpOf(
  step: Step,
  own: Side,
  other: Side,
  srcPort: number,
  dstPort: number,
  payload: readonly number[],
): Segment {
  let flags = ACK;
  let data: readonly number[] = [];
  switch (step.kind) {
    case 'open':
      flags = SYN;
      break;
    case 'answer':
      flags = SYN | ACK;
      break;
    case 'up':
    case 'down':
    case 'blindDown':
      flags = PSH | ACK;
      data = payload;
      break;
    case 'closeUp':
    case 'closeDown':
      flags = FIN | ACK;
      break;
    case 'resetUp':
    case 'resetDown':
      flags = step.n % 3 === 0 ? RST : RST | ACK;
      break;
    case 'oddUp':
    case 'oddDown':
      flags = ODD_FLAGS[step.n % ODD_FLAGS.length]!;
      data = step.n % 2 === 0 ? [] : payload;
      break;
    case 'again':
      if (own.last !== undefined) {
        flags = own.last.flags;
        data = own.last.payload;
        own.seq -= data.length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
      }
      break;
  }
  let seq = own.seq;
  let ack = (flags & ACK) !== 0 ? other.seq : 0;
  if (step.twist === 'seqOld') seq -= 100_000 + step.n;
  if (step.twist === 'seqAhead') seq += 1 + step.n;
  if (step.twist === 'seqFar') seq += 1_000_000;
  if (step.twist === 'ackOld') ack -= 70_000 + step.n;
  if (step.twist === 'ackAhead') ack += 1 + step.n;
  own.last = { flags, payload: data };
  if (!step.twist.startsWith('seq')) {
    own.seq = (own.seq + data.length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)) >>> 0;
  }
  return tcpSegment({
    srcPort,
    dstPort,
    seq: seq >>> 0,
    ack: ack >>> 0,
    flags,
    window: step.twist === 'windowZero' ? 0 : (flags & RST) !== 0 ? 0 : [64240, 502, 1000][step.n % 3]!,
    options: tcpOptions(step, flags),
    payload: data,
  });
}

function tcpOptions(step: Step, flags: number): readonly number[] {
  const mss = [2, 4, ...word16([1460, 1240, 536, 100][step.n % 4]!)];
  if (step.twist === 'mss') return mss;
  if (step.twist === 'mssOdd') return [1, ...mss, 1, 1, 1];
  if (step.twist === 'tcpOptions') {
    return [
      [...mss, 4, 2, 8, 10, ...word32(1), ...word32(0), 1, 3, 3, 7],
      [1, 1, 8, 10, ...word32(5), ...word32(6)],
      [1, 1, 5, 10, ...word32(100), ...word32(200)],
      [...mss, 3, 3, 14, 0],
      [8, 0, 0, 0],
      [254, 4, 1, 2],
    ][step.n % 6]!;
  }
  return (flags & SYN) !== 0 && step.n % 4 !== 0 ? [...mss, 1, 3, 3, 7] : [];
}
