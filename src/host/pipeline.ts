/**
 * What all stages of a packet's path work with: tables of the host, the hooks, the makers of answers, the sender, and how
 * a packet is opened and dropped. The stages themselves are in receive.ts, local-in.ts, forward.ts and output.ts.
 */
import type { VirtualClock } from '../base/clock.js';
import { Rng } from '../base/rng.js';
import { ConntrackTable } from '../conntrack/conntrack-table.js';
import { settingsFromSysctl } from '../conntrack/settings.js';
import { type Hook, NF_ACCEPT, NF_STOLEN } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import { type AnswerPort, Answers4, ICMP_DEST_UNREACH } from './answer.js';
import { Answers6, ICMPV6_DEST_UNREACH, ICMPV6_PKT_TOOBIG } from './answer6.js';
import { Devices } from './device.js';
import { DropCounts, type DropReason } from './drop-reason.js';
import type { DropPlace, HostEvents, InFrame, SentFrame } from './event.js';
import { HookRunner } from './hook-runner.js';
import type { HostConfig } from './host-config.js';
import { type HostPacket, PacketPool } from './host-packet.js';
import { IcmpLimit } from './icmp-limit.js';
import { Routing4 } from './ip4-routing.js';
import { Routing6 } from './ip6-routing.js';
import { Neighbours } from './neighbour.js';
import { noteOffload } from './offload.js';
import { type Gatherer, Reassembly } from './reassembly.js';
import type { RoutePath } from './route.js';
import { Sender, type SendPort } from './sender.js';
import { type Settings, settingsOf } from './sysctl.js';
import { Unresolved } from './unresolved.js';

const CODE_HOST_UNREACHABLE = 1;
const CODE_ADDRESS_UNREACHABLE = 3;
const CODE_FRAG_NEEDED = 4;
const PARSE_DROPS: readonly DropReason[] = [
  'bad total length',
  'bad version',
  'bad header length',
  'bad header checksum',
  'bad total length',
  'cut inside the IP header',
];

export interface PipelineSetup {
  readonly clock: VirtualClock;
  readonly hz: number;
  /** Chance of the whole host. */
  readonly rng: Rng;
  readonly seed: number;
  readonly events: HostEvents;
  readonly assumeNeighbours: boolean;
}

/** What the parts ask of the stages. */
export interface PipelinePort {
  /** Takes a fragment; true: the packet is now the whole datagram. False: the packet is gone. */
  gather(packet: HostPacket, gatherer: Gatherer): boolean;
  /** Routes an own packet anew; false: there is no way. */
  reroute(packet: HostPacket): boolean;
  /** Takes a routed own packet through OUTPUT. */
  localOut(packet: HostPacket): void;
  /** A frame leaves. */
  sent(frame: SentFrame): void;
}

export class Pipeline {
  readonly clock: VirtualClock;
  readonly events: HostEvents;
  readonly devices: Devices;
  readonly settings: Settings;
  readonly routing4: Routing4;
  readonly routing6: Routing6;
  readonly conntrack: ConntrackTable;
  readonly neighbours: Neighbours;
  /** Packets that went no further, by reason. */
  readonly drops = new DropCounts();
  readonly pool = new PacketPool();
  readonly hooks: HookRunner;
  readonly answers4: Answers4;
  readonly answers6: Answers6;
  readonly reassembly: Reassembly;
  readonly icmpLimit: IcmpLimit;
  readonly sender: Sender;
  readonly unresolved: Unresolved;
  /** Packets on lo, in order, that have not come in yet. */
  readonly backlog: HostPacket[] = [];

  constructor(config: HostConfig, setup: PipelineSetup, port: PipelinePort) {
    const { clock, hz, rng } = setup;
    const devices = new Devices(config);
    const settings = settingsOf(config);
    this.clock = clock;
    this.events = setup.events;
    this.devices = devices;
    this.settings = settings;
    this.routing4 = new Routing4(config, devices, setup.seed ^ 0x165667b1);
    this.routing6 = new Routing6(config, devices, settings.forwarding6, setup.seed ^ 0x165667b1);
    this.conntrack = new ConntrackTable({
      clock,
      hz,
      rng: new Rng(setup.seed ^ 0x5bd1e995),
      settings: settingsFromSysctl(config.sysctl),
    });
    this.neighbours = new Neighbours(setup.seed ^ 0x2545f491);
    for (const n of config.neighbours) {
      const { mac } = n;
      const low = ((mac[2]! << 24) | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!) >>> 0;
      this.neighbours.set(devices.indexOf(n.device), n.family, n.address, 0, (mac[0]! << 8) | mac[1]!, low);
    }
    const limit = new IcmpLimit(clock, hz, rng, settings.icmpMessagesPerSecond, settings.icmpBurst);
    this.icmpLimit = limit;
    const answerPort = this.#answerPort(port);
    const nextId = (): number => rng.u32() & 0xffff || 1;
    this.answers4 = new Answers4(answerPort, this.routing4, devices, settings, limit, nextId);
    this.answers6 = new Answers6(answerPort, this.routing6, devices, settings, limit, this.neighbours);
    this.reassembly = new Reassembly(clock, settings.fragmentMemory, settings.fragmentTimeMs, settings.fragmentTime6Ms);
    this.hooks = new HookRunner(port, this.conntrack, setup.events);
    const sendPort: SendPort = {
      path: (p) => this.path(p),
      tooBig: (p, mtu) => this.tooBig(p, mtu),
      drop: (p, reason) => this.drop(p, 'send', reason),
      hold: (p, device, family, words, at) => this.unresolved.hold(p, device, family, words, at),
      unreachable: (p) => this.#unreachable(p),
      loopBack: (p) => this.backlog.push(p),
      nextFragmentId: () => rng.u32() || 1,
    };
    this.sender = new Sender(sendPort, devices, this.neighbours, setup.assumeNeighbours, this.pool, port);
    this.unresolved = new Unresolved(
      {
        serialOf: (p) => (p.ct < 0 ? 0 : this.conntrack.entries.serial[p.ct]!),
        held: (p) => this.events.held?.(p, 'neighbour'),
        overflow: (p) => this.drop(p, 'send', 'too many packets wait for a neighbour'),
        send: (p) => this.sender.send(p),
        giveUp: (p) => this.sender.giveUp(p),
      },
      clock,
    );
  }

