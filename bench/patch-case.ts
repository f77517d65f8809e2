/** One rule into, and out of, the service chain of a large table. */
import type { Engine } from '../src/engine/engine.js';
import type { Rule, RuleSet } from '../src/ruleset/model.js';
import { parseRuleSet } from '../src/ruleset/parse.js';
import type { Case } from './measure.js';

const RULE = [
  '*nat',
  ':KUBE-SERVICES - [0:0]',
  ':KUBE-MARK-MASQ - [0:0]',
  '-A KUBE-SERVICES -d 172.31.255.254/32 -p tcp -m comment --comment "shop/new:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
  'COMMIT',
  '',
].join('\n');

function oneRule(): Rule {
  const { ruleSet } = parseRuleSet({ name: 'patch', text: RULE }, { family: 4 });
  return ruleSet.tables[0]!.chains.get('KUBE-SERVICES')!.rules[0]!;
}

/** Puts the rule in the middle of the chain and takes it out again: two patches a run. */
export function patchCase(engine: Engine, ruleSet: RuleSet): Case {
  const chain = 'KUBE-SERVICES';
  const table = 'nat' as const;
  const rule = oneRule();
  const middle = ruleSet.tables.find(({ name }) => name === table)!.chains.get(chain)!.rules.length >> 1;
  const insert = [{ table, changes: [{ kind: 'insert' as const, chain, index: middle, rule }] }];
  const remove = [{ table, changes: [{ kind: 'remove' as const, chain, index: middle }] }];
  return {
    name: 'one rule patched',
    items: 2,
    run: () => {
      engine.apply(insert);
      engine.apply(remove);
    },
  };
}
