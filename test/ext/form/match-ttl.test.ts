import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m ttl --ttl 64', '-m ttl --ttl-eq 64', 'ok'],
  ['-m ttl --ttl-eq 64', '=', 'ok'],
  ['-m ttl ! --ttl-eq 64', '=', 'ok'],
  ['-m ttl --ttl-lt 5', '=', 'ok'],
  ['-m ttl --ttl-gt 0x10', '-m ttl --ttl-gt 16', 'ok'],
  ['-m ttl ! --ttl-lt 5', '', 'cannot-invert'],
  ['-m ttl --ttl-lt 5 --ttl-gt 3', '', 'options-exclude'],
  ['-m ttl --ttl 256', '', 'bad-number'],
  ['-m ttl', '', 'option-missing'],
  ['-m ttl --ttl-eq ""', '', 'bad-number'],
  ['-m ttl --ttl-eq 5x', '', 'bad-number'],
]);
testForms(6, 'filter', 'INPUT', [['-m ttl --ttl 5', '', 'unsupported-extension']]);
