import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m pkttype --pkt-type unicast', '=', 'ok'],
  ['-m pkttype --pkt-type host', '-m pkttype --pkt-type unicast', 'ok'],
  ['-m pkttype ! --pkt-type bcast', '-m pkttype ! --pkt-type broadcast', 'ok'],
  ['-m pkttype --pkt-type mcast', '-m pkttype --pkt-type multicast', 'ok'],
  ['-m pkttype --pkt-type MULTICAST', '-m pkttype --pkt-type multicast', 'ok'],
  ['-m pkttype --pkt-type otherhost', '=', 'ok'],
  ['-m pkttype --pkt-type uni', '', 'bad-word'],
  ['-m pkttype', '', 'option-missing'],
  ['-m pkttype --pkt-type ""', '', 'bad-word'],
  ['-m pkttype --pkt-type HOST', '-m pkttype --pkt-type unicast', 'ok'],
]);
testForms(6, 'filter', 'INPUT', [['-m pkttype --pkt-type multicast', '=', 'ok']]);
