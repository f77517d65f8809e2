/**
 * Arbitraries of match options as text, one list for every family and protocol. Each names its extension, so that the
 * evidence can count. Values come from the pool: a rule that never meets a packet says nothing.
 */
import fc from 'fast-check';
import type { BaseChainName, Family, TableName } from '../../../src/net/netfilter.js';
import { ACCOUNTS, address, LINKS } from '../topology.js';
import { CLIENT_PORTS, deliverable, HOSTS, MARKS, MASKS, ownAddresses, SERVER_PORTS, VIRTUAL } from './pool.js';

export interface Part {
  readonly text: string;
  /** Extensions that take part. */
  readonly uses: readonly string[];
}

/** Where a rule may be reached from, for extensions that only some hooks allow. */
export interface Place {
  readonly family: Family;
  readonly table: TableName;
  readonly hooks: readonly BaseChainName[];
}

export type PartArb = fc.Arbitrary<Part>;
type Weighted = { weight: number; arbitrary: PartArb };

const maybe = fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

/** `option value`, sometimes with `!`. */
export function opt(option: string, value: fc.Arbitrary<string | number>, invertible = true): fc.Arbitrary<string> {
  return fc
    .tuple(invertible ? maybe : fc.constant(false), value)
    .map(([not, v]) => `${not ? '! ' : ''}${option}${v === '' ? '' : ` ${v}`}`);
}

export const flag = (option: string, invertible = true) => opt(option, fc.constant(''), invertible);

/** Some of the options, in the order given (at least one where `some` says so). */
function options(name: string, some: boolean, ...arbs: fc.Arbitrary<string>[]): PartArb {
  return fc
    .tuple(fc.nat({ max: arbs.length - 1 }), ...arbs.map((a) => fc.option(a, { freq: 2, nil: undefined })))
    .chain(([at, ...given]) => {
      const texts = given.filter((g): g is string => g !== undefined);
      const filled = texts.length > 0 || !some ? fc.constant(texts) : arbs[at]!.map((t) => [t]);
      return filled.map((t) => ({ text: [`-m ${name}`, ...t].join(' '), uses: [name] }));
    });
}

const part = (name: string, arb: fc.Arbitrary<string>): PartArb =>
  arb.map((text) => ({ text: `-m ${name}${text === '' ? '' : ` ${text}`}`, uses: [name] }));

const hex = (n: number) => `0x${n.toString(16)}`;
const ports = fc.constantFrom(...SERVER_PORTS, ...CLIENT_PORTS);

/** A port or a range that often holds one of the pool. */
export const portRange = fc.oneof(
  { weight: 4, arbitrary: ports.map(String) },
  {
    weight: 2,
    arbitrary: fc.tuple(ports, ports).map(([a, b]) => (a < b ? `${a}:${b}` : a > b ? `${b}:${a}` : `${a}`)),
  },
  { weight: 1, arbitrary: fc.constantFrom(':1024', '1024:', '0', '65535', ':', '0:65535', '1:65535') },
);

const FLAG_WORDS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'] as const;
const flagList = fc.oneof(
  { weight: 4, arbitrary: fc.subarray([...FLAG_WORDS], { minLength: 1 }).map((l) => l.join(',')) },
  { weight: 1, arbitrary: fc.constantFrom('ALL', 'NONE') },
);

const sourcePort = fc.oneof(
  { weight: 9, arbitrary: opt('--sport', portRange) },
  { weight: 1, arbitrary: opt('--source-port', portRange) },
);
const destinationPort = fc.oneof(
  { weight: 9, arbitrary: opt('--dport', portRange) },
  { weight: 1, arbitrary: opt('--destination-port', portRange) },
);

export function tcpMatch(): PartArb {
  return options(
    'tcp',
    false,
    sourcePort,
    destinationPort,
    opt('--tcp-option', fc.constantFrom(2, 3, 4, 8, 5, 254, 1)),
    fc.oneof(
      flag('--syn'),
      fc.tuple(maybe, flagList, flagList).map(([n, m, c]) => `${n ? '! ' : ''}--tcp-flags ${m} ${c}`),
    ),
  );
}

export const portMatch = (name: string) => options(name, false, sourcePort, destinationPort);

const CHUNKS = [
  'INIT',
  'COOKIE_ECHO',
  'ABORT',
  'ABORT:t',
  'ABORT:T',
  'SHUTDOWN_COMPLETE:t',
  'DATA:Be',
  'HEARTBEAT',
  'I_DATA:B',
];

