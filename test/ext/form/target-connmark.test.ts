import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-j CONNMARK --set-mark 1', '-j CONNMARK --set-xmark 0x1/0xffffffff', 'ok'],
  ['-j CONNMARK --set-mark 1/3', '-j CONNMARK --set-xmark 0x1/0x3', 'ok'],
  ['-j CONNMARK --set-xmark 1/2', '-j CONNMARK --set-xmark 0x1/0x2', 'ok'],
  ['-j CONNMARK --and-mark 0xff', '-j CONNMARK --set-xmark 0x0/0xffffff00', 'ok'],
  ['-j CONNMARK --or-mark 8', '-j CONNMARK --set-xmark 0x8/0x8', 'ok'],
  ['-j CONNMARK --xor-mark 8', '-j CONNMARK --set-xmark 0x8/0x0', 'ok'],
  ['-j CONNMARK --save-mark', '-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff', 'ok'],
  ['-j CONNMARK --restore-mark --mask 0xff', '-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff', 'ok'],
  ['-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf0', '=', 'ok'],
  ['-j CONNMARK --save-mark --nfmask 0xf --mask 0xf0', '', 'options-exclude'],
  ['-j CONNMARK --set-mark 1 --mask 0xff', '-j CONNMARK --set-xmark 0x1/0xff', 'ok'],
  ['-j CONNMARK --mask 0xff --set-mark 1', '-j CONNMARK --set-xmark 0x1/0xffffffff', 'ok'],
  ['-j CONNMARK --or-mark 8 --mask 0xff', '-j CONNMARK --set-xmark 0x8/0xff', 'ok'],
  ['-j CONNMARK --set-mark 1 --ctmask 5 --nfmask 6', '-j CONNMARK --set-xmark 0x1/0x5', 'ok'],
  [
    '-j CONNMARK --restore-mark --left-shift-mark 4',
    '-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff --left-shift-mark 4',
    'ok',
  ],
  [
    '-j CONNMARK --save-mark --right-shift-mark 0x1f',
    '-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff --right-shift-mark 31',
    'ok',
  ],
  ['-j CONNMARK --set-mark 1 --left-shift-mark 0', '-j CONNMARK --set-xmark 0x1/0xffffffff', 'ok'],
  ['-j CONNMARK --set-mark 1 --left-shift-mark 32', '', 'bad-number'],
  ['-j CONNMARK --set-mark 1 --left-shift-mark 33', '', 'bad-number'],
  [
    '-j CONNMARK --set-mark 1 --left-shift-mark 3 --right-shift-mark 2',
    '-j CONNMARK --set-xmark 0x1/0xffffffff --right-shift-mark 2',
    'ok',
  ],
  [
    '-j CONNMARK --set-mark 1 --right-shift-mark 2 --left-shift-mark 3',
    '-j CONNMARK --set-xmark 0x1/0xffffffff --left-shift-mark 3',
    'ok',
  ],
  ['-j CONNMARK --save-mark --restore-mark', '', 'options-exclude'],
  ['-j CONNMARK', '', 'option-missing'],
  ['-j CONNMARK --set-xmark 1 --set-mark 2', '', 'options-exclude'],
  ['-j CONNMARK --save-mark --mask 1/2', '', 'bad-number'],
  [
    '-j CONNMARK --save-mark --left-shift-mark 5 --mask 3',
    '-j CONNMARK --save-mark --nfmask 0x3 --ctmask 0x3 --left-shift-mark 5',
    'ok',
  ],
  ['-j CONNMARK --and-mark 5 --ctmask 3', '-j CONNMARK --set-xmark 0x0/0x3', 'ok'],
]);
testForms(6, 'filter', 'INPUT', [
  ['-j CONNMARK --save-mark', '-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff', 'ok'],
]);
