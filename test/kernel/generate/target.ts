/** Arbitraries of targets as text, by table and hooks. */
import fc from 'fast-check';
import type { BaseChainName, Family } from '../../../src/net/netfilter.js';
import { address } from '../topology.js';
import { flag, markValue, type Part, type PartArb, type Place, tosValue } from './match.js';
import { deliverable, HOSTS, SERVER_PORTS } from './pool.js';

const target = (name: string, arb: fc.Arbitrary<string>): PartArb =>
  arb.map((text) => ({ text: `-j ${name}${text === '' ? '' : ` ${text}`}`, uses: [name] }));

const verdict = (name: string): PartArb => fc.constant<Part>({ text: `-j ${name}`, uses: [name] });
const nothing: PartArb = fc.constant<Part>({ text: '', uses: [] });

const REJECTS = {
  4: [
    'icmp-net-unreachable',
    'icmp-host-unreachable',
    'icmp-port-unreachable',
    'icmp-proto-unreachable',
    'icmp-net-prohibited',
    'icmp-host-prohibited',
    'icmp-admin-prohibited',
  ],
  6: [
    'icmp6-no-route',
    'icmp6-adm-prohibited',
    'icmp6-addr-unreachable',
    'icmp6-port-unreachable',
    'icmp6-policy-fail',
    'icmp6-reject-route',
  ],
} as const;

function reject(family: Family, tcp: boolean): PartArb {
  const types = fc
    .constantFrom(...REJECTS[family], ...(tcp ? ['tcp-reset', 'tcp-reset', 'tcp-reset'] : []))
    .map((t) => `--reject-with ${t}`);
  return target('REJECT', fc.oneof(types, fc.constant('')));
}

function log(): PartArb {
  return target(
    'LOG',
    fc
      .tuple(
        fc.option(fc.constantFrom('--log-prefix a', '--log-prefix "two words: "'), { nil: undefined }),
        fc.option(fc.constantFrom('--log-level 6', '--log-level info', '--log-level 4', '--log-level debug'), {
          nil: undefined,
        }),
        fc.option(flag('--log-tcp-sequence', false), { nil: undefined }),
        fc.option(flag('--log-tcp-options', false), { nil: undefined }),
        fc.option(flag('--log-ip-options', false), { nil: undefined }),
        fc.option(flag('--log-uid', false), { nil: undefined }),
        fc.option(flag('--log-macdecode', false), { nil: undefined }),
      )
      .map((parts) => parts.filter((p) => p !== undefined).join(' ')),
  );
}

function mark(): PartArb {
  return target(
    'MARK',
    fc
      .tuple(fc.constantFrom('--set-mark', '--set-xmark', '--or-mark', '--and-mark', '--xor-mark'), markValue)
      .map(([o, v]) => (o.startsWith('--set') ? `${o} ${v}` : `${o} ${v.split('/')[0]}`)),
  );
}

function connmark(): PartArb {
  const masks = fc.constantFrom(
    '',
    ' --nfmask 0xff --ctmask 0xff',
    ' --mask 0xf0',
    ' --nfmask 0xffff --ctmask 0xff0000ff',
  );
  return target(
    'CONNMARK',
    fc.oneof(
      fc.tuple(fc.constantFrom('--set-mark', '--set-xmark'), markValue).map(([o, v]) => `${o} ${v}`),
      fc
        .tuple(fc.constantFrom('--or-mark', '--and-mark', '--xor-mark'), markValue)
        .map(([o, v]) => `${o} ${v.split('/')[0]}`),
      fc
        .tuple(
          fc.constantFrom('--save-mark', '--restore-mark'),
          masks,
          fc.constantFrom('', '', '', ' --left-shift-mark 4', ' --right-shift-mark 1'),
        )
        .map(([o, m, s]) => `${o}${m}${s}`),
    ),
  );
}

/** Address, or a range of addresses with known neighbours, as NAT targets take it. */
function natAddress(family: Family): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...deliverable(family)) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom(0, 1, 2), fc.constantFrom([2, 3], [2, 9], [3, 12], [9, 10]))
        .map(([l, [a, b]]) => `${address(family, l, a!)}-${address(family, l, b!)}`),
    },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 2).map((l) => address(family, l, 1)) },
  );
}

