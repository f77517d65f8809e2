/** For each rule that kube-proxy writes: which field of which object caused it, in a sentence. */
import { parseIp, parseRange } from './address.js';
import type { KubeCluster } from './cluster.js';
import type { Endpoint } from './endpoints.js';
import { objectKey, type Service } from './objects.js';
import type { ProxyContext } from './proxy/context.js';
import { filterHead, filterTail, natHead, natTail } from './proxy/restore.js';
import { type RuleSink, ServiceRuleWriter, type Why } from './proxy/service-rules.js';
import { displayName, type ServicePortInfo } from './service.js';
import type { ClusterState } from './state.js';

export interface Explanation {
  readonly table: 'filter' | 'nat';
  readonly chain: string;
  /** As it follows `-A CHAIN `. */
  readonly rule: string;
  /** `Service default/web`, `EndpointSlice default/web-x`, `KubeProxyConfiguration`, `kube-proxy`. */
  readonly object: string;
  /** The field that caused it, e.g. `spec.ports[0].nodePort`; empty for rules that are always there. */
  readonly field: string;
  readonly sentence: string;
}

interface Cause {
  readonly object: string;
  readonly field: string;
  readonly sentence: string;
}

/** What a sentence may speak of. */
interface Subject {
  readonly port: ServicePortInfo;
  readonly service: Service | undefined;
  readonly context: ProxyContext;
  readonly index: number;
  readonly endpoint: Endpoint | undefined;
  readonly rule: string;
}

/** Index in the object's own list of the entry that reads as `text`. */
function indexOf(list: readonly (string | undefined)[] | undefined, text: string | undefined, range = false): number {
  const read = (entry: string | undefined): string | undefined =>
    entry === undefined ? undefined : range ? parseRange(entry.trim())?.text : parseIp(entry)?.text;
  return Math.max(
    0,
    (list ?? []).findIndex((entry) => read(entry) === text),
  );
}

function vipField({ service, port, index }: Subject): string {
  const ingress = service?.status?.loadBalancer?.ingress?.map((entry) => entry.ip);
  return `status.loadBalancer.ingress[${indexOf(ingress, port.vips[index])}].ip`;
}

function externalField({ service, port, index }: Subject): string {
  return `spec.externalIPs[${indexOf(service?.spec?.externalIPs, port.externalIps[index])}]`;
}

function rangeField({ service, port, index }: Subject): string {
  const text = port.sourceRanges?.[index]?.text;
  return `spec.loadBalancerSourceRanges[${indexOf(service?.spec?.loadBalancerSourceRanges, text, true)}]`;
}

/** The address family's cluster IP stands in `clusterIPs` where `clusterIP` is of the other family. */
function clusterIpField({ service, port }: Subject): string {
  const first = service?.spec?.clusterIP;
  if (first === undefined || parseIp(first)?.text === port.clusterIp) return 'spec.clusterIP';
  return `spec.clusterIPs[${indexOf(service?.spec?.clusterIPs, port.clusterIp)}]`;
}

function refusal(rule: string): string {
  return rule.endsWith('REJECT')
    ? 'no endpoint anywhere can take it, so it is rejected'
    : 'the policy is Local and this node has no endpoint, so it is dropped';
}

function endpointName(endpoint: Endpoint): string {
  const pod = endpoint.slice.endpoints?.[endpoint.index]?.targetRef;
  return pod?.name === undefined ? endpoint.text : `${endpoint.text} (${pod.kind ?? 'Pod'} ${pod.name})`;
}

function part(rule: string): string {
  const probability = / --probability (\S+)/.exec(rule)?.[1];
  const every = / --every (\S+)/.exec(rule)?.[1];
  if (probability !== undefined)
    return `with probability ${Number(probability).toPrecision(3)} of what the rules before left`;
  if (every !== undefined) return `one in ${every} of what the rules before left, in turns`;
  return 'all that the rules before left';
}

