/**
 * One network namespace: carries packets through hooks, tables, connection tracking, routing and out again, with every
 * answer that the stack makes on the way. Synchronous: when `receive` returns, all consequences have happened.
 * The path is the kernel's (spec 1), stage by stage: receive.ts, local-in.ts, forward.ts, output.ts, sender.ts.
 * Per packet: allocates nothing, but for fragments.
 */
import { DEFAULT_HZ, VirtualClock } from '../base/clock.js';
import type { Diagnostic } from '../base/diagnostic.js';
import { Rng } from '../base/rng.js';
import type { ConntrackTable } from '../conntrack/conntrack-table.js';
import type { LookupWatch } from '../conntrack/lookup-watch.js';
import type { BuildEngine, Engine } from '../engine/engine.js';
import type { BindEnv } from '../ext/extension.js';
import type { Family, TableName } from '../net/netfilter.js';
import type { RuleSet } from '../ruleset/model.js';
import type { Devices } from './device.js';
import type { DropCounts } from './drop-reason.js';
import type { HostEvents, InFrame } from './event.js';
import { FlowCache, type FlowPort } from './flow-cache.js';
import { Forwarder } from './forward.js';
import { Gathering } from './gathering.js';
import type { HostConfig } from './host-config.js';
import type { Routing4 } from './ip4-routing.js';
import type { Routing6 } from './ip6-routing.js';
import { LocalIn } from './local-in.js';
import type { Neighbours } from './neighbour.js';
import { NeighbourLearning } from './neighbour-learning.js';
import { Output } from './output.js';
import { Pipeline } from './pipeline.js';
import { Receiver } from './receive.js';
import { NamedState, Services } from './services.js';
import type { Sockets } from './socket.js';
import type { Settings } from './sysctl.js';

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
  /** Told of what packets touch that others may touch too. */
  readonly watch?: HostWatch | undefined;
  /** An unknown neighbour gets a made-up hardware address; else its packets wait until it is known, or given up. Default false. */
  readonly assumeNeighbours?: boolean;
}

/** State of a host that is one for all connections, besides the connection table. */
export type SharedThing = 'fragments' | 'icmp-limit';

export interface HostWatch extends LookupWatch {
  uses(thing: SharedThing): void;
}

export class Host {
  readonly config: HostConfig;
  readonly clock: VirtualClock;
  readonly devices: Devices;
  readonly settings: Settings;
  readonly services: Services;
  readonly conntrack: ConntrackTable;
  /** What of the listing of connections could not be taken over. */
  readonly diagnostics: readonly Diagnostic[];
  readonly neighbours: Neighbours;
  /** Packets that went no further, by reason. */
  readonly drops: DropCounts;
  readonly routing4: Routing4;
  readonly routing6: Routing6;
  readonly #options: HostOptions;
  readonly #hz: number;
  readonly #rng: Rng;
  readonly #pipeline: Pipeline;
  readonly #gathering: Gathering;
  readonly #output: Output;
  readonly #localIn: LocalIn;
  readonly #receiver: Receiver;
  readonly #learning: NeighbourLearning | undefined;
  readonly #flows4: FlowCache;
  readonly #flows6: FlowCache;
  readonly #shared = new NamedState();
  /** Packets on lo from here on have not come in yet. */
  #backlogAt = 0;
  #depth = 0;

