import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { clusterOf, clusterState, nodeContext } from '../../src/kube/cluster.js';
import { explainRules } from '../../src/kube/explain.js';
import { loadObjects } from '../../src/kube/load.js';
import { fullRestore } from '../../src/kube/proxy/full-text.js';

const FOLDER = 'test/golden/kube-proxy/clusters';

/** The value at a path such as `spec.ports[0].nodePort`; undefined if there is none. */
function at(object: unknown, path: string): unknown {
  let value = object;
  for (const [, key, index] of path.matchAll(/([A-Za-z]+)|\[(\d+)\]/g)) {
    value = (value as Record<string, unknown> | undefined)?.[key ?? index!];
  }
  return value;
}

describe.each(readdirSync(FOLDER))('the rules of cluster %s', (name) => {
  const read = (file: string) => ({ name: file, text: readFileSync(`${FOLDER}/${name}/${file}`, 'utf8') });
  const cluster = clusterOf(loadObjects([read('objects.yaml'), read('config.yaml')]));

  it('are all explained, in order, by a field that exists', () => {
    const objects = new Map<string, unknown>();
    for (const o of [...cluster.services, ...cluster.slices]) {
      objects.set(`${o.kind} ${o.metadata.namespace}/${o.metadata.name}`, o);
    }
    for (const family of ['IPv4', 'IPv6'] as const) {
      for (const node of cluster.nodes) {
        const state = clusterState(cluster, family);
        const context = nodeContext(cluster, node, family);
        const explained = explainRules(cluster, state, context);
        const rules = fullRestore(state, context)
          .split('\n')
          .filter((line) => line.startsWith('-A '));
        expect(explained.map((e) => `-A ${e.chain} ${e.rule}`)).toEqual(rules);
        for (const e of explained) {
          expect(e.sentence).not.toMatch(/undefined|always there/);
          if (!/^(Service|EndpointSlice) /.test(e.object)) continue;
          const object = objects.get(e.object);
          expect(object, e.object).toBeDefined();
          expect(at(object, e.field), `${e.object} ${e.field} (${e.sentence})`).toBeDefined();
        }
      }
    }
  });
});
