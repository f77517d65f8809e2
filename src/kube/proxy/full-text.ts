/** The text of a full sync straight from the cluster's state, for a host without leftovers. */
import { joinBytes, TextBytes } from '../../base/text-bytes.js';
import type { ClusterState } from '../state.js';
import type { ProxyContext } from './context.js';
import { chainLine, filterFixedChains, filterHead, filterTail, NAT_FIXED_CHAINS, natHead, natTail } from './restore.js';
import { type RuleSink, ServiceRuleWriter } from './service-rules.js';

/** The three stretches of the text that grow side by side. */
class FullText implements RuleSink {
  readonly filterRules = new TextBytes();
  readonly chains = new TextBytes();
  readonly natRules = new TextBytes();

  filter(rule: string): void {
    this.filterRules.add(`${rule}\n`);
  }

  dispatch(rule: string): void {
    this.natRules.add(`${rule}\n`);
  }

  chain(name: string): void {
    this.chains.add(chainLine(name));
  }

  own(rule: string): void {
    this.natRules.add(`${rule}\n`);
  }
}

/** The text as UTF-8: what is piped into `iptables-restore --noflush`. */
export function fullRestoreBytes(state: ClusterState, context: ProxyContext): Uint8Array {
  const writer = new ServiceRuleWriter(false);
  const text = new FullText();
  text.filterRules.add(`*filter\n${filterFixedChains(context).map(chainLine).join('')}`);
  for (const rule of filterHead(context)) text.filter(rule);
  text.chains.add(`COMMIT\n*nat\n${NAT_FIXED_CHAINS.map(chainLine).join('')}`);
  for (const rule of natHead(context)) text.own(rule);
  const large = state.largeCluster;
  for (const { info, endpoints } of state.order) writer.write(info, endpoints, context, context, large, text);
  for (const rule of filterTail(context)) text.filter(rule);
  for (const rule of natTail(context)) text.own(rule);
  text.natRules.add('COMMIT\n');
  return joinBytes([text.filterRules.view(), text.chains.view(), text.natRules.view()]);
}

export function fullRestore(state: ClusterState, context: ProxyContext): string {
  return new TextDecoder().decode(fullRestoreBytes(state, context));
}
