/**
 * A server with a firewall of the ufw kind, its users, and somebody who tries every door.
 *
 *   203.0.113.0/24, 2001:db8:80::/64:  server .80   admin .10 (also the name server, .53)   scanner .66
 */
import type { Lab } from './lab.js';
import type { Scenario } from './scenario.js';

const CHAINS = [
  'before-logging-input',
  'before-logging-output',
  'before-logging-forward',
  'before-input',
  'before-output',
]
  .concat([
    'before-forward',
    'after-input',
    'after-output',
    'after-forward',
    'after-logging-input',
    'after-logging-output',
  ])
  .concat(['after-logging-forward', 'reject-input', 'reject-output', 'reject-forward', 'track-input', 'track-output'])
  .concat(['track-forward', 'logging-deny', 'logging-allow', 'skip-to-policy-input', 'skip-to-policy-output'])
  .concat(['skip-to-policy-forward', 'user-input', 'user-output', 'user-forward', 'user-logging-input'])
  .concat(['user-logging-output', 'user-logging-forward', 'user-limit', 'user-limit-accept']);

const LIMIT = '-m limit --limit 3/min --limit-burst 10';

/** What is the same for both families; `w` is ufw's prefix, `all` the mask of a single address. */
function common(w: string, all: string): string[] {
  const steps = ['before-logging', 'before', 'after', 'after-logging', 'reject', 'track'];
  const hooks = ['INPUT', 'OUTPUT', 'FORWARD'];
  const ssh = `-A ${w}-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent`;
  return [
    ...hooks.flatMap((hook) => steps.map((step) => `-A ${hook} -j ${w}-${step}-${hook.toLowerCase()}`)),
    `-A ${w}-after-input -p udp -m udp --dport 137 -j ${w}-skip-to-policy-input`,
    `-A ${w}-after-input -p udp -m udp --dport 138 -j ${w}-skip-to-policy-input`,
    `-A ${w}-after-input -p tcp -m tcp --dport 445 -j ${w}-skip-to-policy-input`,
    `-A ${w}-after-logging-forward ${LIMIT} -j LOG --log-prefix "[UFW BLOCK] "`,
    `-A ${w}-after-logging-input ${LIMIT} -j LOG --log-prefix "[UFW BLOCK] "`,
    `-A ${w}-before-output -o lo -j ACCEPT`,
    `-A ${w}-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `-A ${w}-before-output -j ${w}-user-output`,
    `-A ${w}-before-forward -j ${w}-user-forward`,
    `-A ${w}-logging-allow ${LIMIT} -j LOG --log-prefix "[UFW ALLOW] "`,
    `-A ${w}-logging-deny -m conntrack --ctstate INVALID ${LIMIT} -j RETURN`,
    `-A ${w}-logging-deny ${LIMIT} -j LOG --log-prefix "[UFW BLOCK] "`,
    `-A ${w}-skip-to-policy-forward -j DROP`,
    `-A ${w}-skip-to-policy-input -j DROP`,
    `-A ${w}-skip-to-policy-output -j ACCEPT`,
    `-A ${w}-track-output -p tcp -m conntrack --ctstate NEW -j ACCEPT`,
    `-A ${w}-track-output -p udp -m conntrack --ctstate NEW -j ACCEPT`,
    `${ssh} --set --name DEFAULT --mask ${all} --rsource`,
    `${ssh} --update --seconds 30 --hitcount 6 --name DEFAULT --mask ${all} --rsource -j ${w}-user-limit`,
    `-A ${w}-user-input -p tcp -m tcp --dport 22 -j ${w}-user-limit-accept`,
    `-A ${w}-user-input -p tcp -m tcp --dport 80 -j ACCEPT`,
    `-A ${w}-user-limit -m limit --limit 3/min -j LOG --log-prefix "[UFW LIMIT BLOCK] "`,
    `-A ${w}-user-limit -j REJECT`,
    `-A ${w}-user-limit-accept -j ACCEPT`,
  ];
}

function table(w: string, rules: readonly string[]): string {
  const chains = CHAINS.map((chain) => `:${w}-${chain} - [0:0]`);
  const base = [':INPUT DROP [0:0]', ':FORWARD DROP [0:0]', ':OUTPUT ACCEPT [0:0]'];
  return [
    '*filter',
    ...base,
    ...chains,
    ...(w === 'ufw' ? [':ufw-not-local - [0:0]'] : []),
    ...rules,
    'COMMIT',
    '',
  ].join('\n');
}

const ICMP_TYPES = [3, 11, 12, 8];
const ICMP6_TYPES = [1, 2, 3, 4, 128, 129];
const NEIGHBOUR_TYPES = [133, 134, 135, 136, 141, 142];

const RULES = table('ufw', [
  ...common('ufw', '255.255.255.255'),
  '-A ufw-before-input -i lo -j ACCEPT',
  '-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  '-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny',
  '-A ufw-before-input -m conntrack --ctstate INVALID -j DROP',
  ...ICMP_TYPES.map((type) => `-A ufw-before-input -p icmp -m icmp --icmp-type ${type} -j ACCEPT`),
  '-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT',
  '-A ufw-before-input -j ufw-not-local',
  '-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT',
  '-A ufw-before-input -j ufw-user-input',
  '-A ufw-after-input -m addrtype --dst-type BROADCAST -j ufw-skip-to-policy-input',
  '-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN',
  '-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN',
  '-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN',
  `-A ufw-not-local ${LIMIT} -j ufw-logging-deny`,
  '-A ufw-not-local -j DROP',
  '-A ufw-user-input -s 203.0.113.10/32 -p tcp -m tcp --dport 9100 -m comment --comment "dapp_metrics" -j ACCEPT',
  '-A ufw-user-input -p tcp -m multiport --dports 8000:8009,8443 -j ACCEPT',
  '-A ufw-user-input -p tcp -m tcp --dport 113 -j REJECT --reject-with tcp-reset',
]);

const RULES6 = table(
  'ufw6',
  [
    ...common('ufw6', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'),
    '-A ufw6-before-input -i lo -j ACCEPT',
    '-A ufw6-before-input -m rt --rt-type 0 -j DROP',
    '-A ufw6-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-A ufw6-before-input -m conntrack --ctstate INVALID -j ufw6-logging-deny',
    '-A ufw6-before-input -m conntrack --ctstate INVALID -j DROP',
    ...ICMP6_TYPES.map((type) => `-A ufw6-before-input -p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j ACCEPT`),
    ...NEIGHBOUR_TYPES.map(
      (type) => `-A ufw6-before-input -p ipv6-icmp -m icmp6 --icmpv6-type ${type} -m hl --hl-eq 255 -j ACCEPT`,
    ),
    '-A ufw6-before-input -j ufw6-user-input',
    ...ICMP6_TYPES.map((type) => `-A ufw6-before-output -p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j ACCEPT`),
  ].filter((rule) => !rule.includes('-m rt ')),
);

async function build(lab: Lab): Promise<void> {
  for (const name of ['server', 'admin', 'scanner', 'switch']) lab.host(name);
  lab.bridge(
    'switch',
    'lan',
    [],
    [
      { host: 'server', interface: 'eth0', addresses: ['203.0.113.80/24', '2001:db8:80::80/64'] },
      { host: 'admin', interface: 'eth0', addresses: ['203.0.113.10/24', '203.0.113.53/24', '2001:db8:80::10/64'] },
      { host: 'scanner', interface: 'eth0', addresses: ['203.0.113.66/24', '2001:db8:80::66/64'] },
    ],
  );
  for (const [address, ports] of [
    ['203.0.113.80', ['22', '80', '8001', '9100']],
    ['2001:db8:80::80', ['22', '80']],
  ] as const) {
    for (const port of ports) await lab.serve('server', 'http-serve', address, port, '100');
  }
  await lab.serve('server', 'udp-serve', '203.0.113.80', '5000');
  await lab.serve('admin', 'http-serve', '203.0.113.10', '80', '100');
  await lab.serve('admin', 'udp-serve', '203.0.113.53', '53');
}

async function traffic(lab: Lab): Promise<void> {
  const [server, admin, scanner] = ['203.0.113.80', '203.0.113.10', '203.0.113.66'];
  await lab.serve('admin', 'tcp-hold', admin, '40001', server, '22', '60');
  lab.talk('admin', 'http-get', admin, '40002', server, '80', '/100', '/5000', '/1');
  lab.talk('admin', 'http-get', admin, '40003', server, '9100', '/metrics');
  lab.talk('admin', 'http-get', admin, '40004', server, '8001', '/20');
  lab.talk('admin', 'ping', admin, '801', server, '2');
  lab.talk('server', 'udp-ask', server, '41001', '203.0.113.53', '53', '2');
  lab.talk('server', 'http-get', server, '41002', admin, '80', '/600', '/60');
  lab.talk('server', 'udp-ask', server, '41003', admin, '5353');
  lab.talk('server', 'ping', server, '802', admin, '1');
  lab.talk('server', 'http-get', server, '41004', admin, '81', '/refused');
  const doors = [
    '21',
    '23',
    '25',
    '80',
    '111',
    '113',
    '139',
    '443',
    '445',
    '3306',
    '5432',
    '8000',
    '8001',
    '8443',
    '9100',
  ];
  lab.talk('scanner', 'scan', scanner, '43001', server, ...doors);
  lab.talk('scanner', 'raw-tcp', scanner, '43101', server, '80', '0', 'FPU', 'F', 'SF', 'A', 'SA', 'R', 'S');
  lab.talk('scanner', 'raw-tcp', scanner, '43121', server, '3306', '0', 'FPU', 'A');
  for (const [i, port] of ['5000', '53', '137', '161'].entries()) {
    lab.talk('scanner', 'udp-ask', scanner, `${43201 + i}`, server, port);
  }
  lab.talk('scanner', 'scan', scanner, '43301', server, ...Array(8).fill('22'));
  lab.talk('scanner', 'trace', scanner, '43400', server, '2');
  lab.talk('scanner', 'ping', scanner, '803', server, '2', '2000');
  lab.talk('scanner', 'shout', scanner, '43500', '203.0.113.255', '137');
  lab.talk('scanner', 'shout', scanner, '43501', '224.0.0.251', '5353');
  lab.talk('scanner', 'shout', scanner, '43502', '224.0.0.251', '5354');
  lab.talk('scanner', 'tcp-abort', scanner, '43600', server, '80');
  const [server6, admin6, scanner6] = ['2001:db8:80::80', '2001:db8:80::10', '2001:db8:80::66'];
  lab.talk('admin', 'http-get', admin6, '40005', server6, '80', '/100', '/3000');
  lab.talk('admin', 'ping', admin6, '804', server6, '2');
  lab.talk('scanner', 'scan', scanner6, '44001', server6, '21', '22', '80', '445', '3306');
  lab.talk('scanner', 'udp-ask', scanner6, '44101', server6, '53');
  lab.talk('scanner', 'raw-tcp', scanner6, '44201', server6, '80', 'FPU', 'A');
}

export const server: Scenario = {
  name: 'server',
  offload: false,
  hosts: [
    {
      name: 'server',
      interfaces: ['eth0'],
      rules: RULES,
      rules6: RULES6,
      about: 'A server with a firewall of the ufw kind.',
    },
  ],
  build,
  traffic,
};