  #answerPort(port: PipelinePort): AnswerPort {
    return {
      acquire: () => this.pool.acquire(),
      release: (packet) => this.pool.release(packet),
      attach: (answer, cause) => {
        this.conntrack.attach(answer, cause);
        if (answer.ct !== -1) answer.ownsConnection = false;
      },
      close: (cause) => {
        if (cause.ct !== -1) this.conntrack.rejectedByReset(cause);
      },
      sendOwn: (answer) => {
        answer.origin = 'answer';
        answer.fromKernel = true;
        this.events.answering?.(answer);
        port.localOut(answer);
        this.events.answered?.();
      },
      nowUs: () => this.clock.nowUs,
    };
  }

  /** True if the packet's flow goes on to where it goes, by a hardware address that is known, not assumed. */
  knowsNeighbour(p: HostPacket): boolean {
    const path = this.path(p);
    // The next flow label may lead another way.
    if (p.family === 6 && path?.group !== undefined) return false;
    const viaGateway = path !== undefined && path.gatewayFamily !== 0;
    return viaGateway
      ? this.neighbours.find(p.outDevice, path.gatewayFamily, path.gateway, 0)
      : this.neighbours.find(p.outDevice, p.family, p.f, Field.Dst0);
  }

  /** Route and next hop of a routed packet. */
  path(p: HostPacket): RoutePath | undefined {
    return p.family === 4 ? this.routing4.path(p.route) : this.routing6.path(p.route);
  }

  /** The packet goes no further. */
  drop(p: HostPacket, place: DropPlace, reason: DropReason): void {
    this.drops.add(reason);
    if (this.events.dropped !== undefined) {
      const byTable = typeof place === 'number' ? this.hooks.cause : undefined;
      this.events.dropped(p, place, reason, byTable);
    }
    if (p.ct !== -1 && p.ownsConnection) this.conntrack.drop(p);
    this.pool.release(p);
  }

  /** Runs a hook; false: the packet is gone. */
  hook(p: HostPacket, hook: Hook, inDevice: number, outDevice: number): boolean {
    p.f[Field.InDev] = inDevice;
    p.f[Field.OutDev] = outDevice;
    const verdict = this.hooks.run(p, hook);
    if (verdict === NF_ACCEPT) return true;
    if (verdict !== NF_STOLEN) this.drop(p, hook, this.hooks.reason);
    return false;
  }

  /** Fills a packet from a frame; undefined: dropped for what the frame is. */
  open(frame: InFrame, own: boolean): HostPacket | undefined {
    const p = this.pool.acquire();
    p.family = frame.family;
    p.attach(frame.bytes, frame.view);
    p.frameStart = frame.start;
    p.macOff = frame.macOff;
    p.l3Off = p.l4Off = frame.l3Off;
    p.end = frame.capturedEnd;
    p.wireEnd = frame.originalEnd;
    p.receivedOn = own ? 0 : frame.device;
    if (frame.mark !== undefined) p.mark = frame.mark;
    const result =
      frame.family === 4
        ? p.parse4(frame.l3Off, frame.capturedEnd, frame.originalEnd)
        : p.parse6(frame.l3Off, frame.capturedEnd, frame.originalEnd);
    if (result !== 0) {
      this.drop(p, 'receive', PARSE_DROPS[result]!);
      return undefined;
    }
    noteOffload(p, frame.offloaded, this.devices.at(frame.device)?.mtu ?? 0xffff);
    return p;
  }

  /** Tells the sender of a packet that is longer than `mtu` and must not be cut. */
  tooBig(p: HostPacket, mtu: number): void {
    if (p.family === 4) this.answers4.sendError(p, ICMP_DEST_UNREACH, CODE_FRAG_NEEDED, mtu);
    else this.answers6.sendError(p, ICMPV6_PKT_TOOBIG, 0, mtu, p.outDevice);
  }

  /** Kernel: ipv4_link_failure(), ip6_link_failure(). */
  #unreachable(p: HostPacket): void {
    if (p.family === 4) this.answers4.sendError(p, ICMP_DEST_UNREACH, CODE_HOST_UNREACHABLE);
    else this.answers6.sendError(p, ICMPV6_DEST_UNREACH, CODE_ADDRESS_UNREACHABLE, 0, p.outDevice);
  }
}
