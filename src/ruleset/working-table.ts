/**
 * A table while a rule file edits it: what libiptc holds between `*TABLE` and COMMIT. Old chains and rules are shared with
 * the rule set that it began from until they change. Source: libiptc/libiptc.c.
 */
import { compareBytes } from '../base/byte-size.js';
import { type Family, HOOK_CHAINS, TABLE_HOOKS, type TableName } from '../net/netfilter.js';
import { type Counters, ZERO_COUNTERS } from './counter.js';
import { type Chain, type Rule, type RuleTarget, type Table, VERDICTS } from './model.js';
import { sameRule } from './print.js';
import { changedRule } from './saved-rule.js';

interface WorkingChain {
  readonly name: string;
  policy: Chain['policy'];
  counters: Counters;
  rules: Rule[];
  /** `rules` belongs to the old table and must be copied before a change. */
  shared: boolean;
  /** The values of `-j` and `-g` to this chain, made when first asked for. */
  jump: RuleTarget | undefined;
  goto: RuleTarget | undefined;
}

/** Why an operation is refused; the kernel library's error number in words. */
export type Trouble =
  | 'missing-chain'
  | 'chain-exists'
  | 'chain-in-use'
  | 'chain-not-empty'
  | 'built-in-chain'
  | 'no-such-rule'
  | 'bad-policy';

export class WorkingTable {
  readonly name: TableName;
  readonly #family: Family;
  readonly #base = new Map<string, WorkingChain>();
  readonly #user = new Map<string, WorkingChain>();
  /** Rules that were there before; only their counters can be zeroed. */
  readonly #old: Table | undefined;
  #oldRules: Set<Rule> | undefined;

