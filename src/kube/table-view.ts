/**
 * What any kube-proxy rule set does, as a table: `10.20.0.3:80 -> [10.10.0.4:80, 10.10.0.5:80]`. Reads our own texts
 * and dumps of real nodes alike, by the words of the rules.
 */
import { EXT_PREFIX, FW_PREFIX, SEP_PREFIX, SVC_PREFIX, SVL_PREFIX } from './chain-name.js';
import { type ChainMap, type RuleTexts, words } from './rule-text.js';

export interface TableEndpoint {
  /** `ip:port`. */
  readonly address: string;
  /** Part of new connections that it gets, 0 to 1. */
  readonly share: number;
}

export interface TableRow {
  /** Service port as the rules name it: `namespace/name[:port]`; empty if they do not. */
  readonly name: string;
  readonly kind: 'cluster IP' | 'external IP' | 'load balancer IP' | 'node port';
  readonly protocol: string;
  /** `*` for a node port on any address of the node. */
  readonly address: string;
  readonly port: number;
  readonly endpoints: readonly TableEndpoint[];
  /** Traffic meets this instead of an endpoint. */
  readonly refused: 'REJECT' | 'DROP' | undefined;
  /** Only endpoints of the node itself. */
  readonly local: boolean;
  /** Seconds that a client stays with its endpoint; 0 without affinity. */
  readonly affinitySeconds: number;
  /** Only these sources are let in; empty: all. */
  readonly sources: readonly string[];
}

/** A rule by its options; an option may stand before its protocol or after it. */
export class RuleWords {
  readonly #words: readonly string[];

  constructor(rule: string) {
    this.#words = words(rule);
  }

  /** The word behind an option; undefined if the option is missing or negated. */
  value(option: string): string | undefined {
    const at = this.#words.indexOf(option);
    return at === -1 || this.#words[at - 1] === '!' ? undefined : this.#words[at + 1];
  }

  has(option: string): boolean {
    return this.#words.includes(option);
  }

  get target(): string | undefined {
    return this.value('-j') ?? this.value('-g');
  }
}

interface Reached {
  readonly endpoints: TableEndpoint[];
  local: boolean;
  affinitySeconds: number;
  sources: string[];
}

/** Deeper jumps than this are a loop. */
const MAX_DEPTH = 16;
const NOTHING: ChainMap = new Map();

/** Follows the way of a packet from outside the node and its pods that no earlier packet belongs to. */
function follow(nat: ChainMap, chain: string, share: number, reached: Reached, depth: number): void {
  if (depth > MAX_DEPTH) return;
  let left = share;
  for (const text of nat.get(chain) ?? []) {
    const rule = new RuleWords(text);
    const { target } = rule;
    const destination = rule.value('--to-destination');
    if (destination !== undefined) {
      if (left > 0) reached.endpoints.push({ address: destination, share: left });
      return;
    }
    if (target === undefined || !nat.has(target) || target === 'KUBE-MARK-MASQ') continue;
    if (rule.has('--rcheck')) {
      reached.affinitySeconds = Number(rule.value('--seconds') ?? 0);
      continue;
    }
    if (rule.has('--src-type')) continue;
    const source = rule.value('-s');
    if (source !== undefined) {
      if (!chain.startsWith(FW_PREFIX)) continue; // the short cut of pods in an external chain
      reached.sources.push(source);
      if (reached.endpoints.length === 0) follow(nat, target, left, reached, depth + 1);
      continue;
    }
    const part = left * shareOf(rule);
    if (target.startsWith(SVL_PREFIX)) reached.local = true;
    follow(nat, target, part, reached, depth + 1);
    left -= part;
    if (left <= Number.EPSILON) return;
  }
}

function shareOf(rule: RuleWords): number {
  const probability = rule.value('--probability');
  if (probability !== undefined) return Number(probability);
  const every = rule.value('--every');
  return every === undefined ? 1 : 1 / Number(every);
}

const KINDS: readonly (readonly [suffix: string, kind: TableRow['kind']])[] = [
  [' cluster IP', 'cluster IP'],
  [' external IP', 'external IP'],
  [' loadbalancer IP', 'load balancer IP'],
  [' has no endpoints', 'cluster IP'],
  [' has no local endpoints', 'cluster IP'],
];

