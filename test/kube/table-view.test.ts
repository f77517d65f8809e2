import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { chainLabels } from '../../src/kube/chain-label.js';
import { clusterOf, clusterState, nodeContext } from '../../src/kube/cluster.js';
import { loadObjects } from '../../src/kube/load.js';
import { fullRestore } from '../../src/kube/proxy/full-text.js';
import { type RuleTexts, restoreInto } from '../../src/kube/rule-text.js';
import { printRow, printTable, tableRows } from '../../src/kube/table-view.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { printRuleSet } from '../../src/ruleset/print.js';

const FOLDER = 'test/golden/kube-proxy/clusters';

function rulesOf(text: string): RuleTexts {
  const rules: RuleTexts = new Map();
  restoreInto(rules, text, (line) => {
    throw new Error(`not understood: ${line}`);
  });
  return rules;
}

describe('the table of a rule set', () => {
  it('shows each address with its endpoints', () => {
    const rules = rulesOf(readFileSync(`${FOLDER}/course-notes/nodo1.ipv4.restore`, 'utf8'));
    expect(tableRows(rules).map(printRow)).toEqual([
      '10.20.0.10:443 -> [172.30.1.1:6443]',
      '10.20.0.2:8080 -> [10.10.0.1:80, 10.10.0.2:80]',
      '10.20.0.1:3000 -> [10.10.0.3:3306]',
      '10.20.0.3:80 -> [10.10.0.4:80, 10.10.0.5:80]',
      '172.30.2.1:80 -> [10.10.0.4:80, 10.10.0.5:80]',
      '*:30100 -> [10.10.0.4:80, 10.10.0.5:80]',
    ]);
  });

  it('is the same for the text and for the dump that iptables-save makes of it', () => {
    for (const file of ['course-notes/nodo1.ipv4', 'kubeadm/cp-1.ipv4', 'kubeadm/worker-1.ipv4']) {
      const text = readFileSync(`${FOLDER}/${file}.restore`, 'utf8');
      const { ruleSet, ok } = parseRuleSet({ name: file, text }, { family: 4, noflush: true });
      expect(ok).toBe(true);
      const fromText = tableRows(rulesOf(text));
      const fromDump = tableRows(rulesOf(printRuleSet(ruleSet)));
      expect(printTable(fromDump)).toBe(printTable(fromText));
      expect(fromText.length).toBeGreaterThan(3);
      for (const row of fromText) {
        const total = row.endpoints.reduce((sum, endpoint) => sum + endpoint.share, 0);
        if (row.endpoints.length > 0) expect(total).toBeCloseTo(1, 6);
      }
    }
  });

  it.each(['random', 'nth'] as const)('gives all endpoints equal shares where the balance is %s', (balance) => {
    const endpoints = Array.from({ length: 7 }, (_, i) => `{addresses: [10.1.0.${i + 1}]}`).join(', ');
    const text = [
      'kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.20.0.3, ports: [{port: 80}]}',
      `kind: EndpointSlice\nmetadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 8080}]\nendpoints: [${endpoints}]`,
    ].join('\n---\n');
    const loaded = loadObjects([{ name: 'x.yaml', text }]);
    expect(loaded.diagnostics).toEqual([]);
    const cluster = clusterOf(loaded);
    const restore = fullRestore(clusterState(cluster, 'IPv4'), nodeContext(cluster, undefined, 'IPv4', { balance }));
    expect(restore).toContain(
      balance === 'nth' ? '--mode nth --every 7 --packet 0' : '--mode random --probability 0.1428571429',
    );
    const [row] = tableRows(rulesOf(restore));
    expect(row!.endpoints).toHaveLength(7);
    for (const endpoint of row!.endpoints) expect(endpoint.share).toBeCloseTo(1 / 7, 6);
    expect(parseRuleSet({ name: 'x', text: restore }, { family: 4, noflush: true }).ok).toBe(true);
  });
});

describe('labels of chains', () => {
  it('name every chain of a Service, also where comments are left out', () => {
    const text = readFileSync(`${FOLDER}/kubeadm/cp-1.ipv4.restore`, 'utf8');
    for (const source of [text, text.replace(/ -m comment --comment "\S+ -> \S+"/g, '')]) {
      const rules = rulesOf(source);
      const labels = chainLabels(rules);
      for (const chain of rules.get('nat')!.keys()) expect(labels.get(chain)?.text, chain).toMatch(/\w/);
      const owners = new Set([...labels.values()].map((label) => label.owner));
      expect(owners).toContain('kube-system/kube-dns:dns-tcp');
    }
  });
});