const port = fc.constantFrom(...SERVER_PORTS, 8080, 30000);
const portSpan = fc.oneof(
  { weight: 3, arbitrary: port.map(String) },
  { weight: 2, arbitrary: fc.constantFrom('2000-2003', '80-81', '5000-5600', '443-443', '1024-65535') },
);

const withPort = (family: Family, a: string, p: string) => (family === 4 ? `${a}:${p}` : `[${a}]:${p}`);

function dnat(family: Family, ports: boolean): PartArb {
  const plain = natAddress(family);
  const full = fc.tuple(natAddress(family), portSpan).map(([a, p]) => withPort(family, a, p));
  const shifted = natAddress(family).map((a) => withPort(family, a, '8000-8100/50'));
  const portOnly = portSpan.map((p) => `:${p}`);
  const to = ports
    ? fc.oneof(
        { weight: 3, arbitrary: plain },
        { weight: 4, arbitrary: full },
        { weight: 1, arbitrary: shifted },
        { weight: 1, arbitrary: portOnly },
      )
    : plain;
  return target(
    'DNAT',
    fc
      .tuple(to, fc.constantFrom('', '', '', '', ' --random', ' --persistent', ' --random --persistent'))
      .map(([t, f]) => `--to-destination ${t}${f}`),
  );
}

function snat(family: Family, ports: boolean): PartArb {
  const plain = natAddress(family);
  const full = fc.tuple(natAddress(family), portSpan).map(([a, p]) => withPort(family, a, p));
  const to = ports
    ? fc.oneof(
        { weight: 4, arbitrary: plain },
        { weight: 2, arbitrary: full },
        { weight: 1, arbitrary: portSpan.map((p) => `:${p}`) },
      )
    : plain;
  return target(
    'SNAT',
    fc
      .tuple(
        to,
        fc.constantFrom(
          '',
          '',
          '',
          '',
          ' --random',
          ' --persistent',
          ' --random-fully',
          ' --random-fully --persistent',
        ),
      )
      .map(([t, f]) => `--to-source ${t}${f}`),
  );
}

function masquerade(ports: boolean): PartArb {
  return target(
    'MASQUERADE',
    fc
      .tuple(
        ports ? fc.option(portSpan, { freq: 4, nil: undefined }) : fc.constant(undefined),
        fc.constantFrom('', '', '', ' --random', ' --random-fully'),
      )
      .map(([p, f]) => `${p === undefined ? '' : `--to-ports ${p}`}${f}`.trim()),
  );
}

function redirect(ports: boolean): PartArb {
  return target(
    'REDIRECT',
    fc
      .tuple(
        ports ? fc.option(portSpan, { nil: undefined }) : fc.constant(undefined),
        fc.constantFrom('', '', '', ' --random'),
      )
      .map(([p, f]) => `${p === undefined ? '' : `--to-ports ${p}`}${f}`.trim()),
  );
}

function netmap(family: Family): PartArb {
  const to = fc
    .tuple(fc.constantFrom(0, 1, 2), fc.constantFrom(...HOSTS, 0))
    .map(([l, h]) => (h === 0 ? `${address(family, l, 0)}/${family === 4 ? 28 : 124}` : address(family, l, h)));
  return target(
    'NETMAP',
    to.map((t) => `--to ${t}`),
  );
}

function ct(): PartArb {
  return target(
    'CT',
    fc.constantFrom(
      '--notrack',
      '--zone 5',
      '--zone 9',
      '--zone-orig 5',
      '--zone-reply 5',
      '--zone mark',
      '',
      '--zone 0',
      '--zone-orig mark',
      '--zone-reply mark',
    ),
  );
}

