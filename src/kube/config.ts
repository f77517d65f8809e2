/**
 * KubeProxyConfiguration with defaults filled in and checked, as kube-proxy does at its start.
 * kube-proxy: SetDefaults_KubeProxyConfiguration(), Validate(), pkg/proxy/apis/config.
 */
import { type IpFamily, type IpRange, parseIp, parseRange } from './address.js';
import { type FieldError, type FieldPath, quoteValue } from './field.js';
import type { KubeProxyConfigurationObject } from './objects.js';

export type DetectLocalMode = 'ClusterCIDR' | 'NodeCIDR' | 'BridgeInterface' | 'InterfaceNamePrefix';
export type ProxyMode = 'iptables' | 'ipvs' | 'nftables';

export interface ProxyConfig {
  readonly mode: ProxyMode;
  readonly clusterCidrs: readonly IpRange[];
  readonly detectLocalMode: DetectLocalMode;
  readonly bridgeInterface: string;
  readonly interfaceNamePrefix: string;
  readonly masqueradeAll: boolean;
  /** 0 to 31. */
  readonly masqueradeBit: number;
  readonly localhostNodePorts: boolean;
  readonly syncPeriodMs: number;
  readonly minSyncPeriodMs: number;
  /** As written: ranges and the keywords `primary`, `localhost`, `all`. */
  readonly nodePortAddresses: readonly string[];
  readonly tcpBeLiberal: boolean;
  readonly hostnameOverride: string;
  readonly bindAddress: string;
  readonly allowServiceExternalIPs: boolean;
}

export const NODE_PORT_KEYWORDS = ['primary', 'localhost', 'all'] as const;

const DETECT_LOCAL_MODES: readonly string[] = ['ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'];
const MODES: readonly string[] = ['iptables', 'ipvs', 'nftables'];
const DEFAULT_MASQUERADE_BIT = 14;
const DEFAULT_SYNC_PERIOD_MS = 30_000;
const DEFAULT_MIN_SYNC_PERIOD_MS = 1_000;

/** Fields of the file that are read or knowingly have no influence on the text; others are unknown. */
const KNOWN_FIELDS = new Set([
  'apiVersion',
  'kind',
  'metadata',
  'featureGates',
  'clientConnection',
  'logging',
  'hostnameOverride',
  'bindAddress',
  'healthzBindAddress',
  'metricsBindAddress',
  'bindAddressHardFail',
  'enableProfiling',
  'showHiddenMetricsForVersion',
  'mode',
  'iptables',
  'ipvs',
  'nftables',
  'winkernel',
  'detectLocalMode',
  'detectLocal',
  'clusterCIDR',
  'nodePortAddresses',
  'oomScoreAdj',
  'conntrack',
  'configSyncPeriod',
  'portRange',
  'windowsRunAsService',
]);

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 3.6e6,
};

/** Milliseconds of a Go duration such as `1h0m0s` or `1.5s`; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  const match = /^([+-]?)((?:[0-9]*\.?[0-9]+(?:ns|us|µs|ms|s|m|h))+)$/.exec(text);
  if (match === null) return undefined;
  let total = 0;
  for (const [, number, unit] of match[2]!.matchAll(/([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(number) * DURATION_UNITS_MS[unit!]!;
  }
  return match[1] === '-' ? -total : total;
}

class Reader {
  readonly errors: FieldError[] = [];

  fail(path: FieldPath, message: string, code = 'bad-config', hint?: string): void {
    this.errors.push({ severity: 'error', code, path, message, ...(hint === undefined ? {} : { hint }) });
  }

  get(root: unknown, path: FieldPath): unknown {
    let value = root;
    for (const step of path) {
      if (value === null || typeof value !== 'object') return undefined;
      value = (value as Record<string | number, unknown>)[step]; // any object may be asked for any key
    }
    return value === null ? undefined : value;
  }

  text(root: unknown, path: FieldPath, otherwise: string): string {
    const value = this.get(root, path);
    if (value === undefined) return otherwise;
    if (typeof value === 'string') return value;
    this.fail(path, `must be a text, not ${quoteValue(value)}`, 'bad-type');
    return otherwise;
  }

  flag(root: unknown, path: FieldPath, otherwise: boolean): boolean {
    const value = this.get(root, path);
    if (value === undefined) return otherwise;
    if (typeof value === 'boolean') return value;
    this.fail(path, `must be true or false, not ${quoteValue(value)}`, 'bad-type');
    return otherwise;
  }

  duration(root: unknown, path: FieldPath, otherwise: number): number {
    const value = this.text(root, path, '');
    if (value === '') return otherwise;
    const ms = parseDuration(value);
    if (ms === undefined || ms < 0) {
      this.fail(path, `must be a duration such as 30s, not ${quoteValue(value)}`, 'bad-duration');
      return otherwise;
    }
    return ms === 0 ? otherwise : ms;
  }
}

function readClusterCidrs(reader: Reader, root: unknown): IpRange[] {
  const text = reader.text(root, ['clusterCIDR'], '');
  if (text === '') return [];
  const parts = text.split(',');
  const ranges: IpRange[] = [];
  for (const part of parts) {
    const range = parseRange(part);
    if (range === undefined)
      reader.fail(['clusterCIDR'], `must be ranges such as 10.244.0.0/16, not ${quoteValue(part)}`);
    else ranges.push(range);
  }
  if (parts.length > 2 || (ranges.length === 2 && ranges[0]!.family === ranges[1]!.family)) {
    reader.fail(['clusterCIDR'], 'must hold at most one range of each family');
  }
  return ranges;
}

function readNodePortAddresses(reader: Reader, root: unknown): string[] {
  const value = reader.get(root, ['nodePortAddresses']);
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    reader.fail(['nodePortAddresses'], `must be a list, not ${quoteValue(value)}`, 'bad-type');
    return [];
  }
  const seen = new Set<string>();
  const addresses: string[] = [];
  value.forEach((entry: unknown, i) => {
    const path = ['nodePortAddresses', i];
    if (typeof entry !== 'string') reader.fail(path, `must be a text, not ${quoteValue(entry)}`, 'bad-type');
    else if ((NODE_PORT_KEYWORDS as readonly string[]).includes(entry)) {
      if (seen.has(entry)) reader.fail(path, `"${entry}" may stand only once`);
      seen.add(entry);
      addresses.push(entry);
    } else if (parseRange(entry) === undefined) {
      reader.fail(path, `must be a range or one of primary, localhost, all, not ${quoteValue(entry)}`);
    } else addresses.push(entry);
  });
  return addresses;
}

/** The configuration of a kube-proxy without a file. */
export function defaultConfig(): ProxyConfig {
  return readConfig({ kind: 'KubeProxyConfiguration' }).config;
}

