import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m length --length 100', '=', 'ok'],
  ['-m length --length 100:200', '=', 'ok'],
  ['-m length ! --length 100:', '-m length ! --length 100:65535', 'ok'],
  ['-m length --length :200', '-m length --length 0:200', 'ok'],
  ['-m length --length :', '-m length --length 0:65535', 'ok'],
  ['-m length --length 200:100', '=', 'ok'],
  ['-m length --length 65536', '', 'bad-number'],
  ['-m length --length 1:2:3', '', 'bad-range'],
  ['-m length --length ""', '-m length --length 0', 'ok'],
  ['-m length --length 5:5', '-m length --length 5', 'ok'],
  ['-m length', '', 'option-missing'],
  ['-m length --length 0x10:0x20', '-m length --length 16:32', 'ok'],
  ['-m length --length a', '', 'bad-number'],
  ['-m length --length 1:a', '', 'bad-number'],
  ['-m length --length "1 :2"', '', 'bad-number'],
  ['-m length --length "1: 2"', '-m length --length 1:2', 'ok'],
]);
testForms(6, 'filter', 'INPUT', [['-m length --length 40:', '-m length --length 40:65535', 'ok']]);
