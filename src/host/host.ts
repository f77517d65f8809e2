/**
 * One network namespace: carries packets through hooks, tables, connection tracking, routing and out again, with every
 * answer that the stack makes on the way. Synchronous: when `receive` returns, all consequences have happened.
 * The path is the kernel's (spec 1): ip_rcv(), ip_forward(), ip_local_deliver(), __ip_local_out(), ip_output(), and
 * their IPv6 counterparts. Per packet: allocates nothing, but for fragments.
 */
import { DEFAULT_HZ, VirtualClock } from '../base/clock.js';
import type { Diagnostic } from '../base/diagnostic.js';
import { Rng } from '../base/rng.js';
import { ConntrackTable } from '../conntrack/conntrack-table.js';
import { settingsFromSysctl } from '../conntrack/settings.js';
import type { BuildEngine, Engine } from '../engine/engine.js';
import type { BindEnv } from '../ext/extension.js';
import {
  type Family,
  type Hook,
  NF_ACCEPT,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_STOLEN,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  type TableName,
} from '../net/netfilter.js';
import { IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../net/protocol.js';
import type { RuleSet } from '../ruleset/model.js';
import { Field } from '../wire/field.js';
import { setTtl } from '../wire/mangle.js';
import { CSUM_OWN, L4_OK } from '../wire/packet.js';
import { type AnswerPort, Answers4, ICMP_DEST_UNREACH, ICMP_PARAMETERPROB, ICMP_TIME_EXCEEDED } from './answer.js';
import { Answers6, ICMPV6_DEST_UNREACH, ICMPV6_PARAMPROB, ICMPV6_PKT_TOOBIG, ICMPV6_TIME_EXCEED } from './answer6.js';
import { type Device, Devices, SCOPE_LINK, scopeOf6 } from './device.js';
import { DropCounts, type DropReason } from './drop-reason.js';
import type { DropPlace, HostEvents, InFrame } from './event.js';
import { FlowCache } from './flow-cache.js';
import { HookRunner } from './hook-runner.js';
import { type HostConfig, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from './host-config.js';
import { type HostPacket, PacketPool } from './host-packet.js';
import { IcmpLimit } from './icmp-limit.js';
import { OPTIONS_OK, OPTIONS_SOURCE_ROUTE, type OptionReader, readOptions, writeForwardOptions } from './ip-option.js';
import { ALL_HOSTS, isMulticast4, Routing4, TO_ERROR, TO_FORWARD, TO_LOCAL } from './ip4-routing.js';
import { EXTENSIONS_OK, problemCode, problemPointer, readHopByHop } from './ip6-option.js';
import { Routing6 } from './ip6-routing.js';
import { LocalEnd } from './local-end.js';
import { Neighbours } from './neighbour.js';
import { noteOffload } from './offload.js';
import { type FragmentQueue, type Gatherer, Reassembly, restoreFirstPiece } from './reassembly.js';
import type { RoutePath } from './route.js';
import { Sender } from './sender.js';
import { NamedState, Services } from './services.js';
import type { Sockets } from './socket.js';
import { type Settings, settingsOf } from './sysctl.js';

export interface HostOptions {
  readonly ruleSet4?: RuleSet | undefined;
  readonly ruleSet6?: RuleSet | undefined;
  readonly buildEngine: BuildEngine;
  /** Chance below is drawn from it. */
  readonly seed: number;
  /** Kernel ticks a second; default 250. */
  readonly hz?: number;
  readonly events?: HostEvents;
  /** Shared by hosts that live in the same time; else the host has its own. */
  readonly clock?: VirtualClock;
  /** Sockets of the host's processes; undefined: nothing listens, closed ports answer. */
  readonly sockets?: Sockets;
  /** Received frames teach hardware addresses, as the ARP exchange before them would have. Default true. */
  readonly learnNeighbours?: boolean;
  /** An unknown neighbour gets a made-up hardware address; else its packets are dropped. Default false. */
  readonly assumeNeighbours?: boolean;
}

const CODE_FRAG_NEEDED = 4;
const CODE_REASSEMBLY = 1;
const CODE_NOT_NEIGHBOUR = 2;
const IPV6_MIN_MTU = 1280;
const TCP_HEADER_SIZE = 20;
const MILLISECONDS_A_DAY = 86_400_000;
const PARSE_DROPS: readonly DropReason[] = [
  'bad total length',
  'bad version',
  'bad header length',
  'bad header checksum',
  'bad total length',
  'cut inside the IP header',
];

export class Host {
  readonly config: HostConfig;
  readonly clock: VirtualClock;
  readonly devices: Devices;
  readonly settings: Settings;
  readonly services: Services;
  readonly conntrack: ConntrackTable;
  /** What of the listing of connections could not be taken over. */
  readonly diagnostics: readonly Diagnostic[];
  readonly neighbours = new Neighbours();
  /** Packets that went no further, by reason. */
  readonly drops = new DropCounts();
  /** Packets that passed INPUT. */
  deliveredCount = 0;
  readonly routing4: Routing4;
  readonly routing6: Routing6;
  readonly #options: HostOptions;
  readonly #events: HostEvents;
  readonly #hz: number;
  readonly #rng: Rng;
  readonly #pool = new PacketPool();
  readonly #hooks: HookRunner;
  readonly #answers4: Answers4;
  readonly #answers6: Answers6;
  readonly #localEnd: LocalEnd;
  readonly #sender: Sender;
  readonly #flows: FlowCache;
  readonly #reassembly: Reassembly;
  readonly #shared = new NamedState();
  /** Packets on lo, in order; [#backlogAt, length) wait. */
  readonly #backlog: HostPacket[] = [];
  #backlogAt = 0;
  #depth = 0;

  constructor(config: HostConfig, options: HostOptions) {
    this.config = config;
    this.#options = options;
    this.#events = options.events ?? {};
    this.clock = options.clock ?? new VirtualClock();
    this.#hz = options.hz ?? DEFAULT_HZ;
    this.#rng = new Rng(options.seed);
    const devices = new Devices(config);
    const settings = settingsOf(config);
    this.devices = devices;
    this.settings = settings;
    this.routing4 = new Routing4(config, devices);
    this.routing6 = new Routing6(config, devices, settings.forwarding6);
    this.conntrack = new ConntrackTable({
      clock: this.clock,
      hz: this.#hz,
      rng: new Rng(options.seed ^ 0x5bd1e995),
      settings: settingsFromSysctl(config.sysctl),
    });
    this.diagnostics =
      config.conntrack === undefined ? [] : this.conntrack.preload({ name: 'conntrack', text: config.conntrack });
    for (const n of config.neighbours) {
      const { mac } = n;
      const low = ((mac[2]! << 24) | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!) >>> 0;
      this.neighbours.set(devices.indexOf(n.device), n.family, n.address, 0, (mac[0]! << 8) | mac[1]!, low);
    }
    const limit = new IcmpLimit(this.clock, this.#hz, this.#rng, settings.icmpMessagesPerSecond, settings.icmpBurst);
    const port: AnswerPort = {
      acquire: () => this.#pool.acquire(),
      release: (packet) => this.#pool.release(packet),
      attach: (answer, cause) => {
        if (cause.ct === -1) return;
        this.conntrack.attach(answer, cause);
        answer.ownsConnection = false;
      },
      sendOwn: (answer) => {
        answer.origin = 'answer';
        answer.fromKernel = true;
        this.#events.answering?.(answer);
        this.#localOut(answer);
        this.#events.answered?.();
      },
      nowUs: () => this.clock.nowUs,
    };
    this.#answers4 = new Answers4(port, this.routing4, devices, settings, limit, this.#rng.u32());
    this.#answers6 = new Answers6(port, this.routing6, devices, settings, limit, this.neighbours);
    this.#localEnd = new LocalEnd(this.#answers4, this.#answers6, settings, options.sockets);
    this.#reassembly = new Reassembly(
      this.clock,
      settings.fragmentMemory,
      settings.fragmentTimeMs,
      settings.fragmentTime6Ms,
    );
    this.services = new Services(
      {
        devices,
        routing4: this.routing4,
        routing6: this.routing6,
        answers4: this.#answers4,
        answers6: this.#answers6,
        log: (level, line) => this.#events.log?.(level, line),
        rejectedByReset: (packet) => {
          if (packet.ct !== -1) this.conntrack.rejectedByReset(packet);
        },
      },
      config,
    );
    this.#hooks = new HookRunner(
      { gather: (p, gatherer) => this.#gather(p, gatherer), reroute: (p) => this.#reroute(p) },
      this.conntrack,
      this.#events,
    );
    this.#sender = new Sender(
      {
        path: (p) => this.#path(p),
        tooBig: (p, mtu) => this.#tooBig(p, mtu),
        drop: (p, reason) => this.#drop(p, 'send', reason),
        loopBack: (p) => this.#backlog.push(p),
        nextFragmentId: () => this.#rng.u32() || 1,
      },
      devices,
      this.neighbours,
      options.assumeNeighbours ?? false,
      this.#pool,
      {
        sent: (frame) => {
          this.#flows.sent(frame);
          this.#events.sent?.(frame);
        },
      },
    );
    this.#flows = new FlowCache({
      conntrack: this.conntrack,
      devices,
      events: this.#events,
      sentCounts: this.#sender.sentCounts,
      seed: options.seed ^ 0x27d4eb2f,
      mtuOf: (p) => this.#sender.mtuOf(p),
      knowsNeighbour: (p) => this.#knowsNeighbour(p),
    });
    this.load(4, options.ruleSet4);
    this.load(6, options.ruleSet6);
  }

  /** Puts a rule set in force instead of the one before; connections and shared state stay. */
  load(family: Family, ruleSet: RuleSet | undefined): void {
    const env = (table: TableName): BindEnv => ({
      family,
      table,
      clock: this.clock,
      hz: this.#hz,
      rng: this.#rng,
      host: this.services,
      conntrack: this.conntrack,
      shared: this.#shared,
    });
    this.#hooks.load(family, ruleSet, this.#options.buildEngine, env);
    if (family === 4) this.#flows.use(this.#hooks.engine(4)?.memo);
  }

  /** The engine that runs the family's rule set; undefined without one. */
  engine(family: Family): Engine | undefined {
    return this.#hooks.engine(family);
  }

  isTracking(family: Family): boolean {
    return this.#hooks.isTracking(family);
  }

  /** Index of a device by name, 0: none. */
  deviceIndex(name: string): number {
    return this.devices.indexOf(name);
  }

  /** Index of the device by which the host would send to an address (words as in Field.Src0); 0: there is no route. */
  deviceTowards(family: Family, words: ArrayLike<number>): number {
    const p = this.#pool.acquire();
    p.family = family;
    const found =
      family === 4
        ? this.routing4.output(p, words[0]!, 0, 0, 0, 0, true)
        : this.routing6.output(p, words, 0, [0, 0, 0, 0], 0, 0, 0);
    const device = found ? p.outDevice : 0;
    this.#pool.release(p);
    return device;
  }

  /** Frames sent by a device. */
  sentCount(device: number): number {
    return this.#sender.sentCounts[device] ?? 0;
  }

  /** A frame came in from a wire. The clock stands at its time; its bytes are the host's to change. */
  receive(frame: InFrame): void {
    if (this.#depth === 0 && this.#reassembly.isEmpty && frame.mark === undefined && this.#flows.forward(frame)) return;
    this.#enter();
    this.#receive(frame);
    this.#leave();
    this.#flows.end();
  }

  /** A frame that a process of the host sends: goes from OUTPUT on. `frame.device` is the device that it left by, 0: any. */
  sendLocal(frame: InFrame): void {
    this.#enter();
    this.#sendLocal(frame);
    this.#leave();
  }

  /** Does what was due by now although no packet came: fragments that were not completed in time. */
  runTimers(): void {
    if (this.#reassembly.isEmpty) return;
    for (const queue of this.#reassembly.expired()) this.#expire(queue);
    this.#drain();
  }

  #enter(): void {
    if (this.#depth === 0) this.runTimers();
    this.#depth++;
  }

  #leave(): void {
    if (this.#depth === 1) this.#drain();
    this.#depth--;
  }

  #drain(): void {
    if (this.#backlog.length === 0) return;
    while (this.#backlogAt < this.#backlog.length) this.#loopedBack(this.#backlog[this.#backlogAt++]!);
    this.#backlog.length = 0;
    this.#backlogAt = 0;
  }

  #path(p: HostPacket): RoutePath | undefined {
    return p.family === 4 ? this.routing4.path(p.route) : this.routing6.path(p.route);
  }

  #drop(p: HostPacket, place: DropPlace, reason: DropReason): void {
    this.drops.add(reason);
    if (this.#events.dropped !== undefined) {
      const byTable = typeof place === 'number' ? this.#hooks.cause : undefined;
      this.#events.dropped(p, place, reason, byTable);
    }
    if (p.ct !== -1 && p.ownsConnection) this.conntrack.drop(p);
    this.#pool.release(p);
  }

  /** Runs a hook; false: the packet is gone. */
  #hook(p: HostPacket, hook: Hook, inDevice: number, outDevice: number): boolean {
    p.f[Field.InDev] = inDevice;
    p.f[Field.OutDev] = outDevice;
    const verdict = this.#hooks.run(p, hook);
    if (verdict === NF_ACCEPT) return true;
    if (verdict !== NF_STOLEN) this.#drop(p, hook, this.#hooks.reason);
    return false;
  }

  // ---- receiving

  /** Fills a packet from a frame; undefined: dropped for what the frame is. */
  #open(frame: InFrame, own: boolean): HostPacket | undefined {
    const p = this.#pool.acquire();
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
      this.#drop(p, 'receive', PARSE_DROPS[result]!);
      return undefined;
    }
    noteOffload(p, frame.offloaded, this.devices.at(frame.device)?.mtu ?? 0xffff);
    return p;
  }

  #receive(frame: InFrame): void {
    const device = this.devices.at(frame.device);
    const refusal =
      device === undefined ? 'unknown device' : device.master !== 0 ? 'frame of an enslaved device' : undefined;
    const p = this.#open(frame, false);
    if (p === undefined) return;
    if (device === undefined || refusal !== undefined) {
      this.#drop(p, 'receive', refusal ?? 'unknown device');
      return;
    }
    const pktType = frame.pktType >= 0 ? frame.pktType : pktTypeOf(frame, device);
    p.f[Field.PktType] = pktType;
    if (pktType === PACKET_OTHERHOST) {
      this.#drop(p, 'receive', 'for another host');
      return;
    }
    if (frame.macOff >= 0 && this.#options.learnNeighbours !== false) this.#learn(p, device);
    if (p.family === 4) {
      this.#flows.begin(p);
      if (this.#hook(p, NF_INET_PRE_ROUTING, device.index, 0)) this.#route4(p, device);
      return;
    }
    const fault = this.#sanity6(p, device);
    if (fault !== undefined) this.#drop(p, 'receive', fault);
    else if (this.#hook(p, NF_INET_PRE_ROUTING, device.index, 0)) this.#route6(p);
  }

  /** The sender's hardware address is that of the next hop towards it. */
  #learn(p: HostPacket, device: Device): void {
    const { view, macOff, f } = p;
    if (!device.hasEthernet || (view.getUint8(macOff + 6) & 1) !== 0) return;
    const { neighbours } = this;
    if (neighbours.find(device.index, p.family, f, Field.Src0)) return;
    const high = view.getUint16(macOff + 6);
    const low = view.getUint32(macOff + 8);
    neighbours.set(device.index, p.family, f, Field.Src0, high, low);
    const found =
      p.family === 4
        ? this.routing4.lookup(p.src, 0, 0, 0, this.devices.loopback, 0)
        : this.routing6.lookup(f, Field.Src0, 0);
    const path = p.family === 4 ? this.routing4.path(found) : this.routing6.path(found);
    if (path === undefined || path.device !== device.index || path.gatewayFamily === 0) return;
    if (neighbours.find(device.index, path.gatewayFamily, path.gateway, 0)) return;
    neighbours.set(device.index, path.gatewayFamily, path.gateway, 0, high, low);
  }

  #knowsNeighbour(p: HostPacket): boolean {
    const path = this.#path(p);
    const viaGateway = path !== undefined && path.gatewayFamily !== 0;
    return viaGateway
      ? this.neighbours.find(p.outDevice, path.gatewayFamily, path.gateway, 0)
      : this.neighbours.find(p.outDevice, p.family, p.f, Field.Dst0);
  }

  // ---- IPv4

  /** Kernel: ip_rcv_finish(). */
  #route4(p: HostPacket, device: Device): void {
    earlyDemux(p);
    const verdict = this.routing4.input(p);
    if (p.l3Size > 20 && verdict !== 3 && !this.#options4(p, device)) return;
    this.#events.routed?.(p);
    if (verdict === TO_LOCAL) {
      const { settings } = device;
      const toMany = p.f[Field.PktType]! === PACKET_BROADCAST || p.f[Field.PktType]! === PACKET_MULTICAST;
      if (toMany && p.routeType === RTN_LOCAL && settings.dropUnicastInMulticast) {
        this.#drop(p, 'routing', 'link-layer broadcast is not forwarded');
        return;
      }
      this.#localIn4(p);
    } else if (verdict === TO_FORWARD) this.#forward4(p);
    else {
      if (verdict === TO_ERROR) this.#answers4.sendRouteError(p, this.routing4.code);
      this.#drop(p, 'routing', this.routing4.reason);
    }
  }

  /** IPv4 options are rare: this allocates. False: they are such that the packet is dropped. */
  #options4(p: HostPacket, device: Device): boolean {
    const reader: OptionReader = {
      address: p.routeType === RTN_LOCAL ? p.dst : this.devices.selectAddress4(device.index, p.src, 0),
      milliseconds: Math.floor(this.clock.nowUs / 1000) % MILLISECONDS_A_DAY,
      isOwn: (address) => this.routing4.addressType(address, 0) !== RTN_UNICAST,
    };
    const result = readOptions(p, reader);
    if (result === OPTIONS_OK) return true;
    if (result === OPTIONS_SOURCE_ROUTE) {
      this.#drop(p, 'routing', 'source route');
      return false;
    }
    this.#answers4.sendError(p, ICMP_PARAMETERPROB, 0, (result << 24) >>> 0);
    this.#drop(p, 'routing', 'bad IPv4 option');
    return false;
  }

  /** Kernel: ip_forward(). */
  #forward4(p: HostPacket): void {
    if (p.f[Field.PktType]! !== PACKET_HOST) {
      this.#drop(p, 'forward', 'link-layer broadcast is not forwarded');
      return;
    }
    const { ttl } = p;
    if (ttl <= 1) {
      this.#answers4.sendError(p, ICMP_TIME_EXCEEDED, 0);
      this.#drop(p, 'forward', 'TTL exceeded');
      return;
    }
    const mtu = this.#sender.mtuOf(p);
    const df = (p.view.getUint8(p.l3Off + 6) & 0x40) !== 0;
    if (p.length > mtu && df && (p.maxPiece > mtu || !(p.mayBeCut || p.offloaded))) {
      this.#tooBig(p, mtu);
      this.#drop(p, 'forward', 'longer than the MTU');
      return;
    }
    setTtl(p, ttl - 1);
    if (p.redirect) this.#answers4.sendRedirect(p);
    if (!this.#hook(p, NF_INET_FORWARD, p.receivedOn, p.outDevice)) return;
    if (p.optionsChanged) {
      const path = this.routing4.path(p.route);
      writeForwardOptions(p, path === undefined ? 0 : this.routing4.sourceOf(path));
    }
    this.#output(p);
  }

  /** Kernel: ip_local_deliver(). */
  #localIn4(p: HostPacket): void {
    if (p.isFragment && !this.#gather(p, 'local-deliver')) return;
    if (this.#hook(p, NF_INET_LOCAL_IN, p.receivedOn, 0)) this.#deliver(p);
  }

  // ---- IPv6

  /** Kernel: ip6_rcv_core(). */
  #sanity6(p: HostPacket, device: Device): DropReason | undefined {
    const { f, view, l3Off } = p;
    if (device.settings.disabled6) return 'IPv6 is off on the device';
    if (!device.isLoopback && (isLoopback6(f, Field.Src0) || isLoopback6(f, Field.Dst0))) {
      return 'loopback address from the wire';
    }
    if (f[Field.Dst0]! >>> 24 === 0xff) {
      const scope = (f[Field.Dst0]! >>> 16) & 15;
      if (scope === 0 || (scope === 1 && !device.isLoopback)) return 'bad multicast scope';
    }
    if (f[Field.Src0]! >>> 24 === 0xff) return 'multicast source address';
    if (view.getUint8(l3Off + 6) !== 0) return undefined;
    const fault = readHopByHop(p);
    if (fault === EXTENSIONS_OK) return undefined;
    if (fault > 0) this.#answers6.sendError(p, ICMPV6_PARAMPROB, problemCode(fault), problemPointer(fault));
    return 'bad extension header';
  }

  #route6(p: HostPacket): void {
    earlyDemux(p);
    const verdict = this.routing6.input(p);
    this.#events.routed?.(p);
    if (verdict === TO_LOCAL) {
      if (this.#hook(p, NF_INET_LOCAL_IN, p.receivedOn, 0)) this.#deliver(p);
    } else if (verdict === TO_FORWARD) this.#forward6(p);
    else {
      if (verdict === TO_ERROR) this.#answers6.sendError(p, ICMPV6_DEST_UNREACH, this.routing6.code);
      this.#drop(p, 'routing', this.routing6.reason);
    }
  }

  /** Kernel: ip6_forward(). */
  #forward6(p: HostPacket): void {
    const { f } = p;
    if (f[Field.PktType]! !== PACKET_HOST) {
      this.#drop(p, 'forward', 'link-layer broadcast is not forwarded');
      return;
    }
    if (p.ttl <= 1) {
      this.#answers6.sendError(p, ICMPV6_TIME_EXCEED, 0);
      this.#drop(p, 'forward', 'TTL exceeded');
      return;
    }
    if (p.receivedOn === p.outDevice) {
      const path = this.routing6.path(p.route);
      if (path !== undefined && path.gatewayFamily !== 0) this.#answers6.sendRedirect(p, path.gateway, 0);
      else this.#answers6.sendRedirect(p, f, Field.Dst0);
    } else {
      if ((f[Field.Src0]! | f[Field.Src1]! | f[Field.Src2]! | f[Field.Src3]!) === 0) {
        this.#drop(p, 'forward', 'source address may not be forwarded');
        return;
      }
      if (scopeOf6(f, Field.Src0) === SCOPE_LINK) {
        this.#answers6.sendError(p, ICMPV6_DEST_UNREACH, CODE_NOT_NEIGHBOUR);
        this.#drop(p, 'forward', 'beyond scope of the source address');
        return;
      }
    }
    const mtu = Math.max(this.#sender.mtuOf(p), IPV6_MIN_MTU);
    if (p.length > mtu && (p.maxPiece > mtu || !(p.mayBeCut || p.offloaded))) {
      this.#tooBig(p, mtu);
      this.#drop(p, 'forward', 'longer than the MTU');
      return;
    }
    setTtl(p, p.ttl - 1);
    if (this.#hook(p, NF_INET_FORWARD, p.receivedOn, p.outDevice)) this.#output(p);
  }

  // ---- the local end

  #deliver(p: HostPacket): void {
    // IPv6 gathers after INPUT what nobody gathered before.
    if (p.family === 6 && p.fragmentHeaderOff >= 0 && !isAtomic(p) && !this.#gather(p, 'local-deliver')) return;
    this.deliveredCount++;
    this.#events.delivered?.(p);
    const reason = this.#localEnd.take(p);
    if (reason !== undefined) {
      this.drops.add(reason);
      this.#events.dropped?.(p, 'local end', reason, undefined);
    }
    this.#pool.release(p);
  }

  #sendLocal(frame: InFrame): void {
    const p = this.#open(frame, true);
    if (p === undefined) return;
    p.origin = 'own';
    // Sockets of TCP, UDP and SCTP leave the checksum to the card; what others send is as it is.
    const { protocol } = p;
    const byCard = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP;
    if (p.csum === 0 && byCard) p.csum = CSUM_OWN;
    // A process sends datagrams; what left in pieces had been cut behind POSTROUTING.
    if ((p.family === 4 ? p.isFragment : p.fragmentHeaderOff >= 0) && !this.#gather(p, 'own')) return;
    if (!this.#routeOwn(p, frame.device)) {
      this.#drop(p, 'routing', 'no route');
      return;
    }
    p.f[Field.PktType] = PACKET_HOST;
    this.#localOut(p);
  }

  /** The way that the routing tables give, or if it is not by the device that the packet left by, one by that. */
  #routeOwn(p: HostPacket, device: number): boolean {
    const { f } = p;
    if (p.family === 6) {
      const link = f[Field.Dst0]! >>> 24 === 0xff || scopeOf6(f, Field.Dst0) === SCOPE_LINK;
      const bound = link ? device : 0;
      const found = this.routing6.output(p, f, Field.Dst0, f, Field.Src0, p.mark, bound);
      if (found && (device === 0 || p.outDevice === device)) return true;
      if (device === 0 || link) return found;
      return this.routing6.output(p, f, Field.Dst0, f, Field.Src0, p.mark, device) || this.#routeOwn(p, 0);
    }
    const { routing4 } = this;
    const found = routing4.output(p, p.dst, p.src, p.tos, p.mark, 0, true);
    if (found && (device === 0 || p.outDevice === device)) return true;
    if (device === 0) return found;
    return routing4.output(p, p.dst, p.src, p.tos, p.mark, device, true);
  }

  /** Kernel: __ip_local_out(), ip6_local_out(). The packet is routed. */
  #localOut(p: HostPacket): void {
    p.local = true;
    this.#events.routed?.(p);
    if (this.#hook(p, NF_INET_LOCAL_OUT, 0, p.outDevice)) this.#output(p);
  }

  /** Kernel: ip_output(), ip6_output(). */
  #output(p: HostPacket): void {
    const heard = p.local && this.#isHeardHere(p);
    if (heard && p.family === 4) this.#hearCopy(p);
    if (!this.#hook(p, NF_INET_POST_ROUTING, p.local ? 0 : p.receivedOn, p.outDevice)) return;
    // IPv6 makes the copy behind POSTROUTING (ip6_finish_output2()), IPv4 before it (ip_mc_output()).
    if (heard && p.family === 6) this.#hearCopy(p);
    this.#sender.send(p);
  }

  /**
   * An own broadcast, or multicast to a group that the host is in, reaches its own sockets too.
   * Differs: a socket that asked not to hear itself (IP_MULTICAST_LOOP) does.
   */
  #isHeardHere(p: HostPacket): boolean {
    if (p.routeType !== RTN_BROADCAST && p.routeType !== RTN_MULTICAST) return false;
    if (p.outDevice === this.devices.loopback) return false;
    if (p.family === 4) return p.routeType === RTN_BROADCAST || p.dst === ALL_HOSTS;
    // Neighbour discovery is sent by a socket of the kernel that does not.
    if (p.fromKernel || (p.protocol === IPPROTO_ICMPV6 && p.ttl === 255 && isDiscovery(p))) return false;
    return this.routing6.isJoined(p.f, Field.Dst0, p.outDevice);
  }

  #hearCopy(p: HostPacket): void {
    this.#outputCopy(p);
    // A process's own copy is received, and answered, before the packet itself leaves (netif_rx() enables softirqs).
    if (p.origin === 'own') this.#drain();
  }

  /** The copy walks POSTROUTING on its own, and comes in by the device that the packet leaves by. Kernel: ip_mc_output(). */
  #outputCopy(p: HostPacket): void {
    const copy = this.#pool.acquire();
    copy.copyOf(p);
    if (this.#hook(copy, NF_INET_POST_ROUTING, 0, copy.outDevice)) this.#backlog.push(copy);
  }

  /** A packet that left by lo comes in: its route and its connection are the ones that it has. */
  #loopedBack(p: HostPacket): void {
    const toGroup = p.outDevice !== this.devices.loopback;
    const device = p.outDevice;
    p.receivedOn = device;
    p.local = false;
    p.redirect = false;
    p.f[Field.PktType] = !toGroup ? PACKET_HOST : p.routeType === RTN_BROADCAST ? PACKET_BROADCAST : PACKET_MULTICAST;
    p.macOff = -1;
    const fault = p.family === 6 ? this.#sanity6(p, this.devices.at(device)!) : undefined;
    if (fault !== undefined) {
      this.#drop(p, 'receive', fault);
      return;
    }
    if (!this.#hook(p, NF_INET_PRE_ROUTING, device, 0)) return;
    this.#events.routed?.(p);
    if (p.family === 4) {
      if (p.l3Size > 20 && !this.#options4(p, this.devices.at(device)!)) return;
      this.#localIn4(p);
    } else if (this.#hook(p, NF_INET_LOCAL_IN, device, 0)) this.#deliver(p);
  }

  /** Kernel: ip_route_me_harder(), ip6_route_me_harder(). The source address stays. */
  #reroute(p: HostPacket): boolean {
    if (p.family === 6) {
      const { f } = p;
      const bound = scopeOf6(f, Field.Dst0) === SCOPE_LINK ? p.outDevice : 0;
      const found = this.routing6.output(p, f, Field.Dst0, f, Field.Src0, p.mark, bound);
      if (found) this.#events.routed?.(p);
      return found;
    }
    const type = this.routing4.addressType(p.src, 0);
    const source = type === RTN_LOCAL || type === RTN_UNICAST ? p.src : 0;
    // With a source address, what goes to a group leaves by the device that has it (ip_route_output_key_hash_rcu()).
    const toGroup = isMulticast4(p.dst) || p.dst === 0xffffffff;
    const bound = toGroup && source !== 0 ? this.devices.ownerOf4(source) : 0;
    const found = this.routing4.output(p, p.dst, source, p.tos, p.mark, bound, true);
    if (found) this.#events.routed?.(p);
    return found;
  }

  #tooBig(p: HostPacket, mtu: number): void {
    if (p.family === 4) this.#answers4.sendError(p, ICMP_DEST_UNREACH, CODE_FRAG_NEEDED, mtu);
    else this.#answers6.sendError(p, ICMPV6_PKT_TOOBIG, 0, mtu, p.outDevice);
  }

  // ---- fragments

  /** True: the packet is now the whole datagram, or one to go on with as it is. False: it waits in a queue, or was of no use; either way it is gone. */
  #gather(p: HostPacket, gatherer: Gatherer): boolean {
    if (this.#reassembly.gather(p, gatherer)) {
      if (gatherer === 'own') {
        p.mayBeCut = true;
        p.piecesHadDf = false;
      }
      return true;
    }
    const { refused, wrongAt, wrongCode } = this.#reassembly;
    if (wrongAt >= 0) {
      if (gatherer !== 'local-deliver') return true;
      this.#answers6.sendError(p, ICMPV6_PARAMPROB, wrongCode, wrongAt);
    }
    if (refused !== undefined) this.#drop(p, 'reassembly', refused);
    else {
      this.#events.held?.(p);
      this.#pool.release(p);
    }
    return false;
  }

  /** Kernel: ip_expire(), ip6frag_expire_frag_queue(): the sender is told if the first piece had come. */
  #expire(queue: FragmentQueue): void {
    const p = this.#pool.acquire();
    p.family = queue.family;
    const own = queue.gatherer === 'own' || queue.gatherer === 'conntrack-out';
    if (own || !restoreFirstPiece(queue, p)) {
      this.#drop(p, 'reassembly', 'fragments not completed in time');
      return;
    }
    if (queue.family === 6) this.#answers6.sendError(p, ICMPV6_TIME_EXCEED, CODE_REASSEMBLY);
    else if (this.routing4.input(p) === TO_LOCAL && p.routeType === RTN_LOCAL) {
      this.#answers4.sendError(p, ICMP_TIME_EXCEEDED, CODE_REASSEMBLY);
    }
    this.#drop(p, 'reassembly', 'fragments not completed in time');
  }
}

