/** Extensions that iptables 1.8 knows and chainwalk refuses by name; for better messages. */

export const UNSUPPORTED_MATCHES: ReadonlySet<string> = new Set(
  (
    'ah bpf cgroup cluster connbytes connlabel connlimit cpu dccp devgroup dst ecn esp eui64 frag hashlimit hbh helper ' +
    'ipcomp ipv6header ipvs l2tp mh osf owner policy quota rateest realm rpfilter rt set socket srh string tcpmss ' +
    'time u32 udplite'
  ).split(' '),
);

export const UNSUPPORTED_TARGETS: ReadonlySet<string> = new Set(
  (
    'AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNSECMARK DNPT ECN HMARK IDLETIMER LED NFLOG NFQUEUE RATEEST SECMARK SET SNPT ' +
    'SYNPROXY TCPOPTSTRIP TEE TPROXY ULOG'
  ).split(' '),
);
