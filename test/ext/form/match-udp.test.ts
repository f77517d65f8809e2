import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-p udp --dport 53', '-p udp -m udp --dport 53', 'ok'],
  ['-p udp --dport 053', '-p udp -m udp --dport 53', 'ok'],
  ['-p udp --dport 65536', '-p udp -m udp --dport 0', 'ok'],
  ['-p udp --dport 0x35', '', 'bad-port'],
  ['-p udp --dport " 7"', '-p udp -m udp --dport 7', 'ok'],
  ['-p udp --dport +7', '-p udp -m udp --dport 7', 'ok'],
  ['-p udp --dport -1', '', 'bad-port'],
  ['-p udp --dport ""', '-p udp -m udp --dport 0', 'ok'],
  ['-p udp --dport ssh', '-p udp -m udp --dport 22', 'ok'],
  ['-p udp --sport 9:8', '-p udp -m udp --sport 9:8', 'ok'],
  ['-p udp ! --sport 9:8', '-p udp -m udp ! --sport 9:8', 'ok'],
  ['-p udp ! --sport :', '-p udp -m udp', 'ok'],
  ['-p udp --sport : --dport 5:', '-p udp -m udp --dport 5:65535', 'ok'],
  ['-p udp --sport 1:2:3', '', 'bad-range'],
  ['-p udp --dport domain:ntp', '-p udp -m udp --dport 53:123', 'ok'],
  ['-p udp --dport nosuch', '', 'bad-port'],
  ['-p udp --dport 99999999999999999999999', '', 'bad-port'],
  ['-p tcp -m udp', '', 'needs-protocol'],
  ['-p udp --dport 4294967296', '-p udp -m udp --dport 0', 'ok'],
  ['-p udp --dport 2147483648', '', 'bad-port'],
  ['-p udp --dport -4294967295', '-p udp -m udp --dport 1', 'ok'],
  ['-p udp --dport -65535', '', 'bad-port'],
]);
testForms(6, 'filter', 'INPUT', [['-p udp --dport 53', '-p udp -m udp --dport 53', 'ok']]);
