import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  [
    '-p tcp --syn -j TCPMSS --set-mss 1460',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 1460',
    'ok',
  ],
  ['-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu', '', 'hook-not-allowed'],
]);
testForms(4, 'mangle', 'FORWARD', [
  [
    '-p tcp --syn -j TCPMSS --set-mss 1460',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 1460',
    'ok',
  ],
  [
    '-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --clamp-mss-to-pmtu',
    'ok',
  ],
  [
    '-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu',
    '-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu',
    'ok',
  ],
  ['-p tcp --tcp-flags NONE SYN -j TCPMSS --clamp-mss-to-pmtu', '-p tcp -m tcp -j TCPMSS --clamp-mss-to-pmtu', 'ok'],
  ['-p tcp ! --syn -j TCPMSS --set-mss 1', '', 'needs-syn'],
  ['-p tcp -j TCPMSS --set-mss 1460', '', 'needs-syn'],
  [
    '-p tcp --syn -j TCPMSS --set-mss 65515',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 65515',
    'ok',
  ],
  ['-p tcp --syn -j TCPMSS --set-mss 65516', '', 'bad-number'],
  ['-p tcp --syn -j TCPMSS --set-mss 0', '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 0', 'ok'],
  [
    '-p tcp --syn -j TCPMSS --set-mss 5 --clamp-mss-to-pmtu',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --clamp-mss-to-pmtu',
    'ok',
  ],
  [
    '-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu --set-mss 5',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 5',
    'ok',
  ],
  ['-p tcp --syn -j TCPMSS', '', 'option-missing'],
  ['-p udp -j TCPMSS --set-mss 5', '', 'needs-protocol'],
  ['-p tcp --syn -j TCPMSS --set-mss foo', '', 'bad-number'],
  [
    '-p tcp -m tcp -m tcp --syn -j TCPMSS --set-mss 5',
    '-p tcp -m tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 5',
    'ok',
  ],
  ['! -p tcp --syn -j TCPMSS --set-mss 5', '', 'needs-protocol'],
  [
    '-p tcp --tcp-flags ALL SYN,ACK -j TCPMSS --set-mss 5',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN,ACK -j TCPMSS --set-mss 5',
    'ok',
  ],
]);
testForms(4, 'mangle', 'PREROUTING', [
  [
    '-p tcp --syn -j TCPMSS --set-mss 1460',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 1460',
    'ok',
  ],
  ['-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu', '', 'hook-not-allowed'],
]);
testForms(6, 'mangle', 'FORWARD', [
  [
    '-p tcp --syn -j TCPMSS --set-mss 65495',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 65495',
    'ok',
  ],
  ['-p tcp --syn -j TCPMSS --set-mss 65496', '', 'bad-number'],
  [
    '-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu',
    '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --clamp-mss-to-pmtu',
    'ok',
  ],
]);
