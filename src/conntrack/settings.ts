/**
 * What the administrator sets for connection tracking: net.netfilter.nf_conntrack_…, with the kernel's defaults.
 * Timeouts are microseconds of virtual time; the sysctls are whole seconds.
 */
const SECOND_US = 1_000_000;

/** States of a TCP connection (enum tcp_conntrack); the number is the column of the state table. */
export const TCP_NONE = 0;
export const TCP_SYN_SENT = 1;
export const TCP_SYN_RECV = 2;
export const TCP_ESTABLISHED = 3;
export const TCP_FIN_WAIT = 4;
export const TCP_CLOSE_WAIT = 5;
export const TCP_LAST_ACK = 6;
export const TCP_TIME_WAIT = 7;
export const TCP_CLOSE = 8;
export const TCP_SYN_SENT2 = 9;
/** Two more timeouts without a state. */
export const TCP_RETRANS = 10;
export const TCP_UNACK = 11;

/** Sysctl name (behind `nf_conntrack_tcp_timeout_`) and default seconds, by state; SYN_SENT2 shares SYN_SENT's. */
const TCP_TIMEOUTS: readonly (readonly [name: string, seconds: number])[] = [
  ['', 0],
  ['syn_sent', 120],
  ['syn_recv', 60],
  ['established', 432000],
  ['fin_wait', 120],
  ['close_wait', 60],
  ['last_ack', 30],
  ['time_wait', 120],
  ['close', 10],
  ['', 120],
  ['max_retrans', 300],
  ['unacknowledged', 300],
];

/** States of an SCTP association (enum sctp_conntrack), as column of the state table. */
export const SCTP_NONE = 0;
export const SCTP_CLOSED = 1;
export const SCTP_COOKIE_WAIT = 2;
export const SCTP_COOKIE_ECHOED = 3;
export const SCTP_ESTABLISHED = 4;
export const SCTP_SHUTDOWN_SENT = 5;
export const SCTP_SHUTDOWN_RECD = 6;
export const SCTP_SHUTDOWN_ACK_SENT = 7;
export const SCTP_HEARTBEAT_SENT = 8;

const SCTP_TIMEOUTS: readonly (readonly [name: string, seconds: number])[] = [
  ['', 0],
  ['closed', 10],
  ['cookie_wait', 3],
  ['cookie_echoed', 3],
  ['established', 210],
  ['shutdown_sent', 3],
  ['shutdown_recd', 3],
  ['shutdown_ack_sent', 3],
  ['heartbeat_sent', 30],
];

export interface ConntrackSettings {
  /** Most entries at once; 0: no limit. */
  readonly max: number;
  /** Buckets of the kernel's hash: decides how many entries a full table considers for eviction. */
  readonly buckets: number;
  /** Verify checksums at PREROUTING. */
  readonly checksum: boolean;
  /** Count packets and bytes of each connection. */
  readonly accounting: boolean;
  readonly tcpLoose: boolean;
  readonly tcpBeLiberal: boolean;
  readonly tcpIgnoreInvalidRst: boolean;
  readonly tcpMaxRetrans: number;
  /** By TCP_… state, µs. */
  readonly tcpTimeoutUs: Float64Array;
  readonly udpTimeoutUs: number;
  readonly udpStreamTimeoutUs: number;
  readonly icmpTimeoutUs: number;
  readonly icmpv6TimeoutUs: number;
  readonly genericTimeoutUs: number;
  readonly greTimeoutUs: number;
  readonly greStreamTimeoutUs: number;
  /** By SCTP_… state, µs. */
  readonly sctpTimeoutUs: Float64Array;
}

const PREFIX = 'net.netfilter.nf_conntrack_';

/** Settings as `sysctl` names them; what is missing or not a number has the kernel's default. */
export function settingsFromSysctl(sysctl: ReadonlyMap<string, string>): ConntrackSettings {
  const number = (name: string, byDefault: number): number => {
    const text = sysctl.get(PREFIX + name);
    return text !== undefined && /^\s*\d{1,10}\s*$/.test(text) ? Number(text) : byDefault;
  };
  const seconds = (name: string, byDefault: number): number => number(name, byDefault) * SECOND_US;
  const flag = (name: string, byDefault: boolean): boolean => number(name, byDefault ? 1 : 0) !== 0;
  const table = (prefix: string, rows: readonly (readonly [string, number])[]): Float64Array =>
    Float64Array.from(rows, ([name, byDefault]) =>
      name === '' ? byDefault * SECOND_US : seconds(prefix + name, byDefault),
    );
  const tcpTimeoutUs = table('tcp_timeout_', TCP_TIMEOUTS);
  return {
    max: number('max', 262144),
    buckets: Math.max(1, number('buckets', 262144)),
    checksum: flag('checksum', true),
    accounting: flag('acct', false),
    tcpLoose: flag('tcp_loose', true),
    tcpBeLiberal: flag('tcp_be_liberal', false),
    tcpIgnoreInvalidRst: flag('tcp_ignore_invalid_rst', false),
    tcpMaxRetrans: number('tcp_max_retrans', 3),
    tcpTimeoutUs,
    udpTimeoutUs: seconds('udp_timeout', 30),
    udpStreamTimeoutUs: seconds('udp_timeout_stream', 120),
    icmpTimeoutUs: seconds('icmp_timeout', 30),
    icmpv6TimeoutUs: seconds('icmpv6_timeout', 30),
    genericTimeoutUs: seconds('generic_timeout', 600),
    greTimeoutUs: seconds('gre_timeout', 30),
    greStreamTimeoutUs: seconds('gre_timeout_stream', 180),
    sctpTimeoutUs: table('sctp_timeout_', SCTP_TIMEOUTS),
  };
}

export function defaultConntrackSettings(): ConntrackSettings {
  return settingsFromSysctl(new Map());
}
