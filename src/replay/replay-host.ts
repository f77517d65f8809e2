/** A host made for a replay: connection table, sockets told by the capture, and events that the session listens to. */
import type { ConntrackTable } from '../conntrack/conntrack-table.js';
import type { BuildEngine } from '../engine/engine.js';
import type { HostEvents } from '../host/event.js';
import { Host, type HostWatch } from '../host/host.js';
import type { HostConfig } from '../host/host-config.js';
import type { RuleSet } from '../ruleset/model.js';
import { CapturedSockets } from './captured-sockets.js';

export interface ReplayHost {
  readonly host: Host;
  readonly conntrack: ConntrackTable;
  readonly sockets: CapturedSockets;
  readonly seed: number;
  /** Adds listeners; those given before stay unless given anew. */
  connect(events: HostEvents): void;
}

export interface ReplayHostOptions {
  readonly ruleSet4?: RuleSet | undefined;
  readonly ruleSet6?: RuleSet | undefined;
  readonly buildEngine: BuildEngine;
  readonly seed: number;
  readonly hz?: number | undefined;
  /** Where nothing is known of neighbours (a rule file alone), frames get made-up hardware addresses. */
  readonly assumeNeighbours: boolean;
  readonly watch?: HostWatch | undefined;
}

export function makeReplayHost(config: HostConfig, options: ReplayHostOptions): ReplayHost {
  const events: HostEvents = {};
  const sockets = new CapturedSockets();
  const host = new Host(config, {
    ruleSet4: options.ruleSet4,
    ruleSet6: options.ruleSet6,
    buildEngine: options.buildEngine,
    seed: options.seed,
    ...(options.hz === undefined ? {} : { hz: options.hz }),
    events,
    sockets,
    assumeNeighbours: options.assumeNeighbours,
    watch: options.watch,
  });
  const { conntrack } = host;
  sockets.attach(conntrack);
  const connect = (more: HostEvents): void => {
    Object.assign(events, more);
    host.listenersChanged();
  };
  return { host, conntrack, sockets, seed: options.seed, connect };
}
