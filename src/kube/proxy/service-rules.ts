/**
 * The rules of one service port, in the order kube-proxy writes them: the twelve steps of syncProxyRules(),
 * pkg/proxy/iptables/proxier.go. The writer hands every rule to a sink with the reason it exists, so that text and
 * explanation come from the same code.
 */
import { rangeContains } from '../address.js';
import { ChainNamer, EXT_PREFIX, FW_PREFIX, SVC_PREFIX, SVL_PREFIX } from '../chain-name.js';
import type { Endpoint } from '../endpoints.js';
import {
  displayName,
  isExternallyAccessible,
  type ServicePortInfo,
  usesClusterEndpoints,
  usesLocalEndpoints,
} from '../service.js';
import { type Choice, chooseEndpoints, type NodePlace } from './choose.js';
import type { ProxyContext } from './context.js';

/** Why a rule exists. `index` beside it points into the list that the name mentions. */
export type Why =
  | 'cluster-ip'
  | 'cluster-ip-refused'
  | 'external-ip'
  | 'external-ip-refused'
  | 'vip'
  | 'vip-filtered'
  | 'vip-refused'
  | 'node-port-loopback'
  | 'node-port'
  | 'node-port-refused'
  | 'health-check'
  | 'masquerade-cluster-ip'
  | 'external-masquerade'
  | 'external-pods'
  | 'external-host-masquerade'
  | 'external-host'
  | 'external-policy'
  | 'source-range'
  | 'source-node'
  | 'source-rest'
  | 'affinity'
  | 'dispatch'
  | 'hairpin'
  | 'dnat';

export interface RuleSink {
  /** A rule of the filter table. */
  filter(rule: string, why: Why, index: number): void;
  /** A rule of nat's KUBE-SERVICES or KUBE-NODEPORTS: every sync writes these again. */
  dispatch(rule: string, why: Why, index: number): void;
  /** A chain of this service port alone. */
  chain(name: string): void;
  /** A rule in a chain of this service port alone. */
  own(rule: string, why: Why, index: number, endpoint?: Endpoint): void;
}

export interface WrittenPort {
  readonly hasEndpoints: boolean;
  /** There are endpoints, but none for traffic under this policy, which is Local. */
  readonly noLocalInternal: boolean;
  readonly noLocalExternal: boolean;
}

/** Probability 1/k with ten decimals, ties to even; toFixed() rounds the one exact tie (k = 2048) up. */
export function probability(k: number): string {
  return k === 2048 ? '0.0004882812' : (1 / k).toFixed(10);
}

export class ServiceRuleWriter {
  readonly #namer = new ChainNamer();
  readonly #probabilities: string[] = [];
  readonly #keepChainNames: boolean;

  /** `keepChainNames`: endpoints remember their chains, which pays where they are written again. */
  constructor(keepChainNames = true) {
    this.#keepChainNames = keepChainNames;
  }

  /** The hash in the names of SVC, SVL, EXT and FW. */
  hash(port: ServicePortInfo): string {
    port.hash ??= this.#namer.servicePortHash(displayName(port), port.protocol.toLowerCase());
    return port.hash;
  }

