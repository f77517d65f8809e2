import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [['-j DSCP --set-dscp 1', '', 'table-not-allowed']]);
testForms(4, 'mangle', 'FORWARD', [
  ['-j DSCP --set-dscp 10', '-j DSCP --set-dscp 0x0a', 'ok'],
  ['-j DSCP --set-dscp-class af11', '-j DSCP --set-dscp 0x0a', 'ok'],
  ['-j DSCP --set-dscp-class EF', '-j DSCP --set-dscp 0x2e', 'ok'],
  ['-j DSCP --set-dscp 64', '', 'bad-number'],
  ['-j DSCP --set-dscp 1 --set-dscp-class EF', '', 'options-exclude'],
  ['-j DSCP', '', 'option-missing'],
  ['-j DSCP --set-dscp-class foo', '', 'bad-word'],
]);
testForms(6, 'mangle', 'FORWARD', [['-j DSCP --set-dscp 1', '-j DSCP --set-dscp 0x01', 'ok']]);