/** Field and sentence by reason. The object is the Service, or the slice for rules about one endpoint. */
const CAUSES: Readonly<Record<Why, (s: Subject) => { readonly field: string; readonly sentence: string }>> = {
  'cluster-ip': (s) => ({
    field: clusterIpField(s),
    sentence: `traffic to the cluster IP ${s.port.clusterIp}, port ${s.port.port}, goes to an endpoint of ${displayName(s.port)}`,
  }),
  'cluster-ip-refused': (s) => ({
    field: s.rule.endsWith('REJECT') ? clusterIpField(s) : 'spec.internalTrafficPolicy',
    sentence: `traffic to the cluster IP ${s.port.clusterIp}, port ${s.port.port}: ${refusal(s.rule)}`,
  }),
  'external-ip': (s) => ({
    field: externalField(s),
    sentence: `traffic to the external IP ${s.port.externalIps[s.index]} is for ${displayName(s.port)}`,
  }),
  'external-ip-refused': (s) => ({
    field: s.rule.endsWith('REJECT') ? externalField(s) : 'spec.externalTrafficPolicy',
    sentence: `traffic to the external IP ${s.port.externalIps[s.index]}: ${refusal(s.rule)}`,
  }),
  vip: (s) => ({
    field: vipField(s),
    sentence: `traffic to the load balancer's address ${s.port.vips[s.index]} is for ${displayName(s.port)}, without a way through the load balancer`,
  }),
  'vip-filtered': (s) => ({
    field: 'spec.loadBalancerSourceRanges',
    sentence: `whoever still has the address ${s.port.vips[s.index]} here was let in by no source range, so it is dropped`,
  }),
  'vip-refused': (s) => ({
    field: s.rule.endsWith('REJECT') ? vipField(s) : 'spec.externalTrafficPolicy',
    sentence: `traffic to the load balancer's address ${s.port.vips[s.index]}: ${refusal(s.rule)}`,
  }),
  'node-port-loopback': (s) => ({
    field: `spec.ports[${s.port.index}].nodePort`,
    sentence: `traffic to node port ${s.port.nodePort} on loopback is counted, and is for ${displayName(s.port)}`,
  }),
  'node-port': (s) => ({
    field: `spec.ports[${s.port.index}].nodePort`,
    sentence: `traffic to node port ${s.port.nodePort} is for ${displayName(s.port)}`,
  }),
  'node-port-refused': (s) => ({
    field: s.rule.endsWith('REJECT') ? `spec.ports[${s.port.index}].nodePort` : 'spec.externalTrafficPolicy',
    sentence: `traffic to node port ${s.port.nodePort}: ${refusal(s.rule)}`,
  }),
  'health-check': (s) => ({
    field: 'spec.healthCheckNodePort',
    sentence: `the load balancer may ask port ${s.port.healthCheckNodePort} whether this node has endpoints`,
  }),
  'masquerade-cluster-ip': (s) => ({
    field: clusterIpField(s),
    sentence: s.context.masqueradeAll
      ? 'all traffic to a cluster IP gets the address of the node as its source, as iptables.masqueradeAll is set'
      : `traffic to the cluster IP that does not come from a pod (${s.context.detector?.isNotLocal ?? ''}) gets the node's address as its source, so that answers come back here`,
  }),
  'external-masquerade': () => ({
    field: 'spec.externalTrafficPolicy',
    sentence:
      'external traffic may go to an endpoint on another node, so it gets the address of this node as its source',
  }),
  'external-pods': (s) => ({
    field: 'spec.externalTrafficPolicy',
    sentence: `pods (${s.context.detector?.isLocal ?? ''}) may use every endpoint, although the policy is Local`,
  }),
  'external-host-masquerade': () => ({
    field: 'spec.externalTrafficPolicy',
    sentence: 'traffic from the node itself may go to another node, so its source is masqueraded',
  }),
  'external-host': () => ({
    field: 'spec.externalTrafficPolicy',
    sentence: 'the node itself may use every endpoint, although the policy is Local',
  }),
  'external-policy': (s) => ({
    field: 'spec.externalTrafficPolicy',
    sentence: s.port.externalLocal
      ? 'other external traffic goes to endpoints of this node only, as the policy is Local'
      : 'external traffic goes to any endpoint, as the policy is Cluster',
  }),
  'source-range': (s) => ({
    field: rangeField(s),
    sentence: `sources in ${s.port.sourceRanges?.[s.index]?.text ?? ''} are let in`,
  }),
  'source-node': (s) => ({
    field: 'spec.loadBalancerSourceRanges',
    sentence: `the node's address ${s.context.nodeIp.text} is in a source range, and the node may be seen with the load balancer's own address`,
  }),
  'source-rest': () => ({
    field: 'spec.loadBalancerSourceRanges',
    sentence: 'other sources end here untouched; KUBE-PROXY-FIREWALL drops them, as the nat table may not',
  }),
  affinity: (s) => ({
    field: 'spec.sessionAffinity',
    sentence: `a client that was at ${endpointName(s.endpoint!)} within ${s.port.affinitySeconds} s goes there again`,
  }),
  dispatch: (s) => ({
    field: `endpoints[${s.endpoint!.index}]`,
    sentence: `new connections go to ${endpointName(s.endpoint!)}: ${part(s.rule)}`,
  }),
  hairpin: (s) => ({
    field: `endpoints[${s.endpoint!.index}].addresses[0]`,
    sentence: `a pod that reaches itself through the Service (${s.endpoint!.ip}) must see another source address`,
  }),
  dnat: (s) => ({
    field: `endpoints[${s.endpoint!.index}].addresses[0]`,
    sentence: `the destination becomes ${endpointName(s.endpoint!)}${s.port.affinitySeconds > 0 ? ', and the client is remembered' : ''}`,
  }),
};

const OF_ENDPOINT: ReadonlySet<Why> = new Set(['dispatch', 'hairpin', 'dnat']);