export function sctpMatch(): PartArb {
  const list = fc.oneof(
    fc.constantFrom('ALL', 'NONE'),
    fc.subarray(CHUNKS, { minLength: 1 }).map((l) => l.join(',')),
  );
  const chunks = fc
    .tuple(maybe, fc.constantFrom('any', 'all', 'only'), list)
    .filter(([, , l]) => l.split(',').filter((word) => word.includes(':')).length <= 4)
    .map(([n, mode, l]) => `${n ? '! ' : ''}--chunk-types ${mode} ${l}`);
  return options('sctp', false, sourcePort, destinationPort, chunks);
}

const ICMP_TYPES = {
  4: [
    '8',
    '0',
    '3',
    '3/3',
    '11',
    'any',
    'echo-request',
    'echo-reply',
    'port-unreachable',
    'time-exceeded',
    '3/1',
    '13',
    '255',
    '8/0',
    '12',
    '5',
  ],
  6: [
    '128',
    '129',
    '1',
    '1/4',
    '3',
    'echo-request',
    'echo-reply',
    'port-unreachable',
    'time-exceeded',
    '1/1',
    '2',
    '4/1',
    '128/0',
    '255',
    '135',
  ],
} as const;

export function icmpMatch(family: Family): PartArb {
  return family === 4
    ? part('icmp', opt('--icmp-type', fc.constantFrom(...ICMP_TYPES[4])))
    : part('icmp6', opt('--icmpv6-type', fc.constantFrom(...ICMP_TYPES[6])));
}

export function multiportMatch(): PartArb {
  const item = fc.oneof(
    { weight: 3, arbitrary: ports.map(String) },
    { weight: 1, arbitrary: fc.constantFrom('1:1023', '1024:65535', '0:79', '81:442', '5000:40000') },
  );
  return part(
    'multiport',
    fc
      .tuple(
        maybe,
        fc.constantFrom('--sports', '--dports', '--ports', '--source-ports', '--destination-ports'),
        fc.array(item, { minLength: 1, maxLength: 7 }),
      )
      .map(([n, o, list]) => `${n ? '! ' : ''}${o} ${list.join(',')}`),
  );
}

const STATES = ['INVALID', 'NEW', 'RELATED', 'ESTABLISHED', 'UNTRACKED'];
const stateList = (words: readonly string[]) => fc.subarray([...words], { minLength: 1 }).map((l) => l.join(','));

function addressWithMask(family: Family): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...deliverable(family), ...ownAddresses(family), ...VIRTUAL[family]) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom(0, 1, 2), fc.constantFrom(0, 5, 9))
        .map(([l, h]) => `${address(family, l, h)}/${family === 4 ? 28 : 124}`),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...(family === 4 ? ['10.0.0.0/8', '10.0.0.0/29', '10.2.0.3/255.0.255.255'] : ['fd00::/16', 'fd00:2::/32']),
      ),
    },
  );
}

/** `-s` and `-d` values. */
export function ruleAddress(family: Family): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 6, arbitrary: addressWithMask(family) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...(family === 4 ? ['0.0.0.0/0', '10.0.0.0/14', '10.1.0.2/31'] : ['::/0', 'fd00:1::2/127']),
      ),
    },
  );
}

export function ctAddress(family: Family): fc.Arbitrary<string> {
  return family === 4
    ? addressWithMask(family).map((t) => t.replace('/255.0.255.255', '/24'))
    : addressWithMask(family);
}

function conntrackMatch(family: Family): PartArb {
  const a = ctAddress(family);
  return options(
    'conntrack',
    true,
    opt('--ctstate', stateList([...STATES, 'SNAT', 'DNAT'])),
    opt('--ctstate', stateList([...STATES, 'SNAT', 'DNAT'])),
    opt('--ctproto', fc.constantFrom('tcp', 'udp', '6', '17', '1', '58', '99')),
    opt('--ctorigsrc', a),
    opt('--ctorigdst', a),
    opt('--ctreplsrc', a),
    opt('--ctrepldst', a),
    opt('--ctorigsrcport', fc.oneof(ports.map(String), fc.constantFrom('1000:50000', '0:65535'))),
    opt('--ctorigdstport', fc.oneof(ports.map(String), fc.constantFrom('1:1023', '80:443'))),
    opt('--ctreplsrcport', ports.map(String)),
    opt('--ctrepldstport', ports.map(String)),
    opt('--ctstatus', stateList(['EXPECTED', 'SEEN_REPLY', 'ASSURED', 'CONFIRMED'])),
    opt('--ctexpire', fc.constantFrom('0', '1:1000', '10:25', '60', '100:110', '1000:500000')),
    fc.constantFrom('--ctdir ORIGINAL', '--ctdir REPLY'),
  ).map((p) => {
    // At most one of the two chances to have --ctstate.
    const first = p.text.indexOf('--ctstate');
    const second = first === -1 ? -1 : p.text.indexOf('--ctstate', first + 1);
    if (second === -1) return p;
    const cut = p.text.slice(second).replace(/^--ctstate \S+/, '');
    return { ...p, text: `${p.text.slice(0, second).replace(/! $/, '')}${cut.trimStart()}`.trim() };
  });
}

