import { testForms } from '../../support/rule-form.js';

testForms(6, 'mangle', 'FORWARD', [
  ['-j HL --hl-set 64', '=', 'ok'],
  ['-j HL --hl-inc 1', '=', 'ok'],
  ['-j HL --hl-dec 1', '=', 'ok'],
  ['-j HL --hl-dec 0', '', 'bad-number'],
]);