function nameAndKind(comment: string, otherwise: TableRow['kind']): { name: string; kind: TableRow['kind'] } {
  for (const [suffix, kind] of KINDS) {
    if (comment.endsWith(suffix))
      return { name: comment.slice(0, -suffix.length), kind: suffix.startsWith(' has') ? otherwise : kind };
  }
  return { name: comment, kind: otherwise };
}

const bare = (address: string): string => address.replace(/\/(?:32|128)$/, '');

/** Rows in the order of the rules: cluster IPs, external ones, node ports; refused ones last. */
export function tableRows(rules: RuleTexts): TableRow[] {
  const nat = rules.get('nat') ?? NOTHING;
  const filter = rules.get('filter') ?? NOTHING;
  const rows: TableRow[] = [];
  const add = (rule: RuleWords, otherwise: TableRow['kind'], row: Partial<TableRow>): void => {
    const port = rule.value('--dport');
    if (port === undefined) return;
    const address = rule.value('-d');
    rows.push({
      ...nameAndKind(rule.value('--comment') ?? '', otherwise),
      protocol: rule.value('-p') ?? '',
      address: address === undefined ? '*' : bare(address),
      port: Number(port),
      endpoints: [],
      refused: undefined,
      local: false,
      affinitySeconds: 0,
      sources: [],
      ...row,
    });
  };
  for (const chain of ['KUBE-SERVICES', 'KUBE-NODEPORTS']) {
    for (const text of nat.get(chain) ?? []) {
      const rule = new RuleWords(text);
      const { target } = rule;
      const known = [SVC_PREFIX, SVL_PREFIX, EXT_PREFIX, FW_PREFIX, SEP_PREFIX].some((p) => target?.startsWith(p));
      // The rule that only counts node ports on loopback says nothing that the next one does not.
      if (target === undefined || !known || rule.has('--nfacct-name')) continue;
      const reached: Reached = { endpoints: [], local: target.startsWith(SVL_PREFIX), affinitySeconds: 0, sources: [] };
      follow(nat, target, 1, reached, 0);
      add(rule, chain === 'KUBE-SERVICES' ? 'cluster IP' : 'node port', reached);
    }
  }
  for (const chain of ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES']) {
    for (const text of filter.get(chain) ?? []) {
      const rule = new RuleWords(text);
      const { target } = rule;
      if (target !== 'REJECT' && target !== 'DROP') continue;
      const external = rule.has('--dst-type') ? 'node port' : 'external IP';
      add(rule, chain === 'KUBE-SERVICES' ? 'cluster IP' : external, { refused: target });
    }
  }
  // An address that is dispatched for some (pods, the host) and refused for the rest has both; the first is shown.
  const dispatched = new Set(rows.filter((row) => row.endpoints.length > 0).map(addressKey));
  return rows.filter((row) => row.refused === undefined || !dispatched.has(addressKey(row)));
}

function addressKey(row: TableRow): string {
  return `${row.protocol} ${row.address} ${row.port}`;
}

function printAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `10.20.0.3:80 -> [10.10.0.4:80, 10.10.0.5:80]`, or `-> REJECT`. */
export function printRow(row: TableRow): string {
  const to = row.endpoints.length > 0 ? `[${row.endpoints.map((e) => e.address).join(', ')}]` : (row.refused ?? '[]');
  return `${printAddress(row.address, row.port)} -> ${to}`;
}

/** The table by Service: a line with its name, and a line for each address. */
export function printTable(rows: readonly TableRow[]): string {
  const byName = new Map<string, TableRow[]>();
  for (const row of rows) {
    const title = `${row.name || '(no name)'} ${row.protocol}`;
    const list = byName.get(title);
    if (list === undefined) byName.set(title, [row]);
    else list.push(row);
  }
  const lines: string[] = [];
  for (const [title, list] of byName) {
    lines.push(title);
    for (const row of list) {
      const notes = [
        ...(row.kind === 'cluster IP' ? [] : [row.kind]),
        ...(row.local ? ['local endpoints only'] : []),
        ...(row.affinitySeconds > 0 ? [`same client, same endpoint for ${row.affinitySeconds} s`] : []),
        ...(row.sources.length > 0 ? [`only from ${row.sources.map(bare).join(', ')}`] : []),
      ];
      lines.push(`  ${printRow(row)}${notes.length > 0 ? `  (${notes.join('; ')})` : ''}`);
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}
