/**
 * Everything besides Services and endpoints that decides the text of one family on one node. Immutable: what changes
 * (nfacct counters, zone) makes a new one.
 */
import { type IpAddress, type IpFamily, isLoopback } from '../address.js';
import type { ProxyConfig } from '../config.js';
import {
  type LocalDetector,
  localDetector,
  matchingAddresses,
  type NodePortAddresses,
  nodeIps,
  nodePortAddresses,
  type ProxyHost,
  zoneOf,
} from '../node.js';
import type { KubeNode } from '../objects.js';
import type { NodePlace } from './choose.js';

/** How endpoints share new connections: kube-proxy's random rules, or turns (`statistic --mode nth`). */
export type Balance = 'random' | 'nth';

export interface ProxyContext extends NodePlace {
  readonly family: IpFamily;
  /** The masquerade mark as the text has it: `0x` and eight digits. */
  readonly mark: string;
  readonly masqueradeAll: boolean;
  /** Effective: configured, IPv4, and node-port addresses contain loopback. */
  readonly localhostNodePorts: boolean;
  readonly externalIpsAllowed: boolean;
  readonly detector: LocalDetector | undefined;
  readonly nodeIp: IpAddress;
  readonly nfacctInvalid: boolean;
  readonly nfacctLocalhost: boolean;
  readonly tcpBeLiberal: boolean;
  readonly nodePortAddresses: NodePortAddresses;
  /** Addresses that accept node ports, loopback already taken out; only if not all do. */
  readonly nodePortIps: readonly string[];
  readonly balance: Balance;
}

export function makeContext(
  family: IpFamily,
  nodeName: string,
  node: KubeNode | undefined,
  host: ProxyHost,
  config: ProxyConfig,
  balance: Balance = 'random',
): ProxyContext {
  const ips = nodeIps(node, config);
  const accepting = nodePortAddresses(config, ips, family);
  const localhostNodePorts = config.localhostNodePorts && family === 'IPv4' && accepting.containsLoopback;
  const nodePortIps = accepting.matchAll ? [] : matchingAddresses(accepting.ranges, host.addresses);
  return {
    family,
    nodeName,
    zone: zoneOf(node) ?? '',
    mark: `0x${(2 ** config.masqueradeBit).toString(16).padStart(8, '0')}`,
    masqueradeAll: config.masqueradeAll,
    localhostNodePorts,
    externalIpsAllowed: config.allowServiceExternalIPs,
    detector: localDetector(config, node, family),
    nodeIp: ips[family],
    nfacctInvalid: host.nfacctInvalid,
    nfacctLocalhost: host.nfacctLocalhost,
    tcpBeLiberal: host.tcpBeLiberal || config.tcpBeLiberal,
    nodePortAddresses: accepting,
    nodePortIps: nodePortIps.filter((ip) => localhostNodePorts || !isLoopback(ip)).map((ip) => ip.text),
    balance,
  };
}
