import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m nfacct --nfacct-name acc1', '-m nfacct --nfacct-name  acc1', 'ok'],
  ['-m nfacct --nfacct-name "a b"', '-m nfacct --nfacct-name  "a b"', 'ok'],
  ['-m nfacct --nfacct-name ""', '', 'bad-string'],
  ['-m nfacct', '', 'option-missing'],
  ['-m nfacct ! --nfacct-name acc1', '', 'cannot-invert'],
]);
