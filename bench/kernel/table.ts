/** The kernel's contenders: how each loads a workload's rules, and the same node without them. */
import type { Workload } from '../workloads.js';
import type { KernelNode, Lab } from './lab.js';
import { EMPTY_FILTER, EMPTY_NAT, intervalSet, prefixesOf, verdictMap } from './nft-text.js';

export interface KernelTable {
  readonly name: string;
  /** Why it cannot have the workload; undefined: it can. */
  refuses(workload: Workload): string | undefined;
  /** Loads the table, or (`false`) what is left of it without its rules: the same hooks, nothing in them. */
  load(lab: Lab, node: KernelNode, workload: Workload, withRules: boolean): void;
}

const EMPTY_TABLES = [
  ...['*filter', ':INPUT ACCEPT [0:0]', ':FORWARD ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', 'COMMIT'],
  ...['*nat', ':PREROUTING ACCEPT [0:0]', ':INPUT ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':POSTROUTING ACCEPT [0:0]'],
  ...['COMMIT', ''],
].join('\n');

/** The part of the empty tables that a workload has; a table that is there at all costs a packet its hooks. */
function withoutRules(workload: Workload): string {
  return workload.table === 'nat' ? EMPTY_TABLES : EMPTY_TABLES.slice(0, EMPTY_TABLES.indexOf('*nat'));
}

/** More rules than this take gigabytes, and minutes to load; the cost of a rule is known by then. */
const MOST_RULES = 500_000;

const iptables = (name: string, program: string): KernelTable => ({
  name,
  refuses: ({ ruleCount }) => (ruleCount > MOST_RULES ? `more than ${MOST_RULES} rules` : undefined),
  load: (lab, node, workload, withRules) => {
    const wait = program.includes('legacy') ? ['-w', '60'] : [];
    lab.exec(node, program, wait, withRules ? workload.rules : withoutRules(workload));
  },
});

const nftMap: KernelTable = {
  name: 'nft verdict map',
  refuses: ({ name, table, ruleCount }) => {
    if (table !== 'nat') return `${name} has no services`;
    return ruleCount > MOST_RULES ? `more chains than load in reasonable time` : undefined;
  },
  load: (lab, node, workload, withRules) => {
    lab.exec(node, 'nft', ['-f', '-'], withRules ? verdictMap(workload) : EMPTY_NAT);
  },
};

const hasPrefixes = (workload: Workload): string | undefined =>
  workload.name.startsWith('blacklist') ? undefined : `${workload.name} is no list of prefixes`;

const nftSet: KernelTable = {
  name: 'nft interval set',
  refuses: hasPrefixes,
  load: (lab, node, workload, withRules) => {
    lab.exec(node, 'nft', ['-f', '-'], withRules ? intervalSet(workload) : EMPTY_FILTER);
  },
};

const ipset: KernelTable = {
  name: 'ipset',
  refuses: hasPrefixes,
  load: (lab, node, workload, withRules) => {
    if (withRules) {
      const prefixes = prefixesOf(workload.rules);
      const members = prefixes.map((prefix) => `add banned ${prefix}`).join('\n');
      const create = `create banned hash:net family inet maxelem ${2 * prefixes.length}`;
      lab.exec(node, 'ipset', ['restore'], `${create}\n${members}\n`);
    }
    const rule = '-A FORWARD -m set --match-set banned src -j DROP';
    const empty = withoutRules(workload);
    const text = withRules ? empty.replace('COMMIT', `${rule}\nCOMMIT`) : empty;
    lab.exec(node, 'iptables-legacy-restore', ['-w', '60'], text);
  },
};

export const KERNEL_TABLES: readonly KernelTable[] = [
  iptables('iptables-legacy', 'iptables-legacy-restore'),
  iptables('iptables-nft', 'iptables-nft-restore'),
  nftMap,
  nftSet,
  ipset,
];
