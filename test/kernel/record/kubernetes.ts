/**
 * Three Kubernetes nodes with the rules kube-proxy writes, pods on links of their own, and a client outside the cluster.
 * `statistic --mode nth` stands where kube-proxy says random, and MASQUERADE is not `--random-fully`, so that each choice
 * can be foretold.
 *
 *   172.30.0.0/16, fd00:30::/64:  client .0.178   node1 .1.1   node2 .1.2   node3 .1.3
 *   node1: pods 10.10.0.1, .4   node2: pods 10.10.0.2, .5   node3: pods 10.10.0.3 (database, DNS), .6 (a client)
 */
import { createHash } from 'node:crypto';
import type { Lab } from './lab.js';
import type { HostUnderTest, Scenario } from './scenario.js';

interface Service {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly ip: string;
  readonly port: number;
  readonly nodePort?: number;
  readonly endpoints: readonly { readonly ip: string; readonly port: number }[];
}

const SERVICES: readonly Service[] = [
  {
    name: 'default/web:http',
    protocol: 'tcp',
    ip: '10.20.0.2',
    port: 8080,
    endpoints: [
      { ip: '10.10.0.1', port: 80 },
      { ip: '10.10.0.2', port: 80 },
    ],
  },
  {
    name: 'default/db:mysql',
    protocol: 'tcp',
    ip: '10.20.0.1',
    port: 3000,
    endpoints: [{ ip: '10.10.0.3', port: 3306 }],
  },
  {
    name: 'ingress/ingress:http',
    protocol: 'tcp',
    ip: '10.20.0.3',
    port: 80,
    nodePort: 30100,
    endpoints: [
      { ip: '10.10.0.4', port: 80 },
      { ip: '10.10.0.5', port: 80 },
    ],
  },
  {
    name: 'kube-system/kube-dns:dns',
    protocol: 'udp',
    ip: '10.20.0.10',
    port: 53,
    endpoints: [{ ip: '10.10.0.3', port: 53 }],
  },
  { name: 'default/empty:http', protocol: 'tcp', ip: '10.20.0.99', port: 80, endpoints: [] },
];

const SERVICES6: readonly Service[] = [
  {
    name: 'default/web:http',
    protocol: 'tcp',
    ip: 'fd00:20::2',
    port: 8080,
    endpoints: [
      { ip: 'fd00:10::1', port: 80 },
      { ip: 'fd00:10::2', port: 80 },
    ],
  },
  {
    name: 'ingress/ingress:http',
    protocol: 'tcp',
    ip: 'fd00:20::3',
    port: 80,
    nodePort: 30100,
    endpoints: [{ ip: 'fd00:10::4', port: 80 }],
  },
];

const NODES = [
  { name: 'node1', address: '172.30.1.1', address6: 'fd00:30::1:1', pods: [1, 4] },
  { name: 'node2', address: '172.30.1.2', address6: 'fd00:30::1:2', pods: [2, 5] },
  { name: 'node3', address: '172.30.1.3', address6: 'fd00:30::1:3', pods: [3, 6] },
] as const;

/** kube-proxy's chain names: the first 16 characters of the base32 of a SHA-256. */
function chain(prefix: string, service: Service, endpoint = ''): string {
  const digest = createHash('sha256')
    .update(service.name + service.protocol + endpoint)
    .digest();
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let text = '';
  for (let bit = 0; text.length < 16; bit += 5) {
    const word = (digest[bit >> 3]! << 8) | digest[(bit >> 3) + 1]!;
    text += alphabet[(word >> (11 - (bit & 7))) & 31];
  }
  return `KUBE-${prefix}-${text}`;
}

