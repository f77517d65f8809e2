/**
 * A home router: masquerade towards the provider, one port forwarded to a box at home (also for those at home, by the
 * outside address), IPv6 routed and filtered.
 *
 *   laptop .10 ─┐
 *               ├─ 192.168.1.0/24 ─ lan0 router wan0 ─ 203.0.113.0/24 ─ isp ─ 198.51.100.0/24 ─ web .10, .53
 *   nas    .20 ─┘  2001:db8:1::/64              2001:db8:f::/64              2001:db8:5::/64
 */
import type { Lab } from './lab.js';
import type { HostUnderTest, Scenario } from './scenario.js';

const RULES = `*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i lan0 -m conntrack --ctstate NEW -j CONNMARK --set-xmark 0x1/0xffffffff
-A FORWARD -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN -m comment --comment "clamp to the provider's MTU" -j TCPMSS --set-mss 1420
-A POSTROUTING -o wan0 -p udp -m udp --dport 53 -j DSCP --set-dscp 0x2e
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 203.0.113.2/32 -p tcp -m tcp --dport 8080 -m comment --comment "nas: web" -j DNAT --to-destination 192.168.1.20:80
-A POSTROUTING -s 192.168.1.0/24 -d 192.168.1.20/32 -p tcp -m tcp --dport 80 -m conntrack --ctstate DNAT -m comment --comment "nas: web, from home" -j SNAT --to-source 192.168.1.1
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:from-wan - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -i lan0 -j ACCEPT
-A INPUT -i wan0 -j from-wan
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -i lan0 -j ACCEPT
-A FORWARD -i wan0 -m conntrack --ctstate DNAT -j ACCEPT
-A from-wan -p icmp -m icmp --icmp-type 8 -m limit --limit 6/min --limit-burst 3 -j ACCEPT
-A from-wan -p tcp -m multiport --dports 22,23,80,443 -m comment --comment "silent on the usual ones" -j DROP
-A from-wan -p tcp -j REJECT --reject-with tcp-reset
-A from-wan -p udp -j REJECT --reject-with icmp-port-unreachable
COMMIT
`;

const RULES6 = `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT
-A INPUT -i lan0 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp6-adm-prohibited
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -i lan0 -j ACCEPT
-A FORWARD -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
-A FORWARD -j REJECT --reject-with icmp6-adm-prohibited
COMMIT
`;

async function build(lab: Lab): Promise<void> {
  lab.host('router', true);
  lab.host('isp', true);
  for (const name of ['laptop', 'nas', 'web', 'switch']) lab.host(name);
  lab.bridge(
    'switch',
    'lan',
    [],
    [
      { host: 'router', interface: 'lan0', addresses: ['192.168.1.1/24', '2001:db8:1::1/64'] },
      { host: 'laptop', interface: 'eth0', addresses: ['192.168.1.10/24', '2001:db8:1::10/64'] },
      { host: 'nas', interface: 'eth0', addresses: ['192.168.1.20/24', '2001:db8:1::20/64'] },
    ],
  );
  lab.cable(
    { host: 'router', interface: 'wan0', addresses: ['203.0.113.2/24', '2001:db8:f::2/64'] },
    { host: 'isp', interface: 'eth0', addresses: ['203.0.113.1/24', '2001:db8:f::1/64'] },
  );
  lab.cable(
    { host: 'isp', interface: 'eth1', addresses: ['198.51.100.1/24', '2001:db8:5::1/64'] },
    { host: 'web', interface: 'eth0', addresses: ['198.51.100.10/24', '198.51.100.53/24', '2001:db8:5::10/64'] },
  );
  // Nobody has this address: what is sent there vanishes.
  lab.neighbour({ host: 'isp', interface: 'eth1' }, '198.51.100.99', '02:00:00:00:dd:dd');
  for (const home of ['laptop', 'nas']) {
    lab.route(home, 'default', 'via', '192.168.1.1');
    lab.route(home, '::/0', 'via', '2001:db8:1::1');
  }
  lab.route('router', 'default', 'via', '203.0.113.1');
  lab.route('router', '::/0', 'via', '2001:db8:f::1');
  lab.route('isp', '2001:db8:1::/64', 'via', '2001:db8:f::2');
  lab.route('web', 'default', 'via', '198.51.100.1');
  lab.route('web', '::/0', 'via', '2001:db8:5::1');
  await lab.serve('web', 'http-serve', '198.51.100.10', '80', '200');
  await lab.serve('web', 'http-serve', '2001:db8:5::10', '80', '200');
  await lab.serve('web', 'udp-serve', '198.51.100.53', '53');
  await lab.serve('web', 'udp-serve', '2001:db8:5::10', '53');
  await lab.serve('nas', 'http-serve', '192.168.1.20', '80', '200');
}

