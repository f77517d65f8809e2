import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m state --state RELATED,ESTABLISHED', '=', 'ok'],
  ['-m state ! --state n,i', '-m state ! --state INVALID,NEW', 'ok'],
  ['-m state --state untr', '-m state --state UNTRACKED', 'ok'],
  ['-m state --state SNAT', '', 'bad-word'],
  ['-m state', '', 'option-missing'],
  ['-m state --state NEW,', '', 'bad-word'],
  ['-m state --state ,NEW', '', 'bad-word'],
]);