  #endpointChain(port: ServicePortInfo, proto: string, endpoint: Endpoint): string {
    endpoint.chain ??= this.#namer.endpointChain(displayName(port), proto, endpoint.text);
    return endpoint.chain;
  }

  #share(left: number, context: ProxyContext): string {
    if (context.balance === 'nth') return ` -m statistic --mode nth --every ${left} --packet 0`;
    let text = this.#probabilities[left];
    if (text === undefined) {
      text = ` -m statistic --mode random --probability ${probability(left)}`;
      this.#probabilities[left] = text;
    }
    return text;
  }

  /** Writes the rules of a service port for the node at `place`. `large`: large-cluster mode, without comments. */
  write(
    port: ServicePortInfo,
    endpoints: readonly Endpoint[],
    context: ProxyContext,
    place: NodePlace,
    large: boolean,
    sink: RuleSink,
  ): WrittenPort {
    const choice = chooseEndpoints(port, endpoints, place);
    const { cluster, local, hasEndpoints } = choice;
    const name = displayName(port);
    const hash = this.hash(port);
    const proto = port.protocol.toLowerCase();
    const match = `-m ${proto} -p ${proto}`;
    const svc = SVC_PREFIX + hash;
    const svl = SVL_PREFIX + hash;
    const ext = EXT_PREFIX + hash;
    const fw = FW_PREFIX + hash;
    const internalChain = port.internalLocal ? svl : svc;
    const hasInternal = hasEndpoints && !(port.internalLocal && local.length === 0);
    const hasExternal = hasEndpoints && !(port.externalLocal && local.length === 0);
    const usesExt = hasEndpoints && isExternallyAccessible(port);
    const ranges = port.sourceRanges ?? [];
    const usesFw = hasEndpoints && port.vips.length > 0 && ranges.length > 0;
    const refusal = hasEndpoints ? 'DROP' : 'REJECT';
    const refusalComment = `-m comment --comment "${name} has no ${hasEndpoints ? 'local ' : ''}endpoints"`;
    const externalIps = context.externalIpsAllowed ? port.externalIps : [];

    const toClusterIp = `-m comment --comment "${name} cluster IP" ${match} -d ${port.clusterIp} --dport ${port.port}`;
    if (hasInternal) sink.dispatch(`-A KUBE-SERVICES ${toClusterIp} -j ${internalChain}`, 'cluster-ip', 0);
    else {
      const rule = `-A KUBE-SERVICES ${refusalComment} ${match} -d ${port.clusterIp} --dport ${port.port} -j ${refusal}`;
      sink.filter(rule, 'cluster-ip-refused', 0);
    }
    for (let i = 0; i < externalIps.length; i++) {
      const to = `${match} -d ${externalIps[i]!} --dport ${port.port}`;
      if (hasEndpoints) {
        sink.dispatch(`-A KUBE-SERVICES -m comment --comment "${name} external IP" ${to} -j ${ext}`, 'external-ip', i);
      }
      if (!hasExternal) {
        sink.filter(`-A KUBE-EXTERNAL-SERVICES ${refusalComment} ${to} -j ${refusal}`, 'external-ip-refused', i);
      }
    }
    for (let i = 0; i < port.vips.length; i++) {
      const to = `${match} -d ${port.vips[i]!} --dport ${port.port}`;
      if (hasEndpoints) {
        const chain = usesFw ? fw : ext;
        sink.dispatch(`-A KUBE-SERVICES -m comment --comment "${name} loadbalancer IP" ${to} -j ${chain}`, 'vip', i);
      }
      if (usesFw) {
        const comment = `-m comment --comment "${name} traffic not accepted by ${fw}"`;
        sink.filter(`-A KUBE-PROXY-FIREWALL ${comment} ${to} -j DROP`, 'vip-filtered', i);
      }
    }
    if (!hasExternal) {
      for (let i = 0; i < port.vips.length; i++) {
        const to = `${match} -d ${port.vips[i]!} --dport ${port.port}`;
        sink.filter(`-A KUBE-EXTERNAL-SERVICES ${refusalComment} ${to} -j ${refusal}`, 'vip-refused', i);
      }
    }
    if (port.nodePort !== 0) {
      const comment = `-m comment --comment ${name}`;
      if (hasEndpoints) {
        if (context.localhostNodePorts && context.nfacctLocalhost) {
          const to = `${match} -d 127.0.0.0/8 --dport ${port.nodePort}`;
          const count = '-m nfacct --nfacct-name localhost_nps_accepted_pkts';
          sink.dispatch(`-A KUBE-NODEPORTS ${comment} ${to} ${count} -j ${ext}`, 'node-port-loopback', 0);
        }
        sink.dispatch(`-A KUBE-NODEPORTS ${comment} ${match} --dport ${port.nodePort} -j ${ext}`, 'node-port', 0);
      }
      if (!hasExternal) {
        const to = `-m addrtype --dst-type LOCAL ${match} --dport ${port.nodePort}`;
        sink.filter(`-A KUBE-EXTERNAL-SERVICES ${refusalComment} ${to} -j ${refusal}`, 'node-port-refused', 0);
      }
    }
    if (port.healthCheckNodePort !== 0) {
      const comment = `-m comment --comment "${name} health check node port"`;
      const rule = `-A KUBE-NODEPORTS ${comment} -m tcp -p tcp --dport ${port.healthCheckNodePort} -j ACCEPT`;
      sink.filter(rule, 'health-check', 0);
    }

    if (hasInternal) {
      const from = context.masqueradeAll ? '' : context.detector && ` ${context.detector.isNotLocal}`;
      if (from !== undefined) {
        sink.own(`-A ${internalChain} ${toClusterIp}${from} -j KUBE-MARK-MASQ`, 'masquerade-cluster-ip', 0);
      }
    }
    if (usesExt) {
      sink.chain(ext);
      this.#writeExternal(port, context, ext, svc, hasExternal ? (port.externalLocal ? svl : svc) : undefined, sink);
    }
    if (usesFw) {
      sink.chain(fw);
      const comment = `-m comment --comment "${name} loadbalancer IP"`;
      for (let i = 0; i < ranges.length; i++) {
        sink.own(`-A ${fw} ${comment} -s ${ranges[i]!.text} -j ${ext}`, 'source-range', i);
      }
      if (ranges.some((range) => rangeContains(range, context.nodeIp))) {
        for (let i = 0; i < port.vips.length; i++) {
          sink.own(`-A ${fw} ${comment} -s ${port.vips[i]!} -j ${ext}`, 'source-node', i);
        }
      }
      const rest = `"other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL"`;
      sink.own(`-A ${fw} -m comment --comment ${rest}`, 'source-rest', 0);
    }
    if (cluster.length > 0 && usesClusterEndpoints(port)) {
      sink.chain(svc);
      this.#writeDispatch(port, proto, context, svc, cluster, large, sink);
    }
    if (local.length > 0 && usesLocalEndpoints(port)) {
      sink.chain(svl);
      this.#writeDispatch(port, proto, context, svl, local, large, sink);
    }
    this.#writeEndpoints(port, proto, match, choice, large, sink);
    if (!this.#keepChainNames) for (const endpoint of choice.reachable) endpoint.chain = undefined;
    return {
      hasEndpoints,
      noLocalInternal: hasEndpoints && !hasInternal,
      noLocalExternal: hasEndpoints && !hasExternal && isExternallyAccessible(port),
    };
  }

  #writeExternal(
    port: ServicePortInfo,
    context: ProxyContext,
    ext: string,
    svc: string,
    policyChain: string | undefined,
    sink: RuleSink,
  ): void {
    const what = `${displayName(port)} external destinations`;
    if (!port.externalLocal) {
      const rule = `-A ${ext} -m comment --comment "masquerade traffic for ${what}" -j KUBE-MARK-MASQ`;
      sink.own(rule, 'external-masquerade', 0);
    } else {
      if (context.detector !== undefined) {
        const comment = `-m comment --comment "pod traffic for ${what}"`;
        sink.own(`-A ${ext} ${comment} ${context.detector.isLocal} -j ${svc}`, 'external-pods', 0);
      }
      const fromHost = '-m addrtype --src-type LOCAL';
      const masquerade = `-m comment --comment "masquerade LOCAL traffic for ${what}"`;
      sink.own(`-A ${ext} ${masquerade} ${fromHost} -j KUBE-MARK-MASQ`, 'external-host-masquerade', 0);
      const route = `-m comment --comment "route LOCAL traffic for ${what}"`;
      sink.own(`-A ${ext} ${route} ${fromHost} -j ${svc}`, 'external-host', 0);
    }
    if (policyChain !== undefined) sink.own(`-A ${ext} -j ${policyChain}`, 'external-policy', 0);
  }

  #writeDispatch(
    port: ServicePortInfo,
    proto: string,
    context: ProxyContext,
    chain: string,
    endpoints: readonly Endpoint[],
    large: boolean,
    sink: RuleSink,
  ): void {
    const head = `-A ${chain}`;
    const comment = large ? undefined : `${head} -m comment --comment "${displayName(port)} -> `;
    if (port.affinitySeconds !== 0) {
      for (let i = 0; i < endpoints.length; i++) {
        const endpoint = endpoints[i]!;
        const sep = this.#endpointChain(port, proto, endpoint);
        const start = comment === undefined ? head : `${comment}${endpoint.text}"`;
        const recent = `-m recent --name ${sep} --rcheck --seconds ${port.affinitySeconds} --reap`;
        sink.own(`${start} ${recent} -j ${sep}`, 'affinity', i, endpoint);
      }
    }
    const last = endpoints.length - 1;
    for (let i = 0; i <= last; i++) {
      const endpoint = endpoints[i]!;
      const sep = this.#endpointChain(port, proto, endpoint);
      const start = comment === undefined ? head : `${comment}${endpoint.text}"`;
      const share = i === last ? '' : this.#share(endpoints.length - i, context);
      sink.own(`${start}${share} -j ${sep}`, 'dispatch', i, endpoint);
    }
  }

  #writeEndpoints(
    port: ServicePortInfo,
    proto: string,
    match: string,
    choice: Choice,
    large: boolean,
    sink: RuleSink,
  ): void {
    const comment = large ? '' : ` -m comment --comment ${displayName(port)}`;
    for (let i = 0; i < choice.reachable.length; i++) {
      const endpoint = choice.reachable[i]!;
      const sep = this.#endpointChain(port, proto, endpoint);
      sink.chain(sep);
      sink.own(`-A ${sep}${comment} -s ${endpoint.ip} -j KUBE-MARK-MASQ`, 'hairpin', i, endpoint);
      const recent = port.affinitySeconds === 0 ? '' : ` -m recent --name ${sep} --set`;
      const rule = `-A ${sep}${comment}${recent} ${match} -j DNAT --to-destination ${endpoint.text}`;
      sink.own(rule, 'dnat', i, endpoint);
    }
  }
}
