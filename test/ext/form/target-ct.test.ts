import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [['-j CT --notrack', '', 'table-not-allowed']]);
testForms(4, 'raw', 'PREROUTING', [
  ['-j CT --notrack', '=', 'ok'],
  ['-j CT', '=', 'ok'],
  ['-j CT --zone 5', '=', 'ok'],
  ['-j CT --zone 0', '-j CT', 'ok'],
  ['-j CT --zone mark', '=', 'ok'],
  ['-j CT --zone MARK', '-j CT --zone mark', 'ok'],
  ['-j CT --zone-orig 7', '=', 'ok'],
  ['-j CT --zone-reply 7', '=', 'ok'],
  ['-j CT --zone-orig 7 --zone-reply 8', '-j CT --zone 8', 'ok'],
  ['-j CT --zone 5 --zone-orig 6', '-j CT --zone-orig 6', 'ok'],
  ['-j CT --zone mark --zone-orig 6', '-j CT --zone-orig mark', 'ok'],
  ['-j CT --zone 65536', '', 'bad-number'],
  ['-j CT --zone x', '', 'bad-number'],
  ['-j CT --notrack --zone 5', '=', 'ok'],
  ['-j CT --zone-reply mark', '=', 'ok'],
  ['-j CT --zone ""', '', 'bad-number'],
  ['-j CT --zone 0x10', '-j CT --zone 16', 'ok'],
  ['-j CT --zone -1', '', 'bad-number'],
  ['-j CT --zone 5 --zone 6', '', 'option-repeated'],
  ['-j CT --zone-orig 0', '-j CT', 'ok'],
  ['-j CT --zone-orig mark --zone-reply 5', '-j CT --zone mark', 'ok'],
  ['-j CT --helper nosuch', '', 'unsupported-option'],
  ['-j CT --notrack --notrack', '', 'option-repeated'],
]);
testForms(4, 'mangle', 'FORWARD', [['-j CT --notrack', '', 'table-not-allowed']]);
testForms(6, 'raw', 'PREROUTING', [['-j CT --zone 5', '=', 'ok']]);