async function traffic(lab: Lab): Promise<void> {
  lab.talk('laptop', 'http-get', '192.168.1.10', '40001', '198.51.100.10', '80', '/300', '/9000', '/12');
  lab.talk('laptop', 'udp-ask', '192.168.1.10', '40002', '198.51.100.53', '53', '2');
  lab.talk('laptop', 'ping', '192.168.1.10', '701', '198.51.100.10', '3');
  lab.talk('laptop', 'ping', '192.168.1.10', '702', '198.51.100.10', '1', '3000');
  lab.talk('laptop', 'trace', '192.168.1.10', '41000', '198.51.100.10', '4');
  lab.talk('web', 'http-get', '198.51.100.10', '42001', '203.0.113.2', '8080', '/500', '/20');
  lab.talk('laptop', 'http-get', '192.168.1.10', '40003', '203.0.113.2', '8080', '/80', '/81');
  lab.talk(
    'web',
    'scan',
    '198.51.100.10',
    '43001',
    '203.0.113.2',
    '21',
    '22',
    '25',
    '80',
    '443',
    '3389',
    '8080',
    '8081',
  );
  lab.talk('web', 'raw-tcp', '198.51.100.10', '43100', '203.0.113.2', '81', 'SF', 'A', '0', 'FPU', 'R');
  lab.talk('web', 'udp-ask', '198.51.100.10', '43200', '203.0.113.2', '161');
  // Five connections to conntrack, as each has an identifier of its own; the limit lets three in.
  for (let i = 0; i < 5; i++) lab.talk('web', 'ping', '198.51.100.10', `${720 + i}`, '203.0.113.2', '1');
  lab.talk('laptop', 'http-get', '192.168.1.10', '40004', '198.51.100.10', '80', '/5', '/reset');
  lab.talk('laptop', 'tcp-abort', '192.168.1.10', '40005', '198.51.100.10', '80');
  lab.talk('laptop', 'http-get', '192.168.1.10', '40006', '198.51.100.10', '81', '/refused');
  lab.talk('laptop', 'half-open', '192.168.1.10', '40007', '198.51.100.99', '80', '3.5');
  lab.talk('laptop', 'udp-ask', '192.168.1.10', '40008', '198.51.100.10', '5353');
  lab.talk('laptop', 'udp-ask', '192.168.1.10', '40009', '192.168.1.1', '53');
  lab.talk('router', 'udp-ask', '203.0.113.2', '40010', '198.51.100.53', '53');
  lab.talk('router', 'http-get', '203.0.113.2', '40011', '198.51.100.10', '80', '/64');
  lab.talk('router', 'ping', '192.168.1.1', '704', '192.168.1.20', '1');
  lab.talk('laptop', 'http-get', '2001:db8:1::10', '40021', '2001:db8:5::10', '80', '/300', '/3000');
  lab.talk('laptop', 'udp-ask', '2001:db8:1::10', '40022', '2001:db8:5::10', '53');
  lab.talk('laptop', 'ping', '2001:db8:1::10', '705', '2001:db8:5::10', '2');
  lab.talk('laptop', 'trace', '2001:db8:1::10', '41100', '2001:db8:5::10', '4');
  lab.talk('web', 'ping', '2001:db8:5::10', '706', '2001:db8:1::10', '1');
  lab.talk('web', 'scan', '2001:db8:5::10', '43300', '2001:db8:1::20', '22', '80');
  lab.talk('web', 'scan', '2001:db8:5::10', '43310', '2001:db8:f::2', '22', '80');
  lab.talk('web', 'udp-ask', '2001:db8:5::10', '43320', '2001:db8:1::20', '161');
  await lab.serve('laptop', 'tcp-hold', '192.168.1.10', '40030', '198.51.100.10', '80', '60');
}

/** Fewer flows, larger bodies: segments beyond the MTU and checksums left to the card are the point here. */
async function offloadTraffic(lab: Lab): Promise<void> {
  lab.talk('laptop', 'http-get', '192.168.1.10', '40001', '198.51.100.10', '80', '/300', '/40000');
  lab.talk('laptop', 'udp-ask', '192.168.1.10', '40002', '198.51.100.53', '53', '2');
  lab.talk('laptop', 'ping', '192.168.1.10', '701', '198.51.100.10', '2');
  lab.talk('laptop', 'trace', '192.168.1.10', '41000', '198.51.100.10', '4');
  lab.talk('web', 'http-get', '198.51.100.10', '42001', '203.0.113.2', '8080', '/20000');
  lab.talk('laptop', 'http-get', '192.168.1.10', '40003', '203.0.113.2', '8080', '/8000');
  lab.talk('web', 'scan', '198.51.100.10', '43001', '203.0.113.2', '21', '22', '8080');
  lab.talk('laptop', 'http-get', '192.168.1.10', '40004', '198.51.100.10', '80', '/reset');
  lab.talk('laptop', 'http-get', '2001:db8:1::10', '40021', '2001:db8:5::10', '80', '/20000');
  lab.talk('laptop', 'udp-ask', '2001:db8:1::10', '40022', '2001:db8:5::10', '53');
}

const host: HostUnderTest = {
  name: 'router',
  interfaces: ['lan0', 'wan0', 'any'],
  rules: RULES,
  rules6: RULES6,
  about: 'A home router: masquerade, a port forward that also works from home, a quiet outside.',
};

export const router: Scenario = { name: 'router', offload: false, hosts: [host], build, traffic };

export const routerOffload: Scenario = {
  name: 'router-offload',
  offload: true,
  hosts: [{ ...host, interfaces: ['lan0', 'wan0'], about: 'The home router again, with offloading network cards.' }],
  build,
  traffic: offloadTraffic,
};
