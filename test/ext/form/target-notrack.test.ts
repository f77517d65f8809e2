import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [['-j NOTRACK', '', 'table-not-allowed']]);
testForms(4, 'raw', 'PREROUTING', [
  ['-j NOTRACK', '=', 'ok'],
  ['-j NOTRACK --zone 5', '', 'unknown-option'],
]);
testForms(4, 'mangle', 'PREROUTING', [['-j NOTRACK', '', 'table-not-allowed']]);
testForms(6, 'raw', 'PREROUTING', [['-j NOTRACK', '=', 'ok']]);
