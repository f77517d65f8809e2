/**
 * A host with containers on two bridges, ports published without the userland proxy, rules as Docker writes them.
 *
 *   peer 198.51.100.20 ─ eth0 198.51.100.5 host ┬ docker0 172.17.0.1: web .2 (published 8080 → 80), client .3
 *                                               └ br-app  172.18.0.1: api .2 (published 3000 → 3000), db .3
 */
import type { Lab } from './lab.js';
import type { Scenario } from './scenario.js';

const RULES = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -o br-app -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.18.0.0/16 ! -o br-app -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A POSTROUTING -s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 3000 -j MASQUERADE
-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -p tcp -m tcp --dport 3000 -j DNAT --to-destination 172.18.0.2:3000
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A FORWARD -o br-app -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-app -j DOCKER
-A FORWARD -i br-app ! -o br-app -j ACCEPT
-A FORWARD -i br-app -o br-app -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.18.0.2/32 ! -i br-app -o br-app -p tcp -m tcp --dport 3000 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i br-app ! -o br-app -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o br-app -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 3000 -m iprange --src-range 198.51.100.200-198.51.100.250 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`;

const RULES6 = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d ::1/128 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s fd00:17::/64 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s fd00:17::2/128 -d fd00:17::2/128 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:17::2]:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d fd00:17::2/128 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
`;

async function build(lab: Lab): Promise<void> {
  lab.host('host', true);
  for (const name of ['peer', 'web', 'client', 'api', 'db']) lab.host(name);
  lab.cable(
    { host: 'host', interface: 'eth0', addresses: ['198.51.100.5/24', '2001:db8:5::5/64'] },
    { host: 'peer', interface: 'eth0', addresses: ['198.51.100.20/24', '198.51.100.220/24', '2001:db8:5::20/64'] },
  );
  lab.bridge(
    'host',
    'docker0',
    ['172.17.0.1/16', 'fd00:17::1/64'],
    [
      { host: 'web', interface: 'eth0', addresses: ['172.17.0.2/16', 'fd00:17::2/64'] },
      { host: 'client', interface: 'eth0', addresses: ['172.17.0.3/16', 'fd00:17::3/64'] },
    ],
  );
  lab.bridge(
    'host',
    'br-app',
    ['172.18.0.1/16'],
    [
      { host: 'api', interface: 'eth0', addresses: ['172.18.0.2/16'] },
      { host: 'db', interface: 'eth0', addresses: ['172.18.0.3/16'] },
    ],
  );
  for (const [name, via] of [
    ['web', '172.17.0.1'],
    ['client', '172.17.0.1'],
    ['api', '172.18.0.1'],
    ['db', '172.18.0.1'],
  ] as const) {
    lab.route(name, 'default', 'via', via);
  }
  for (const name of ['web', 'client']) lab.route(name, '::/0', 'via', 'fd00:17::1');
  lab.route('host', 'default', 'via', '198.51.100.20');
  await lab.serve('web', 'http-serve', '172.17.0.2', '80', '100');
  await lab.serve('web', 'http-serve', 'fd00:17::2', '80', '100');
  await lab.serve('api', 'http-serve', '172.18.0.2', '3000', '100');
  await lab.serve('db', 'http-serve', '172.18.0.3', '5432', '100');
  await lab.serve('peer', 'http-serve', '198.51.100.20', '80', '100');
  await lab.serve('peer', 'http-serve', '2001:db8:5::20', '80', '100');
  await lab.serve('peer', 'udp-serve', '198.51.100.20', '53');
}

async function traffic(lab: Lab): Promise<void> {
  const [host, peer, web, client, api] = ['198.51.100.5', '198.51.100.20', '172.17.0.2', '172.17.0.3', '172.18.0.2'];
  lab.talk('peer', 'http-get', peer, '40001', host, '8080', '/100', '/4000', '/9');
  lab.talk('peer', 'http-get', peer, '40002', host, '3000', '/50');
  lab.talk('peer', 'scan', '198.51.100.220', '40003', host, '3000', '8080');
  lab.talk('peer', 'scan', peer, '40010', host, '22', '80', '3001', '5432');
  lab.talk('client', 'http-get', client, '41001', peer, '80', '/700', '/70');
  lab.talk('client', 'udp-ask', client, '41002', peer, '53', '2');
  lab.talk('client', 'udp-ask', client, '41003', peer, '54');
  lab.talk('client', 'ping', client, '901', peer, '2');
  lab.talk('client', 'trace', client, '42000', peer, '2');
  lab.talk('api', 'http-get', api, '41004', peer, '80', '/30');
  // The same source port from the other bridge, to another place: one address outside, so only the far end differs.
  lab.talk('api', 'udp-ask', api, '41002', peer, '55');
  // A container that reaches itself by the published port.
  lab.talk('web', 'http-get', web, '41005', host, '8080', '/11', '/12');
  lab.talk('api', 'http-get', api, '41006', host, '3000', '/13');
  // Between bridges: by the published port and directly, both stopped by the isolation chains.
  lab.talk('api', 'scan', api, '41007', host, '8080');
  lab.talk('client', 'scan', client, '41008', api, '3000');
  lab.talk('client', 'ping', client, '902', api, '1');
  // Within a bridge: only passing by, as the capture's promiscuous mode shows it.
  lab.talk('client', 'http-get', client, '41009', web, '80', '/14');
  lab.talk('client', 'ping', client, '903', '172.17.0.1', '1');
  lab.talk('client', 'scan', client, '41020', '172.17.0.1', '22', '53');
  lab.talk('host', 'http-get', '172.17.0.1', '41010', web, '80', '/15');
  lab.talk('host', 'http-get', host, '41011', peer, '80', '/16', '/17');
  lab.talk('host', 'udp-ask', host, '41012', peer, '53');
  lab.talk('host', 'ping', '172.18.0.1', '904', api, '1');
  lab.talk('client', 'http-get', client, '41013', peer, '80', '/18', '/reset');
  lab.talk('peer', 'tcp-abort', peer, '40020', host, '8080');
  lab.talk('client', 'half-open', client, '41014', '172.18.0.3', '5432', '1.5');
  lab.talk('peer', 'http-get', '2001:db8:5::20', '40031', '2001:db8:5::5', '8080', '/21', '/2000');
  lab.talk('client', 'http-get', 'fd00:17::3', '41031', '2001:db8:5::20', '80', '/22');
  lab.talk('client', 'ping', 'fd00:17::3', '905', '2001:db8:5::20', '2');
  lab.talk('web', 'http-get', 'fd00:17::2', '41032', '2001:db8:5::5', '8080', '/23');
  await lab.serve('peer', 'tcp-hold', peer, '40040', host, '8080', '60');
}

export const docker: Scenario = {
  name: 'docker',
  offload: false,
  hosts: [
    {
      name: 'host',
      interfaces: ['eth0', 'docker0', 'br-app'],
      rules: RULES,
      rules6: RULES6,
      about: 'A Docker host with two bridges and published ports.',
    },
  ],
  build,
  traffic,
};