/** Kernel: eth_type_trans(). */
function pktTypeOf(frame: InFrame, device: Device): number {
  const { view, macOff } = frame;
  if (macOff < 0 || !device.hasEthernet) return PACKET_HOST;
  const high = view.getUint16(macOff);
  const low = view.getUint32(macOff + 2);
  if ((high & 0x100) !== 0) return high === 0xffff && low === 0xffffffff ? PACKET_BROADCAST : PACKET_MULTICAST;
  return high === device.macHigh && low === device.macLow ? PACKET_HOST : PACKET_OTHERHOST;
}

function isLoopback6(words: ArrayLike<number>, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 1;
}

/** A fragment header on a whole packet: the destination steps over it (ipv6_frag_rcv()). */
function isAtomic(p: HostPacket): boolean {
  const at = p.fragmentHeaderOff + 2;
  return at + 2 <= p.end && (p.view.getUint16(at) & 0xfff9) === 0;
}

/** Neighbour discovery: ICMPv6 types 133 to 137. */
function isDiscovery(p: HostPacket): boolean {
  const type = p.l4State === L4_OK ? p.view.getUint8(p.l4Off) : 0;
  return type >= 133 && type <= 137;
}

/** The socket look-up before routing reads the whole TCP header. Kernel: tcp_v4_early_demux(), tcp_v6_early_demux(). */
function earlyDemux(p: HostPacket): void {
  if (p.reassembly < 1 || p.f[Field.PktType]! !== PACKET_HOST || p.protocol !== IPPROTO_TCP) return;
  // IPv6: only where TCP follows the IPv6 header at once.
  if (p.family === 4 ? !p.isFragment : p.l4Off === p.l3Off + 40) p.pull(TCP_HEADER_SIZE);
}