/** Reads a configuration object as it stands. Unknown fields are warnings, as kube-proxy's lenient decoding has it. */
export function readConfig(object: KubeProxyConfigurationObject): {
  readonly config: ProxyConfig;
  readonly errors: readonly FieldError[];
} {
  const reader = new Reader();
  for (const field of Object.keys(object)) {
    if (KNOWN_FIELDS.has(field)) continue;
    const message = `unknown field "${field}" is passed over`;
    reader.errors.push({ severity: 'warning', code: 'unknown-field', path: [field], message });
  }
  const mode = reader.text(object, ['mode'], '') || 'iptables';
  if (!MODES.includes(mode)) reader.fail(['mode'], `must be one of ${MODES.join(', ')}, not ${quoteValue(mode)}`);
  const detect = reader.text(object, ['detectLocalMode'], '') || 'ClusterCIDR';
  if (!DETECT_LOCAL_MODES.includes(detect)) {
    reader.fail(['detectLocalMode'], `must be one of ${DETECT_LOCAL_MODES.join(', ')}, not ${quoteValue(detect)}`);
  }
  const bridgeInterface = reader.text(object, ['detectLocal', 'bridgeInterface'], '');
  const interfaceNamePrefix = reader.text(object, ['detectLocal', 'interfaceNamePrefix'], '');
  if (detect === 'BridgeInterface' && bridgeInterface === '') {
    reader.fail(['detectLocal', 'bridgeInterface'], 'must name the bridge, as detectLocalMode is BridgeInterface');
  }
  if (detect === 'InterfaceNamePrefix' && interfaceNamePrefix === '') {
    reader.fail(['detectLocal', 'interfaceNamePrefix'], 'must be set, as detectLocalMode is InterfaceNamePrefix');
  }
  const bit = reader.get(object, ['iptables', 'masqueradeBit']) ?? DEFAULT_MASQUERADE_BIT;
  if (typeof bit !== 'number' || !Number.isInteger(bit) || bit < 0 || bit > 31) {
    reader.fail(['iptables', 'masqueradeBit'], `must be a whole number from 0 to 31, not ${quoteValue(bit)}`);
  }
  const bindAddress = reader.text(object, ['bindAddress'], '') || '0.0.0.0';
  if (parseIp(bindAddress) === undefined) {
    reader.fail(['bindAddress'], `must be an address, not ${quoteValue(bindAddress)}`);
  }
  const syncPeriodMs = reader.duration(object, ['iptables', 'syncPeriod'], DEFAULT_SYNC_PERIOD_MS);
  const minSyncPeriodMs = reader.duration(object, ['iptables', 'minSyncPeriod'], DEFAULT_MIN_SYNC_PERIOD_MS);
  if (minSyncPeriodMs > syncPeriodMs) {
    reader.fail(['iptables', 'minSyncPeriod'], `must not exceed syncPeriod (${syncPeriodMs / 1000} s)`);
  }
  const config: ProxyConfig = {
    mode: mode as ProxyMode, // checked above; an error makes the caller stop
    clusterCidrs: readClusterCidrs(reader, object),
    detectLocalMode: detect as DetectLocalMode, // checked above
    bridgeInterface,
    interfaceNamePrefix,
    masqueradeAll: reader.flag(object, ['iptables', 'masqueradeAll'], false),
    masqueradeBit: typeof bit === 'number' ? bit : DEFAULT_MASQUERADE_BIT,
    localhostNodePorts: reader.flag(object, ['iptables', 'localhostNodePorts'], true),
    syncPeriodMs,
    minSyncPeriodMs,
    nodePortAddresses: readNodePortAddresses(reader, object),
    tcpBeLiberal: reader.flag(object, ['conntrack', 'tcpBeLiberal'], false),
    hostnameOverride: reader.text(object, ['hostnameOverride'], ''),
    bindAddress,
    allowServiceExternalIPs: reader.flag(object, ['featureGates', 'AllowServiceExternalIPs'], true),
  };
  return { config, errors: reader.errors };
}

/** First cluster range of a family. */
export function clusterCidrOf(config: ProxyConfig, family: IpFamily): IpRange | undefined {
  return config.clusterCidrs.find((range) => range.family === family);
}