  constructor(config: HostConfig, options: HostOptions) {
    const events = options.events ?? {};
    this.config = config;
    this.#options = options;
    this.clock = options.clock ?? new VirtualClock();
    this.#hz = options.hz ?? DEFAULT_HZ;
    this.#rng = new Rng(options.seed);
    const { clock } = this;
    const setup = {
      clock,
      hz: this.#hz,
      rng: this.#rng,
      seed: options.seed,
      events,
      assumeNeighbours: options.assumeNeighbours ?? false,
    };
    const pipeline = new Pipeline(config, setup, {
      gather: (p, gatherer) => this.#gathering.gather(p, gatherer),
      reroute: (p) => this.#output.reroute(p),
      localOut: (p) => this.#output.localOut(p),
      sent: (frame) => {
        this.#flows4.sent(frame);
        this.#flows6.sent(frame);
        events.sent?.(frame);
      },
    });
    this.#pipeline = pipeline;
    this.devices = pipeline.devices;
    this.settings = pipeline.settings;
    this.conntrack = pipeline.conntrack;
    this.neighbours = pipeline.neighbours;
    this.drops = pipeline.drops;
    this.routing4 = pipeline.routing4;
    this.routing6 = pipeline.routing6;
    const { devices, conntrack } = pipeline;
    const { watch } = options;
    if (watch !== undefined) {
      conntrack.entries.watch = watch;
      pipeline.reassembly.watch = () => watch.uses('fragments');
      pipeline.icmpLimit.watch = () => watch.uses('icmp-limit');
    }
    this.diagnostics =
      config.conntrack === undefined ? [] : conntrack.preload({ name: 'conntrack', text: config.conntrack });
    this.services = new Services(
      {
        devices,
        routing4: pipeline.routing4,
        routing6: pipeline.routing6,
        answers4: pipeline.answers4,
        answers6: pipeline.answers6,
        log: (level, line) => events.log?.(level, line),
      },
      config,
    );
    const flowPort: FlowPort = {
      conntrack,
      devices,
      events,
      sentCounts: pipeline.sender.sentCounts,
      seed: options.seed ^ 0x27d4eb2f,
      mtuOf: (p) => pipeline.sender.mtuOf(p),
      knowsNeighbour: (p) => pipeline.knowsNeighbour(p),
    };
    this.#flows4 = new FlowCache(4, flowPort);
    this.#flows6 = new FlowCache(6, flowPort);
    this.#gathering = new Gathering(pipeline);
    this.#output = new Output(pipeline, this.#gathering, () => this.#drain());
    this.#localIn = new LocalIn(pipeline, this.#gathering, options.sockets);
    const forwarder = new Forwarder(pipeline, this.#output);
    this.#learning = options.learnNeighbours === false ? undefined : new NeighbourLearning(pipeline);
    this.#receiver = new Receiver(pipeline, this.#localIn, forwarder, this.#flows4, this.#flows6, this.#learning);
    this.load(4, options.ruleSet4);
    this.load(6, options.ruleSet6);
  }

  /** Packets that passed INPUT. */
  get deliveredCount(): number {
    return this.#localIn.deliveredCount;
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
    this.#pipeline.hooks.load(family, ruleSet, this.#options.buildEngine, env);
    this.#useFlows(family);
  }

  #useFlows(family: Family): void {
    const flows = family === 4 ? this.#flows4 : this.#flows6;
    flows.use(this.#pipeline.hooks.engine(family)?.memo);
  }

  /** The listeners in the options' `events` are others than before: some of them need every step of every packet. */
  listenersChanged(): void {
    this.#useFlows(4);
    this.#useFlows(6);
  }

  /** The engine that runs the family's rule set; undefined without one. */
  engine(family: Family): Engine | undefined {
    return this.#pipeline.hooks.engine(family);
  }

  isTracking(family: Family): boolean {
    return this.#pipeline.hooks.isTracking(family);
  }

  /** Index of a device by name, 0: none. */
  deviceIndex(name: string): number {
    return this.devices.indexOf(name);
  }

  /** Index of the device by which the host would send to an address (words as in Field.Src0); 0: there is no route. */
  deviceTowards(family: Family, words: ArrayLike<number>): number {
    const p = this.#pipeline.pool.acquire();
    p.family = family;
    const found =
      family === 4
        ? this.routing4.output(p, words[0]!, 0, 0, 0, 0, true)
        : this.routing6.output(p, words, 0, [0, 0, 0, 0], 0, 0, 0);
    const device = found ? p.outDevice : 0;
    this.#pipeline.pool.release(p);
    return device;
  }

  /** Frames sent by a device. */
  sentCount(device: number): number {
    return this.#pipeline.sender.sentCounts[device] ?? 0;
  }

  /** A frame came in from a wire. The clock stands at its time; its bytes are the host's to change. */
  receive(frame: InFrame): void {
    const flows = frame.family === 4 ? this.#flows4 : this.#flows6;
    if (this.#depth === 0 && !this.hasTimers && frame.mark === undefined && flows.forward(frame)) return;
    this.#enter();
    this.#receiver.receive(frame);
    this.#leave();
    flows.end();
  }

  /** What `receive` would learn of hardware addresses from the frame: packets that waited for them go, nothing else happens. True: something new. */
  learn(frame: InFrame): boolean {
    return this.#receiver.learnFrom(frame);
  }

  /** A frame that a process of the host sends: goes from OUTPUT on. `frame.device` is the device that it left by, 0: any. */
  sendLocal(frame: InFrame): void {
    this.#enter();
    this.#output.sendLocal(frame);
    this.#leave();
  }

  /**
   * Turn `n` (from 1, growing, below 2^37) begins: what one captured record sets off. What is drawn by chance in it hangs on
   * the seed and `n` alone. A host whose turns nobody tells draws all from one sequence.
   */
  beginTurn(n: number): void {
    this.#rng.jump(n);
    this.conntrack.beginTurn(n);
  }

  /** A neighbour's hardware address (words[at..at+4), first two and last four bytes): packets that waited for it go. True: it is new. */
  learnNeighbour(device: number, family: Family, words: ArrayLike<number>, high: number, low: number): boolean {
    return this.#learning?.learn(device, family, words, 0, high, low) ?? false;
  }

  /** The host was seen to send a frame: its link header shows the hardware address of the next hop. True: something new. */
  learnFromSent(frame: InFrame): boolean {
    return this.#learning?.fromSent(frame) ?? false;
  }

  /** Until when packets wait for a neighbour, µs since the epoch; undefined: none does. */
  get neighbourDeadlineUs(): number | undefined {
    return this.#pipeline.unresolved.deadlineUs;
  }

  /** False: `runTimers` has nothing to do, now or later. */
  get hasTimers(): boolean {
    return !this.#pipeline.reassembly.isEmpty || !this.#pipeline.unresolved.isEmpty;
  }

  /** Does what was due by now although no packet came: fragments that were not completed, neighbours that did not answer. */
  runTimers(): void {
    this.#gathering.runTimers();
    const { unresolved } = this.#pipeline;
    if (!unresolved.isEmpty) unresolved.runTimers();
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
    const { backlog } = this.#pipeline;
    if (backlog.length === 0) return;
    while (this.#backlogAt < backlog.length) this.#receiver.loopedBack(backlog[this.#backlogAt++]!);
    backlog.length = 0;
    this.#backlogAt = 0;
  }
}
