import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-j MARK --set-mark 1', '-j MARK --set-xmark 0x1/0xffffffff', 'ok'],
  ['-j MARK --or-mark 0x4000', '-j MARK --set-xmark 0x4000/0x4000', 'ok'],
  ['-j MARK --xor-mark 0x4000', '-j MARK --set-xmark 0x4000/0x0', 'ok'],
  ['-j MARK --and-mark 0xff', '-j MARK --set-xmark 0x0/0xffffff00', 'ok'],
  ['-j MARK --set-xmark 0x1/0xff', '=', 'ok'],
  ['-j MARK --set-mark 5/3', '-j MARK --set-xmark 0x5/0x7', 'ok'],
  ['-j MARK --set-xmark 5/3', '-j MARK --set-xmark 0x5/0x3', 'ok'],
  ['-j MARK --or-mark 1/2', '', 'bad-number'],
  ['-j MARK --set-mark 1 --or-mark 2', '', 'options-exclude'],
  ['-j MARK', '', 'option-missing'],
  ['-j MARK --set-mark 1/', '', 'bad-number'],
  ['-j MARK --set-mark ""', '', 'bad-number'],
  ['-j MARK --and-mark ""', '', 'bad-number'],
  ['-j MARK --or-mark -1', '', 'bad-number'],
]);
testForms(4, 'nat', 'PREROUTING', [['-j MARK --set-mark 1', '-j MARK --set-xmark 0x1/0xffffffff', 'ok']]);
testForms(6, 'filter', 'INPUT', [['-j MARK --set-mark 1', '-j MARK --set-xmark 0x1/0xffffffff', 'ok']]);