const FIXED: readonly (readonly [part: string, cause: Cause])[] = [
  [
    'block incoming localnet',
    fixed(
      'KubeProxyConfiguration',
      'iptables.localhostNodePorts',
      'node ports work on 127.0.0.1, so the kernel routes loopback addresses; nobody outside may use that',
    ),
  ],
  [
    '--ctstate INVALID',
    fixed(
      'KubeProxyConfiguration',
      'conntrack.tcpBeLiberal',
      'a packet that belongs to no connection would not be translated back; it is dropped before it confuses anybody',
    ),
  ],
  ['kubernetes forwarding rules', fixed('kube-proxy', '', 'marked packets are Service traffic and may be forwarded')],
  ['kubernetes forwarding conntrack rule', fixed('kube-proxy', '', 'later packets of connections may be forwarded')],
  [
    '-j RETURN',
    fixed('KubeProxyConfiguration', 'iptables.masqueradeBit', 'what is not marked keeps its source address'),
  ],
  [
    '--xor-mark',
    fixed(
      'KubeProxyConfiguration',
      'iptables.masqueradeBit',
      'the mark has done its work and is cleared, so that a second walk through POSTROUTING finds none',
    ),
  ],
  [
    'requiring SNAT',
    fixed('kube-proxy', '', 'marked packets get the address of the node as their source, on a random port'),
  ],
  ['--or-mark', fixed('KubeProxyConfiguration', 'iptables.masqueradeBit', 'whatever jumps here is masqueraded later')],
  [
    'service nodeports',
    fixed(
      'KubeProxyConfiguration',
      'nodePortAddresses',
      'what is for no Service address, but for this node, may be for a node port',
    ),
  ],
];

function fixed(object: string, field: string, sentence: string): Cause {
  return { object, field, sentence };
}

function splitRule(line: string): { readonly chain: string; readonly rule: string } {
  const end = line.indexOf(' ', 3);
  return { chain: line.slice(3, end), rule: line.slice(end + 1) };
}

function explainFixed(table: 'filter' | 'nat', lines: readonly string[]): Explanation[] {
  return lines.map((line) => {
    const cause = FIXED.find(([mark]) => line.includes(mark))?.[1] ?? fixed('kube-proxy', '', 'always there');
    return { table, ...splitRule(line), ...cause };
  });
}

class Explainer implements RuleSink {
  readonly found: Record<'filter' | 'nat', Explanation[]> = { filter: [], nat: [] };
  port!: ServicePortInfo; // set before each port is written
  service: Service | undefined;
  readonly #context: ProxyContext;

  constructor(context: ProxyContext) {
    this.#context = context;
  }

  #add(table: 'filter' | 'nat', line: string, why: Why, index: number, endpoint?: Endpoint): void {
    const { port, service } = this;
    const cause = CAUSES[why]({ port, service, context: this.#context, index, endpoint, rule: line });
    const object =
      endpoint !== undefined && OF_ENDPOINT.has(why)
        ? `EndpointSlice ${objectKey(endpoint.slice)}`
        : `Service ${port.service}`;
    this.found[table].push({ table, ...splitRule(line), object, ...cause });
  }

  filter(rule: string, why: Why, index: number): void {
    this.#add('filter', rule, why, index);
  }

  dispatch(rule: string, why: Why, index: number): void {
    this.#add('nat', rule, why, index);
  }

  chain(): void {}

  own(rule: string, why: Why, index: number, endpoint?: Endpoint): void {
    this.#add('nat', rule, why, index, endpoint);
  }
}

/** Explanations of all rules of a full sync, in the order of its text. */
export function explainRules(cluster: KubeCluster, state: ClusterState, context: ProxyContext): Explanation[] {
  const services = new Map(cluster.services.map((service) => [objectKey(service), service]));
  const writer = new ServiceRuleWriter();
  const explainer = new Explainer(context);
  for (const { info, endpoints } of state.order) {
    explainer.port = info;
    explainer.service = services.get(info.service);
    writer.write(info, endpoints, context, context, state.largeCluster, explainer);
  }
  return [
    ...explainFixed('filter', filterHead(context)),
    ...explainer.found.filter,
    ...explainFixed('filter', filterTail(context)),
    ...explainFixed('nat', natHead(context)),
    ...explainer.found.nat,
    ...explainFixed('nat', natTail(context)),
  ];
}

/** Each rule below a comment that says why it is there. */
export function printExplanations(explanations: readonly Explanation[]): string {
  let table = '';
  let text = '';
  for (const { chain, rule, object, field, sentence, table: own } of explanations) {
    if (own !== table) {
      text += `${table === '' ? '' : 'COMMIT\n'}*${own}\n`;
      table = own;
    }
    text += `# ${object}${field === '' ? '' : ` ${field}`}: ${sentence}\n-A ${chain} ${rule}\n`;
  }
  return text === '' ? '' : `${text}COMMIT\n`;
}
