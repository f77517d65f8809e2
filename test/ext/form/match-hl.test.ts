import { testForms } from '../../support/rule-form.js';

testForms(6, 'filter', 'INPUT', [
  ['-m hl --hl 5', '-m hl --hl-eq 5', 'ok'],
  ['-m hl --hl-eq 5', '=', 'ok'],
  ['-m hl ! --hl-eq 5', '=', 'ok'],
  ['-m hl --hl-lt 5', '=', 'ok'],
  ['-m hl --hl-gt 5', '=', 'ok'],
  ['-m hl --hl-eq 256', '', 'bad-number'],
  ['-m hl', '', 'option-missing'],
]);
