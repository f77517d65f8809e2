/** The rules of one service port as finished text: the pieces a sync is put together from. */
import type { Endpoint } from '../endpoints.js';
import type { ServicePortInfo } from '../service.js';
import type { NodePlace } from './choose.js';
import type { ProxyContext } from './context.js';
import type { RuleSink, ServiceRuleWriter, Why, WrittenPort } from './service-rules.js';

export interface PortBlock extends WrittenPort {
  readonly port: ServicePortInfo;
  readonly endpoints: readonly Endpoint[];
  /** Written in large-cluster mode. */
  readonly large: boolean;
  /** Lines for the filter table, each ending in a line feed; likewise the others. */
  readonly filter: string;
  readonly filterCount: number;
  /** nat rules of KUBE-SERVICES and KUBE-NODEPORTS. */
  readonly dispatch: string;
  readonly dispatchCount: number;
  /** Chains of this service port alone, in the order of their chain lines. */
  readonly chains: readonly string[];
  /** Rules of those chains, in the order of the text. */
  readonly own: string;
  readonly ownCount: number;
  /** Of `dispatchCount`, the rules of KUBE-NODEPORTS. */
  readonly nodePortRules: number;
  /** Of `filterCount`: the rules of KUBE-SERVICES, KUBE-NODEPORTS, KUBE-PROXY-FIREWALL. */
  readonly refusals: number;
  readonly healthChecks: number;
  readonly firewallRules: number;
}

/** Chains that hold rules of many service ports, and how many a block puts into each. */
export const SHARED_CHAINS: readonly {
  readonly table: 'filter' | 'nat';
  readonly chain: string;
  readonly countIn: (block: PortBlock) => number;
}[] = [
  { table: 'nat', chain: 'KUBE-SERVICES', countIn: (block) => block.dispatchCount - block.nodePortRules },
  { table: 'nat', chain: 'KUBE-NODEPORTS', countIn: (block) => block.nodePortRules },
  { table: 'filter', chain: 'KUBE-SERVICES', countIn: (block) => block.refusals },
  { table: 'filter', chain: 'KUBE-NODEPORTS', countIn: (block) => block.healthChecks },
  { table: 'filter', chain: 'KUBE-PROXY-FIREWALL', countIn: (block) => block.firewallRules },
  {
    table: 'filter',
    chain: 'KUBE-EXTERNAL-SERVICES',
    countIn: (block) => block.filterCount - block.refusals - block.healthChecks - block.firewallRules,
  },
];

/** Collects lines; one instance serves many blocks. */
export class BlockBuilder implements RuleSink {
  readonly #writer: ServiceRuleWriter;
  readonly #filter: string[] = [];
  readonly #dispatch: string[] = [];
  readonly #own: string[] = [];
  #chains: string[] = [];
  #nodePortRules = 0;
  #refusals = 0;
  #healthChecks = 0;
  #firewallRules = 0;

  constructor(writer: ServiceRuleWriter) {
    this.#writer = writer;
  }

  filter(rule: string, why: Why): void {
    this.#filter.push(rule);
    if (why === 'cluster-ip-refused') this.#refusals++;
    else if (why === 'health-check') this.#healthChecks++;
    else if (why === 'vip-filtered') this.#firewallRules++;
  }

  dispatch(rule: string, why: Why): void {
    this.#dispatch.push(rule);
    if (why === 'node-port' || why === 'node-port-loopback') this.#nodePortRules++;
  }

  chain(name: string): void {
    this.#chains.push(name);
  }

  own(rule: string): void {
    this.#own.push(rule);
  }

  build(
    port: ServicePortInfo,
    endpoints: readonly Endpoint[],
    context: ProxyContext,
    place: NodePlace,
    large: boolean,
  ): PortBlock {
    const written = this.#writer.write(port, endpoints, context, place, large, this);
    const block = {
      hasEndpoints: written.hasEndpoints,
      noLocalInternal: written.noLocalInternal,
      noLocalExternal: written.noLocalExternal,
      port,
      endpoints,
      large,
      filter: lines(this.#filter),
      filterCount: this.#filter.length,
      dispatch: lines(this.#dispatch),
      dispatchCount: this.#dispatch.length,
      chains: this.#chains,
      own: lines(this.#own),
      ownCount: this.#own.length,
      nodePortRules: this.#nodePortRules,
      refusals: this.#refusals,
      healthChecks: this.#healthChecks,
      firewallRules: this.#firewallRules,
    };
    this.#filter.length = 0;
    this.#dispatch.length = 0;
    this.#own.length = 0;
    this.#chains = [];
    this.#nodePortRules = 0;
    this.#refusals = 0;
    this.#healthChecks = 0;
    this.#firewallRules = 0;
    return block;
  }
}

/** join() copies into one flat string; a string grown by `+=` would keep its parts alive. */
function lines(rules: readonly string[]): string {
  return rules.length === 0 ? '' : `${rules.join('\n')}\n`;
}
