/**
 * Replays a recorded history: object events and host events in, every sync of both families out. The form of input
 * and output is that of the recordings of the real kube-proxy.
 */
import { IP_FAMILIES, type IpFamily } from './address.js';
import { readConfig } from './config.js';
import { printPath } from './field.js';
import { nodeName } from './node.js';
import type { EndpointSlice, KubeNode, KubeProxyConfigurationObject, Service } from './objects.js';
import type { Flow } from './proxy/conntrack.js';
import { makeContext } from './proxy/context.js';
import { KernelTables } from './proxy/jumps.js';
import { Proxier, type SyncResult } from './proxy/proxier.js';
import { ClusterState } from './state.js';

export interface HistoryEvent {
  readonly op: 'apply' | 'delete';
  readonly object: Service | EndpointSlice | KubeNode;
}

export interface HistoryStep {
  /** Seconds that pass before the step. */
  readonly advance?: number;
  readonly events?: readonly HistoryEvent[];
  readonly flows?: readonly Flow[];
  readonly nfacctInvalid?: boolean;
  readonly nfacctLocalhost?: boolean;
  readonly failJump?: number;
  readonly failSave?: boolean;
  /** 1: the connection table can't be listed; 2: the listing is interrupted but complete. */
  readonly failList?: number;
  readonly fail?: boolean;
  readonly flushed?: boolean;
}

export interface History {
  readonly id?: string;
  readonly config: KubeProxyConfigurationObject;
  readonly host: {
    readonly name: string;
    readonly addresses: readonly string[];
    readonly nfacctInvalid: boolean;
    readonly nfacctLocalhost: boolean;
    readonly tcpBeLiberal: boolean;
    readonly existingNatChains: readonly string[];
  };
  readonly node: KubeNode;
  readonly steps: readonly HistoryStep[];
}

/** A sync as the recordings have it: `restore` a line an entry. */
export interface RecordedSync extends Omit<SyncResult, 'restore'> {
  readonly restore: readonly string[];
}

export type RecordedStep = Readonly<Record<IpFamily, RecordedSync>>;

interface FamilyRun {
  readonly state: ClusterState;
  readonly tables: KernelTables;
  readonly proxier: Proxier;
}

const EVENT_KINDS: readonly unknown[] = ['Service', 'EndpointSlice', 'Node'];
type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What keeps a value from being a history, with its place in it; undefined if nothing does. */
export function faultOfHistory(value: unknown): string | undefined {
  if (!isFields(value)) return 'must be a JSON object';
  for (const field of ['config', 'host', 'node']) if (!isFields(value[field])) return `${field}: must be an object`;
  const host = value.host as Fields; // checked above
  if (typeof host.name !== 'string') return 'host.name: must be a text';
  for (const field of ['addresses', 'existingNatChains']) {
    const list = host[field];
    if (!Array.isArray(list) || !list.every((entry) => typeof entry === 'string')) {
      return `host.${field}: must be a list of texts`;
    }
  }
  if (!isFields((value.node as Fields).metadata)) return 'node.metadata: must be an object';
  if (!Array.isArray(value.steps)) return 'steps: must be a list';
  for (const [i, step] of value.steps.entries()) {
    if (!isFields(step)) return `steps[${i}]: must be an object`;
    for (const field of ['events', 'flows']) {
      if (step[field] !== undefined && !Array.isArray(step[field])) return `steps[${i}].${field}: must be a list`;
    }
    for (const [j, event] of ((step.events ?? []) as unknown[]).entries()) {
      const place = `steps[${i}].events[${j}]`;
      if (!isFields(event)) return `${place}: must be an object`;
      if (event.op !== 'apply' && event.op !== 'delete') return `${place}.op: must be apply or delete`;
      const { object } = event;
      if (!isFields(object) || !EVENT_KINDS.includes(object.kind)) {
        return `${place}.object: must be a Service, an EndpointSlice or a Node`;
      }
      const meta = object.metadata;
      if (!isFields(meta) || typeof meta.name !== 'string') return `${place}.object.metadata.name: must be a text`;
    }
  }
  return undefined;
}

/** Runs a history. Throws an Error that says what is wrong if its configuration is invalid. */
export function replayHistory(history: History): RecordedStep[] {
  const { config, errors } = readConfig(history.config);
  const fault = errors.find((error) => error.severity === 'error');
  if (fault !== undefined) throw new Error(`config.${printPath(fault.path)}: ${fault.message}`);
  const { host, node } = history;
  const name = nodeName(config, host.name);
  const run = (family: IpFamily): FamilyRun => {
    const state = new ClusterState(family);
    const tables = new KernelTables(host.existingNatChains);
    const context = makeContext(family, name, node, host, config);
    return { state, tables, proxier: new Proxier(state, context, node, tables, config.syncPeriodMs) };
  };
  const runs: Readonly<Record<IpFamily, FamilyRun>> = { IPv4: run('IPv4'), IPv6: run('IPv6') };
  let nowMs = 0;
  let { nfacctInvalid, nfacctLocalhost } = host;
  return history.steps.map((step) => {
    nowMs += (step.advance ?? 0) * 1000;
    nfacctInvalid = step.nfacctInvalid ?? nfacctInvalid;
    nfacctLocalhost = step.nfacctLocalhost ?? nfacctLocalhost;
    const sync = (family: IpFamily): RecordedSync => {
      const { state, tables, proxier } = runs[family];
      if (step.flushed) {
        tables.flush();
        proxier.flushed();
      }
      for (const event of step.events ?? []) apply(event, name, state, proxier);
      const result = proxier.sync({
        nowMs,
        nfacctInvalid,
        nfacctLocalhost,
        flows: step.flows,
        failJump: step.failJump,
        failSave: step.failSave,
        failList: step.failList === 1,
        failRestore: step.fail,
      });
      const restore = result.restore === '' ? [] : result.restore.slice(0, -1).split('\n');
      return { ...result, restore };
    };
    return Object.fromEntries(IP_FAMILIES.map((family) => [family, sync(family)])) as unknown as RecordedStep; // both keys are there
  });
}

function apply(event: HistoryEvent, nodeName: string, state: ClusterState, proxier: Proxier): void {
  const { object } = event;
  const removed = event.op === 'delete';
  switch (object.kind) {
    case 'Service':
      state.service(object, removed);
      return;
    case 'EndpointSlice':
      state.slice(object, removed);
      return;
    case 'Node':
      if (object.metadata.name === nodeName && !removed) proxier.node(object);
      return;
  }
}
