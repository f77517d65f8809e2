/**
 * Named, seeded workloads: a rule file as iptables-save prints it, a capture that meets it, and what must become of
 * each packet. The host that they are for is `BENCH_HOST`: clients on eth0, pods behind cni0.
 */
import { Rng } from '../src/base/rng.js';
import { printIp4 } from '../src/net/ip4.js';
import { frameOf, pcapOf, type Segment } from './frame.js';

const SEED = 51966;
const SYN = 2;
const ACK = 16;

/** The node: eth0 towards the clients, cni0 towards the pods. */
export const BENCH_HOST = {
  devices: [
    { name: 'eth0', mac: '02:00:00:00:00:01', addresses: { 4: '192.168.0.1/16', 6: 'fd00:c0a8::1/64' } },
    { name: 'cni0', mac: '02:00:00:00:00:02', addresses: { 4: '10.0.0.1/9', 6: 'fd00:a::1/64' } },
  ],
  clientMac: '02:00:00:00:01:01',
  podMac: '02:00:00:00:02:02',
} as const;

export interface Workload {
  readonly name: string;
  readonly family: 4 | 6;
  /** Services, prefixes or rules: what the name counts. */
  readonly size: number;
  readonly ruleCount: number;
  readonly rules: string;
  /** Table and hook that the capture's packets meet first, for engine rows. */
  readonly table: 'nat' | 'filter';
  /** Frames in order; they come in by eth0 but for those with a 1 in `fromPods` (empty: none). */
  readonly frames: readonly Uint8Array[];
  readonly fromPods: Uint8Array;
  /** One word a frame: `forward` or `drop`. */
  readonly expected: readonly ('forward' | 'drop')[];
  readonly capture: Uint8Array;
}

type Draft = Omit<Workload, 'capture' | 'ruleCount'>;

function finish(draft: Draft): Workload {
  const ruleCount = draft.rules.split('\n').filter((line) => line.startsWith('-A')).length;
  return { ...draft, ruleCount, capture: pcapOf(draft.frames, 1_700_000_000_000_000, 10) };
}

const CHAIN_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** A chain name like kube-proxy's, without its hash. */
function chainName(prefix: string, a: number, b: number): string {
  let suffix = '';
  let left = a * 64 + b + 1;
  for (let i = 0; i < 16; i++) {
    suffix += CHAIN_CHARACTERS[left % 32];
    left = Math.floor(left / 32);
  }
  return `${prefix}-${suffix}`;
}

/** The last 32 bits of an IPv6 address. */
function lastWords(n: number): string {
  return `${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}`;
}

function serviceAddress(i: number, family: 4 | 6): string {
  return family === 4
    ? printIp4(0xac100000 + 1 + i) // 172.16.0.1 …
    : `fd00:5e::${lastWords(i + 1)}`;
}

function podAddress(i: number, family: 4 | 6): string {
  return family === 4 ? printIp4(0x0a000100 + i) : `fd00:a::${lastWords(i + 256)}`;
}

function clientAddress(i: number, family: 4 | 6): string {
  return family === 4 ? printIp4(0xc0a80100 + (i % 50_000)) : `fd00:c0a8::${((i % 50_000) + 256).toString(16)}`;
}

