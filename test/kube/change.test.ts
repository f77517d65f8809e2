import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AllNodes } from '../../src/kube/all-nodes.js';
import { type KubeCluster, nodeContext, ordinaryHost } from '../../src/kube/cluster.js';
import { readConfig } from '../../src/kube/config.js';
import type { KubeProxyConfigurationObject } from '../../src/kube/objects.js';
import { enginePatch } from '../../src/kube/proxy/engine-patch.js';
import { fullRestore } from '../../src/kube/proxy/full-text.js';
import { KernelTables } from '../../src/kube/proxy/jumps.js';
import { applyEdits, editRules } from '../../src/kube/proxy/patch.js';
import { Proxier } from '../../src/kube/proxy/proxier.js';
import { type RuleTexts, restoreInto } from '../../src/kube/rule-text.js';
import { ClusterState } from '../../src/kube/state.js';
import type { RuleSet } from '../../src/ruleset/model.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { patched } from '../../src/ruleset/patch.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { arbHistory, type ClusterEvent, NODES } from './cluster-arbitrary.js';

function clusterWith(config: Partial<KubeProxyConfigurationObject>): KubeCluster {
  const read = readConfig({ kind: 'KubeProxyConfiguration', clusterCIDR: '10.0.0.0/8', ...config });
  expect(read.errors).toEqual([]);
  return { services: [], slices: [], nodes: NODES, config: read.config };
}

function restore(rules: RuleTexts, text: string): void {
  restoreInto(rules, text, (line) => {
    throw new Error(`not understood: ${line}`);
  });
}

function take(state: ClusterState, events: readonly ClusterEvent[]): void {
  for (const { object, removed } of events) {
    if (object.kind === 'Service') state.service(object, removed);
    else state.slice(object, removed);
  }
}

const PATHS = { numRuns: 150, seed: 20_261_123 };
const CONFIGS: readonly Partial<KubeProxyConfigurationObject>[] = [
  {},
  { detectLocalMode: 'NodeCIDR', nodePortAddresses: ['primary'] },
  { detectLocalMode: 'NodeCIDR' },
  { iptables: { masqueradeAll: true, localhostNodePorts: false } },
];

describe('a history of changes', () => {
  it('ends, by partial syncs, in the rules of one full sync', () => {
    fc.assert(
      fc.property(arbHistory, fc.constantFrom(...CONFIGS), fc.constantFrom(...NODES), (history, config, node) => {
        const cluster = clusterWith(config);
        const context = nodeContext(cluster, node, 'IPv4');
        const state = new ClusterState('IPv4');
        const proxier = new Proxier(state, context, node, new KernelTables(), 30_000);
        const rules: RuleTexts = new Map();
        const host = ordinaryHost(node);
        history.forEach((events, i) => {
          take(state, events);
          const sync = proxier.sync({ nowMs: i, ...host });
          expect(sync.full).toBe(i === 0);
          restore(rules, sync.restore);
        });
        const whole: RuleTexts = new Map();
        restore(whole, fullRestore(state, context));
        expect(rules).toEqual(whole);
      }),
      PATHS,
    );
  });

  it('gives patches that end, on every node, in the rules of one full sync; so do their texts', () => {
    fc.assert(
      fc.property(arbHistory, fc.constantFrom(...CONFIGS), (history, config) => {
        const cluster = clusterWith(config);
        const contexts = NODES.map((node) => nodeContext(cluster, node, 'IPv4'));
        const state = new ClusterState('IPv4');
        const nodes = new AllNodes(state, contexts);
        const patched = new Map<string, RuleTexts>();
        const restored = new Map<string, RuleTexts>();
        for (const name of nodes.nodeNames) {
          for (const map of [patched, restored]) {
            map.set(name, new Map());
            restore(map.get(name)!, nodes.text(name));
          }
        }
        for (const events of history) {
          take(state, events);
          const patch = nodes.checkout();
          const grouped = patch.groups().flatMap((group) => group.nodes.map((name) => [name, group.changes] as const));
          expect(new Map(grouped)).toEqual(new Map(nodes.nodeNames.map((name) => [name, patch.forNode(name)])));
          for (const name of nodes.nodeNames) {
            restore(restored.get(name)!, patch.textFor(name));
            for (const change of patch.forNode(name)) {
              const chains = patched.get(name)!.get(change.table)!;
              if (change.kind === 'added') {
                expect(chains.has(change.chain)).toBe(false);
                chains.set(change.chain, [...change.rules]);
              } else if (change.kind === 'removed') {
                expect(chains.get(change.chain)).toEqual(change.rules);
                chains.delete(change.chain);
              } else applyEdits(chains.get(change.chain)!, change.edits);
            }
          }
        }
        for (const context of contexts) {
          const whole: RuleTexts = new Map();
          restore(whole, fullRestore(state, context));
          expect(restored.get(context.nodeName), `texts on ${context.nodeName}`).toEqual(whole);
          expect(patched.get(context.nodeName), `patches on ${context.nodeName}`).toEqual(whole);
          expect(nodes.text(context.nodeName)).toBe(fullRestore(state, context));
        }
      }),
      PATHS,
    );
  });

  it('is told as edits that make one list of rules of another', () => {
    const rules = fc.array(
      fc.constantFrom('-j A', '-j B', '-m statistic --mode random --probability 0.5 -j A', '-j C'),
    );
    fc.assert(
      fc.property(rules, rules, (before, after) => {
        const list = [...before];
        applyEdits(list, editRules(before, after));
        expect(list).toEqual(after);
      }),
      { seed: 20_261_123 },
    );
  });
});

