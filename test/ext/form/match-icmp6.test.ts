import { testForms } from '../../support/rule-form.js';

testForms(6, 'filter', 'INPUT', [
  ['-p ipv6-icmp --icmpv6-type echo-request', '-p ipv6-icmp -m icmp6 --icmpv6-type 128', 'ok'],
  ['-p icmpv6 -m icmpv6 --icmpv6-type 1/3', '-p ipv6-icmp -m icmp6 --icmpv6-type 1/3', 'ok'],
  ['-p ipv6-icmp -m ipv6-icmp --icmpv6-type router-solicitation', '-p ipv6-icmp -m icmp6 --icmpv6-type 133', 'ok'],
  ['-p ipv6-icmp -m icmp6 --icmpv6-type 255', '=', 'ok'],
  ['-p ipv6-icmp --icmpv6-type any', '', 'bad-word'],
  ['-p ipv6-icmp --icmpv6-type neighbor-adv', '-p ipv6-icmp -m icmp6 --icmpv6-type 136', 'ok'],
  ['-p ipv6-icmp --icmpv6-type neigh', '', 'ambiguous'],
  ['-p ipv6-icmp --icmpv6-type mld-listener-query', '', 'bad-word'],
  ['-p ipv6-icmp --icmpv6-type mld-listener-reduction', '', 'bad-word'],
  ['-p ipv6-icmp --icmpv6-type mld-listener-report', '', 'bad-word'],
  ['-p ipv6-icmp --icmpv6-type mld-listener-done', '', 'bad-word'],
  ['-p ipv6-icmp ! --icmpv6-type packet-too-big', '-p ipv6-icmp -m icmp6 ! --icmpv6-type 2', 'ok'],
  ['-p ipv6-icmp --icmpv6-type 256', '', 'bad-word'],
  ['-p ipv6-icmp --icmpv6-type failed-policy', '-p ipv6-icmp -m icmp6 --icmpv6-type 1/5', 'ok'],
  ['-p ipv6-icmp -m icmp6', '', 'option-missing'],
  ['-p ipv6-icmp --icmpv6-type redirect', '-p ipv6-icmp -m icmp6 --icmpv6-type 137', 'ok'],
  ['-p ipv6-icmp --icmpv6-type ttl-', '', 'ambiguous'],
  ['-p ipv6-icmp --icmpv6-type 4/256', '', 'bad-word'],
  ['-p ipv6-icmp --icmpv6-type r', '', 'ambiguous'],
  ['-p ipv6-icmp --icmpv6-type ping', '-p ipv6-icmp -m icmp6 --icmpv6-type 128', 'ok'],
]);
