import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-j REJECT', '-j REJECT --reject-with icmp-port-unreachable', 'ok'],
  ['-j REJECT --reject-with icmp-net-unreachable', '=', 'ok'],
  ['-j REJECT --reject-with host-unreach', '-j REJECT --reject-with icmp-host-unreachable', 'ok'],
  ['-j REJECT --reject-with proto-unreach', '-j REJECT --reject-with icmp-proto-unreachable', 'ok'],
  ['-j REJECT --reject-with net-prohib', '-j REJECT --reject-with icmp-net-prohibited', 'ok'],
  ['-j REJECT --reject-with host-prohib', '-j REJECT --reject-with icmp-host-prohibited', 'ok'],
  ['-j REJECT --reject-with admin-prohib', '-j REJECT --reject-with icmp-admin-prohibited', 'ok'],
  ['-j REJECT --reject-with ICMP-ADMIN-PROHIBITED', '-j REJECT --reject-with icmp-admin-prohibited', 'ok'],
  ['-j REJECT --reject-with p', '-j REJECT --reject-with icmp-proto-unreachable', 'ok'],
  ['-j REJECT --reject-with net-', '-j REJECT --reject-with icmp-net-unreachable', 'ok'],
  ['-j REJECT --reject-with ""', '-j REJECT --reject-with icmp-net-unreachable', 'ok'],
  ['-j REJECT --reject-with icmp-h', '-j REJECT --reject-with icmp-host-unreachable', 'ok'],
  ['-j REJECT --reject-with foo', '', 'bad-word'],
  ['-j REJECT --reject-with tcp-reset', '', 'needs-protocol'],
  ['-p tcp -j REJECT --reject-with tcp-reset', '=', 'ok'],
  ['! -p tcp -j REJECT --reject-with tcp-reset', '', 'needs-protocol'],
  ['-p tcp -j REJECT --reject-with tcp-rst', '-p tcp -j REJECT --reject-with tcp-reset', 'ok'],
  ['-p udp -j REJECT --reject-with tcp-reset', '', 'needs-protocol'],
  ['-j REJECT --reject-with tcp', '', 'needs-protocol'],
  ['-p tcp -j REJECT --reject-with tcp', '-p tcp -j REJECT --reject-with tcp-reset', 'ok'],
  ['-p tcp -j REJECT --reject-with TCP-RESET', '-p tcp -j REJECT --reject-with tcp-reset', 'ok'],
  ['-j REJECT --reject-with icmp-net-unreachablex', '', 'bad-word'],
]);
testForms(4, 'filter', 'OUTPUT', [['-j REJECT', '-j REJECT --reject-with icmp-port-unreachable', 'ok']]);
testForms(4, 'filter', 'FORWARD', [['-j REJECT', '-j REJECT --reject-with icmp-port-unreachable', 'ok']]);
testForms(4, 'nat', 'PREROUTING', [['-j REJECT', '', 'table-not-allowed']]);
testForms(4, 'raw', 'PREROUTING', [['-j REJECT', '', 'table-not-allowed']]);
testForms(6, 'filter', 'INPUT', [
  ['-j REJECT', '-j REJECT --reject-with icmp6-port-unreachable', 'ok'],
  ['-j REJECT --reject-with icmp6-no-route', '=', 'ok'],
  ['-j REJECT --reject-with no-route', '-j REJECT --reject-with icmp6-no-route', 'ok'],
  ['-j REJECT --reject-with icmp6-adm-prohibited', '=', 'ok'],
  ['-j REJECT --reject-with adm-prohibited', '-j REJECT --reject-with icmp6-adm-prohibited', 'ok'],
  ['-j REJECT --reject-with addr-unreach', '-j REJECT --reject-with icmp6-addr-unreachable', 'ok'],
  ['-j REJECT --reject-with port-unreach', '-j REJECT --reject-with icmp6-port-unreachable', 'ok'],
  ['-j REJECT --reject-with policy-fail', '-j REJECT --reject-with icmp6-policy-fail', 'ok'],
  ['-j REJECT --reject-with reject-route', '-j REJECT --reject-with icmp6-reject-route', 'ok'],
  ['-j REJECT --reject-with icmp6-p', '-j REJECT --reject-with icmp6-port-unreachable', 'ok'],
  ['-j REJECT --reject-with ""', '-j REJECT --reject-with icmp6-no-route', 'ok'],
  ['-j REJECT --reject-with foo', '', 'bad-word'],
  ['-p tcp -j REJECT --reject-with tcp-reset', '=', 'ok'],
  ['-p tcp -j REJECT --reject-with tcp-rst', '', 'bad-word'],
  ['-p tcp -j REJECT --reject-with t', '-p tcp -j REJECT --reject-with tcp-reset', 'ok'],
  ['-j REJECT --reject-with tcp-reset', '', 'needs-protocol'],
  ['-j REJECT --reject-with ICMP6-NO-ROUTE', '-j REJECT --reject-with icmp6-no-route', 'ok'],
  ['-j REJECT --reject-with adm', '-j REJECT --reject-with icmp6-adm-prohibited', 'ok'],
]);
