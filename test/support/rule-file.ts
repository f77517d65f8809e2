/** Random rule files for properties and for the differential fuzz: mostly well-formed, with odd spellings and faults. */
import type { Rng } from '../../src/base/rng.js';

type Pick = <T>(list: readonly T[]) => T;

/** In a list, entries behind this mark are mostly refused; they are drawn rarely. */
const ODD = '\u0000odd';

const BASE_CHAINS: Readonly<Record<string, readonly string[]>> = {
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  raw: ['PREROUTING', 'OUTPUT'],
};
const USER_CHAINS = ['aa', 'bb', 'Cc', 'LOG', 'x28aaaaaaaaaaaaaaaaaaaaaaaaa'];

const ADDRESSES = {
  4: [
    '10.0.0.1',
    '10.1.2.3/8',
    '10/8',
    '10.1.2',
    '0/0',
    '0.0.0.0/0',
    '1.2.3.4/32',
    '10.0.12.7/255.0.255.0',
    '1.2.3.4,5.6.7.8/16',
    '1.2.3.4, 5.6.7.8',
    'foo/0',
    '256',
    '1.256',
    '010.1.1.1',
    '0x0a.1.1.1',
    '1.2.3.4/010',
    '10.0.0.0/8,11.0.0.0/8,12.0.0.0/8',
    '+1.2.3.4',
    '1.2.3.4/0',
    ODD,
    '1.2.3.4,',
    '1.2.3.4/33',
    '300.1.1.1',
    '1.2.3.4/255.255.255',
    '',
    '1.2.3.4.5',
  ],
  6: [
    '::1',
    '2001:db8::1/64',
    '::/0',
    'fe80::1/10',
    '::1,::2',
    '::ffff:1.2.3.4',
    '2001:db8::1/ffff:0:ffff::',
    '1:2:3:4:5:6:7:8/127',
    '::1/0x40',
    'foo/0',
    ODD,
    '2001:db8::/129',
    '1.2.3.4',
    '',
    '1::2::3',
  ],
};
const DEVICES = [
  'eth0',
  'eth+',
  '+',
  'lo',
  'fifteencharsxxx',
  'a/b',
  'a b',
  '-x',
  '!',
  ODD,
  'averyveryverylongname',
  '',
];
const PROTOCOLS = [
  'udp',
  'icmp',
  'ipv6-icmp',
  '6',
  'all',
  '47',
  'gre',
  'TCP',
  '255',
  '0x11',
  'sctp',
  '253',
  'igmp',
  '51',
  ODD,
  '0',
  '256',
  'foo',
];

const TCP_MATCHES: readonly string[] = [
  '-m tcp --dport 80',
  '-m tcp --sport 1:1024 --dport ssh',
  '-m tcp ! --syn',
  '-m tcp --tcp-flags SYN,ACK SYN',
  '-m tcp --tcp-option 2',
  '-m tcp',
  '-mtcp --dport 5',
  '--dport 80',
  '! --dport 22:23',
  '--dport=443',
  '--dp 80',
  '--sport 5 --dport 6',
  '--syn',
  '-m multiport --dports 80,443',
  ODD,
  '--sp 80',
  '--tcp-flags SYN',
  '--tcp-flags SYN -v',
  '--syn=1',
  '! -m tcp',
  '--sport 1 --sport 2',
];

const UDP_MATCHES: readonly string[] = [
  '-m udp --dport 53',
  '-m udp --sport domain ! --dport 1:5',
  '--dport 5',
  ODD,
  '-m udp --dport 53 --dport 54',
  '--syn',
];

const MATCHES: readonly string[] = [
  '-m mark --mark 0x1/0xff',
  '-m mark ! --mark 5',
  '--match=mark --mark 7',
  '-m comment --comment x',
  '-m comment --comment "it\\\'s \\"quoted\\" \\\\ text"',
  '-m comment --comment ""',
  '-m comment --comment -j',
  '-m comment --comment "a]b:c"',
  '-m comment --comment "  two  blanks "',
  '-m comment --comment a"b c"',
  '-m conntrack --ctstate NEW,ESTABLISHED',
  '-m conntrack ! --ctstate INVALID',
  '-m conntrack --ctdir ORIGINAL --ctproto 6',
  '-m limit --limit 5/min',
  '-m state --state NEW',
  '-m statistic --mode nth --every 3 --packet 1',
  '-m addrtype --dst-type LOCAL',
  '-m connmark --mark 3',
  '-m mark --mark 1 -m connmark --mark 2',
  '-m connmark --mark 1 -m mark --mark 2 -m mark --mark 3',
  ODD,
  '-m mark -m connmark --mark 1',
  '-m mark --mark 1 -m connmark --mark 2 -m mark --mark 3',
  '-m mark --mark 1/zz',
  '-m mark',
  '-m mark --mark 1 --mark 2',
  '-m comment ! --comment x',
  '--comment x',
  '-m conntrack --ctstate new --ctstate est',
  '-m conntrack',
  '-m nosuch',
  '--dport 80',
  '-m ""',
];