export const markValue = fc.oneof(
  fc.constantFrom(...MARKS).map(hex),
  fc.tuple(fc.constantFrom(...MARKS), fc.constantFrom(...MASKS)).map(([v, m]) => `${hex(v)}/${hex(m)}`),
);

const words = fc.constantFrom('a', 'two words', "it's", 'x"y', 'tab\\t', 'é', 'KUBE-MARK', '0', '/', '');

function commentMatch(): PartArb {
  return part(
    'comment',
    words.map((w) => `--comment "${w.replace(/["\\]/g, '\\$&')}"`),
  );
}

function addrtypeMatch(place: Place): PartArb {
  const types =
    place.family === 4
      ? [
          'UNICAST',
          'LOCAL',
          'BROADCAST',
          'MULTICAST',
          'ANYCAST',
          'UNSPEC',
          'UNREACHABLE',
          'BLACKHOLE',
          'PROHIBIT',
          'THROW',
        ]
      : ['UNICAST', 'LOCAL', 'MULTICAST', 'ANYCAST', 'UNREACHABLE', 'UNSPEC'];
  const one = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('LOCAL', 'UNICAST', 'MULTICAST') },
    { weight: 1, arbitrary: stateList(types) },
  );
  const inHooks = place.hooks.every((h) => ['PREROUTING', 'INPUT', 'FORWARD'].includes(h));
  const outHooks = place.hooks.every((h) => ['FORWARD', 'OUTPUT', 'POSTROUTING'].includes(h));
  const limits = ['', '', '', ...(inHooks ? [' --limit-iface-in'] : []), ...(outHooks ? [' --limit-iface-out'] : [])];
  return fc
    .tuple(options('addrtype', true, opt('--src-type', one), opt('--dst-type', one)), fc.constantFrom(...limits))
    .map(([p, limit]) => ({ ...p, text: p.text + limit }));
}

function iprangeMatch(family: Family): PartArb {
  const range = fc
    .tuple(fc.constantFrom(0, 1, 2), fc.constantFrom(...HOSTS, 1), fc.constantFrom(...HOSTS, 14))
    .map(([l, a, b]) => (a === b ? address(family, l, a) : `${address(family, l, a)}-${address(family, l, b)}`));
  return options('iprange', true, opt('--src-range', range), opt('--dst-range', range));
}

function statisticMatch(): PartArb {
  const nth = fc
    .tuple(maybe, fc.integer({ min: 1, max: 5 }), fc.nat({ max: 4 }))
    .map(([n, every, p]) => `--mode nth ${n ? '! ' : ''}--every ${every} --packet ${p % every}`);
  // Chance is the kernel's: only what is certain is compared under traffic.
  const certain = fc
    .tuple(maybe, fc.constantFrom('0', '1', '1.0'))
    .map(([n, p]) => `--mode random ${n ? '! ' : ''}--probability ${p}`);
  return part('statistic', fc.oneof({ weight: 3, arbitrary: nth }, { weight: 1, arbitrary: certain }));
}

/** Slow rates: what refills during a case is nothing. */
function limitMatch(): PartArb {
  return part(
    'limit',
    fc
      .tuple(
        fc.constantFrom('3/hour', '1/minute', '2/min', '5/hour', '30/hour', '1/m', '2/day', '12/hour'),
        fc.constantFrom(1, 2, 3, 5, 8),
      )
      .map(([rate, burst]) => `--limit ${rate} --limit-burst ${burst}`),
  );
}

function recentMatch(family: Family): PartArb {
  const name = fc.constantFrom('r1', 'r2');
  const side = fc.constantFrom('--rsource', '--rdest');
  const mask = fc.constantFrom(
    '',
    ...(family === 4 ? [' --mask 255.255.255.0', ' --mask 255.255.255.240'] : [' --mask ffff:ffff::']),
  );
  const tail = fc.tuple(name, side, mask).map(([n, s, m]) => `--name ${n} ${s}${m}`);
  const set = fc
    .tuple(maybe, fc.constantFrom('--set', '--set', '--remove'), tail)
    .map(([n, o, t]) => `${n ? '! ' : ''}${o} ${t}`);
  const check = fc
    .tuple(
      maybe,
      fc.constantFrom('--rcheck', '--update'),
      fc.constantFrom('', ' --seconds 300', ' --seconds 600 --reap'),
      fc.constantFrom('', '', ' --hitcount 2', ' --hitcount 3', ' --hitcount 1'),
      fc.constantFrom('', '', ' --rttl'),
      tail,
    )
    .map(([n, o, s, h, r, t]) => `${n ? '! ' : ''}${o}${s}${h}${r} ${t}`);
  return part('recent', fc.oneof(set, check));
}

