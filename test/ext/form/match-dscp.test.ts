import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m dscp --dscp 46', '-m dscp --dscp 0x2e', 'ok'],
  ['-m dscp --dscp 0x3f', '=', 'ok'],
  ['-m dscp ! --dscp-class EF', '-m dscp ! --dscp 0x2e', 'ok'],
  ['-m dscp --dscp-class cs3', '-m dscp --dscp 0x18', 'ok'],
  ['-m dscp --dscp-class AF42', '-m dscp --dscp 0x24', 'ok'],
  ['-m dscp --dscp-class BE', '-m dscp --dscp 0x00', 'ok'],
  ['-m dscp --dscp-class be', '-m dscp --dscp 0x00', 'ok'],
  ['-m dscp --dscp-class AF44', '', 'bad-word'],
  ['-m dscp --dscp-class CS8', '', 'bad-word'],
  ['-m dscp --dscp 64', '', 'bad-number'],
  ['-m dscp --dscp 1 --dscp-class BE', '', 'options-exclude'],
  ['-m dscp', '', 'option-missing'],
  ['-m dscp --dscp ""', '', 'bad-number'],
  ['-m dscp --dscp 1x', '', 'bad-number'],
  ['-m dscp --dscp-class AF00', '', 'bad-word'],
  ['-m dscp --dscp-class AF4', '', 'bad-word'],
  ['-m dscp --dscp-class EFF', '-m dscp --dscp 0x2e', 'ok'],
  ['-m dscp --dscp-class CS10', '-m dscp --dscp 0x08', 'ok'],
  ['-m dscp --dscp-class AF111', '-m dscp --dscp 0x0a', 'ok'],
  ['-m dscp --dscp-class bex', '-m dscp --dscp 0x00', 'ok'],
  ['-m dscp --dscp-class B', '', 'bad-word'],
]);
testForms(6, 'filter', 'INPUT', [
  ['-m dscp --dscp 1', '-m dscp --dscp 0x01', 'ok'],
  ['-m dscp --dscp-class EF', '-m dscp --dscp 0x2e', 'ok'],
]);
