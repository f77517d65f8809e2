/**
 * A node of the emulator with kube-proxy's rules, and flows through it: many first packets, each from a port of its own,
 * until every endpoint had its chance. Says where they end, in the words of the specification's flow tables.
 */
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import type { EndpointSlice, Service } from '../../src/kube/objects.js';
import { nodeText } from '../../src/kube/proxy/node-text.js';
import { rawRules } from '../../src/kube/read-rules.js';
import type { RuleTexts } from '../../src/kube/rule-text.js';
import { printRuleSet } from '../../src/ruleset/print.js';
import { type Lab, type LabDevice, makeLab, rulesOf } from '../host/lab.js';
import { be16, be32, bytesOf, ipBytes, SYN, tcpBody, udpBody } from '../support/craft.js';
import { contextOf, NODE_ADDRESSES, type Settings, stateOf } from './fixture.js';
import type { Traced, TracedPacket } from './trace-packet.js';

/** Clients' pods are behind cni0, endpoints behind cni1, the rest of the world behind eth0. */
const DEVICES: readonly LabDevice[] = [
  { name: 'lo', addresses: ['127.0.0.1/8', '::1/128'], kind: 'loopback', mtu: 65536 },
  {
    name: 'eth0',
    addresses: ['192.168.0.2/24', '192.168.1.2/24', '192.168.99.11/32', '2001:db8::1/64', '2001:db8:1::2/64'],
  },
  { name: 'cni0', addresses: ['10.0.255.254/16', 'fd00:10::ffff/64'] },
  { name: 'cni1', addresses: ['10.180.255.254/16', 'fd00:10:180::ffff/64'] },
];
const ROUTES = ['0.0.0.0/0 via 192.168.0.1 eth0', '::/0 via 2001:db8::ff eth0'];
const SYSCTL = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.conf.all.route_localnet': '1',
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.conf.all.send_redirects': '0',
};
const NFACCT = new Map([
  ['ct_state_invalid_dropped_pkts', {}],
  ['localhost_nps_accepted_pkts', {}],
]);
/** Of two endpoints, one is missed by all of these with probability 2^-39. */
const TRIES = 40;

export class WholeWay {
  readonly #lab: Lab;
  readonly #rules: RuleTexts;
  #sourcePort = 20_000;

  constructor(objects: readonly (Service | EndpointSlice)[], settings: Settings, engine: 'reference' | 'compiled') {
    const { family = 'IPv4' } = settings;
    const text = nodeText(stateOf(objects, family), contextOf(settings));
    this.#lab = makeLab({
      devices: DEVICES,
      routes: ROUTES,
      sysctl: SYSCTL,
      ...(family === 'IPv6' ? { rules6: text } : { rules: text }),
      options: { buildEngine: engine === 'compiled' ? compiledEngine : referenceEngine },
      config: { nfacct: NFACCT },
    });
    // Decisions name rules by their place in the loaded set.
    this.#rules = rawRules(printRuleSet(rulesOf(text, family === 'IPv6' ? 6 : 4)));
  }

  flow(packet: TracedPacket, tries = TRIES): Traced {
    const ends = new Set<string>();
    let masqueraded = false;
    for (let i = 0; i < tries; i++) {
      const { end, source } = this.#one(packet);
      ends.add(end);
      masqueraded ||= source !== undefined && source !== packet.source;
    }
    return { result: [...ends].sort().join(', '), masqueraded };
  }

  #one(packet: TracedPacket): { readonly end: string; readonly source?: string } {
    const lab = this.#lab;
    lab.sent.length = 0;
    lab.dropped.length = 0;
    lab.delivered.length = 0;
    const ports = [this.#sourcePort++, packet.port] as const;
    const [protocol, body] = firstOf(packet.protocol, ...ports);
    const ip = ipBytes({ src: packet.source, dst: packet.destination, protocol, body });
    if (NODE_ADDRESSES.includes(packet.source)) lab.send(ip);
    else lab.receive(deviceOf(packet.source), ip);
    const refusal = lab.dropped.find((line) => / filter KUBE-\S+ \d+$/.test(line));
    if (refusal !== undefined) {
      const [, chain, index] = / filter (\S+) (\d+)$/.exec(refusal)!;
      const rule = this.#rules.get('filter')!.get(chain!)![Number(index)]!;
      return { end: rule.includes('-j REJECT') ? 'REJECT' : 'DROP' };
    }
    const left = lab.sent.map((frame) => /^(\S+) (\S+) > (\S+) (?:tcp|udp|sctp) \d+>(\d+)/.exec(frame.line));
    const onward = left.find((match) => match !== null && match[1] !== 'lo' && Number(match[4]) !== ports[0]);
    if (!onward) return { end: '' }; // came to the node itself
    const [, , source, address, port] = onward;
    const isUntouched = address === packet.destination && Number(port) === packet.port;
    if (isUntouched) return { end: '' };
    return { end: address!.includes(':') ? `[${address}]:${port}` : `${address}:${port}`, source: source! };
  }
}

/** Protocol number and first packet of a conversation. */
function firstOf(protocol: string | undefined, sport: number, dport: number): readonly [number, Uint8Array] {
  if (protocol === 'udp') return [17, udpBody(sport, dport, new Uint8Array(4))];
  // INIT: tag, window, streams out and in, first TSN.
  const init = [1, 0, be16(20), be32(7), be32(65_535), be16(1), be16(1), be32(1)];
  if (protocol === 'sctp') return [132, bytesOf(be16(sport), be16(dport), be32(0), be32(0), ...init)];
  return [6, tcpBody({ sport, dport, flags: SYN })];
}

function deviceOf(source: string): string {
  if (/^(?:10\.180\.|fd00:10:180:)/.test(source)) return 'cni1';
  return /^(?:10\.|fd00:10:)/.test(source) ? 'cni0' : 'eth0';
}
