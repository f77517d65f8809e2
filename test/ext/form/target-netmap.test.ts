import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [['-j NETMAP --to 1.2.3.0/24', '', 'table-not-allowed']]);
testForms(4, 'nat', 'PREROUTING', [
  ['-j NETMAP --to 1.2.3.4/24', '-j NETMAP --to 1.2.3.0/24', 'ok'],
  ['-j NETMAP --to 1.2.3.4', '-j NETMAP --to 1.2.3.4/32', 'ok'],
  ['-j NETMAP --to 1.2.3.4/255.255.0.0', '-j NETMAP --to 1.2.0.0/16', 'ok'],
  ['-j NETMAP --to 1.2.3.4/255.0.255.0', '-j NETMAP --to 1.2.3.4/32', 'ok'],
  ['-j NETMAP --to 10.1/16', '-j NETMAP --to 10.0.0.0/16', 'ok'],
  ['-j NETMAP --to 1.2.3.4/0', '-j NETMAP --to 0.0.0.0/0', 'ok'],
  ['-j NETMAP', '', 'option-missing'],
  ['-j NETMAP --to 1.2.3.4/33', '-j NETMAP --to 1.2.3.4/32', 'ok'],
  ['-j NETMAP --to foo/24', '', 'bad-address'],
  ['-j NETMAP --to 1.2.3.4/', '', 'bad-mask'],
  ['-j NETMAP --to /24', '', 'bad-address'],
  ['-j NETMAP --to 0.0.0.0/0', '=', 'ok'],
]);
testForms(4, 'nat', 'OUTPUT', [['-j NETMAP --to 1.2.3.0/24', '=', 'ok']]);
testForms(4, 'nat', 'INPUT', [['-j NETMAP --to 1.2.3.0/24', '=', 'ok']]);
testForms(4, 'nat', 'POSTROUTING', [['-j NETMAP --to 1.2.3.0/24', '=', 'ok']]);
testForms(6, 'nat', 'PREROUTING', [
  ['-j NETMAP --to 2001:db8::/64', '=', 'ok'],
  ['-j NETMAP --to 2001:db8::1', '-j NETMAP --to 2001:db8::1/128', 'ok'],
]);