const TARGETS: readonly string[] = [
  '-j ACCEPT',
  '-j DROP',
  '-j RETURN',
  '-j QUEUE',
  '-j ACCEPT',
  '-j aa',
  '-j bb',
  '-g aa',
  '-g Cc',
  '-j aa',
  '-j LOG',
  '-j LOG --log-prefix "a b: " --log-level 6',
  '-j LOG --log-prefix=x --log-uid',
  '-j MARK --set-mark 5',
  '-j MARK --set-xmark 0x1/0x2',
  '-j MARK --or-mark 4',
  '--jump ACCEPT',
  '--jum DROP',
  '--goto aa',
  '-j x28aaaaaaaaaaaaaaaaaaaaaaaaa',
  ODD,
  '-j SNAT --to-source 1.2.3.4',
  '-j DNAT --to-destination 1.2.3.4:80',
  '-j MASQUERADE',
  '-j REJECT',
  '-j MARK',
  '-j REJECT --reject-with tcp-reset',
  '-j MASQUERADE --to-ports 1024-2048',
  '-j REDIRECT --to-ports 80',
  '-j INPUT',
  '-j nope',
  '-g nope',
  '-g ACCEPT',
  '-jACCEPT',
  '-j accept',
  '-j ""',
  '-j "A B"',
  '-j standard',
  '-j ACCEPT -j DROP',
  '! -j ACCEPT',
];

/** Allowed in some tables and chains only. */
const PLACED_TARGETS: readonly string[] = [
  '-j SNAT --to-source 1.2.3.4',
  '-j DNAT --to-destination 1.2.3.4:80',
  '-j MASQUERADE',
  '-j REDIRECT --to-ports 80',
  '-j REJECT',
];

const EXTRAS = [
  '-v',
  '-vv',
  '-4',
  '--ipv4',
  '-6',
  '-c 5 6',
  '-c 5,6',
  '--set-counters 1 2',
  '-M foo',
  '--',
  '-c 0x10 5x',
  '-c -1 +2',
  ODD,
  '-n',
  '-x',
  '--line-numbers',
  '-c 5',
  '-c x y',
  '-t filter',
  '-w',
  '-h',
  'stray',
  '!',
  '-z',
  '-',
  '--nosuch',
  '--s 1.2.3.4',
  '-- x',
];

const COMMANDS = ['-P', '-F', '-X', '-N', '-E', '-Z', '-L', '-S', '-R', '-D', '-C', '-I'];

/** A rule file of one table, sometimes two; `family` only chooses the addresses. */
export function randomRuleFile(rng: Rng, family: 4 | 6): string {
  const oddness = rng.below(4) === 0 ? 20 : 1; // percent
  const pick: Pick = <T>(list: readonly T[]): T => {
    const mark = (list as readonly unknown[]).indexOf(ODD);
    if (mark === -1) return list[rng.below(list.length)]!;
    if (rng.below(100) >= oddness) return list[rng.below(mark)]!;
    return list[mark + 1 + rng.below(list.length - mark - 1)]!;
  };
  const often = (percent: number): boolean => rng.below(100) < percent;
  let text = randomTable(rng, pick, often, family);
  if (often(10)) text += randomTable(rng, pick, often, family);
  return often(15) ? mutate(text, rng) : text;
}

function randomTable(rng: Rng, pick: Pick, often: (percent: number) => boolean, family: 4 | 6): string {
  const table = pick(Object.keys(BASE_CHAINS));
  const base = BASE_CHAINS[table]!;
  const lines = [`*${table}`];
  for (const chain of base)
    if (often(60))
      lines.push(`:${chain} ${often(80) ? 'ACCEPT' : pick(['DROP', '-'])} [${rng.below(1000)}:${rng.below(100000)}]`);
  const chains = [...base];
  for (const chain of USER_CHAINS) {
    if (!often(chain === 'LOG' ? 5 : 85)) continue;
    lines.push(often(80) ? `:${chain} - [0:0]` : `-N ${chain}`);
    chains.push(chain);
  }
  const count = 1 + rng.below(4);
  for (let i = 0; i < count; i++) {
    const counters = often(20) ? `[${rng.below(100)}:${rng.below(10000)}] ` : '';
    lines.push(
      counters +
        (often(85)
          ? randomRule(pick, often, `-A ${pick(chains)}`, family)
          : randomCommand(rng, pick, often, chains, family)),
    );
  }
  lines.push('COMMIT');
  return `${lines.join('\n')}\n`;
}

