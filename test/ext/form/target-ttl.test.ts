import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [['-j TTL --ttl-set 5', '', 'table-not-allowed']]);
testForms(4, 'raw', 'PREROUTING', [['-j TTL --ttl-set 5', '', 'table-not-allowed']]);
testForms(4, 'mangle', 'FORWARD', [
  ['-j TTL --ttl-set 64', '=', 'ok'],
  ['-j TTL --ttl-set 0', '=', 'ok'],
  ['-j TTL --ttl-inc 1', '=', 'ok'],
  ['-j TTL --ttl-dec 255', '=', 'ok'],
  ['-j TTL --ttl-dec 0', '', 'bad-number'],
  ['-j TTL --ttl-set 256', '', 'bad-number'],
  ['-j TTL --ttl-set 1 --ttl-inc 1', '', 'options-exclude'],
  ['-j TTL', '', 'option-missing'],
  ['-j TTL --ttl-inc 0', '', 'bad-number'],
  ['-j TTL --ttl-inc 256', '', 'bad-number'],
]);
testForms(6, 'mangle', 'FORWARD', [['-j TTL --ttl-set 1', '', 'unknown-option']]);
