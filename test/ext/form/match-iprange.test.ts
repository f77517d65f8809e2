import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m iprange --src-range 10.0.0.1-10.0.0.9', '=', 'ok'],
  ['-m iprange --dst-range 10.0.0.1', '-m iprange --dst-range 10.0.0.1-10.0.0.1', 'ok'],
  [
    '-m iprange ! --src-range 10.1-10.2 --dst-range 1.2.3.4-1.2.3.5',
    '-m iprange ! --src-range 10.1.0.0-10.2.0.0 --dst-range 1.2.3.4-1.2.3.5',
    'ok',
  ],
  ['-m iprange --src-range 10.0.0.9-10.0.0.1', '=', 'ok'],
  ['-m iprange --src-range 10.0.0.300-10.0.0.1', '', 'bad-address'],
  ['-m iprange --src-range 010.0.0.1-0x10.0.0.1', '-m iprange --src-range 8.0.0.1-16.0.0.1', 'ok'],
  ['-m iprange --src-range 1.2.3.4-', '', 'bad-address'],
  ['-m iprange', '', 'option-missing'],
  ['-m iprange --src-range 1.2.3.4-1.2.3.5-1.2.3.6', '', 'bad-address'],
  ['-m iprange --src-range ""', '', 'bad-address'],
  ['-m iprange --src-range 0-255.255.255.255', '-m iprange --src-range 0.0.0.0-255.255.255.255', 'ok'],
  ['-m iprange --src-range 1.2.3.4/24', '', 'bad-address'],
  ['-m iprange ! --src-range 1.2.3.9-1.2.3.4', '=', 'ok'],
]);
testForms(6, 'filter', 'INPUT', [
  ['-m iprange --src-range 2001:db8::1-2001:db8::9', '=', 'ok'],
  ['-m iprange ! --dst-range ::1', '-m iprange ! --dst-range ::1-::1', 'ok'],
  ['-m iprange --src-range 2001:db8::9-2001:db8::1', '=', 'ok'],
  ['-m iprange --src-range 1.2.3.4-1.2.3.5', '', 'bad-address,bad-address'],
  ['-m iprange --src-range ::-ffff::', '=', 'ok'],
  ['-m iprange --src-range 1::-2::-3::', '', 'bad-address'],
]);
