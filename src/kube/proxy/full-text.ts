/** The text of a full sync straight from the cluster's state, for a host without leftovers. */
import { joinBytes, TextBytes } from '../../base/text-bytes.js';
import type { ClusterState } from '../state.js';
import type { ProxyContext } from './context.js';
import { chainLine, filterFixedChains, filterHead, filterTail, NAT_FIXED_CHAINS, natHead, natTail } from './restore.js';
import { type RuleSink, ServiceRuleWriter } from './service-rules.js';

/** Usual sizes in bytes, for a first guess: of a chain line, of a port's own rules, of an endpoint's rules. */
const CHAIN_LINE_SIZE = 33;
const PORT_SIZE = 320;
const ENDPOINT_SIZE = 270;

/** The three stretches of the text that grow side by side. */
class FullText implements RuleSink {
  readonly filterRules = new TextBytes();
  readonly chains: TextBytes;
  readonly natRules: TextBytes;

  constructor(ports: number, endpoints: number) {
    this.chains = new TextBytes((ports + endpoints) * CHAIN_LINE_SIZE);
    this.natRules = new TextBytes(ports * PORT_SIZE + endpoints * ENDPOINT_SIZE);
  }

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

function write(state: ClusterState, context: ProxyContext): FullText {
  const writer = new ServiceRuleWriter(false);
  const text = new FullText(state.order.length, state.endpointCount);
  text.filterRules.add(`*filter\n${filterFixedChains(context).map(chainLine).join('')}`);
  for (const rule of filterHead(context)) text.filter(rule);
  text.chains.add(`COMMIT\n*nat\n${NAT_FIXED_CHAINS.map(chainLine).join('')}`);
  for (const rule of natHead(context)) text.own(rule);
  const large = state.largeCluster;
  for (const { info, endpoints } of state.order) writer.write(info, endpoints, context, context, large, text);
  for (const rule of filterTail(context)) text.filter(rule);
  for (const rule of natTail(context)) text.own(rule);
  text.natRules.add('COMMIT\n');
  return text;
}

/** The text as UTF-8: what is piped into `iptables-restore --noflush`. */
export function fullRestoreBytes(state: ClusterState, context: ProxyContext): Uint8Array {
  const { filterRules, chains, natRules } = write(state, context);
  return joinBytes([filterRules.view(), chains.view(), natRules.view()]);
}

export function fullRestore(state: ClusterState, context: ProxyContext): string {
  const { filterRules, chains, natRules } = write(state, context);
  const decoder = new TextDecoder();
  return decoder.decode(filterRules.view()) + decoder.decode(chains.view()) + decoder.decode(natRules.view());
}
