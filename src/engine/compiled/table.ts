/** A table's chains over its rule store: building them, changing them, and telling what they hold. */
import { invariant } from '../../base/assert.js';
import { growInt32 } from '../../base/grow.js';
import type { BindEnv } from '../../ext/extension.js';
import { HOOK_CHAINS, HOOK_COUNT } from '../../net/netfilter.js';
import type { Chain, Rule, Table } from '../../ruleset/model.js';
import { type Change, inSavedOrder } from '../../ruleset/patch.js';
import type { Counted } from '../counters.js';
import { DeviceNames } from './device-names.js';
import { HashedPlan } from './hashed-plan.js';
import type { Step } from './lower.js';
import { DO_ACCEPT, DO_DROP, DO_GOTO, DO_JUMP, DO_NONE, DO_QUEUE, DO_RETURN, HASHED, RuleStore } from './rule-store.js';

const VERDICT_ACTIONS = { ACCEPT: DO_ACCEPT, DROP: DO_DROP, QUEUE: DO_QUEUE, RETURN: DO_RETURN } as const;

/** Up to here a chain is tested rule by rule: a look-up costs more (bench: `plan-threshold`). */
const LINEAR_MAX = 8;
/** Chains longer than this keep an array of their rules in order; shorter ones are walked. */
const ORDERED_FROM = 32;
/** Distance of labels as first dealt: room for 20 halvings and more between two rules. */
const LABEL_STEP = 2 ** 20;

export class CompiledChain {
  readonly name: string;
  /** Jumps name chains by number. */
  readonly number: number;
  /** What jumps to it name: its place in the rule store; -1 until its rules are being stored. */
  head = -1;
  policy: Chain['policy'];
  first = -1;
  last = -1;
  count = 0;
  /** Undefined: linear. */
  plan: HashedPlan | undefined = undefined;
  /** Rules in order, the first `count` of them; long chains only. */
  order: Int32Array | undefined = undefined;
  /** Rules that the chain had when its plan was last chosen. */
  plannedCount = 0;
  /** Counters of the policy at load, and seen since. */
  basePackets: bigint;
  baseBytes: bigint;
  packets = 0;
  bytes = 0;
  /** The chain as a value; undefined after a change, until somebody asks. */
  model: Chain | undefined;

  constructor(model: Chain, number: number) {
    this.name = model.name;
    this.number = number;
    this.policy = model.policy;
    this.basePackets = model.packets;
    this.baseBytes = model.bytes;
    this.model = model;
  }
}

export class CompiledTable {
  readonly name: Table['name'];
  readonly store: RuleStore;
  readonly names: DeviceNames;
  readonly linearMax = LINEAR_MAX;
  /** By number; undefined: free. */
  readonly chains: (CompiledChain | undefined)[] = [];
  /** Base chain by hook. */
  readonly bases: (CompiledChain | undefined)[] = new Array(HOOK_COUNT).fill(undefined);
  /** By chain number. */
  readonly plans: (HashedPlan | undefined)[] = [];
  readonly #byName = new Map<string, CompiledChain>();
  readonly #freeNumbers: number[] = [];
  #isLoading = true;

  constructor(table: Table, env: BindEnv) {
    this.name = table.name;
    this.names = new DeviceNames(env.host);
    this.store = new RuleStore(env, this.names);
    let ruleCount = 0;
    for (const chain of table.chains.values()) {
      this.#addChain(chain);
      ruleCount += chain.rules.length;
    }
    this.store.reserve(ruleCount);
    for (const chain of inWalkOrder(table.chains)) this.#fill(this.chain(chain.name), chain.rules);
    this.#finishLoad();
    this.store.trim();
  }

  chain(name: string): CompiledChain {
    const chain = this.#byName.get(name);
    if (chain === undefined) throw new Error(`bug: table ${this.name} has no chain ${name}`);
    return chain;
  }

  #addChain(model: Chain): CompiledChain {
    if (this.#byName.has(model.name)) throw new Error(`bug: chain ${model.name} added twice`);
    const number = this.#freeNumbers.pop() ?? this.chains.length;
    const chain = new CompiledChain(model, number);
    this.chains[number] = chain;
    this.plans[number] = undefined;
    this.#byName.set(chain.name, chain);
    if (chain.policy !== undefined) {
      const hook = (HOOK_CHAINS as readonly string[]).indexOf(chain.name);
      invariant(hook !== -1, `chain ${chain.name} has a policy and no hook`);
      this.bases[hook] = chain;
    }
    return chain;
  }