describe('the nodes of a cluster', () => {
  it('are told apart exactly where their texts differ', () => {
    fc.assert(
      fc.property(arbHistory, fc.constantFrom(...CONFIGS), (history, config) => {
        const cluster = clusterWith(config);
        const contexts = NODES.map((node) => nodeContext(cluster, node, 'IPv4'));
        const state = new ClusterState('IPv4');
        take(state, history.flat());
        state.checkout();
        const nodes = new AllNodes(state, contexts);
        const texts = new Map(nodes.nodeNames.map((name) => [name, nodes.text(name)]));
        const groups = nodes.groups();
        expect(groups.flat().sort()).toEqual(nodes.nodeNames);
        groups.forEach((group, i) => {
          for (const name of group) expect(texts.get(name)).toBe(texts.get(group[0]!));
          // Nodes of different settings may still agree in text where no Service makes the setting visible.
          if (nodes.classCount === 1 && config.detectLocalMode === undefined) {
            for (const other of groups.slice(i + 1)) expect(texts.get(other[0]!)).not.toBe(texts.get(group[0]!));
          }
        });
        if (new Set(texts.values()).size > 1) expect(nodes.differences()).not.toEqual([]);
        if (groups.length === 1) expect(nodes.differences()).toEqual([]);
      }),
      PATHS,
    );
  });
});

describe('a patch', () => {
  it('applied to the rule set that an engine runs gives the rule set of a full sync', () => {
    fc.assert(
      fc.property(arbHistory, fc.constantFrom(...NODES), (history, node) => {
        const context = nodeContext(clusterWith({}), node, 'IPv4');
        const name = context.nodeName;
        const state = new ClusterState('IPv4');
        const nodes = new AllNodes(state, [context]);
        const parsed = (text: string): RuleSet => {
          const read = parseRuleSet({ name: 'text', text }, { family: 4, noflush: true, base: EMPTY });
          expect(read.diagnostics.map((d) => d.message)).toEqual([]);
          return read.ruleSet;
        };
        let rules = parsed(nodes.text(name));
        for (const events of history) {
          take(state, events);
          rules = patched(rules, enginePatch(nodes.checkout().forNode(name), 'IPv4'));
        }
        expect(printRuleSet(rules)).toBe(printRuleSet(parsed(nodes.text(name))));
      }),
      { ...PATHS, numRuns: 60 },
    );
  });
});

const EMPTY: RuleSet = { family: 4, tables: [] };