const ttl = target(
  'TTL',
  fc.constantFrom(
    '--ttl-set 64',
    '--ttl-inc 1',
    '--ttl-dec 1',
    '--ttl-set 1',
    '--ttl-dec 255',
    '--ttl-inc 255',
    '--ttl-set 0',
  ),
);
const hl = target(
  'HL',
  fc.constantFrom('--hl-set 64', '--hl-inc 1', '--hl-dec 1', '--hl-set 1', '--hl-dec 255', '--hl-inc 255'),
);
const tos = target(
  'TOS',
  fc.oneof(
    tosValue.map((v) => `--set-tos ${v}`),
    fc
      .tuple(fc.constantFrom('--and-tos', '--or-tos', '--xor-tos'), fc.constantFrom('0x10', '0xfc', '0x03'))
      .map(([o, v]) => `${o} ${v}`),
  ),
);
const dscp = target(
  'DSCP',
  fc.constantFrom('--set-dscp 0x2e', '--set-dscp 0', '--set-dscp-class AF21', '--set-dscp-class CS7', '--set-dscp 1'),
);

function tcpmss(hooks: readonly BaseChainName[]): PartArb {
  const clamp = hooks.every((h) => ['FORWARD', 'OUTPUT', 'POSTROUTING'].includes(h));
  return target(
    'TCPMSS',
    fc.constantFrom(
      '--set-mss 1000',
      '--set-mss 100',
      '--set-mss 1400',
      ...(clamp ? ['--clamp-mss-to-pmtu', '--clamp-mss-to-pmtu'] : []),
    ),
  );
}

export interface TargetContext extends Place {
  /** The rule's protocol: tcp, udp …; undefined for none (or inverted). */
  readonly protocol: string | undefined;
  /** A tcp match with SYN in its comparison stands in the rule. */
  readonly syn: boolean;
  /** User chains that may be called. */
  readonly callable: readonly string[];
}

export function arbTarget(c: TargetContext): PartArb {
  const { family, table, hooks, protocol } = c;
  const within = (...allowed: BaseChainName[]) => hooks.every((h) => allowed.includes(h));
  const ports =
    protocol !== undefined && ['tcp', 'udp', 'sctp', 'dccp', ...(family === 4 ? ['icmp'] : [])].includes(protocol);
  const list: { weight: number; arbitrary: PartArb }[] = [
    { weight: 5, arbitrary: verdict('ACCEPT') },
    { weight: 2, arbitrary: verdict('RETURN') },
    { weight: 2, arbitrary: nothing },
    { weight: 2, arbitrary: log() },
    { weight: 2, arbitrary: mark() },
    { weight: 2, arbitrary: connmark() },
  ];
  if (table !== 'nat') list.push({ weight: 1, arbitrary: verdict('DROP') });
  for (const chain of c.callable) {
    list.push({ weight: 3, arbitrary: fc.constant({ text: `-j ${chain}`, uses: ['jump'] }) });
    list.push({ weight: 1, arbitrary: fc.constant({ text: `-g ${chain}`, uses: ['goto'] }) });
  }
  if (table === 'filter') list.push({ weight: 4, arbitrary: reject(family, protocol === 'tcp') });
  if (table === 'nat') {
    if (within('PREROUTING', 'OUTPUT')) {
      list.push({ weight: 16, arbitrary: dnat(family, ports) }, { weight: 4, arbitrary: redirect(ports) });
    }
    if (within('POSTROUTING')) list.push({ weight: 6, arbitrary: masquerade(ports) });
    if (within('POSTROUTING', 'INPUT')) list.push({ weight: 12, arbitrary: snat(family, ports) });
    if (within('PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING')) list.push({ weight: 4, arbitrary: netmap(family) });
  }
  if (table === 'mangle') {
    list.push(
      { weight: 2, arbitrary: family === 4 ? ttl : hl },
      { weight: 2, arbitrary: tos },
      { weight: 2, arbitrary: dscp },
      { weight: 4, arbitrary: mark() },
    );
  }
  if (table === 'raw') {
    list.push(
      { weight: 3, arbitrary: verdict('NOTRACK') },
      { weight: 4, arbitrary: ct() },
      { weight: 1, arbitrary: verdict('TRACE') },
    );
  }
  if (c.syn) list.push({ weight: 8, arbitrary: tcpmss(hooks) });
  return fc.oneof(...list);
}