  #fill(chain: CompiledChain, models: readonly Rule[]): void {
    const { store } = this;
    const rules: number[] = [];
    const steps: (readonly Step[])[] = [];
    chain.head = store.addHead(chain.number);
    for (const model of models) {
      const lowered = store.lowering.steps(model);
      const rule = this.#add(model, lowered);
      steps.push(lowered);
      store.setLabel(rule, (rules.length + 1) * LABEL_STEP);
      if (rules.length > 0) store.setNext(rules.at(-1)!, rule);
      rules.push(rule);
    }
    chain.first = rules[0] ?? -1;
    chain.last = rules.at(-1) ?? -1;
    chain.count = rules.length;
    if (rules.length > ORDERED_FROM) chain.order = Int32Array.from(rules);
    this.#choosePlan(chain, rules, steps);
  }

  /**
   * In the order of the table: binds what has state, and gives jumps the heads of their chains. Till now they had the
   * chains' numbers, as not all heads had their place yet.
   */
  #finishLoad(): void {
    const { store } = this;
    for (const chain of this.#byName.values()) {
      for (let rule = chain.first; rule !== -1; rule = store.next(rule)) {
        store.bindStateful(rule);
        const action = store.action(rule);
        if (action !== DO_JUMP && action !== DO_GOTO) continue;
        store.setAction(rule, action, this.chains[store.argument(rule)]!.head);
      }
    }
    this.#isLoading = false;
  }

  /** Stores a rule with its action. */
  #add(model: Rule, steps: readonly Step[]): number {
    const { store } = this;
    const rule = store.add(model, steps);
    const { target } = model;
    switch (target.kind) {
      case 'none':
        store.setAction(rule, DO_NONE, 0);
        break;
      case 'verdict':
        store.setAction(rule, VERDICT_ACTIONS[target.verdict], 0);
        break;
      case 'jump':
      case 'goto': {
        const { number, head } = this.chain(target.chain);
        store.setAction(rule, target.kind === 'jump' ? DO_JUMP : DO_GOTO, this.#isLoading ? number : head);
        break;
      }
      case 'extension':
        store.setTarget(rule, target.use);
    }
    return rule;
  }

  /** Chooses the plan of a chain whose rules have all their tests as programs. */
  #choosePlan(chain: CompiledChain, rules: readonly number[], steps: readonly (readonly Step[])[]): void {
    chain.plannedCount = rules.length;
    chain.plan = rules.length > LINEAR_MAX ? HashedPlan.build(this.store, rules, steps) : undefined;
    this.#enlist(chain);
  }

  /** Notes where a walk through the chain begins. */
  #enlist(chain: CompiledChain): void {
    this.plans[chain.number] = chain.plan;
    this.store.setStart(chain.head, chain.plan === undefined ? chain.first : HASHED);
  }

  /** One `iptables-restore --noflush` of this table. */
  apply(changes: readonly Change[]): void {
    this.store.change++;
    for (const base of this.bases) {
      if (base === undefined) continue;
      base.basePackets = base.baseBytes = 0n;
      base.packets = base.bytes = 0;
      base.model = undefined;
    }
    for (const change of changes) this.#applyOne(change);
  }

  #applyOne(change: Change): void {
    if (change.kind === 'add-chain') {
      const added = this.#addChain({ name: change.chain, policy: undefined, packets: 0n, bytes: 0n, rules: [] });
      added.head = this.store.addHead(added.number);
      return;
    }
    const chain = this.chain(change.chain);
    chain.model = undefined;
    switch (change.kind) {
      case 'remove-chain':
        invariant(chain.policy === undefined, `patch removes base chain ${chain.name}`);
        this.#empty(chain);
        this.store.removeHead(chain.head);
        this.#byName.delete(chain.name);
        this.chains[chain.number] = undefined;
        this.#freeNumbers.push(chain.number);
        return;
      case 'flush':
        this.#empty(chain);
        return;
      case 'insert':
        this.#insert(chain, change.index, change.rule);
        return;
      case 'remove':
        this.#remove(chain, change.index);
        return;
      case 'replace':
        this.#remove(chain, change.index);
        this.#insert(chain, change.index, change.rule);
        return;
      case 'policy':
        chain.policy = change.policy;
        chain.basePackets = change.packets;
        chain.baseBytes = change.bytes;
    }
  }

  #insert(chain: CompiledChain, index: number, model: Rule): void {
    const { store } = this;
    invariant(index >= 0 && index <= chain.count, `no place ${index} in chain ${chain.name}`);
    const before = index === 0 ? -1 : this.ruleAt(chain, index - 1);
    const after = before === -1 ? chain.first : store.next(before);
    const steps = store.lowering.steps(model);
    const rule = this.#add(model, steps);
    store.bindStateful(rule);
    store.setNext(rule, after);
    if (before === -1) chain.first = rule;
    else store.setNext(before, rule);
    if (after === -1) chain.last = rule;
    if (chain.order !== undefined) {
      if (chain.count === chain.order.length) chain.order = growInt32(chain.order, chain.count + 8);
      chain.order.copyWithin(index + 1, index, chain.count);
      chain.order[index] = rule;
    }
    chain.count++;
    if (chain.order === undefined && chain.count > ORDERED_FROM) chain.order = Int32Array.from(this.rulesOf(chain));
    this.#label(chain, before, rule, after);
    if (chain.plan !== undefined) {
      chain.plan.insert(rule, steps);
      if (chain.plan.misfitCount > 8 + chain.plannedCount / 8) this.#plan(chain);
    } else if (chain.count > LINEAR_MAX && chain.count >= 2 * chain.plannedCount) {
      this.#plan(chain);
    }
    this.#enlist(chain);
  }

  /** A label between those of the neighbours; when there is none left, the whole chain gets new ones. */
  #label(chain: CompiledChain, before: number, rule: number, after: number): void {
    const { store } = this;
    const low = before === -1 ? 0 : store.label(before);
    const mine = after === -1 ? low + LABEL_STEP : (low + store.label(after)) / 2;
    store.setLabel(rule, mine);
    if (mine > low && (after === -1 || mine < store.label(after))) return;
    let dealt = 0;
    for (let r = chain.first; r !== -1; r = store.next(r)) store.setLabel(r, ++dealt * LABEL_STEP);
    chain.plan?.relabelled();
  }

  /** Chooses the chain's plan anew. */
  #plan(chain: CompiledChain): void {
    const rules = this.rulesOf(chain);
    const { store } = this;
    for (const rule of rules) store.setLevel(rule, -1);
    this.#choosePlan(
      chain,
      rules,
      rules.map((rule) => store.lowering.steps(store.model(rule))),
    );
  }

  #remove(chain: CompiledChain, index: number): void {
    const { store } = this;
    invariant(index >= 0 && index < chain.count, `no rule ${index} in chain ${chain.name}`);
    const before = index === 0 ? -1 : this.ruleAt(chain, index - 1);
    const rule = before === -1 ? chain.first : store.next(before);
    const after = store.next(rule);
    chain.plan?.remove(rule, store.lowering.steps(store.model(rule)));
    if (before === -1) chain.first = after;
    else store.setNext(before, after);
    if (after === -1) chain.last = before;
    chain.order?.copyWithin(index, index + 1, chain.count);
    chain.count--;
    store.remove(rule);
    this.#enlist(chain);
  }

  #empty(chain: CompiledChain): void {
    for (let rule = chain.first; rule !== -1; ) {
      const next = this.store.next(rule);
      this.store.remove(rule);
      rule = next;
    }
    chain.first = chain.last = -1;
    chain.count = chain.plannedCount = 0;
    chain.plan = undefined;
    chain.order = undefined;
    this.#enlist(chain);
  }

  /** Rule numbers in order. */
  rulesOf(chain: CompiledChain): number[] {
    const rules: number[] = [];
    for (let rule = chain.first; rule !== -1; rule = this.store.next(rule)) rules.push(rule);
    return rules;
  }

  ruleAt(chain: CompiledChain, index: number): number {
    if (chain.order !== undefined) return chain.order[index]!;
    if (index === chain.count - 1) return chain.last;
    let rule = chain.first;
    for (let i = 0; i < index; i++) rule = this.store.next(rule);
    return rule;
  }

  /** Place of a rule in its chain from 0. */
  indexOf(chain: CompiledChain, rule: number): number {
    const { store } = this;
    if (chain.order === undefined) {
      let index = 0;
      for (let r = chain.first; r !== rule; r = store.next(r)) index++;
      return index;
    }
    let low = 0;
    let high = chain.count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (store.label(chain.order[middle]!) < store.label(rule)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  counted(chain: CompiledChain, ruleIndex: number): Counted {
    if (ruleIndex === -1) return { packets: chain.packets, bytes: chain.bytes };
    const rule = this.ruleAt(chain, ruleIndex);
    return { packets: this.store.packets(rule), bytes: this.store.bytes(rule) };
  }

  /** The chain as a value, with the counters that its rules were loaded with. */
  modelOf(chain: CompiledChain): Chain {
    chain.model ??= {
      name: chain.name,
      policy: chain.policy,
      packets: chain.basePackets,
      bytes: chain.baseBytes,
      rules: this.rulesOf(chain).map((rule) => this.store.model(rule)),
    };
    return chain.model;
  }

  /** The table as a value, likewise. */
  model(): Table {
    const chains = new Map<string, Chain>();
    for (const chain of this.#byName.values()) chains.set(chain.name, this.modelOf(chain));
    return { name: this.name, chains: inSavedOrder(chains) };
  }
}

/**
 * The chains, each followed by those that its rules jump to: a walk then finds what it needs next nearby, however the
 * file lists them (by name, as legacy iptables-save does).
 */
function inWalkOrder(chains: ReadonlyMap<string, Chain>): Chain[] {
  const ordered: Chain[] = [];
  const seen = new Set<Chain>();
  const open: Chain[] = [];
  for (const first of chains.values()) {
    open.push(first);
    while (open.length > 0) {
      const chain = open.pop()!;
      if (seen.has(chain)) continue;
      seen.add(chain);
      ordered.push(chain);
      for (let i = chain.rules.length - 1; i >= 0; i--) {
        const { target } = chain.rules[i]!;
        if (target.kind !== 'jump' && target.kind !== 'goto') continue;
        const next = chains.get(target.chain);
        if (next !== undefined && !seen.has(next)) open.push(next);
      }
    }
  }
  return ordered;
}
