/**
 * The packet tracer of the published kube-proxy tests (specification 7.1): a tiny model, not netfilter. Starts at nat
 * PREROUTING, collects the endpoints of all random choices, then asks the filter chains about the first of them.
 */
import { parseIp, parseRange, rangeContains } from '../../src/kube/address.js';
import { JUMPS, jumpSpec } from '../../src/kube/proxy/jumps.js';
import { type RuleTexts, words } from '../../src/kube/rule-text.js';
import { NODE_ADDRESSES } from './fixture.js';

export interface TracedPacket {
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  readonly protocol?: string;
}

export interface Traced {
  /** Endpoints joined by `, `, or REJECT, DROP, ACCEPT, or empty. */
  readonly result: string;
  readonly masqueraded: boolean;
}

class Tracer {
  readonly endpoints: string[] = [];
  masqueraded = false;
  verdict: string | undefined;
  readonly #rules: RuleTexts;
  #packet: TracedPacket;

  constructor(rules: RuleTexts, packet: TracedPacket) {
    this.#rules = rules;
    this.#packet = packet;
  }

  /** True if the walk is over. */
  chain(table: string, chain: string): boolean {
    const built = JUMPS.filter((jump) => jump.table === table && jump.from === chain);
    const rules = this.#rules.get(table)?.get(chain) ?? built.map((jump) => jumpSpec(jump).slice(chain.length + 1));
    for (const rule of rules) if (this.#rule(table, words(rule))) return true;
    return false;
  }

  #rule(table: string, rule: readonly string[]): boolean {
    const found = this.#matches(rule);
    if (found === false) return false;
    const at = rule.indexOf('-j');
    const target = at === -1 ? undefined : rule[at + 1];
    if (target === undefined || target === 'MARK') return false;
    if (target === 'KUBE-MARK-MASQ') {
      this.masqueraded = true;
      return false;
    }
    if (target === 'DNAT') {
      this.endpoints.push(rule[rule.indexOf('--to-destination') + 1]!);
      return true;
    }
    if (target === 'REJECT' || target === 'DROP' || target === 'ACCEPT') {
      this.verdict = target;
      return true;
    }
    const over = this.chain(table, target);
    return found === 'perhaps' ? false : over;
  }

  /** `perhaps`: a rule with a probability is taken and passed. */
  #matches(rule: readonly string[]): boolean | 'perhaps' {
    let result: boolean | 'perhaps' = true;
    for (let i = 0; i < rule.length && rule[i] !== '-j'; i++) {
      const negated = rule[i - 1] === '!';
      const value = rule[i + 1] ?? '';
      let holds: boolean | undefined;
      switch (rule[i]) {
        case '-p':
          holds = value === (this.#packet.protocol ?? 'tcp');
          break;
        case '-s':
          holds = isIn(value, this.#packet.source);
          break;
        case '-d':
          holds = isIn(value, this.#packet.destination);
          break;
        case '--dport':
          holds = Number(value) === this.#packet.port;
          break;
        case '--src-type':
          holds = NODE_ADDRESSES.includes(this.#packet.source);
          break;
        case '--dst-type':
          holds = NODE_ADDRESSES.includes(this.#packet.destination);
          break;
        case '--rcheck':
        case '--mark':
        case '--ctstate':
          return false;
        case '--probability':
          result = 'perhaps';
          break;
      }
      if (holds !== undefined && holds === negated) return false;
    }
    return result;
  }

  /** The filter table sees the packet with its new destination. */
  redirect(endpoint: string): void {
    this.#packet = { ...this.#packet, destination: endpoint.split(':')[0]! };
  }
}

function isIn(range: string, address: string): boolean {
  const ip = parseIp(address)!;
  if (!range.includes('/')) return parseIp(range)!.text === ip.text;
  return rangeContains(parseRange(range)!, ip);
}

export function tracePacket(rules: RuleTexts, packet: TracedPacket): Traced {
  const tracer = new Tracer(rules, packet);
  tracer.chain('nat', 'PREROUTING');
  const endpoints = [...tracer.endpoints];
  if (endpoints.length > 0 && !packet.destination.includes(':')) tracer.redirect(endpoints[0]!);
  for (const chain of ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-NODEPORTS', 'KUBE-PROXY-FIREWALL']) {
    if (tracer.verdict === undefined) tracer.chain('filter', chain);
  }
  return { result: tracer.verdict ?? endpoints.join(', '), masqueraded: tracer.masqueraded };
}
