import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { clusterOf, clusterState, nodeContext } from '../../src/kube/cluster.js';
import { type History, type RecordedStep, replayHistory } from '../../src/kube/history.js';
import { loadObjects } from '../../src/kube/load.js';
import { fullRestore } from '../../src/kube/proxy/full-text.js';

/** The whole set of recordings, which is too large for the repository; run as well where it lies beside it. */
const WHOLE = '../shared/golden/kube-proxy';
const OWN = 'test/golden/kube-proxy';
const FOLDER = existsSync(WHOLE) ? WHOLE : OWN;

interface Recording extends History {
  readonly want: readonly RecordedStep[];
}

function* recordings(): Generator<Recording> {
  const own = gunzipSync(readFileSync(join(OWN, 'histories.jsonl.gz')))
    .toString()
    .trimEnd()
    .split('\n');
  const seen = new Set<string>();
  for (const line of own) {
    const recording = JSON.parse(line) as Recording;
    seen.add(recording.id!);
    yield recording;
  }
  if (FOLDER === OWN) return;
  for (const name of readdirSync(join(WHOLE, 'histories')).sort()) {
    if (seen.has(name.replace('.json', ''))) continue;
    yield JSON.parse(readFileSync(join(WHOLE, 'histories', name), 'utf8')) as Recording;
  }
}

const FIELDS = ['full', 'failed', 'ensured', 'restore', 'deletedFlows', 'healthPorts', 'localEndpoints'] as const;

describe('what the real kube-proxy did', () => {
  it('is repeated in every sync of every history', { timeout: 120_000 }, () => {
    let syncs = 0;
    for (const recording of recordings()) {
      const got = replayHistory(recording);
      recording.want.forEach((want, i) => {
        for (const family of ['IPv4', 'IPv6'] as const) {
          const place = `history ${recording.id} step ${i} ${family}`;
          for (const field of FIELDS) expect(got[i]![family][field], `${place} ${field}`).toEqual(want[family][field]);
          syncs++;
        }
      });
    }
    expect(syncs).toBeGreaterThan(1500);
  });

  it.each(readdirSync(join(FOLDER, 'clusters')))('is repeated on every node of cluster %s', (name) => {
    const folder = join(FOLDER, 'clusters', name);
    const read = (file: string) => ({ name: file, text: readFileSync(join(folder, file), 'utf8') });
    const loaded = loadObjects([read('objects.yaml'), read('config.yaml')]);
    expect(loaded.diagnostics).toEqual([]);
    const cluster = clusterOf(loaded);
    const files = readdirSync(folder).filter((file) => file.endsWith('.restore'));
    expect(files).toHaveLength(2 * cluster.nodes.length);
    for (const node of cluster.nodes) {
      for (const family of ['IPv4', 'IPv6'] as const) {
        const file = `${node.metadata.name}.${family.toLowerCase()}.restore`;
        const got = fullRestore(clusterState(cluster, family), nodeContext(cluster, node, family));
        expect(got, file).toBe(read(file).text);
      }
    }
  });
});
