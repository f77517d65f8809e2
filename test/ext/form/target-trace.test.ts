import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [['-j TRACE', '', 'table-not-allowed']]);
testForms(4, 'raw', 'PREROUTING', [['-j TRACE', '=', 'ok']]);
testForms(4, 'mangle', 'PREROUTING', [['-j TRACE', '', 'table-not-allowed']]);
testForms(6, 'raw', 'PREROUTING', [['-j TRACE', '=', 'ok']]);