/** kube-proxy's chains (iptables mode) for `services` ClusterIPs with `endpoints` each, TCP port 80 → 8080. */
export function serviceRules(services: number, endpoints: number, family: 4 | 6): string {
  const host = family === 4 ? 32 : 128;
  const pods = family === 4 ? '10.0.0.0/9' : 'fd00:a::/64';
  const loopback = family === 4 ? '127.0.0.0/8' : '::1/128';
  const chains: string[] = [];
  const portals: string[] = [];
  const rules: string[] = [];
  for (let s = 0; s < services; s++) {
    const svc = chainName('KUBE-SVC', s, 63);
    const ip = serviceAddress(s, family);
    const name = `shop/service-${s}:http`;
    chains.push(`:${svc} - [0:0]`);
    portals.push(
      `-A KUBE-SERVICES -d ${ip}/${host} -p tcp -m comment --comment "${name} cluster IP" -m tcp --dport 80 -j ${svc}`,
    );
    rules.push(
      `-A ${svc} ! -s ${pods} -d ${ip}/${host} -p tcp -m comment --comment "${name} cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ`,
    );
    for (let e = 0; e < endpoints; e++) {
      const sep = chainName('KUBE-SEP', s, e);
      const pod = podAddress(s * endpoints + e, family);
      const to = family === 4 ? `${pod}:8080` : `[${pod}]:8080`;
      const left = endpoints - e;
      const chance = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(11)}` : '';
      chains.push(`:${sep} - [0:0]`);
      rules.push(`-A ${svc} -m comment --comment "${name} -> ${to}"${chance} -j ${sep}`);
      rules.push(`-A ${sep} -s ${pod}/${host} -m comment --comment "${name}" -j KUBE-MARK-MASQ`);
      rules.push(`-A ${sep} -p tcp -m comment --comment "${name}" -m tcp -j DNAT --to-destination ${to}`);
    }
  }
  return [
    '*filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':KUBE-EXTERNAL-SERVICES - [0:0]',
    ':KUBE-FIREWALL - [0:0]',
    ':KUBE-FORWARD - [0:0]',
    ':KUBE-NODEPORTS - [0:0]',
    ':KUBE-PROXY-FIREWALL - [0:0]',
    ':KUBE-SERVICES - [0:0]',
    '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
    '-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
    '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
    '-A INPUT -j KUBE-FIREWALL',
    '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
    '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
    '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
    '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -j KUBE-FIREWALL',
    `-A KUBE-FIREWALL ! -s ${loopback} -d ${loopback} -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`,
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'COMMIT',
    '*nat',
    ':PREROUTING ACCEPT [0:0]',
    ':INPUT ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':POSTROUTING ACCEPT [0:0]',
    ':KUBE-MARK-MASQ - [0:0]',
    ':KUBE-NODEPORTS - [0:0]',
    ':KUBE-POSTROUTING - [0:0]',
    ':KUBE-SERVICES - [0:0]',
    ...chains,
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000',
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0',
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ...portals,
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    ...rules,
    'COMMIT',
    '',
  ].join('\n');
}

function fromClient(family: 4 | 6, src: string, dst: string, srcPort: number, dstPort: number, flags: number): Segment {
  return {
    family,
    src,
    dst,
    protocol: 6,
    srcPort,
    dstPort,
    flags,
    seq: 1000,
    srcMac: BENCH_HOST.clientMac,
    dstMac: BENCH_HOST.devices[0].mac,
  };
}

/** First packets of connections: `packets` clients open one each to a service drawn at random. */
export function servicesNew(services: number, endpoints: number, family: 4 | 6, packets: number): Workload {
  const rng = new Rng(SEED);
  const frames: Uint8Array[] = [];
  for (let i = 0; i < packets; i++) {
    const port = 10_000 + Math.floor(i / 50_000) * 7 + rng.below(40_000);
    const to = serviceAddress(rng.below(services), family);
    frames.push(frameOf(fromClient(family, clientAddress(i, family), to, port, 80, SYN)));
  }
  return finish({
    name: `services ${services} × ${endpoints} IPv${family} new`,
    family,
    size: services,
    rules: serviceRules(services, endpoints, family),
    table: 'nat',
    frames,
    fromPods: new Uint8Array(0),
    expected: frames.map(() => 'forward'),
  });
}

/** First packets that no service is meant by: the walk goes past all of them. */
export function servicesPast(services: number, endpoints: number, family: 4 | 6, packets: number): Workload {
  const rng = new Rng(SEED);
  const frames: Uint8Array[] = [];
  for (let i = 0; i < packets; i++) {
    const port = 10_000 + rng.below(40_000);
    frames.push(
      frameOf(fromClient(family, clientAddress(i, family), podAddress(rng.below(1000), family), port, 8080, SYN)),
    );
  }
  return finish({
    name: `services ${services} × ${endpoints} IPv${family} past`,
    family,
    size: services,
    rules: serviceRules(services, endpoints, family),
    table: 'nat',
    frames,
    fromPods: new Uint8Array(0),
    expected: frames.map(() => 'forward'),
  });
}

/** A flood: every packet is a first one, from sources and ports that an attacker makes up in order or at random. */
export function flood(made: 'in order' | 'at random', packets: number): Workload {
  const rng = new Rng(SEED);
  const frames: Uint8Array[] = [];
  for (let i = 0; i < packets; i++) {
    // In order: only the bits that a weak hash shifts out of sight differ.
    const src = made === 'in order' ? 0x14000000 + ((i & 0x3fff) << 10) : 0x14000000 + rng.below(0x4000000);
    const port = made === 'in order' ? 1024 : 1024 + rng.below(60_000);
    frames.push(frameOf(fromClient(4, printIp4(src), serviceAddress(0, 4), port, 80, SYN)));
  }
  return finish({
    name: `flood ${made}`,
    family: 4,
    size: packets,
    rules: serviceRules(10, 2, 4),
    table: 'nat',
    frames,
    fromPods: new Uint8Array(0),
    expected: frames.map(() => 'forward'),
  });
}

/** A blacklist: `prefixes` sources of mixed length dropped in FORWARD; a tenth of the packets come from one of them. */
export function blacklist(prefixes: number, packets: number): Workload {
  const rng = new Rng(SEED);
  const rules: string[] = [];
  const banned: { readonly net: number; readonly mask: number }[] = [];
  const seen = new Set<string>();
  while (rules.length < prefixes) {
    // As real lists: mostly hosts and /24, some of every length in between.
    const draw = rng.below(100);
    const bits = draw < 50 ? 32 : draw < 75 ? 24 : 16 + rng.below(16);
    const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
    // 20.0.0.0/6: apart from the clients.
    const net = ((0x14000000 + rng.below(0x4000000)) & mask) >>> 0;
    const text = `${printIp4(net)}/${bits}`;
    if (seen.has(text)) continue;
    seen.add(text);
    rules.push(`-A FORWARD -s ${text} -j DROP`);
    banned.push({ net, mask });
  }
  const frames: Uint8Array[] = [];
  const expected: ('forward' | 'drop')[] = [];
  for (let i = 0; i < packets; i++) {
    const hit = i % 10 === 0;
    const one = banned[rng.below(banned.length)]!;
    const src = hit ? printIp4((one.net | (rng.u32() & ~one.mask)) >>> 0) : clientAddress(i, 4);
    frames.push(frameOf(fromClient(4, src, podAddress(rng.below(1000), 4), 10_000 + rng.below(40_000), 443, SYN)));
    expected.push(hit ? 'drop' : 'forward');
  }
  return finish({
    name: `blacklist ${prefixes}`,
    family: 4,
    size: prefixes,
    rules: [
      '*filter',
      ':INPUT ACCEPT [0:0]',
      ':FORWARD ACCEPT [0:0]',
      ':OUTPUT ACCEPT [0:0]',
      ...rules,
      'COMMIT',
      '',
    ].join('\n'),
    table: 'filter',
    frames,
    fromPods: new Uint8Array(0),
    expected,
  });
}

/** Rules of no common shape: prefixes, ranges, lists, negations, devices, marks, states. Few packets meet one early. */
export function firewall(size: number, packets: number): Workload {
  const rng = new Rng(SEED);
  const prefix = (from: number, span: number): string => {
    const bits = 12 + rng.below(21);
    const mask = (0xffffffff << (32 - bits)) >>> 0;
    return `${printIp4(((from + rng.below(span)) & mask) >>> 0)}/${bits}`;
  };
  const rules: string[] = [];
  for (let i = 0; i < size; i++) {
    let rule = '-A FORWARD';
    const kind = rng.below(10);
    if (kind < 6) rule += ` -s ${prefix(0x14000000, 0x4000000)}`;
    if (kind >= 4) rule += ` -d ${prefix(0x0a000000, 0x800000)}`;
    if (rng.below(4) === 0) rule += rng.below(2) === 0 ? ' -i eth0' : ' ! -i cni0';
    const protocol = rng.below(3) === 0 ? 'udp' : 'tcp';
    rule += ` -p ${protocol}`;
    if (rng.below(6) === 0) rule += ' -m conntrack --ctstate NEW';
    const port = rng.below(60_000);
    const ports = rng.below(6);
    if (ports === 0) rule += ` -m ${protocol} --dport ${port}:${port + rng.below(5000)}`;
    else if (ports === 1) rule += ` -m multiport --dports ${port},${port + 3},${port + 10}:${port + 20}`;
    else if (ports === 2) rule += ` -m ${protocol} ! --dport ${port}`;
    else if (ports === 3) rule += ` -m ${protocol} --sport 1024:65535 --dport ${port}`;
    else rule += ` -m ${protocol} --dport ${port}`;
    if (rng.below(10) === 0) rule += ` -m mark ! --mark 0x${(1 + rng.below(15)).toString(16)}/0xf`;
    rules.push(`${rule} -j DROP`);
  }
  const frames: Uint8Array[] = [];
  for (let i = 0; i < packets; i++) {
    const segment = fromClient(
      4,
      clientAddress(i, 4),
      podAddress(rng.below(1000), 4),
      10_000 + rng.below(40_000),
      0,
      SYN,
    );
    frames.push(frameOf({ ...segment, protocol: i % 3 === 0 ? 17 : 6, dstPort: 61_000 + rng.below(4000) }));
  }
  return finish({
    name: `firewall ${size}`,
    family: 4,
    size,
    rules: [
      '*filter',
      ':INPUT ACCEPT [0:0]',
      ':FORWARD ACCEPT [0:0]',
      ':OUTPUT ACCEPT [0:0]',
      '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ...rules,
      'COMMIT',
      '',
    ].join('\n'),
    table: 'filter',
    frames,
    fromPods: new Uint8Array(0),
    // Sources and ports of the rules' lists are not the clients', but negated ports meet destinations: the reference decides.
    expected: [],
  });
}

export { ACK, SYN };