/** The restore text of one family, base chains and jumps included. */
function kubeProxyRules(services: readonly Service[], six: boolean): string {
  const all = six ? '128' : '32';
  const pods = six ? 'fd00:10::/64' : '10.10.0.0/16';
  const text = (e: { ip: string; port: number }): string => (six ? `[${e.ip}]:${e.port}` : `${e.ip}:${e.port}`);
  const say = (words: string): string => `-m comment --comment "${words}"`;
  const isNew = '-m conntrack --ctstate NEW';
  const chains: string[] = [];
  const forward: string[] = [];
  const nodePorts: string[] = [];
  const rules: string[] = [];
  const refused: string[] = [];
  for (const s of services) {
    if (s.endpoints.length === 0) {
      refused.push(
        `-A KUBE-SERVICES -d ${s.ip}/${all} -p ${s.protocol} ${say(`${s.name} has no endpoints`)} -m ${s.protocol} --dport ${s.port} -j REJECT`,
      );
      continue;
    }
    const svc = chain('SVC', s);
    chains.push(svc);
    forward.push(
      `-A KUBE-SERVICES -d ${s.ip}/${all} -p ${s.protocol} ${say(`${s.name} cluster IP`)} -m ${s.protocol} --dport ${s.port} -j ${svc}`,
    );
    if (s.nodePort !== undefined) {
      const ext = chain('EXT', s);
      chains.push(ext);
      nodePorts.push(
        `-A KUBE-NODEPORTS -p ${s.protocol} ${say(s.name)} -m ${s.protocol} --dport ${s.nodePort} -j ${ext}`,
      );
      rules.push(`-A ${ext} ${say(`masquerade traffic for ${s.name} external destinations`)} -j KUBE-MARK-MASQ`);
      rules.push(`-A ${ext} -j ${svc}`);
    }
    rules.push(
      `-A ${svc} ! -s ${pods} -d ${s.ip}/${all} -p ${s.protocol} ${say(`${s.name} cluster IP`)} -m ${s.protocol} --dport ${s.port} -j KUBE-MARK-MASQ`,
    );
    for (const [i, e] of s.endpoints.entries()) {
      const left = s.endpoints.length - i;
      const choice = left === 1 ? '' : `-m statistic --mode nth --every ${left} --packet 0 `;
      rules.push(`-A ${svc} ${say(`${s.name} -> ${text(e)}`)} ${choice}-j ${chain('SEP', s, text(e))}`);
    }
    for (const e of s.endpoints) {
      const sep = chain('SEP', s, text(e));
      chains.push(sep);
      rules.push(`-A ${sep} -s ${e.ip}/${all} ${say(s.name)} -j KUBE-MARK-MASQ`);
      rules.push(`-A ${sep} -p ${s.protocol} ${say(s.name)} -m ${s.protocol} -j DNAT --to-destination ${text(e)}`);
    }
  }
  const portals = say('kubernetes service portals');
  const visible = say('kubernetes externally-visible service portals');
  const balancer = say('kubernetes load balancer firewall');
  return [
    '*mangle',
    ...['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'].map((c) => `:${c} ACCEPT [0:0]`),
    ':KUBE-PROXY-CANARY - [0:0]',
    'COMMIT',
    '*nat',
    ...['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'].map((c) => `:${c} ACCEPT [0:0]`),
    ...['KUBE-MARK-MASQ', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-PROXY-CANARY', 'KUBE-SERVICES', ...chains].map(
      (c) => `:${c} - [0:0]`,
    ),
    `-A PREROUTING ${portals} -j KUBE-SERVICES`,
    `-A OUTPUT ${portals} -j KUBE-SERVICES`,
    `-A POSTROUTING ${say('kubernetes postrouting rules')} -j KUBE-POSTROUTING`,
    '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
    ...nodePorts,
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
    `-A KUBE-POSTROUTING ${say('kubernetes service traffic requiring SNAT')} -j MASQUERADE`,
    ...rules,
    ...forward,
    `-A KUBE-SERVICES ${say('kubernetes service nodeports; NOTE: this must be the last rule in this chain')} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
    'COMMIT',
    '*filter',
    ...['INPUT', 'FORWARD', 'OUTPUT'].map((c) => `:${c} ACCEPT [0:0]`),
    ...[
      'KUBE-EXTERNAL-SERVICES',
      'KUBE-FIREWALL',
      'KUBE-FORWARD',
      'KUBE-NODEPORTS',
      'KUBE-PROXY-CANARY',
      'KUBE-PROXY-FIREWALL',
      'KUBE-SERVICES',
    ].map((c) => `:${c} - [0:0]`),
    '-A INPUT -j KUBE-FIREWALL',
    `-A INPUT ${isNew} ${balancer} -j KUBE-PROXY-FIREWALL`,
    `-A INPUT ${say('kubernetes health check service ports')} -j KUBE-NODEPORTS`,
    `-A INPUT ${isNew} ${visible} -j KUBE-EXTERNAL-SERVICES`,
    `-A FORWARD ${isNew} ${balancer} -j KUBE-PROXY-FIREWALL`,
    `-A FORWARD ${say('kubernetes forwarding rules')} -j KUBE-FORWARD`,
    `-A FORWARD ${isNew} ${portals} -j KUBE-SERVICES`,
    `-A FORWARD ${isNew} ${visible} -j KUBE-EXTERNAL-SERVICES`,
    '-A OUTPUT -j KUBE-FIREWALL',
    `-A OUTPUT ${isNew} ${balancer} -j KUBE-PROXY-FIREWALL`,
    `-A OUTPUT ${isNew} ${portals} -j KUBE-SERVICES`,
    ...(six
      ? []
      : [
          `-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 ${say('block incoming localnet connections')} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`,
        ]),
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD ${say('kubernetes forwarding rules')} -m mark --mark 0x4000/0x4000 -j ACCEPT`,
    `-A KUBE-FORWARD ${say('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    ...refused,
    'COMMIT',
    '',
  ].join('\n');
}

async function build(lab: Lab): Promise<void> {
  for (const node of NODES) lab.host(node.name, true);
  for (const name of ['client', 'switch', 'pod1', 'pod2', 'pod3', 'pod4', 'pod5', 'pod6']) lab.host(name);
  lab.bridge(
    'switch',
    'lan',
    [],
    [
      ...NODES.map((n) => ({ host: n.name, interface: 'eth0', addresses: [`${n.address}/16`, `${n.address6}/64`] })),
      { host: 'client', interface: 'eth0', addresses: ['172.30.0.178/16', 'fd00:30::178/64'] },
    ],
  );
  for (const node of NODES) {
    for (const pod of node.pods) {
      const [name, inside] = [`pod${pod}`, `cali${pod}`];
      lab.cable(
        { host: node.name, interface: inside, addresses: [] },
        { host: name, interface: 'eth0', addresses: [`10.10.0.${pod}/32`, `fd00:10::${pod}/128`] },
      );
      const gateway = lab.macOf(node.name, inside);
      lab.neighbour({ host: name, interface: 'eth0' }, '169.254.1.1', gateway);
      lab.neighbour({ host: name, interface: 'eth0' }, 'fe80::1', gateway);
      lab.route(name, 'default', 'via', '169.254.1.1', 'dev', 'eth0', 'onlink');
      lab.route(name, '::/0', 'via', 'fe80::1', 'dev', 'eth0', 'onlink');
      lab.route(node.name, `10.10.0.${pod}/32`, 'dev', inside, 'scope', 'link');
      lab.route(node.name, `fd00:10::${pod}/128`, 'dev', inside);
      for (const other of NODES) {
        if (other === node) continue;
        lab.route(other.name, `10.10.0.${pod}/32`, 'via', node.address, 'dev', 'eth0');
        lab.route(other.name, `fd00:10::${pod}/128`, 'via', node.address6, 'dev', 'eth0');
      }
    }
    // Addresses of the pod network that no pod has.
    lab.route(node.name, 'blackhole', '10.10.0.0/24');
    // The way out of the cluster: somebody has to be there, but nobody answers.
    lab.neighbour({ host: node.name, interface: 'eth0' }, '172.30.0.1', '02:00:00:00:dd:dd');
    lab.neighbour({ host: node.name, interface: 'eth0' }, 'fd00:30::ffff', '02:00:00:00:dd:dd');
    lab.route(node.name, 'default', 'via', '172.30.0.1');
    lab.route(node.name, '::/0', 'via', 'fd00:30::ffff');
  }
  for (const network of ['10.20.0.0/24', '10.10.0.0/24']) lab.route('client', network, 'via', NODES[0].address);
  for (const network of ['fd00:20::/64', 'fd00:10::/64']) lab.route('client', network, 'via', NODES[0].address6);
  for (const pod of [1, 2, 4, 5]) {
    await lab.serve(`pod${pod}`, 'http-serve', `10.10.0.${pod}`, '80', '100');
    await lab.serve(`pod${pod}`, 'http-serve', `fd00:10::${pod}`, '80', '100');
  }
  await lab.serve('pod3', 'http-serve', '10.10.0.3', '3306', '100');
  await lab.serve('pod3', 'udp-serve', '10.10.0.3', '53');
}

async function traffic(lab: Lab): Promise<void> {
  const [client, pod1, pod6] = ['172.30.0.178', '10.10.0.1', '10.10.0.6'];
  // NodePort on each node, twice: a local pod and one on another node.
  for (const [i, node] of NODES.entries()) {
    lab.talk('client', 'http-get', client, `${40001 + i}`, node.address, '30100', '/100', '/2000');
    lab.talk('client', 'http-get', client, `${40011 + i}`, node.address, '30100', '/50', '/5', '/55');
  }
  // ClusterIP from a pod, from a pod behind the same service (itself in turn), and from outside through node1.
  for (let i = 0; i < 3; i++) lab.talk('pod6', 'http-get', pod6, `${41001 + i}`, '10.20.0.2', '8080', '/10', '/3000');
  for (let i = 0; i < 2; i++) lab.talk('pod1', 'http-get', pod1, `${41011 + i}`, '10.20.0.2', '8080', '/20', '/21');
  for (let i = 0; i < 2; i++) lab.talk('client', 'http-get', client, `${40021 + i}`, '10.20.0.2', '8080', '/30', '/31');
  lab.talk('pod1', 'http-get', pod1, '41021', '10.20.0.1', '3000', '/40', '/400');
  lab.talk('pod6', 'http-get', pod6, '41022', '10.20.0.1', '3000', '/41');
  lab.talk('pod6', 'udp-ask', pod6, '41031', '10.20.0.10', '53', '2');
  lab.talk('pod1', 'udp-ask', pod1, '41032', '10.20.0.10', '53', '2');
  lab.talk('client', 'udp-ask', client, '40031', '10.20.0.10', '53');
  lab.talk('pod6', 'http-get', pod6, '41041', '10.20.0.99', '80', '/nobody');
  // A port that the Service does not have: the packet leaves the cluster as it is.
  lab.talk('pod6', 'half-open', pod6, '41042', '10.20.0.2', '80', '1.5');
  lab.talk('pod6', 'ping', pod6, '601', pod1, '2');
  lab.talk('client', 'ping', client, '602', pod1, '1');
  lab.talk('client', 'ping', client, '603', NODES[1].address, '1');
  lab.talk('pod6', 'trace', pod6, '42000', pod1, '4');
  lab.talk('client', 'scan', client, '43001', NODES[2].address, '22', '80', '10250', '30100', '30101');
  lab.talk('pod6', 'half-open', pod6, '41051', '10.10.0.77', '80', '1.5');
  lab.talk('client', 'http-get', client, '40041', NODES[0].address, '30100', '/6', '/reset');
  lab.talk('client', 'tcp-abort', client, '40042', NODES[1].address, '30100');
  // The nodes' own: a probe of a pod, a ping between nodes.
  lab.talk('node2', 'http-get', NODES[1].address, '44001', '10.10.0.2', '80', '/7');
  lab.talk('node1', 'http-get', NODES[0].address, '44002', '10.10.0.5', '80', '/8');
  lab.talk('node1', 'ping', NODES[0].address, '604', NODES[2].address, '1');
  lab.talk('pod6', 'http-get', 'fd00:10::6', '45001', 'fd00:20::2', '8080', '/60', '/61');
  lab.talk('pod1', 'http-get', 'fd00:10::1', '45002', 'fd00:20::2', '8080', '/62');
  lab.talk('client', 'http-get', 'fd00:30::178', '45003', NODES[1].address6, '30100', '/63');
  lab.talk('client', 'ping', 'fd00:30::178', '605', 'fd00:10::1', '2');
  lab.talk('pod6', 'trace', 'fd00:10::6', '45100', 'fd00:10::1', '4');
  await lab.serve('client', 'tcp-hold', client, '40050', NODES[0].address, '30100', '60');
}

const pods = (numbers: readonly number[]): string[] => numbers.map((pod) => `cali${pod}`);

const hosts: HostUnderTest[] = NODES.map((node) => ({
  name: node.name,
  interfaces: ['eth0', ...pods(node.pods)],
  rules: kubeProxyRules(SERVICES, false),
  rules6: kubeProxyRules(SERVICES6, true),
  about: `A Kubernetes node (${node.address}) with five Services, in the shape kube-proxy writes.`,
}));

export const kubernetes: Scenario = { name: 'kubernetes', offload: false, hosts, build, traffic };