function randomRule(pick: Pick, often: (percent: number) => boolean, command: string, family: 4 | 6): string {
  const parts: string[] = [];
  const bang = (): string => (often(10) ? '! ' : '');
  if (often(25))
    parts.push(
      `${bang()}${pick(['-s', '-s', '--source', '--src', '--so'])} "${pick(ADDRESSES[family])}"`.replaceAll(
        /"(\S+)"/g,
        '$1',
      ),
    );
  if (often(20))
    parts.push(
      `${bang()}${pick(['-d', '-d', '--dst', '--destination'])} "${pick(ADDRESSES[family])}"`.replaceAll(
        /"(\S+)"/g,
        '$1',
      ),
    );
  if (often(10))
    parts.push(`${bang()}${pick(['-i', '--in-interface', '--in-i'])} "${pick(DEVICES)}"`.replaceAll(/"(\S+)"/g, '$1'));
  if (often(10))
    parts.push(`${bang()}${pick(['-o', '--out-interface'])} "${pick(DEVICES)}"`.replaceAll(/"(\S+)"/g, '$1'));
  const protocol = often(50) ? '' : often(60) ? 'tcp' : pick(PROTOCOLS);
  if (protocol !== '') parts.push(`${often(5) ? '! ' : ''}${pick(['-p', '-p', '--protocol', '--proto'])} ${protocol}`);
  if (often(5) && (family === 4 || often(5))) parts.push(`${bang()}-f`);
  if (/^tcp$|^6$/i.test(protocol) && often(60)) parts.push(pick(TCP_MATCHES));
  if (protocol === 'udp' && often(60)) parts.push(pick(UDP_MATCHES));
  while (often(30)) parts.push(pick(MATCHES));
  if (often(85)) parts.push(often(8) ? pick(PLACED_TARGETS) : pick(TARGETS));
  if (often(8)) parts.push(pick(EXTRAS));
  if (often(10)) {
    const at = parts.indexOf(pick(parts));
    if (at !== -1) parts.push(...parts.splice(at, 1));
  }
  return often(95) ? [command, ...parts].join(' ') : [...parts, command].join(pick([' ', '\t', '  ']));
}

function randomCommand(
  rng: Rng,
  pick: Pick,
  often: (percent: number) => boolean,
  chains: readonly string[],
  family: 4 | 6,
): string {
  const letter = pick(COMMANDS);
  const chain = often(97) ? pick(chains) : pick(['nope', '', '-x', '!x']);
  switch (letter) {
    case '-P':
      return `-P ${chain} ${pick(['ACCEPT', 'DROP', 'RETURN', ''])}`;
    case '-N':
      return `-N ${pick(['new', 'x'.repeat(28), 'n2', 'n3', ODD, 'aa', 'LOG', 'ACCEPT', 'x'.repeat(29), '-x', '"a b"', 'INPUT'])}`;
    case '-E':
      return `-E ${chain} ${pick(['new', 'LOG', 'x'.repeat(28), ODD, 'x'.repeat(29), 'x'.repeat(31), 'x'.repeat(40), 'aa', 'INPUT', 'ACCEPT', '', '"a b"', '-x'])}`;
    case '-F':
    case '-X':
      return often(30) ? letter : `${letter} ${chain}`;
    case '-Z':
    case '-L':
    case '-S':
      return [letter, ...(often(70) ? [chain] : []), ...(often(30) ? [String(rng.below(4))] : [])].join(' ');
    case '-D':
      return often(50) ? `-D ${chain} ${rng.below(4)}` : randomRule(pick, often, `-D ${chain}`, family);
    case '-C':
      return randomRule(pick, often, `-C ${chain}`, family);
    case '-R':
      return randomRule(pick, often, `-R ${chain} ${often(90) ? rng.below(4) : ''}`, family);
    default:
      return randomRule(pick, often, `-I ${chain}${often(50) ? ` ${rng.below(4)}` : ''}`, family);
  }
}

const NOISE = '!-"\\ ,:/=0aA[]*#\t\n.jmp';

/** One to three small changes: a character or a stretch goes, comes, or is doubled. */
export function mutate(text: string, rng: Rng): string {
  let result = text;
  const count = 1 + rng.below(3);
  for (let i = 0; i < count; i++) {
    const at = rng.below(result.length + 1);
    const size = rng.below(4) === 0 ? rng.below(20) : 1;
    const noise = NOISE[rng.below(NOISE.length)]!;
    switch (rng.below(4)) {
      case 0:
        result = result.slice(0, at) + result.slice(at + size);
        break;
      case 1:
        result = result.slice(0, at) + noise + result.slice(at);
        break;
      case 2:
        result = result.slice(0, at) + noise + result.slice(at + 1);
        break;
      default:
        result = result.slice(0, at) + result.slice(at, at + size) + result.slice(at);
    }
  }
  return result;
}
