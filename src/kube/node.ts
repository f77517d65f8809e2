/**
 * What one node contributes to its own rules: name, zone, addresses, pod ranges, and from them the local traffic
 * detector and the addresses that accept node ports. kube-proxy: NewNodeManager(), getLocalDetectors(),
 * NewNodePortAddresses().
 */
import {
  compareIp,
  type IpAddress,
  type IpFamily,
  type IpRange,
  isLoopback,
  parseIp,
  parseRange,
  rangeContains,
} from './address.js';
import { clusterCidrOf, type ProxyConfig } from './config.js';
import { type KubeNode, LABEL_ZONE } from './objects.js';

/** The machine kube-proxy runs on, as far as it decides the text. */
export interface ProxyHost {
  /** Addresses of all interfaces, loopback too; a prefix length is ignored. */
  readonly addresses: readonly string[];
  /** Whether the nfacct object `ct_state_invalid_dropped_pkts` exists or can be made. */
  readonly nfacctInvalid: boolean;
  /** Whether the nfacct object `localhost_nps_accepted_pkts` exists or can be made. */
  readonly nfacctLocalhost: boolean;
  /** sysctl net.netfilter.nf_conntrack_tcp_be_liberal at start. */
  readonly tcpBeLiberal: boolean;
}

export type NodeIps = Readonly<Record<IpFamily, IpAddress>> & { readonly primary: IpFamily };

const NO_ADDRESS: Readonly<Record<IpFamily, string>> = { IPv4: '127.0.0.1', IPv6: '::1' };
const UNSPECIFIED = new Set(['0.0.0.0', '::']);

/** The name that kube-proxy takes for its node's: the override or the host's, trimmed, in lower case. */
export function nodeName(config: ProxyConfig, hostName: string): string {
  return (config.hostnameOverride.trim() || hostName.trim()).toLowerCase();
}

/** The zone label, undefined if absent. */
export function zoneOf(node: KubeNode | undefined): string | undefined {
  return node?.metadata.labels?.[LABEL_ZONE];
}

/** Node addresses by family and the primary family. */
export function nodeIps(node: KubeNode | undefined, config: ProxyConfig): NodeIps {
  const found: IpAddress[] = [];
  for (const type of ['InternalIP', 'ExternalIP']) {
    for (const entry of node?.status?.addresses ?? []) {
      const address = entry.type === type ? parseIp(entry.address) : undefined;
      if (address !== undefined && !found.some((other) => other.family === address.family)) found.push(address);
    }
  }
  const bind = parseIp(config.bindAddress);
  const bound = bind !== undefined && !UNSPECIFIED.has(bind.text) ? bind : undefined;
  const pick = (family: IpFamily): IpAddress =>
    bound?.family === family ? bound : (found.find((a) => a.family === family) ?? parseIp(NO_ADDRESS[family])!);
  return { primary: bound?.family ?? found[0]?.family ?? 'IPv4', IPv4: pick('IPv4'), IPv6: pick('IPv6') };
}

/** The arguments that say "from a pod of this node" and its opposite. */
export interface LocalDetector {
  readonly isLocal: string;
  readonly isNotLocal: string;
}

/** The detector of a family; undefined where it is not implemented. */
export function localDetector(
  config: ProxyConfig,
  node: KubeNode | undefined,
  family: IpFamily,
): LocalDetector | undefined {
  switch (config.detectLocalMode) {
    case 'ClusterCIDR': {
      const range = clusterCidrOf(config, family);
      return range && { isLocal: `-s ${range.text}`, isNotLocal: `! -s ${range.text}` };
    }
    case 'NodeCIDR': {
      const range = podRanges(node).find((r) => r.family === family);
      return range && { isLocal: `-s ${range.text}`, isNotLocal: `! -s ${range.text}` };
    }
    case 'BridgeInterface':
      return config.bridgeInterface === ''
        ? undefined
        : { isLocal: `-i ${config.bridgeInterface}`, isNotLocal: `! -i ${config.bridgeInterface}` };
    case 'InterfaceNamePrefix':
      return config.interfaceNamePrefix === ''
        ? undefined
        : { isLocal: `-i ${config.interfaceNamePrefix}+`, isNotLocal: `! -i ${config.interfaceNamePrefix}+` };
  }
}

function podRanges(node: KubeNode | undefined): IpRange[] {
  return (node?.spec?.podCIDRs ?? []).map(parseRange).filter((range) => range !== undefined);
}

export interface NodePortAddresses {
  /** All addresses of the host accept node ports. */
  readonly matchAll: boolean;
  /** An IPv4 range contains 127.0.0.0 or lies within 127/8. */
  readonly containsLoopback: boolean;
  readonly ranges: readonly IpRange[];
}

const LOOPBACK4 = parseRange('127.0.0.0/8')!;
const LOOPBACK4_FIRST = parseIp('127.0.0.0')!;

/** Resolves the keywords of `nodePortAddresses` and keeps one family. */
export function nodePortAddresses(config: ProxyConfig, ips: NodeIps, family: IpFamily): NodePortAddresses {
  const texts = config.nodePortAddresses.flatMap((entry) => {
    if (entry === 'localhost') return ['127.0.0.0/8', '::1/128'];
    if (entry === 'all') return ['0.0.0.0/0', '::/0'];
    if (entry !== 'primary') return [entry];
    return [ips.IPv4, ips.IPv6]
      .filter((ip) => !isLoopback(ip))
      .map((ip) => `${ip.text}/${ip.family === 'IPv4' ? 32 : 128}`);
  });
  let ranges = texts.map(parseRange).filter((range) => range?.family === family) as IpRange[]; // undefined is filtered out
  if (ranges.length === 0) ranges = [parseRange(family === 'IPv4' ? '0.0.0.0/0' : '::/0')!];
  const zero = ranges.find((range) => range.length === 0);
  if (zero !== undefined) ranges = [zero];
  const containsLoopback = ranges.some(
    (range) =>
      range.family === 'IPv4' &&
      (rangeContains(range, LOOPBACK4_FIRST) ||
        (range.length >= LOOPBACK4.length && range.bytes[0] === LOOPBACK4.bytes[0])),
  );
  return { matchAll: zero !== undefined, containsLoopback, ranges };
}

/** Host addresses that lie in the ranges, each once, in byte order; a prefix length behind an address is ignored. */
export function matchingAddresses(ranges: readonly IpRange[], addresses: readonly string[]): IpAddress[] {
  const byText = new Map<string, IpAddress>();
  for (const text of addresses) {
    const address = parseIp(text.replace(/\/.*$/, ''));
    if (address !== undefined && ranges.some((range) => rangeContains(range, address)))
      byText.set(address.text, address);
  }
  return [...byText.values()].sort(compareIp);
}
