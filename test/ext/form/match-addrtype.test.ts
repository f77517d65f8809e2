import { testForms } from '../../support/rule-form.js';

testForms(4, 'filter', 'INPUT', [
  ['-m addrtype --dst-type LOCAL', '=', 'ok'],
  [
    '-m addrtype ! --src-type local --dst-type unicast,b',
    '-m addrtype ! --src-type LOCAL --dst-type UNICAST,BROADCAST',
    'ok',
  ],
  ['-m addrtype --src-type u', '-m addrtype --src-type UNSPEC', 'ok'],
  ['-m addrtype --src-type un', '-m addrtype --src-type UNSPEC', 'ok'],
  [
    '-m addrtype --src-type unr,thr,NAT,xres,blackhole,prohibit,anycast,m',
    '-m addrtype --src-type ANYCAST,MULTICAST,BLACKHOLE,UNREACHABLE,PROHIBIT,THROW,NAT,XRESOLVE',
    'ok',
  ],
  ['-m addrtype --dst-type foo', '', 'bad-word'],
  ['-m addrtype --dst-type LOCAL --limit-iface-in', '=', 'ok'],
  ['-m addrtype --dst-type LOCAL --limit-iface-out', '', 'hook-not-allowed'],
  ['-m addrtype --dst-type LOCAL --limit-iface-out --limit-iface-in', '', 'options-exclude'],
  ['-m addrtype --limit-iface-in', '', 'option-missing'],
  ['-m addrtype', '', 'option-missing'],
  ['-m addrtype --dst-type LOCAL,', '', 'bad-word'],
  ['-m addrtype --src-type ,LOCAL', '', 'bad-word'],
  ['-m addrtype --src-type LOCAL,LOCAL', '-m addrtype --src-type LOCAL', 'ok'],
]);
testForms(4, 'filter', 'OUTPUT', [
  ['-m addrtype --dst-type LOCAL --limit-iface-in', '', 'hook-not-allowed'],
  ['-m addrtype --dst-type LOCAL --limit-iface-out', '=', 'ok'],
]);
testForms(4, 'filter', 'FORWARD', [
  ['-m addrtype --dst-type LOCAL --limit-iface-in', '=', 'ok'],
  ['-m addrtype --dst-type LOCAL --limit-iface-out', '=', 'ok'],
]);
testForms(6, 'filter', 'INPUT', [
  [
    '-m addrtype --src-type LOCAL,MULTICAST,UNICAST,ANYCAST,UNREACHABLE,UNSPEC',
    '-m addrtype --src-type UNSPEC,UNICAST,LOCAL,ANYCAST,MULTICAST,UNREACHABLE',
    'ok',
  ],
  ['-m addrtype --src-type BROADCAST', '', 'not-in-ipv6'],
  ['-m addrtype --src-type BLACKHOLE', '', 'not-in-ipv6'],
  ['-m addrtype ! --src-type PROHIBIT', '', 'not-in-ipv6'],
  ['-m addrtype --src-type THROW', '', 'not-in-ipv6'],
  ['-m addrtype --src-type NAT', '', 'not-in-ipv6'],
  ['-m addrtype --src-type XRESOLVE', '', 'not-in-ipv6'],
]);
