/** The kernel settings that the packet path asks for, read once from `sysctl -a` text; what is missing has the kernel's default. */
import type { HostConfig } from './host-config.js';

/** `name = value` lines; anything else is passed over (sysctl prints its errors between them). */
export function parseSysctl(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals === -1) continue;
    const name = line.slice(0, equals).trim();
    if (/^[\w./@:+-]+$/.test(name)) values.set(name, line.slice(equals + 1).trim());
  }
  return values;
}

/** Settings of one device, each already combined with `all` as the kernel combines it (IN_DEV_ORCONF() and so on). */
/** How a device asks for the hardware address of a neighbour (net.ipv4.neigh.DEVICE, net.ipv6.neigh.DEVICE). */
export interface ResolutionSettings {
  /** Times that it asks; 0: not at all. */
  readonly probeCount: number;
  readonly probeIntervalMs: number;
  /** Bytes of packets that wait for one neighbour. */
  readonly queueSize: number;
}

export interface DeviceSettings {
  forwarding4: boolean;
  /** 0 off, 1 strict, 2 loose. */
  rpFilter: number;
  routeLocalnet: boolean;
  acceptLocal: boolean;
  sendRedirects: boolean;
  sharedMedia: boolean;
  sourceValidMark: boolean;
  dropUnicastInMulticast: boolean;
  forwardBroadcast: boolean;
  acceptSourceRoute: boolean;
  disabled6: boolean;
  forwarding6: boolean;
  hopLimit6: number;
  readonly resolution: { readonly 4: ResolutionSettings; readonly 6: ResolutionSettings };
}

export interface Settings {
  defaultTtl: number;
  /** Milliseconds between ICMP errors to one destination, after a burst of six; 0: no limit. */
  icmpRateLimitMs: number;
  /** Bit n: ICMP type n is limited. */
  icmpRateMask: number;
  icmpMessagesPerSecond: number;
  icmpBurst: number;
  icmpEchoIgnoreAll: boolean;
  icmpEchoIgnoreBroadcasts: boolean;
  icmpErrorsUseInboundAddress: boolean;
  icmp6RateLimitMs: number;
  icmp6EchoIgnoreAll: boolean;
  icmp6EchoIgnoreMulticast: boolean;
  /** Answers carry the mark of what they answer. */
  reflectMark4: boolean;
  reflectMark6: boolean;
  fragmentTimeMs: number;
  fragmentTime6Ms: number;
  /** Bytes of queued fragments that a namespace holds at most. */
  fragmentMemory: number;
  forwarding6: boolean;
}

class Reader {
  readonly #values: ReadonlyMap<string, string>;
  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }
  number(name: string, otherwise: number): number {
    const text = this.#values.get(name);
    if (text === undefined || !/^-?\d+$/.test(text)) return otherwise;
    return Number(text);
  }
  on(name: string, otherwise: boolean): boolean {
    return this.number(name, otherwise ? 1 : 0) !== 0;
  }
}

export function settingsOf(config: HostConfig): Settings {
  const read = new Reader(config.sysctl);
  return {
    defaultTtl: read.number('net.ipv4.ip_default_ttl', 64),
    icmpRateLimitMs: read.number('net.ipv4.icmp_ratelimit', 1000),
    icmpRateMask: read.number('net.ipv4.icmp_ratemask', 0x1818),
    icmpMessagesPerSecond: read.number('net.ipv4.icmp_msgs_per_sec', 1000),
    icmpBurst: read.number('net.ipv4.icmp_msgs_burst', 50),
    icmpEchoIgnoreAll: read.on('net.ipv4.icmp_echo_ignore_all', false),
    icmpEchoIgnoreBroadcasts: read.on('net.ipv4.icmp_echo_ignore_broadcasts', true),
    icmpErrorsUseInboundAddress: read.on('net.ipv4.icmp_errors_use_inbound_ifaddr', false),
    icmp6RateLimitMs: read.number('net.ipv6.icmp.ratelimit', 100),
    icmp6EchoIgnoreAll: read.on('net.ipv6.icmp.echo_ignore_all', false),
    icmp6EchoIgnoreMulticast: read.on('net.ipv6.icmp.echo_ignore_multicast', false),
    reflectMark4: read.on('net.ipv4.fwmark_reflect', false),
    reflectMark6: read.on('net.ipv6.fwmark_reflect', false),
    fragmentTimeMs: read.number('net.ipv4.ipfrag_time', 30) * 1000,
    fragmentTime6Ms: read.number('net.netfilter.nf_conntrack_frag6_timeout', 60) * 1000,
    fragmentMemory: read.number('net.ipv4.ipfrag_high_thresh', 4 << 20),
    forwarding6: read.on('net.ipv6.conf.all.forwarding', true),
  };
}

export function deviceSettingsOf(config: HostConfig, device: string): DeviceSettings {
  const read = new Reader(config.sysctl);
  const key = device.replaceAll('.', '/');
  const of = (conf: string, name: string, otherwise: number): number => {
    const fallback = read.number(`net.ipv4.conf.default.${name}`, otherwise);
    return read.number(`net.ipv4.conf.${conf}.${name}`, conf === 'all' ? 0 : fallback);
  };
  const both = (name: string, otherwise: number): [all: number, own: number] => [
    of('all', name, otherwise),
    of(key, name, otherwise),
  ];
  const or = (name: string, otherwise = 0): boolean => both(name, otherwise).some((v) => v !== 0);
  const and = (name: string, otherwise = 0): boolean => both(name, otherwise).every((v) => v !== 0);
  const resolution = (family: 4 | 6): ResolutionSettings => {
    const own = (name: string, otherwise: number): number =>
      read.number(
        `net.ipv${family}.neigh.${key}.${name}`,
        read.number(`net.ipv${family}.neigh.default.${name}`, otherwise),
      );
    return {
      probeCount: own('mcast_solicit', 3) + own('app_solicit', 0),
      probeIntervalMs: own('retrans_time_ms', 1000),
      queueSize: own('unres_qlen_bytes', 212_992),
    };
  };
  const ipForward = read.number('net.ipv4.ip_forward', 1);
  return {
    forwarding4: read.number(`net.ipv4.conf.${key}.forwarding`, ipForward) !== 0,
    rpFilter: Math.max(...both('rp_filter', 0)),
    routeLocalnet: or('route_localnet'),
    acceptLocal: or('accept_local'),
    sendRedirects: or('send_redirects', 1),
    sharedMedia: or('shared_media', 1),
    sourceValidMark: or('src_valid_mark'),
    dropUnicastInMulticast: or('drop_unicast_in_l2_multicast'),
    forwardBroadcast: and('bc_forwarding'),
    acceptSourceRoute: and('accept_source_route'),
    disabled6: read.on(`net.ipv6.conf.${key}.disable_ipv6`, read.on('net.ipv6.conf.all.disable_ipv6', false)),
    forwarding6: read.on(`net.ipv6.conf.${key}.forwarding`, read.on('net.ipv6.conf.all.forwarding', true)),
    hopLimit6: read.number(`net.ipv6.conf.${key}.hop_limit`, 64),
    resolution: { 4: resolution(4), 6: resolution(6) },
  };
}