function macMatch(): PartArb {
  return part(
    'mac',
    opt('--mac-source', fc.constantFrom(LINKS[0]!.peerMac, LINKS[1]!.peerMac, '00:11:22:33:44:55', '2:0:0:0:1:2')),
  );
}

const lengthMatch = part(
  'length',
  opt('--length', fc.constantFrom('40', '28:60', '60:', ':100', '0:65535', '84', '29', '100:1500', '61')),
);
const ttlMatch = part(
  'ttl',
  fc.oneof(
    opt('--ttl', fc.constantFrom(63, 64)),
    opt('--ttl-eq', fc.constantFrom(63, 64, 127, 128, 1, 255)),
    opt('--ttl-lt', fc.constantFrom(64, 65, 2, 255), false),
    opt('--ttl-gt', fc.constantFrom(63, 64, 1, 254), false),
  ),
);
const hlMatch = part(
  'hl',
  fc.oneof(
    opt('--hl', fc.constantFrom(63, 64)),
    opt('--hl-eq', fc.constantFrom(63, 64, 127, 128, 1, 255)),
    opt('--hl-lt', fc.constantFrom(64, 65, 2, 255), false),
    opt('--hl-gt', fc.constantFrom(63, 64, 1, 254), false),
  ),
);
export const tosValue = fc.constantFrom(
  '0x10',
  '0x08/0x3f',
  'Minimize-Delay',
  '0x00',
  '0x10/0xff',
  '0x03/0x03',
  'Normal-Service',
  '0xb8/0xfc',
  '0x02',
);
const tosMatch = part('tos', opt('--tos', tosValue));
const dscpMatch = part(
  'dscp',
  fc.oneof(
    opt('--dscp', fc.constantFrom('0x00', '0x2e', '4', '63', '0x02')),
    opt('--dscp-class', fc.constantFrom('EF', 'BE', 'CS1', 'AF11')),
  ),
);
const pkttypeMatch = part('pkttype', opt('--pkt-type', fc.constantFrom('unicast', 'broadcast', 'multicast', 'host')));
/** No bridge: nothing came in or leaves by a port of one. */
function physdevMatch(hooks: readonly BaseChainName[]): PartArb {
  const tests = ['--physdev-is-bridged', '--physdev-is-in', '--physdev-in eth0'];
  if (hooks.every((h) => h === 'FORWARD' || h === 'POSTROUTING')) tests.push('--physdev-is-out', '--physdev-out eth0');
  return part(
    'physdev',
    fc.tuple(maybe, fc.constantFrom(...tests)).map(([n, t]) => `${n ? '! ' : ''}${t}`),
  );
}

const nfacctMatch = part('nfacct', fc.constantFrom(...ACCOUNTS.map((a) => `--nfacct-name "${a.name}"`)));

/** Matches that need no protocol. */
export function anyMatch(place: Place): PartArb {
  const { family, hooks } = place;
  const list: Weighted[] = [
    { weight: 6, arbitrary: conntrackMatch(family) },
    { weight: 2, arbitrary: part('state', opt('--state', stateList(STATES))) },
    { weight: 3, arbitrary: part('mark', opt('--mark', markValue)) },
    { weight: 2, arbitrary: part('connmark', opt('--mark', markValue)) },
    { weight: 1, arbitrary: commentMatch() },
    { weight: 3, arbitrary: addrtypeMatch(place) },
    { weight: 2, arbitrary: iprangeMatch(family) },
    { weight: 2, arbitrary: statisticMatch() },
    { weight: 2, arbitrary: limitMatch() },
    { weight: 3, arbitrary: recentMatch(family) },
    { weight: 1, arbitrary: lengthMatch },
    { weight: 1, arbitrary: family === 4 ? ttlMatch : hlMatch },
    { weight: 1, arbitrary: tosMatch },
    { weight: 1, arbitrary: dscpMatch },
    { weight: 1, arbitrary: pkttypeMatch },
    { weight: 1, arbitrary: physdevMatch(hooks) },
    { weight: 1, arbitrary: nfacctMatch },
  ];
  if (hooks.every((h) => ['PREROUTING', 'INPUT', 'FORWARD'].includes(h)))
    list.push({ weight: 1, arbitrary: macMatch() });
  return fc.oneof(...list);
}
