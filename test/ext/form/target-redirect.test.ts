import { testForms } from '../../support/rule-form.js';

testForms(4, 'nat', 'PREROUTING', [
  ['-p tcp -j REDIRECT', '=', 'ok'],
  ['-p tcp -j REDIRECT --to-ports 80', '=', 'ok'],
  ['-p tcp -j REDIRECT --to-ports 80-90 --random', '=', 'ok'],
  ['-p tcp -j REDIRECT --to-ports 80-90/5', '', 'bad-port'],
  ['-p tcp -j REDIRECT --to-ports http', '-p tcp -j REDIRECT --to-ports 80', 'ok'],
  ['-p tcp -j REDIRECT --to-ports 90-80', '', 'bad-range'],
  ['-j REDIRECT --to-ports 80', '', 'needs-protocol'],
  ['-j REDIRECT --random', '=', 'ok'],
  ['-j REDIRECT --random-fully', '', 'unknown-option'],
  ['-j REDIRECT --persistent', '', 'unknown-option'],
  ['-p tcp -j REDIRECT --to-ports 80-', '', 'bad-port'],
  ['-p tcp -j REDIRECT --to-ports 80/5', '', 'bad-port'],
  ['-p tcp -j REDIRECT --to-ports 80:90', '', 'bad-port'],
  ['-p tcp -j REDIRECT --to-ports 80-90/5', '', 'bad-port'],
  ['-p tcp -j REDIRECT --to-ports http/5', '', 'bad-port'],
]);
testForms(4, 'nat', 'OUTPUT', [['-j REDIRECT', '=', 'ok']]);
testForms(4, 'nat', 'POSTROUTING', [['-j REDIRECT', '', 'hook-not-allowed']]);
testForms(6, 'nat', 'PREROUTING', [['-p tcp -j REDIRECT --to-ports 8080', '=', 'ok']]);
