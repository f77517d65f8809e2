import { testForms } from '../../support/rule-form.js';

testForms(4, 'nat', 'PREROUTING', [['-j SNAT --to-source 1.2.3.4', '', 'hook-not-allowed']]);
testForms(4, 'nat', 'OUTPUT', [['-j SNAT --to-source 1.2.3.4', '', 'hook-not-allowed']]);
testForms(4, 'nat', 'INPUT', [['-j SNAT --to-source 1.2.3.4', '=', 'ok']]);
testForms(4, 'nat', 'POSTROUTING', [
  ['-j SNAT --to-source 1.2.3.4', '=', 'ok'],
  ['-j SNAT --to-source 1.2.3.4-1.2.3.9 --random --random-fully --persistent', '=', 'ok'],
  [
    '-p udp -j SNAT --to-source 1.2.3.4:1024-65535 --persistent --random-fully',
    '-p udp -j SNAT --to-source 1.2.3.4:1024-65535 --random-fully --persistent',
    'ok',
  ],
  ['-p udp -j SNAT --to-source 1.2.3.4:10-20/5', '-p udp -j SNAT --to-source 1.2.3.4:10-20/0', 'ok'],
  ['-p udp -j SNAT --to-source :1024', '=', 'ok'],
  ['-j SNAT --to-source :1024', '', 'needs-protocol'],
  ['-j SNAT', '', 'option-missing'],
  ['-p udp -j SNAT --to-source 1.2.3.4:10-20/http', '-p udp -j SNAT --to-source 1.2.3.4:10-20/0', 'ok'],
  ['-p udp -j SNAT --to-source 1.2.3.4:10-20/70000', '', 'bad-port'],
  ['-p udp -j SNAT --to-source 1.2.3.4:10/5', '', 'bad-port'],
  ['-p tcp -j SNAT --to-source 1.2.3.4:10- ', '', 'bad-port'],
  ['-p tcp -j SNAT --to-source 1.2.3.4:-10', '', 'bad-port'],
  ['-p tcp -j SNAT --to-source 1.2.3.4:10-20-30', '', 'bad-port'],
  ['-p tcp -j SNAT --to-source 1.2.3.4-', '', 'bad-address'],
  ['-p tcp -j SNAT --to-source -1.2.3.4', '', 'bad-address'],
  ['-p tcp -j SNAT --to-source 1.2.3.4-1.2.3.5-1.2.3.6', '', 'bad-address'],
  ['-p tcp -j SNAT --to-source " 1.2.3.4"', '', 'bad-address'],
  ['-p tcp -j SNAT --to-source 1.2.3.4:1:2', '', 'bad-address'],
  ['-p tcp -j SNAT --to-source ab:80-90', '-p tcp -j SNAT --to-source :80-90', 'ok'],
  ['-p tcp -j SNAT --to-source 1.2.3.4 --to-source 1.2.3.5', '', 'option-repeated'],
  ['-p tcp -j SNAT --to-source 1.2.3.4:10-10/5', '-p tcp -j SNAT --to-source 1.2.3.4:10/0', 'ok'],
]);
testForms(6, 'nat', 'POSTROUTING', [
  ['-j SNAT --to-source 2001:db8::1', '=', 'ok'],
  ['-p udp -j SNAT --to-source [2001:db8::1]:1000-2000', '=', 'ok'],
]);
