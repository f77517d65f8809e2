/** Small hosts for tests: described in a few words, fed with IP packets, watched frame by frame. */
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { referenceEngine } from '../../src/engine/reference/walk.js';
import type { DropPlace, HostEvents, InFrame } from '../../src/host/event.js';
import { Host, type HostOptions } from '../../src/host/host.js';
import {
  type AddressConfig,
  type DeviceConfig,
  type HostConfig,
  type RouteConfig,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_BLACKHOLE,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '../../src/host/host-config.js';
import { routesOfAddresses } from '../../src/host/route.js';
import { printIp4 } from '../../src/net/ip4.js';
import { printIp6, type Words6 } from '../../src/net/ip6.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { Field } from '../../src/wire/field.js';
import { Packet } from '../../src/wire/packet.js';
import { parseAddress } from '../support/address.js';

export interface LabDevice {
  readonly name: string;
  /** Last byte of 02:00:00:00:00:NN; default: 0x10 + place. */
  readonly addresses: readonly string[];
  readonly mtu?: number;
  readonly kind?: DeviceConfig['kind'];
}

export interface LabOptions {
  readonly devices?: readonly LabDevice[];
  /** `DEST via GATEWAY DEVICE`, `DEST dev DEVICE`, `unreachable|prohibit|blackhole DEST`. */
  readonly routes?: readonly string[];
  /** Rules of iptables-save form, IPv4 or IPv6. */
  readonly rules?: string;
  readonly rules6?: string;
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly options?: Partial<HostOptions>;
  readonly config?: Partial<HostConfig>;
}

/** One thing that the host did, in words. */
export interface Lab {
  readonly host: Host;
  /** Frames that left: device, link header (hex) and a line that describes the packet. */
  readonly sent: { device: string; mac: string; bytes: Uint8Array; line: string; origin: string }[];
  readonly delivered: string[];
  readonly dropped: string[];
  readonly log: string[];
  /** Puts an IP packet on a device's wire, addressed to the host (or with another class). */
  receive(device: string, ip: Uint8Array, more?: { pktType?: number; original?: number; atUs?: number }): void;
  /** A process of the host sends an IP packet. */
  send(ip: Uint8Array, device?: string): void;
  /** Counters as `table chain n: packets`, only those that moved; policies as rule -1. */
  counters(family?: 4 | 6): string[];
}

export const TWO_DEVICES: readonly LabDevice[] = [
  { name: 'lo', addresses: ['127.0.0.1/8', '::1/128'], kind: 'loopback', mtu: 65536 },
  { name: 'eth0', addresses: ['10.0.0.1/24', 'fd00:a::1/64', 'fe80::1/64'] },
  { name: 'eth1', addresses: ['10.1.0.1/24', 'fd00:b::1/64', 'fe80::2/64'] },
];

export const words = (text: string): Words6 => {
  const w = parseAddress(text);
  return [w[0]!, w[1] ?? 0, w[2] ?? 0, w[3] ?? 0];
};

function addressOf(text: string): AddressConfig {
  const [address, bits] = text.split('/') as [string, string];
  const family = address.includes(':') ? 6 : 4;
  const parsed = words(address);
  const isLoopback = address.startsWith('127.') || address === '::1';
  const linkLocal = address.startsWith('fe80');
  const size = Number(bits);
  return {
    family,
    address: parsed,
    bits: size,
    ...(family === 4 && !isLoopback && size < 31 ? { broadcast: (parsed[0] | (0xffffffff >>> size)) >>> 0 } : {}),
    scope: isLoopback ? RT_SCOPE_HOST : linkLocal ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    secondary: false,
    deprecated: false,
    tentative: false,
  };
}

export function configOf(lab: LabOptions): HostConfig {
  const devices = (lab.devices ?? TWO_DEVICES).map((d, i): DeviceConfig => {
    const kind = d.kind ?? 'ethernet';
    return {
      name: d.name,
      kind,
      mac: kind === 'ethernet' ? Uint8Array.of(2, 0, 0, 0, 0, 0x10 + i) : undefined,
      mtu: d.mtu ?? 1500,
      up: true,
      addresses: d.addresses.map(addressOf),
    };
  });
  const routes: RouteConfig[] = [
    ...routesOfAddresses({ devices }, 4),
    ...routesOfAddresses({ devices }, 6),
    ...(lab.routes ?? []).map(routeOf),
  ];
  return { devices, routes, neighbours: [], sysctl: new Map(Object.entries(lab.sysctl ?? {})), ...lab.config };
}

const REFUSALS: Readonly<Record<string, number>> = {
  unreachable: RTN_UNREACHABLE,
  prohibit: RTN_PROHIBIT,
  blackhole: RTN_BLACKHOLE,
};

function routeOf(text: string): RouteConfig {
  const parts = text.split(' ');
  const refusal = REFUSALS[parts[0]!];
  const dest = refusal === undefined ? parts[0]! : parts[1]!;
  const [address, bits] = dest.split('/') as [string, string];
  const family = address.includes(':') ? 6 : 4;
  const base = {
    family,
    table: RT_TABLE_MAIN,
    address: words(address),
    bits: Number(bits),
    tos: 0,
    metric: 0,
  } as const;
  if (refusal !== undefined) return { ...base, type: refusal, scope: RT_SCOPE_UNIVERSE, nextHops: [] };
  const via = parts[1] === 'via';
  const device = via ? parts[3]! : parts[2]!;
  const gateway = via ? { gateway: { family, address: words(parts[2]!) } as const } : {};
  return {
    ...base,
    type: RTN_UNICAST,
    scope: via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
    nextHops: [{ device, onlink: false, dead: false, ...gateway }],
  };
}

export function rulesOf(text: string, family: 4 | 6) {
  const parsed = parseRuleSet({ name: 'lab.rules', text }, { family });
  if (!parsed.ok) throw new Error(`bug: test rules: ${parsed.diagnostics.map(renderDiagnostic).join('\n')}`);
  return parsed.ruleSet;
}

export function makeLab(lab: LabOptions = {}): Lab {
  const sent: Lab['sent'] = [];
  const delivered: string[] = [];
  const dropped: string[] = [];
  const log: string[] = [];
  const events: HostEvents = {
    sent(frame) {
      const bytes = frame.bytes.slice(frame.start, frame.end);
      const ip = frame.hasEthernet ? bytes.subarray(14) : bytes;
      const mac = frame.hasEthernet
        ? [...bytes.subarray(0, 12)].map((b) => b.toString(16).padStart(2, '0')).join('')
        : '';
      const device = host.devices.at(frame.device)!.name;
      sent.push({ device, mac, bytes: ip, line: `${device} ${describe(ip)}`, origin: frame.origin });
    },
    delivered: (p) => delivered.push(describe(p.bytes.subarray(p.l3Off, p.wireEnd))),
    dropped: (_p, place: DropPlace, reason, cause) => {
      const rule =
        cause === undefined ? '' : ` ${cause.table} ${cause.decision.chain?.name} ${cause.decision.ruleIndex}`;
      dropped.push(`${place}: ${reason}${rule}`);
    },
    log: (_level, line) => log.push(line),
  };
  const host = new Host(configOf(lab), {
    ruleSet4: lab.rules === undefined ? undefined : rulesOf(lab.rules, 4),
    ruleSet6: lab.rules6 === undefined ? undefined : rulesOf(lab.rules6, 6),
    buildEngine: referenceEngine,
    seed: 1,
    events,
    assumeNeighbours: true,
    ...lab.options,
  });
  host.clock.advanceTo(1_700_000_000_000_000);
  return {
    host,
    sent,
    delivered,
    dropped,
    log,
    receive(device, ip, more = {}) {
      if (more.atUs !== undefined) host.clock.advanceTo(host.clock.nowUs + more.atUs);
      host.receive(frameOf(host, device, ip, more));
    },
    send(ip, device) {
      host.sendLocal({
        ...frameOf(host, device ?? 'lo', ip, {}),
        device: device === undefined ? 0 : host.deviceIndex(device),
      });
    },
    counters(family = 4) {
      const engine = host.engine(family);
      if (engine === undefined) return [];
      const lines: string[] = [];
      for (const table of engine.snapshot().tables) {
        for (const chain of table.chains.values()) {
          chain.rules.forEach((rule, i) => {
            if (rule.packets > 0n) lines.push(`${table.name} ${chain.name} ${i}: ${rule.packets}`);
          });
          if (chain.packets > 0n) lines.push(`${table.name} ${chain.name}: ${chain.packets}`);
        }
      }
      return lines;
    },
  };
}

function frameOf(host: Host, name: string, ip: Uint8Array, more: { pktType?: number; original?: number }): InFrame {
  const device = host.devices.at(host.deviceIndex(name));
  if (device === undefined) throw new Error(`bug: no device ${name}`);
  const link = device.hasEthernet ? 14 : 0;
  const bytes = new Uint8Array(link + ip.length);
  bytes.set(ip, link);
  const family = ip[0]! >> 4 === 6 ? 6 : 4;
  if (device.hasEthernet) {
    const view = new DataView(bytes.buffer);
    view.setUint16(0, device.macHigh);
    view.setUint32(2, device.macLow);
    bytes.set([2, 0xff, 0, 0, 0, device.index], 6);
    view.setUint16(12, family === 4 ? 0x0800 : 0x86dd);
  }
  return {
    bytes,
    view: new DataView(bytes.buffer),
    start: 0,
    l3Off: link,
    capturedEnd: bytes.length,
    originalEnd: link + (more.original ?? ip.length),
    family,
    device: device.index,
    macOff: device.hasEthernet ? 0 : -1,
    pktType: more.pktType ?? -1,
    offloaded: false,
  };
}

/** `10.0.0.1 > 10.0.0.2 icmp 3/1 ttl 64 len 56` and the like. */
export function describe(ip: Uint8Array): string {
  const p = new Packet();
  p.reset();
  p.attach(ip, new DataView(ip.buffer, ip.byteOffset, ip.byteLength));
  const family = ip[0]! >> 4 === 6 ? 6 : 4;
  const result = family === 4 ? p.parse4(0, ip.length, ip.length) : p.parse6(0, ip.length, ip.length);
  if (result !== 0) return `unreadable (${result})`;
  const { f } = p;
  const print = (at: number) =>
    family === 4 ? printIp4(f[at]!) : printIp6(f[at]!, f[at + 1]!, f[at + 2]!, f[at + 3]!);
  const names: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6', 132: 'sctp' };
  const proto = names[p.protocol] ?? `proto ${p.protocol}`;
  let detail = '';
  if (p.isFragment) detail = ` frag ${f[Field.FragOff]}${p.moreFragments ? '+' : ''}`;
  else if (p.protocol === 1 || p.protocol === 58) detail = ` ${f[Field.Icmp]! >> 8}/${f[Field.Icmp]! & 255}`;
  else if (p.protocol === 6) detail = ` ${p.srcPort}>${p.dstPort} flags ${f[Field.TcpFlags]}`;
  else if (p.protocol === 17 || p.protocol === 132) detail = ` ${p.srcPort}>${p.dstPort}`;
  return `${print(0)} > ${print(4)} ${proto}${detail} ttl ${p.ttl} len ${p.length}`;
}
