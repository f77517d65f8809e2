/** The restore text around the blocks of the service ports: heads, stale chains, tails. */
import type { PortBlock } from './block.js';
import type { ProxyContext } from './context.js';

export const NAT_FIXED_CHAINS = ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'] as const;

/** Chains of the filter table that every text declares. */
export function filterFixedChains(context: ProxyContext): string[] {
  const chains = ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD', 'KUBE-NODEPORTS', 'KUBE-PROXY-FIREWALL'];
  return context.localhostNodePorts ? [...chains, 'KUBE-FIREWALL'] : chains;
}

/** Rules of the filter table before those of the service ports. */
export function filterHead(context: ProxyContext): string[] {
  if (!context.localhostNodePorts) return [];
  const from = '-d 127.0.0.0/8 ! -s 127.0.0.0/8';
  return [
    `-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" ${from} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`,
  ];
}

/** Rules of the filter table after those of the service ports. */
export function filterTail(context: ProxyContext): string[] {
  const { mark } = context;
  const count = context.nfacctInvalid ? ' -m nfacct --nfacct-name ct_state_invalid_dropped_pkts' : '';
  return [
    ...(context.tcpBeLiberal ? [] : [`-A KUBE-FORWARD -m conntrack --ctstate INVALID${count} -j DROP`]),
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${mark}/${mark} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  ];
}

/** Rules of the nat table before those of the service ports. */
export function natHead(context: ProxyContext): string[] {
  const { mark } = context;
  return [
    `-A KUBE-POSTROUTING -m mark ! --mark ${mark}/${mark} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${mark}`,
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${mark}`,
  ];
}

/** Rules of the nat table after those of the service ports: who gets to KUBE-NODEPORTS. */
export function natTail(context: ProxyContext): string[] {
  const head =
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';
  if (!context.nodePortAddresses.matchAll) return context.nodePortIps.map((ip) => `${head} -d ${ip} -j KUBE-NODEPORTS`);
  let but = '';
  if (context.family === 'IPv6') but = ' ! -d ::1/128';
  else if (!context.localhostNodePorts) but = ' ! -d 127.0.0.0/8';
  return [`${head} -m addrtype --dst-type LOCAL${but} -j KUBE-NODEPORTS`];
}

function joined(rules: readonly string[]): string {
  return rules.length === 0 ? '' : `${rules.join('\n')}\n`;
}

/** Creates a chain, or flushes it if it exists. */
export function chainLine(chain: string): string {
  return `:${chain} - [0:0]\n`;
}

function chainLines(chains: readonly string[]): string {
  return chains.map(chainLine).join('');
}

/**
 * The whole text. Blocks come in canonical order; `isWritten` says whose own chains are written (all, in a full sync);
 * `stale` are the chains to delete, sorted.
 */
export function restoreText(
  context: ProxyContext,
  blocks: readonly PortBlock[],
  isWritten: (block: PortBlock) => boolean,
  stale: readonly string[],
): string {
  const filter: string[] = ['*filter\n', chainLines(filterFixedChains(context)), joined(filterHead(context))];
  const chains: string[] = ['COMMIT\n*nat\n', chainLines(NAT_FIXED_CHAINS)];
  const rules: string[] = [joined(natHead(context))];
  for (const block of blocks) {
    if (block.filterCount > 0) filter.push(block.filter);
    if (block.dispatchCount > 0) rules.push(block.dispatch);
    if (block.ownCount > 0 && isWritten(block)) {
      if (block.chains.length > 0) chains.push(chainLines(block.chains));
      rules.push(block.own);
    }
  }
  filter.push(joined(filterTail(context)));
  for (const chain of stale) {
    chains.push(`:${chain} - [0:0]\n`);
    rules.push(`-X ${chain}\n`);
  }
  rules.push(joined(natTail(context)), 'COMMIT\n');
  // One join over all pieces: nested joins would copy the text, tens of megabytes, more than once.
  return filter.concat(chains, rules).join('');
}
