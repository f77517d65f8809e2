/**
 * What kube-proxy's work costs here: `npx tsx --expose-gc bench/kube.ts`. Each row is the median of several runs with
 * its bar; the floor of text generation is one copy of the finished text. Exits with 1 if a bar is missed.
 */
import { compiledEngine } from '../src/engine/compiled/engine.js';
import { makeDefaultHost } from '../src/host/default-host.js';
import { Host } from '../src/host/host.js';
import { AllNodes } from '../src/kube/all-nodes.js';
import { clusterState, nodeContext } from '../src/kube/cluster.js';
import type { KubeProxyConfigurationObject } from '../src/kube/objects.js';
import { enginePatch } from '../src/kube/proxy/engine-patch.js';
import { fullRestore } from '../src/kube/proxy/full-text.js';
import { nodeText } from '../src/kube/proxy/node-text.js';
import { parseRuleSet } from '../src/ruleset/parse.js';
import { makeCluster, makeService, makeSlice } from './kube-workload.js';

const collect = (globalThis as { gc?: () => void }).gc ?? (() => {}); // there only with --expose-gc
let missed = 0;

function row(what: string, value: number, unit: string, bar: number | undefined, note = ''): void {
  const verdict = bar === undefined ? '' : value <= bar ? `<= ${bar} ${unit}  ok` : `<= ${bar} ${unit}  MISSED`;
  if (bar !== undefined && value > bar) missed++;
  const shown = value >= 100 ? value.toFixed(0) : value.toPrecision(3);
  console.log(`${what.padEnd(66)} ${shown.padStart(8)} ${unit.padEnd(4)} ${verdict.padEnd(24)} ${note}`);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

function time(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

function benchGeneration(services: number, endpoints: number, barSeconds: number): void {
  const cluster = makeCluster(services, endpoints);
  let text = '';
  const times: number[] = [];
  const processor: number[] = [];
  for (let i = 0; i < 5; i++) {
    text = '';
    collect();
    const before = process.cpuUsage();
    times.push(
      time(() => {
        text = fullRestore(clusterState(cluster, 'IPv4'), nodeContext(cluster, cluster.nodes[0], 'IPv4'));
      }),
    );
    const used = process.cpuUsage(before);
    processor.push((used.user + used.system) / 1e6);
  }
  const rules = text.split('\n').filter((line) => line.startsWith('-A ')).length;
  const expected = 4 + (endpoints === 0 ? services : 0) + 5 + (endpoints === 0 ? 0 : services * (2 + 3 * endpoints));
  if (rules !== expected) {
    console.log(`rule count ${rules}, by the formulas ${expected}`);
    missed++;
  }
  const lines = text.split('\n');
  const floor = median(Array.from({ length: 5 }, () => time(() => new TextEncoder().encode(lines.join('\n')))));
  const note = `${rules} rules as by formula, ${(text.length / 1e6).toFixed(1)} MB, processor ${median(processor).toFixed(2)} s, floor ${floor.toFixed(0)} ms`;
  row(`full text, ${services} Services x ${endpoints} endpoints`, median(times) / 1000, 's', barSeconds, note);
}

function benchChange(services: number, endpoints: number, nodeCount: number): void {
  const cluster = makeCluster(services, endpoints, nodeCount);
  const state = clusterState(cluster, 'IPv4');
  const contexts = cluster.nodes.map((node) => nodeContext(cluster, node, 'IPv4'));
  collect();
  const nodes = new AllNodes(state, contexts);
  // The rules are the same on every node, so one engine stands for all; it starts from what the cluster has now.
  const rules = parseRuleSet({ name: 'node', text: nodeText(state, contexts[0]!) }, { family: 4 });
  if (!rules.ok) throw new Error('bug: the generated rules do not load');
  const { config } = makeDefaultHost({ devices: ['eth0'] });
  const host = new Host(config, { ruleSet4: rules.ruleSet, buildEngine: compiledEngine, seed: 1 });
  const running = host.engine(4)!;
  const patch: number[] = [];
  const engine: number[] = [];
  const applied: number[] = [];
  for (let i = 0; i < 400; i++) {
    const service = (i * 7919) % services;
    // One endpoint is replaced by another.
    state.slice(makeSlice(service, endpoints, service * endpoints + (Math.floor((i * 7919) / services) % 2) + 1));
    let changes: ReturnType<ReturnType<AllNodes['checkout']>['forNode']> = [];
    let asRules: ReturnType<typeof enginePatch> = [];
    const made = time(() => {
      const groups = nodes.checkout().groups();
      changes = groups[0]!.changes;
    });
    const translated = time(() => {
      asRules = enginePatch(changes, 'IPv4');
    });
    const taken = time(() => running.apply(asRules));
    patch.push(made);
    engine.push(translated);
    applied.push(made + translated + taken);
  }
  const place = `${services} Services, ${nodeCount} nodes`;
  row(`one endpoint change, patch for all nodes, ${place}`, median(patch.slice(100)), 'ms', 1);
  row(`  the same as rules for an engine, ${place}`, median(engine.slice(100)), 'ms', undefined);
  row(`  computed, translated and applied in the engine, ${place}`, median(applied.slice(100)), 'ms', 1);
  const added: number[] = [];
  for (let i = 0; i < 60; i++) {
    state.service(makeService(services + i));
    state.slice(makeSlice(services + i, endpoints));
    added.push(time(() => nodes.checkout().forNode('node-0')));
  }
  row(`one Service added, patch, ${place}`, median(added.slice(20)), 'ms', 1);
}

function heapOf<T>(make: () => T): { readonly bytes: number; readonly kept: T } {
  collect();
  collect();
  const before = process.memoryUsage().heapUsed;
  const kept = make();
  collect();
  collect();
  return { bytes: process.memoryUsage().heapUsed - before, kept };
}

function benchMemory(
  services: number,
  endpoints: number,
  nodeCount: number,
  more: Partial<KubeProxyConfigurationObject>,
): void {
  const sizes = [1, nodeCount].map((count) => {
    const cluster = makeCluster(services, endpoints, count, more);
    return heapOf(() => {
      const state = clusterState(cluster, 'IPv4');
      return new AllNodes(
        state,
        cluster.nodes.map((node) => nodeContext(cluster, node, 'IPv4')),
      );
    }).bytes;
  });
  const note = `${(sizes[0]! / 1e6).toFixed(0)} MB and ${(sizes[1]! / 1e6).toFixed(0)} MB`;
  const mode = more.detectLocalMode ?? 'nothing differs';
  row(`memory of ${nodeCount} nodes / of one, ${services} Services, ${mode}`, sizes[1]! / sizes[0]!, 'x', 2, note);
}

benchGeneration(10_000, 0, 0.8);
benchGeneration(10_000, 10, 0.8);
benchGeneration(50_000, 2, 1.3);
benchChange(100, 10, 1);
benchChange(10_000, 10, 1);
benchChange(10_000, 10, 5000);
benchChange(50_000, 2, 5000);
benchMemory(10_000, 10, 5000, {});
benchMemory(10_000, 10, 5000, { detectLocalMode: 'NodeCIDR' });
process.exitCode = missed > 0 ? 1 : 0;
