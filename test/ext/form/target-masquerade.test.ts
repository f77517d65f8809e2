import { testForms } from '../../support/rule-form.js';

testForms(4, 'nat', 'PREROUTING', [['-j MASQUERADE', '', 'hook-not-allowed']]);
testForms(4, 'nat', 'OUTPUT', [['-j MASQUERADE', '', 'hook-not-allowed']]);
testForms(4, 'nat', 'POSTROUTING', [
  ['-j MASQUERADE', '=', 'ok'],
  ['-j MASQUERADE --random', '=', 'ok'],
  ['-j MASQUERADE --random-fully', '=', 'ok'],
  ['-j MASQUERADE --random-fully --random', '-j MASQUERADE --random --random-fully', 'ok'],
  ['-p tcp -j MASQUERADE --to-ports 1024-31000', '=', 'ok'],
  ['-p tcp -j MASQUERADE --to-ports 1024', '=', 'ok'],
  ['-p tcp -j MASQUERADE --to-ports 1024-1024', '-p tcp -j MASQUERADE --to-ports 1024', 'ok'],
  ['-p tcp -j MASQUERADE --to-ports 1024:2048', '', 'bad-port'],
  ['-j MASQUERADE --to-ports 1024', '', 'needs-protocol'],
  ['-j MASQUERADE --persistent', '', 'unknown-option'],
  ['-p tcp -j MASQUERADE --to-ports 10-20/5', '-p tcp -j MASQUERADE --to-ports 10-20/0', 'ok'],
  ['-p tcp -j MASQUERADE --to-ports ""', '', 'bad-port'],
  ['-p tcp -j MASQUERADE --to-ports " 10-20"', '-p tcp -j MASQUERADE --to-ports 10-20', 'ok'],
  ['-p tcp -j MASQUERADE --to-ports 10-20/0', '', 'bad-port'],
  ['-p tcp -j MASQUERADE --to-ports 10-10/5', '-p tcp -j MASQUERADE --to-ports 10/0', 'ok'],
]);
testForms(6, 'nat', 'POSTROUTING', [
  ['-j MASQUERADE', '=', 'ok'],
  ['-p udp -j MASQUERADE --to-ports 5-6 --random', '=', 'ok'],
]);
