/** Names a person knows for kube-proxy's chains, read off any rule set: whose chain it is, and what it is for. */
import { EXT_PREFIX, FW_PREFIX, isServiceChain, SEP_PREFIX, SVC_PREFIX, SVL_PREFIX } from './chain-name.js';
import type { RuleTexts } from './rule-text.js';
import { RuleWords } from './table-view.js';

export interface ChainLabel {
  /** `namespace/name[:port]`; empty for chains that all share. */
  readonly owner: string;
  /** What the chain is, in a few words. */
  readonly text: string;
  /** For the chain of an endpoint, its `ip:port`. */
  readonly endpoint: string | undefined;
}

const FIXED: Readonly<Record<string, string>> = {
  'KUBE-SERVICES': 'which Service a packet is for',
  'KUBE-NODEPORTS': 'node ports',
  'KUBE-POSTROUTING': 'masquerade what is marked',
  'KUBE-MARK-MASQ': 'mark for masquerade',
  'KUBE-EXTERNAL-SERVICES': 'external addresses without endpoints',
  'KUBE-FORWARD': 'let Service traffic through',
  'KUBE-PROXY-FIREWALL': 'what source ranges do not let in',
  'KUBE-FIREWALL': 'loopback from outside',
};

const KIND_OF_PREFIX: Readonly<Record<string, string>> = {
  [SVC_PREFIX]: 'all endpoints',
  [SVL_PREFIX]: 'endpoints of this node',
  [EXT_PREFIX]: 'external traffic',
  [FW_PREFIX]: 'source ranges',
};

const COMMENT_OWNER =
  /^(?:(?:masquerade traffic|pod traffic|(?:masquerade|route) LOCAL traffic|other traffic) (?:for|to) )?([^\s:]+\/[^\s:]+(?::\S+)?)(?: .*)?$/;

/** The service port that a rule's comment names; undefined if it names none. */
export function ownerOfRule(rule: string): string | undefined {
  const comment = new RuleWords(rule).value('--comment');
  return comment === undefined ? undefined : COMMENT_OWNER.exec(comment)?.[1];
}

/** Labels by chain name, for chains of both tables. */
export function chainLabels(rules: RuleTexts): ReadonlyMap<string, ChainLabel> {
  const labels = new Map<string, ChainLabel>();
  for (const [chain, text] of Object.entries(FIXED)) labels.set(chain, { owner: '', text, endpoint: undefined });
  const nat = rules.get('nat') ?? new Map<string, string[]>();
  const ownerOfHash = new Map<string, string>();
  const note = (chain: string | undefined, owner: string | undefined): void => {
    if (chain === undefined || owner === undefined || !isServiceChain(chain) || chain.startsWith(SEP_PREFIX)) return;
    const hash = chain.slice(chain.lastIndexOf('-') + 1);
    if (!ownerOfHash.has(hash)) ownerOfHash.set(hash, owner);
  };
  for (const [chain, texts] of nat) {
    for (const text of texts) {
      const owner = ownerOfRule(text);
      note(chain, owner);
      note(new RuleWords(text).target, owner);
    }
  }
  for (const chain of nat.keys()) {
    const prefix = Object.keys(KIND_OF_PREFIX).find((candidate) => chain.startsWith(candidate));
    if (prefix === undefined) continue;
    const owner = ownerOfHash.get(chain.slice(prefix.length)) ?? '';
    labels.set(chain, { owner, text: `${owner} ${KIND_OF_PREFIX[prefix]}`.trim(), endpoint: undefined });
  }
  for (const [chain, texts] of nat) {
    const owner = labels.get(chain)?.owner;
    if (!owner) continue;
    for (const text of texts) {
      const { target } = new RuleWords(text);
      if (!target?.startsWith(SEP_PREFIX) || labels.has(target)) continue;
      const endpoint = endpointOf(nat.get(target) ?? []);
      labels.set(target, { owner, text: `${owner} endpoint ${endpoint ?? '?'}`, endpoint });
    }
  }
  return labels;
}

function endpointOf(rules: readonly string[]): string | undefined {
  for (const rule of rules) {
    const destination = new RuleWords(rule).value('--to-destination');
    if (destination !== undefined) return destination;
  }
  return undefined;
}
