import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m tos --tos 0x10', '-m tos --tos 0x10/0xff', 'ok'],
  ['-m tos --tos 16/0x3f', '-m tos --tos 0x10/0x3f', 'ok'],
  ['-m tos ! --tos Minimize-Delay', '-m tos ! --tos 0x10/0x3f', 'ok'],
  ['-m tos --tos maximize-throughput', '-m tos --tos 0x08/0x3f', 'ok'],
  ['-m tos --tos Normal-Service', '-m tos --tos 0x00/0x3f', 'ok'],
  ['-m tos --tos Minimize', '', 'bad-number'],
  ['-m tos --tos Minimize-Cost/0xff', '', 'bad-number'],
  ['-m tos --tos 0x100', '', 'bad-number'],
  ['-m tos --tos 1/0x100', '', 'bad-number'],
  ['-m tos', '', 'option-missing'],
  ['-m tos --tos 0x10/', '', 'bad-number'],
  ['-m tos --tos /5', '', 'bad-number'],
  ['-m tos --tos ""', '', 'bad-number'],
  ['-m tos --tos "Minimize-Delay "', '', 'bad-number'],
]);
testForms(6, 'filter', 'INPUT', [['-m tos --tos 0x10', '-m tos --tos 0x10/0xff', 'ok']]);
