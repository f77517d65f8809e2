import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m physdev --physdev-is-in', '=', 'ok'],
  ['-m physdev --physdev-in eth0 ! --physdev-out eth+ --physdev-is-bridged', '=', 'ok'],
  ['-m physdev ! --physdev-is-in ! --physdev-is-out ! --physdev-is-bridged', '=', 'ok'],
  ['-m physdev --physdev-in ""', '-m physdev --physdev-in', 'ok'],
  ['-m physdev --physdev-in +', '=', 'ok'],
  ['-m physdev --physdev-in abcdefghijklmnop', '', 'bad-interface'],
  ['-m physdev --physdev-out "a b"', '-m physdev --physdev-out a b', 'ok'],
  ['-m physdev', '', 'option-missing'],
  ['-m physdev --physdev-in a --physdev-in b', '', 'option-repeated'],
  ['-m physdev --physdev-is-in --physdev-in eth0 --physdev-is-out --physdev-out eth1', '=', 'ok'],
  ['-m physdev --physdev-in abcdefghijklmno', '=', 'ok'],
  ['-m physdev --physdev-in "x\'y"', "-m physdev --physdev-in x'y", 'ok'],
]);
testForms(4, 'filter', 'OUTPUT', [
  ['-m physdev --physdev-is-out', '', 'hook-not-allowed'],
  ['-m physdev ! --physdev-out x', '', 'hook-not-allowed'],
  ['-m physdev ! --physdev-out x --physdev-is-bridged', '=', 'ok'],
  ['-m physdev ! --physdev-out x ! --physdev-is-bridged', '', 'hook-not-allowed'],
]);
testForms(4, 'filter', 'FORWARD', [['-m physdev --physdev-is-out', '=', 'ok']]);
