import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m comment --comment "hello world"', '=', 'ok'],
  ['-m comment --comment abc', '=', 'ok'],
  ['-m comment --comment ""', '=', 'ok'],
  ['-m comment --comment "it\'s a \\"test\\" \\\\ x"', '-m comment --comment "it\\\'s a \\"test\\" \\\\ x"', 'ok'],
  ['-m comment', '', 'option-missing'],
  ['-m comment ! --comment x', '', 'cannot-invert'],
  [
    '-m comment --comment "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"',
    '-m comment --comment xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    'ok',
  ],
  ['-m comment --comment "über"', '=', 'ok'],
  ['-m comment --comment a_b-C9', '=', 'ok'],
  ['-m comment --comment a.b', '-m comment --comment "a.b"', 'ok'],
  ['-m comment --comment x --comment y', '', 'option-repeated'],
]);
