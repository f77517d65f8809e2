import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [['-j TOS --set-tos 1', '', 'table-not-allowed']]);
testForms(4, 'mangle', 'FORWARD', [
  ['-j TOS --set-tos 0x10', '-j TOS --set-tos 0x10/0xff', 'ok'],
  ['-j TOS --set-tos 0x10/0x1f', '=', 'ok'],
  ['-j TOS --set-tos Minimize-Delay', '-j TOS --set-tos 0x10/0x3f', 'ok'],
  ['-j TOS --and-tos 0x3f', '-j TOS --set-tos 0x00/0xc0', 'ok'],
  ['-j TOS --or-tos 0x3', '-j TOS --set-tos 0x03/0x03', 'ok'],
  ['-j TOS --xor-tos 0x3', '-j TOS --set-tos 0x03/0x00', 'ok'],
  ['-j TOS --set-tos 1 --or-tos 2', '', 'options-exclude'],
  ['-j TOS', '', 'option-missing'],
  ['-j TOS --or-tos 1/2', '', 'bad-number'],
  ['-j TOS --set-tos 0x10/0x10/1', '', 'bad-number'],
  ['-j TOS --set-tos Foo', '', 'bad-number'],
  ['-j TOS --set-tos 256', '', 'bad-number'],
  ['-j TOS --and-tos Minimize-Delay', '', 'bad-number'],
  ['-j TOS ! --set-tos 1', '', 'cannot-invert'],
]);
testForms(6, 'mangle', 'FORWARD', [['-j TOS --set-tos 0x10', '-j TOS --set-tos 0x10/0xff', 'ok']]);
