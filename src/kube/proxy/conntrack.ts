/**
 * Which UDP connections lead to endpoints that are gone. kube-proxy: CleanStaleEntries(),
 * pkg/proxy/conntrack/cleanup.go.
 */
import { canonicalIp } from '../address.js';
import type { ClusterState } from '../state.js';

/** An entry of the host's connection table. Ports are numbers; addresses may be in any spelling. */
export interface Flow {
  readonly protocol: string;
  readonly origSrc: string;
  readonly origDst: string;
  readonly origSport: number;
  readonly origDport: number;
  readonly replySrc: string;
  readonly replyDst: string;
  readonly replySport: number;
  readonly replyDport: number;
}

function joinPort(ip: string, port: number): string {
  return `${ip} ${port}`;
}

/** Indices of the entries that must go, ascending. */
export function staleFlows(state: ClusterState, flows: readonly Flow[], externalIpsAllowed: boolean): number[] {
  const byAddress = new Map<string, ReadonlySet<string>>();
  const byNodePort = new Map<number, ReadonlySet<string>>();
  for (const { info: port, endpoints } of state.order) {
    if (port.protocol !== 'UDP') continue;
    const serving = new Set<string>();
    for (const endpoint of endpoints) {
      if (endpoint.serving) serving.add(joinPort(endpoint.ip, endpoint.port));
    }
    byAddress.set(joinPort(port.clusterIp, port.port), serving);
    for (const ip of port.vips) byAddress.set(joinPort(ip, port.port), serving);
    if (externalIpsAllowed) for (const ip of port.externalIps) byAddress.set(joinPort(ip, port.port), serving);
    if (port.nodePort !== 0 && serving.size > 0) byNodePort.set(port.nodePort, serving);
  }
  const stale: number[] = [];
  flows.forEach((flow, i) => {
    if (flow.protocol.toLowerCase() !== 'udp') return;
    // The spelling tells the table: an IPv4-mapped address stands in the IPv6 one.
    if (flow.origDst.includes(':') !== (state.family === 'IPv6')) return;
    const destination = canonicalIp(flow.origDst) ?? flow.origDst;
    const source = joinPort(canonicalIp(flow.replySrc) ?? flow.replySrc, flow.replySport);
    const right = byAddress.get(joinPort(destination, flow.origDport));
    const rightForNodePort = byNodePort.get(flow.origDport);
    if (
      (right !== undefined && !right.has(source)) ||
      (rightForNodePort !== undefined && !rightForNodePort.has(source))
    ) {
      stale.push(i);
    }
  });
  return stale;
}
