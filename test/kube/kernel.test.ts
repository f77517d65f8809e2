/** The generated texts in a real kernel, where the tests are root and iptables is there; in a namespace of their own. */
import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KernelTables } from '../../src/kube/proxy/jumps.js';
import { nodeText } from '../../src/kube/proxy/node-text.js';
import { Proxier } from '../../src/kube/proxy/proxier.js';
import { ClusterState } from '../../src/kube/state.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { arbHistory } from './cluster-arbitrary.js';
import { contextOf, NODE } from './fixture.js';

const NAMESPACE = `cwk-kube-${process.pid}`;

function run(command: string, args: readonly string[], input = ''): { readonly ok: boolean; readonly out: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { input, encoding: 'utf8', timeout: 20_000 });
  return { ok: status === 0, out: status === 0 ? stdout : `${stderr ?? 'no such command'}` };
}

const inside = (command: string, args: readonly string[], input = '') =>
  run('ip', ['netns', 'exec', NAMESPACE, command, ...args], input);

/** Whether a namespace can be made in which iptables works with all that the texts need. */
function usable(): boolean {
  if (process.getuid?.() !== 0 || !run('ip', ['netns', 'add', NAMESPACE]).ok) return false;
  const probe =
    '*nat\n:X - [0:0]\n-A X -p sctp -m sctp --dport 1\n-A X -m recent --name x --rcheck --seconds 1 --reap -j MARK --or-mark 1\nCOMMIT\n';
  const ok = inside('iptables-legacy-restore', ['--test'], probe).ok && inside('iptables-legacy-save', []).ok;
  run('ip', ['netns', 'del', NAMESPACE]);
  return ok;
}

/** nfacct objects cannot be made everywhere; the texts are then without them, as on such a host. */
const SETTINGS = { nfacct: false } as const;

describe.skipIf(!usable())('in the kernel', () => {
  beforeAll(() => {
    expect(run('ip', ['netns', 'add', NAMESPACE])).toMatchObject({ ok: true });
  });
  afterAll(() => {
    run('ip', ['netns', 'del', NAMESPACE]);
  });

  it('full and partial texts load one after the other, and end as a full text alone would', {
    timeout: 120_000,
  }, () => {
    fc.assert(
      fc.property(arbHistory, (history) => {
        expect(
          inside('iptables-legacy-restore', [], nodeText(new ClusterState('IPv4'), contextOf(SETTINGS))),
        ).toMatchObject({ ok: true });
        const state = new ClusterState('IPv4');
        const proxier = new Proxier(state, contextOf(SETTINGS), NODE, new KernelTables(), 30_000);
        for (const events of history) {
          for (const { object, removed } of events) {
            if (object.kind === 'Service') state.service(object, removed);
            else state.slice(object, removed);
          }
          const { restore } = proxier.sync({ nowMs: 0, nfacctInvalid: false, nfacctLocalhost: false });
          expect(inside('iptables-legacy-restore', ['--noflush', '--counters'], restore)).toMatchObject({ ok: true });
        }
        const whole = nodeText(state, contextOf(SETTINGS));
        const { ruleSet, ok } = parseRuleSet({ name: 'whole', text: whole }, { family: 4 });
        expect(ok).toBe(true);
        for (const { name } of ruleSet.tables) {
          const saved = inside('iptables-legacy-save', ['-t', name])
            .out.replace(/^#.*\n/gm, '')
            .replace(/\[\d+:\d+\]/g, '[0:0]');
          const own = printRuleSet({ ...ruleSet, tables: ruleSet.tables.filter((table) => table.name === name) });
          expect(saved).toBe(own.replace(/\[\d+:\d+\]/g, '[0:0]'));
        }
      }),
      { numRuns: 12, seed: 7 },
    );
  });
});
