import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-j LOG', '=', 'ok'],
  ['-j LOG --log-level warning --log-prefix abc', '-j LOG --log-prefix abc', 'ok'],
  ['-j LOG --log-prefix "a b: "', '=', 'ok'],
  [
    '-j LOG --log-prefix "1234567890123456789012345678901234567890"',
    '-j LOG --log-prefix 12345678901234567890123456789',
    'ok',
  ],
  ['-j LOG --log-prefix ""', '', 'bad-string'],
  ['-j LOG --log-level 7', '=', 'ok'],
  ['-j LOG --log-level debug', '-j LOG --log-level 7', 'ok'],
  ['-j LOG --log-level panic', '-j LOG --log-level 0', 'ok'],
  ['-j LOG --log-level error', '-j LOG --log-level 3', 'ok'],
  ['-j LOG --log-level err', '', 'bad-word'],
  ['-j LOG --log-level DEBUG', '', 'bad-word'],
  ['-j LOG --log-level 8', '', 'bad-word'],
  ['-j LOG --log-level 0x5', '-j LOG --log-level 5', 'ok'],
  [
    '-j LOG --log-macdecode --log-uid --log-ip-options --log-tcp-options --log-tcp-sequence',
    '-j LOG --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid --log-macdecode',
    'ok',
  ],
  ['-j LOG --log-prefix "123456789012345678901234567é90"', '-j LOG --log-prefix "123456789012345678901234567é"', 'ok'],
  [
    '-j LOG --log-prefix "1234567890123456789012345678é90"',
    '-j LOG --log-prefix "1234567890123456789012345678\udcc3"',
    'ok',
  ],
  ['-j LOG --log-prefix "a\'b\\"c\\\\d"', '-j LOG --log-prefix "a\\\'b\\"c\\\\d"', 'ok'],
  ['-j LOG --log-prefix "\t"', '=', 'ok'],
  ['-j LOG --log-level ""', '', 'bad-word'],
  ['-j LOG --log-level " 3"', '-j LOG --log-level 3', 'ok'],
  ['-j LOG --log-level 4', '-j LOG', 'ok'],
  ['-j LOG --log-level emerg', '-j LOG --log-level 0', 'ok'],
  ['-j LOG --log-level warn', '', 'bad-word'],
  ['-j LOG --log-uid --log-uid', '', 'option-repeated'],
]);
testForms(4, 'nat', 'PREROUTING', [['-j LOG', '=', 'ok']]);
testForms(6, 'filter', 'INPUT', [
  ['-j LOG --log-prefix x --log-level info', '-j LOG --log-prefix x --log-level 6', 'ok'],
  ['-j LOG --log-ip-options', '=', 'ok'],
]);
