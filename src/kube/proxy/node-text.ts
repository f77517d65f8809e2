/**
 * Everything kube-proxy has put on a node, as one rule file: built-in chains with its jumps, its canaries, its chains.
 * What a host loads that has no other rules.
 */
import type { ClusterState } from '../state.js';
import type { ProxyContext } from './context.js';
import { fullRestore } from './full-text.js';
import { JUMPS, jumpSpec } from './jumps.js';
import { chainLine } from './restore.js';

const BUILT_IN: Readonly<Record<'mangle' | 'nat' | 'filter', readonly string[]>> = {
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
};
const CANARY = 'KUBE-PROXY-CANARY';

/** Each jump is inserted at the head, so that the last one stands first. */
function jumpLines(table: 'filter' | 'nat'): string {
  const jumps = JUMPS.filter((jump) => jump.table === table).reverse();
  return jumps.map((jump) => `-A ${jumpSpec(jump)}\n`).join('');
}

function builtIn(table: keyof typeof BUILT_IN): string {
  return BUILT_IN[table].map((chain) => `:${chain} ACCEPT [0:0]\n`).join('') + chainLine(CANARY);
}

export function nodeText(state: ClusterState, context: ProxyContext): string {
  const text = fullRestore(state, context);
  const middle = text.indexOf('COMMIT\n') + 'COMMIT\n'.length;
  const filter = splitTable(text.slice(0, middle));
  const nat = splitTable(text.slice(middle));
  // The chain and its jumps exist even where it is empty, and is not in the text.
  const firewall = context.localhostNodePorts ? '' : chainLine('KUBE-FIREWALL');
  return [
    `*mangle\n${builtIn('mangle')}COMMIT\n`,
    `*filter\n${builtIn('filter')}${filter.chains}${firewall}${jumpLines('filter')}${filter.rules}`,
    `*nat\n${builtIn('nat')}${nat.chains}${jumpLines('nat')}${nat.rules}`,
  ].join('');
}

/** Chain lines and the rest, without the line that names the table. */
function splitTable(text: string): { readonly chains: string; readonly rules: string } {
  const start = text.indexOf('\n') + 1;
  const rules = text.indexOf('\n-A ') + 1;
  return { chains: text.slice(start, rules), rules: text.slice(rules) };
}
