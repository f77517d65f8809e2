import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m mac --mac-source 00:11:22:AA:bB:cc', '-m mac --mac-source 00:11:22:aa:bb:cc', 'ok'],
  ['-m mac ! --mac-source 0:1:2:3:4:5', '-m mac ! --mac-source 00:01:02:03:04:05', 'ok'],
  ['-m mac --mac-source 00:11:22:33:44', '', 'bad-mac'],
  ['-m mac --mac-source 00:11:22:33:44:gg', '', 'bad-mac'],
  ['-m mac --mac-source 00-11-22-33-44-55', '', 'bad-mac'],
  ['-m mac --mac-source 000:11:22:33:44:55', '', 'bad-mac'],
  ['-m mac', '', 'option-missing'],
  ['-m mac --mac-source 00:11:22:33:44:55:66', '', 'bad-mac'],
  ['-m mac --mac-source ::::: ', '-m mac --mac-source 00:00:00:00:00:00', 'ok'],
  ['-m mac --mac-source +1:2:3:4:5:6', '-m mac --mac-source 01:02:03:04:05:06', 'ok'],
  ['-m mac --mac-source -1:" 2":3:4:5:6', '', 'stray-word'],
  ['-m mac --mac-source +:2:3:4:5:6', '', 'bad-mac'],
  ['-m mac --mac-source 0x:2:3:4:5:6', '', 'bad-mac'],
  ['-m mac --mac-source 1::::', '', 'bad-mac'],
]);
testForms(4, 'filter', 'OUTPUT', [['-m mac --mac-source 0:1:2:3:4:5', '', 'hook-not-allowed']]);
testForms(4, 'filter', 'FORWARD', [['-m mac --mac-source 0:1:2:3:4:5', '-m mac --mac-source 00:01:02:03:04:05', 'ok']]);
testForms(4, 'nat', 'POSTROUTING', [['-m mac --mac-source 0:1:2:3:4:5', '', 'hook-not-allowed']]);
testForms(6, 'filter', 'INPUT', [['-m mac --mac-source 0:1:2:3:4:5', '-m mac --mac-source 00:01:02:03:04:05', 'ok']]);