  /** `keep`: rules and user chains of the old table stay (--noflush); policies always do, their counters never. */
  constructor(name: TableName, family: Family, old: Table | undefined, keep: boolean) {
    this.name = name;
    this.#family = family;
    this.#old = old;
    for (const hook of TABLE_HOOKS[name]) {
      const chain = HOOK_CHAINS[hook];
      const before = old?.chains.get(chain);
      const rules = keep && before !== undefined ? before.rules : [];
      this.#base.set(chain, {
        name: chain,
        policy: before?.policy ?? 'ACCEPT',
        counters: ZERO_COUNTERS,
        rules: rules as Rule[], // copied before the first change, as `shared` says
        shared: true,
        jump: undefined,
        goto: undefined,
      });
    }
    if (!keep || old === undefined) return;
    for (const chain of old.chains.values()) {
      if (this.#base.has(chain.name)) continue;
      const rules = chain.rules as Rule[]; // as above
      this.#user.set(chain.name, { ...newUserChain(chain.name), rules, shared: true });
    }
  }

  isChain(name: string): boolean {
    return this.#user.has(name) || this.#base.has(name);
  }

  isBaseChain(name: string): boolean {
    return this.#base.has(name);
  }

  *chainNames(): Iterable<string> {
    yield* this.#base.keys();
    yield* this.#user.keys();
  }

  /** The one value of `-j NAME` or `-g NAME`; null for a built-in chain, undefined if there is no such chain. */
  jumpTarget(name: string, isGoto: boolean): RuleTarget | null | undefined {
    const chain = this.#user.get(name);
    if (chain === undefined) return this.#base.has(name) ? null : undefined;
    if (isGoto) {
      chain.goto ??= { kind: 'goto', chain: chain.name };
      return chain.goto;
    }
    // The chain's own string, so that look-ups of it compare no characters.
    chain.jump ??= { kind: 'jump', chain: chain.name };
    return chain.jump;
  }

  #find(name: string): WorkingChain | undefined {
    return this.#user.get(name) ?? this.#base.get(name);
  }

  #own(chain: WorkingChain): Rule[] {
    if (chain.shared) {
      chain.rules = chain.rules.slice();
      chain.shared = false;
    }
    return chain.rules;
  }

  /** The chain's rules, to be appended to; undefined if there is no such chain. Valid until the chain is flushed. */
  rulesToAppend(name: string): Rule[] | undefined {
    const chain = this.#find(name);
    return chain === undefined ? undefined : this.#own(chain);
  }

  newChain(name: string): Trouble | undefined {
    if (this.isChain(name) || VERDICTS.has(name)) return 'chain-exists';
    this.#user.set(name, newUserChain(name));
    return undefined;
  }

  /** Without a name: every user chain. */
  deleteChain(name: string | undefined): Trouble | undefined {
    const names = name === undefined ? [...this.#user.keys()] : [name];
    if (names.length === 0) return undefined;
    if (name !== undefined && this.#base.has(name)) return 'built-in-chain';
    if (name !== undefined && !this.#user.has(name)) return 'missing-chain';
    const used = this.#referenced();
    for (const one of names) {
      if (used.has(one)) return 'chain-in-use';
      if (this.#user.get(one)!.rules.length > 0) return 'chain-not-empty';
    }
    for (const one of names) this.#user.delete(one);
    return undefined;
  }

  #referenced(): Set<string> {
    const used = new Set<string>();
    for (const map of [this.#base, this.#user])
      for (const chain of map.values())
        for (const { target } of chain.rules)
          if (target.kind === 'jump' || target.kind === 'goto') used.add(target.chain);
    return used;
  }

  renameChain(name: string, to: string): Trouble | undefined {
    if (this.isChain(to) || VERDICTS.has(to)) return 'chain-exists';
    const chain = this.#user.get(name);
    if (chain === undefined) return this.#base.has(name) ? 'built-in-chain' : 'missing-chain';
    this.#user.delete(name);
    this.#user.set(to, { ...chain, name: to, jump: undefined, goto: undefined });
    for (const map of [this.#base, this.#user]) {
      for (const user of map.values()) {
        const calls = (rule: Rule): boolean =>
          (rule.target.kind === 'jump' || rule.target.kind === 'goto') && rule.target.chain === name;
        if (!user.rules.some(calls)) continue;
        user.rules = user.rules.map((rule) =>
          calls(rule) ? changedRule(rule, { target: this.jumpTarget(to, rule.target.kind === 'goto')! }) : rule,
        );
        user.shared = false;
      }
    }
    return undefined;
  }

  /** Without a name: every chain. */
  flush(name: string | undefined): Trouble | undefined {
    if (name === undefined) {
      for (const map of [this.#base, this.#user]) for (const chain of map.values()) emptied(chain);
      return undefined;
    }
    const chain = this.#find(name);
    if (chain === undefined) return 'missing-chain';
    emptied(chain);
    return undefined;
  }

  /** Rules go in one after the other at the same place (from 0), so a list ends up reversed. */
  insert(name: string, rules: readonly Rule[], index: number): Trouble | undefined {
    const chain = this.#find(name);
    if (chain === undefined) return 'missing-chain';
    if (index > chain.rules.length) return 'no-such-rule';
    this.#own(chain).splice(index, 0, ...rules.toReversed());
    return undefined;
  }

  append(name: string, rules: readonly Rule[]): Trouble | undefined {
    const own = this.rulesToAppend(name);
    if (own === undefined) return 'missing-chain';
    for (const rule of rules) own.push(rule);
    return undefined;
  }

  replace(name: string, rule: Rule, index: number): Trouble | undefined {
    const chain = this.#find(name);
    if (chain === undefined) return 'missing-chain';
    if (index >= chain.rules.length) return 'no-such-rule';
    this.#own(chain)[index] = rule;
    return undefined;
  }

  deleteNumber(name: string, index: number): Trouble | undefined {
    const chain = this.#find(name);
    if (chain === undefined) return 'missing-chain';
    if (index >= chain.rules.length) return 'no-such-rule';
    this.#own(chain).splice(index, 1);
    return undefined;
  }

  /** The first rule equal to it goes. */
  delete(name: string, rule: Rule): Trouble | undefined {
    const chain = this.#find(name);
    if (chain === undefined) return 'missing-chain';
    const index = chain.rules.findIndex((other) => sameRule(other, rule, this.#family));
    return index === -1 ? 'no-such-rule' : this.deleteNumber(name, index);
  }

  check(name: string, rule: Rule): Trouble | undefined {
    const chain = this.#find(name);
    if (chain === undefined) return 'missing-chain';
    return chain.rules.some((other) => sameRule(other, rule, this.#family)) ? undefined : 'no-such-rule';
  }

  /** True if the chain exists, and a rule of it if an index (from 0) is given. */
  has(name: string, index: number | undefined): Trouble | undefined {
    const chain = this.#find(name);
    if (chain === undefined) return 'missing-chain';
    return index !== undefined && index >= chain.rules.length ? 'no-such-rule' : undefined;
  }

  /** True if a rule of the chain (or of any) jumps or goes to another chain. */
  hasJumps(name: string | undefined): boolean {
    const chains = name === undefined ? [...this.#base.values(), ...this.#user.values()] : [this.#find(name)!];
    return chains.some((chain) => chain.rules.some(({ target }) => target.kind === 'jump' || target.kind === 'goto'));
  }

  setPolicy(name: string, policy: string, counters: Counters): Trouble | undefined {
    const chain = this.#base.get(name);
    if (chain === undefined) return 'missing-chain';
    if (policy !== 'ACCEPT' && policy !== 'DROP') return 'bad-policy';
    chain.policy = policy;
    chain.counters = counters;
    return undefined;
  }

  /** Zeroes counters of old rules; those that this file has set stay. */
  zero(name: string | undefined, index: number | undefined): Trouble | undefined {
    if (name !== undefined) {
      const trouble = this.has(name, index);
      if (trouble !== undefined) return trouble;
    }
    const old = this.#rulesBefore();
    const chains = name === undefined ? [...this.#base.values(), ...this.#user.values()] : [this.#find(name)!];
    for (const chain of chains) {
      const hit = (rule: Rule, at: number): boolean =>
        (index === undefined || at === index) && (rule.packets !== 0n || rule.bytes !== 0n) && old.has(rule);
      if (!chain.rules.some(hit)) continue;
      chain.rules = chain.rules.map((rule, at) =>
        hit(rule, at) ? changedRule(rule, { packets: 0n, bytes: 0n }) : rule,
      );
      chain.shared = false;
    }
    return undefined;
  }

  #rulesBefore(): ReadonlySet<Rule> {
    if (this.#oldRules === undefined) {
      this.#oldRules = new Set();
      for (const chain of this.#old?.chains.values() ?? []) for (const rule of chain.rules) this.#oldRules.add(rule);
    }
    return this.#oldRules;
  }

  /** The table as it is saved: base chains in table order, user chains sorted by bytes. Old chains that did not change stay. */
  commit(): Table {
    const chains = new Map<string, Chain>();
    for (const chain of this.#base.values()) chains.set(chain.name, this.#frozen(chain));
    const user = [...this.#user.values()];
    // Without surrogates the order of UTF-16 units is that of bytes.
    const plain = user.every(({ name }) => !/[\ud800-\uffff]/.test(name));
    const compare = (a: WorkingChain, b: WorkingChain): number =>
      plain ? (a.name < b.name ? -1 : 1) : compareBytes(a.name, b.name);
    const sorted = user.every((chain, i) => i === 0 || compare(user[i - 1]!, chain) < 0);
    if (!sorted) user.sort(compare);
    for (const chain of user) chains.set(chain.name, this.#frozen(chain));
    return { name: this.name, chains };
  }

  #frozen(chain: WorkingChain): Chain {
    const { name, policy, rules } = chain;
    const { packets, bytes } = chain.counters;
    const old = this.#old?.chains.get(name);
    if (
      old !== undefined &&
      old.rules === rules &&
      old.policy === policy &&
      old.packets === packets &&
      old.bytes === bytes
    )
      return old;
    // An array that grew by push() holds room for 17 and more; most chains have few rules.
    return { name, policy, packets, bytes, rules: rules.length < 12 ? rules.slice() : rules };
  }
}

function newUserChain(name: string): WorkingChain {
  return {
    name,
    policy: undefined,
    counters: ZERO_COUNTERS,
    rules: [],
    shared: false,
    jump: undefined,
    goto: undefined,
  };
}

function emptied(chain: WorkingChain): void {
  chain.rules = [];
  chain.shared = false;
}
