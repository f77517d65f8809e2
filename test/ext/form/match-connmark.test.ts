import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m connmark --mark 0x10/0xf0', '=', 'ok'],
  ['-m connmark ! --mark 7', '-m connmark ! --mark 0x7', 'ok'],
  ['-m connmark', '', 'option-missing'],
]);
