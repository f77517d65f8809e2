/** Arbitraries of whole rule sets: five tables, user chains, jumps, gotos. Valid by construction, so that traffic runs. */
import fc from 'fast-check';
import {
  type BaseChainName,
  type Family,
  HOOK_CHAINS,
  TABLE_HOOKS,
  type TableName,
} from '../../../src/net/netfilter.js';
import { LINKS } from '../topology.js';
import {
  anyMatch,
  icmpMatch,
  multiportMatch,
  opt,
  type Part,
  type PartArb,
  type Place,
  portMatch,
  ruleAddress,
  sctpMatch,
  tcpMatch,
} from './match.js';
import { arbTarget } from './target.js';

export interface ChainSpec {
  readonly name: string;
  /** Base chains only. */
  readonly policy: string | undefined;
  readonly rules: readonly Part[];
}

export interface TableSpec {
  readonly name: TableName;
  /** Left out of the file when the namespace is new. */
  readonly present: boolean;
  readonly chains: readonly ChainSpec[];
}

export interface RuleSetSpec {
  readonly family: Family;
  readonly tables: readonly TableSpec[];
}

/** The order in which files name the tables. */
export const FILE_ORDER: readonly TableName[] = ['raw', 'mangle', 'nat', 'filter', 'security'];

/** User chains of each table and the base chains that may call them; each may call those after it. */
const USER_CHAINS: Readonly<Record<TableName, readonly { name: string; hooks: readonly BaseChainName[] }[]>> = {
  raw: [{ name: 'rr', hooks: ['PREROUTING', 'OUTPUT'] }],
  mangle: [
    { name: 'mm', hooks: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'] },
    { name: 'MF', hooks: ['FORWARD', 'POSTROUTING'] },
  ],
  nat: [
    { name: 'KUBE-SVC-0123456789ABCDEF', hooks: ['PREROUTING', 'OUTPUT'] },
    { name: 'npost', hooks: ['POSTROUTING'] },
    { name: 'a_n.y', hooks: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'] },
  ],
  filter: [
    { name: 'aa', hooks: ['INPUT', 'FORWARD', 'OUTPUT'] },
    { name: 'bb', hooks: ['INPUT', 'FORWARD', 'OUTPUT'] },
    { name: 'cc', hooks: ['INPUT', 'FORWARD', 'OUTPUT'] },
  ],
  security: [],
};

const devices = fc.constantFrom(...LINKS.map((l) => l.name), 'lo', 'eth+', 'e+', 'eth9', '+');

/** Tests before the matches, in the order in which they are saved. */
function baseTests(place: Place, base: boolean): fc.Arbitrary<string> {
  const { family, hooks } = place;
  const rare = (arb: fc.Arbitrary<string>, weight: number): fc.Arbitrary<string | undefined> =>
    fc.oneof({ weight: 10 - weight, arbitrary: fc.constant(undefined) }, { weight, arbitrary: arb });
  const noIn = base && hooks.some((h) => h === 'OUTPUT' || h === 'POSTROUTING');
  const noOut = base && hooks.some((h) => h === 'INPUT' || h === 'PREROUTING');
  return fc
    .tuple(
      rare(opt('-s', ruleAddress(family)), 2),
      rare(opt('-d', ruleAddress(family)), 3),
      noIn ? fc.constant(undefined) : rare(opt('-i', devices), 2),
      noOut ? fc.constant(undefined) : rare(opt('-o', devices), 2),
    )
    .map((parts) => parts.filter((p) => p !== undefined).join(' '));
}

interface ProtocolPart extends Part {
  readonly protocol: string | undefined;
  readonly syn: boolean;
}

const asProtocol = (protocol: string, arb: PartArb, syn = false): fc.Arbitrary<ProtocolPart> =>
  arb.map((p) => ({ ...p, text: `-p ${protocol} ${p.text}`.trim(), protocol, syn }));

const none: PartArb = fc.constant({ text: '', uses: [] });

/** `-p` and the matches that belong to the protocol. */
function protocolPart(place: Place): fc.Arbitrary<ProtocolPart> {
  const { family } = place;
  const icmp = family === 4 ? 'icmp' : 'ipv6-icmp';
  return fc.oneof(
    { weight: 8, arbitrary: fc.constant<ProtocolPart>({ text: '', uses: [], protocol: undefined, syn: false }) },
    { weight: 2, arbitrary: asProtocol('tcp', none) },
    { weight: 4, arbitrary: asProtocol('tcp', tcpMatch()) },
    { weight: 2, arbitrary: asProtocol('tcp', multiportMatch()) },
    {
      weight: 1,
      arbitrary: asProtocol(
        'tcp',
        fc
          .constantFrom('-m tcp --syn', '-m tcp --tcp-flags SYN,RST SYN')
          .map((text): Part => ({ text, uses: ['tcp'] })),
        true,
      ),
    },
    { weight: 2, arbitrary: asProtocol('udp', none) },
    { weight: 3, arbitrary: asProtocol('udp', portMatch('udp')) },
    { weight: 1, arbitrary: asProtocol('udp', multiportMatch()) },
    { weight: 1, arbitrary: asProtocol('sctp', sctpMatch()) },
    { weight: 3, arbitrary: asProtocol(icmp, icmpMatch(family)) },
    { weight: 1, arbitrary: asProtocol(icmp, none) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom('! -p tcp', '! -p udp', '-p 99', '-p sctp', '-p 47', '-p esp', '-p dccp', '-p udplite', '-p ah')
        .map((text): ProtocolPart => ({ text, uses: [], protocol: undefined, syn: false })),
    },
    ...(family === 4
      ? [
          {
            weight: 1,
            arbitrary: fc
              .constantFrom('-f', '! -f')
              .map((text): ProtocolPart => ({ text, uses: [], protocol: undefined, syn: false })),
          },
        ]
      : []),
  );
}

/** Two instances of one extension, or two that share an option name, read in a way of their own: left to others. */
function compatible(parts: readonly Part[]): Part[] {
  const seen = new Set<string>();
  return parts.filter(({ uses }) => {
    const kind = uses[0] === 'connmark' ? 'mark' : uses[0]!;
    if (seen.has(kind)) return false;
    seen.add(kind);
    return true;
  });
}

const counters = fc.oneof(
  { weight: 9, arbitrary: fc.constant('[0:0] ') },
  { weight: 1, arbitrary: fc.constantFrom('[12:3456] ', '[4294967296:1099511627776] ') },
);

function arbRule(place: Place, base: boolean, callable: readonly string[]): fc.Arbitrary<Part> {
  // The target depends on protocol and SYN test: one arbitrary per situation, chosen by the protocol part.
  const targets = new Map<string, PartArb>();
  const targetFor = (protocol: string | undefined, syn: boolean): PartArb => {
    const key = `${protocol} ${syn}`;
    let arb = targets.get(key);
    if (arb === undefined) {
      arb = arbTarget({ ...place, protocol, syn, callable });
      targets.set(key, arb);
    }
    return arb;
  };
  return fc
    .tuple(
      counters,
      baseTests(place, base),
      protocolPart(place),
      fc.oneof(
        { weight: 5, arbitrary: fc.constant([]) },
        { weight: 6, arbitrary: fc.array(anyMatch(place), { minLength: 1, maxLength: 1 }) },
        { weight: 2, arbitrary: fc.array(anyMatch(place), { minLength: 2, maxLength: 3 }) },
      ),
    )
    .chain(([count, tests, protocol, matches]) =>
      targetFor(protocol.protocol, protocol.syn).map((target) => {
        const chosen = compatible(matches);
        return {
          text: [tests, protocol.text, ...chosen.map((m) => m.text), target.text].filter((t) => t !== '').join(' '),
          uses: [...protocol.uses, ...chosen.flatMap((m) => m.uses), ...target.uses],
          prefix: count,
        };
      }),
    )
    .map(({ text, uses, prefix }) => ({ text: `${prefix}|${text}`, uses }));
}

function arbTable(family: Family, table: TableName, most: number): fc.Arbitrary<TableSpec> {
  const users = USER_CHAINS[table];
  const bases = TABLE_HOOKS[table].map((h) => HOOK_CHAINS[h]);
  const chains = [
    ...bases.map((name) => {
      const callable = users.filter((u) => u.hooks.includes(name)).map((u) => u.name);
      return fc.record({
        name: fc.constant<string>(name),
        policy: fc.oneof(
          { weight: 30, arbitrary: fc.constant('ACCEPT') },
          { weight: 1, arbitrary: fc.constant(table === 'filter' || table === 'mangle' ? 'DROP' : 'ACCEPT') },
        ),
        rules: fc.array(arbRule({ family, table, hooks: [name] }, true, callable), { maxLength: most }),
      });
    }),
    ...users.map((user, i) => {
      const callable = users.slice(i + 1).filter((u) => user.hooks.every((h) => u.hooks.includes(h)));
      return fc.record({
        name: fc.constant(user.name),
        policy: fc.constant(undefined),
        rules: fc.array(
          arbRule(
            { family, table, hooks: user.hooks },
            false,
            callable.map((u) => u.name),
          ),
          {
            maxLength: most,
          },
        ),
      });
    }),
  ];
  return fc.record({
    name: fc.constant(table),
    present: fc.boolean(),
    chains: fc.tuple(...chains) as fc.Arbitrary<ChainSpec[]>,
  });
}

/** More rules where packets are decided and translated than elsewhere. */
const MOST_RULES: Readonly<Record<TableName, number>> = { raw: 2, mangle: 2, nat: 4, filter: 4, security: 1 };

/** LOG and TRACE write into the one kernel log of the machine: only some cases have them, and those run alone. */
export const LOGGING = ['LOG', 'TRACE'];

/** What brings connection tracking, and with it the gathering of fragments, into being. */
const TRACKING = ['conntrack', 'state', 'connmark', 'CONNMARK', 'CT'];

function withoutTracking(tables: readonly TableSpec[]): TableSpec[] {
  return tables.map((table) => ({
    ...table,
    present: table.present && table.name !== 'nat',
    chains: table.chains.map((chain) => ({
      ...chain,
      rules: table.name === 'nat' ? [] : chain.rules.filter((r) => !r.uses.some((u) => TRACKING.includes(u))),
    })),
  }));
}

function withoutLogging(tables: readonly TableSpec[]): TableSpec[] {
  return tables.map((table) => ({
    ...table,
    chains: table.chains.map((chain) => ({
      ...chain,
      rules: chain.rules.map((rule) => ({
        text: rule.text.replace(/ ?-j (LOG|TRACE)\b.*$/, ''),
        uses: rule.uses.filter((u) => !LOGGING.includes(u)),
      })),
    })),
  }));
}

export function arbRuleSet(family: Family): fc.Arbitrary<RuleSetSpec> {
  return fc
    .record({
      logging: fc.nat({ max: 4 }).map((n) => n === 0),
      tracking: fc.nat({ max: 11 }).map((n) => n !== 1),
      tables: fc.tuple(...FILE_ORDER.map((t) => arbTable(family, t, MOST_RULES[t]))) as fc.Arbitrary<TableSpec[]>,
    })
    .map(({ logging, tracking, tables }) => {
      const tracked = tracking ? tables : withoutTracking(tables);
      return { family, tables: logging ? tracked : withoutLogging(tracked) };
    });
}

/** The file for iptables-restore -c. `all`: every table, so that nothing of the last case stays. */
export function ruleSetText(spec: RuleSetSpec, all: boolean): string {
  const lines: string[] = [];
  for (const table of spec.tables) {
    if (!all && !table.present) continue;
    lines.push(`*${table.name}`);
    for (const c of table.chains) lines.push(`:${c.name} ${c.policy ?? '-'} [0:0]`);
    for (const c of table.chains) {
      for (const rule of c.rules) {
        const [prefix, text] = rule.text.split('|') as [string, string];
        lines.push(`${prefix}-A ${c.name} ${text}`.trimEnd());
      }
    }
    lines.push('COMMIT');
  }
  return `${lines.join('\n')}\n`;
}

/** Extensions that stand in the rule set. */
export function usesOf(spec: RuleSetSpec): Set<string> {
  return new Set(spec.tables.flatMap((t) => t.chains.flatMap((c) => c.rules.flatMap((r) => r.uses))));
}
