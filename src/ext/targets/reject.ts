/** `-j REJECT`: drops and answers. Kernel: reject_tg(), net/ipv4/netfilter/ipt_REJECT.c; reject_tg6(). */
import { type Family, NF_DROP } from '../../net/netfilter.js';
import { IPPROTO_TCP } from '../../net/protocol.js';
import type { Refusal, TargetExt } from '../extension.js';
import { needsProtocol, onlyHooks, onlyTables } from '../place.js';

/** Printed name and short name, in the order in which beginnings are tried. */
const TYPES: Readonly<Record<Family, readonly (readonly string[])[]>> = {
  4: [
    ['icmp-net-unreachable', 'net-unreach'],
    ['icmp-host-unreachable', 'host-unreach'],
    ['icmp-proto-unreachable', 'proto-unreach'],
    ['icmp-port-unreachable', 'port-unreach'],
    ['icmp-net-prohibited', 'net-prohib'],
    ['icmp-host-prohibited', 'host-prohib'],
    ['tcp-reset', 'tcp-rst'],
    ['icmp-admin-prohibited', 'admin-prohib'],
  ],
  6: [
    ['icmp6-no-route', 'no-route'],
    ['icmp6-adm-prohibited', 'adm-prohibited'],
    ['icmp6-addr-unreachable', 'addr-unreach'],
    ['icmp6-port-unreachable', 'port-unreach'],
    ['tcp-reset'],
    ['icmp6-policy-fail', 'policy-fail'],
    ['icmp6-reject-route', 'reject-route'],
  ],
};

export interface RejectTarget {
  /** As printed after --reject-with. */
  readonly how: string;
}

export const REJECT: TargetExt<RejectTarget> = {
  kind: 'REJECT',
  families: [4, 6],
  terminating: true,
  options: [{ name: '--reject-with' }],
  parse(given) {
    const option = given.get('--reject-with');
    if (option === undefined) return { how: given.family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable' };
    const word = option.values[0]!.toLowerCase();
    const found = TYPES[given.family].find((names) => names.some((name) => name.startsWith(word)));
    if (found === undefined) {
      const known = TYPES[given.family].map(([name]) => name).join(', ');
      given.fail(option, 'bad-word', `unknown reject type "${option.values[0]}"`, `one of ${known}`);
    }
    return { how: found?.[0] ?? 'tcp-reset' };
  },
  print: (t) => `--reject-with ${t.how}`,
  check(t, place): Refusal | undefined {
    return (
      onlyTables('REJECT', place, 'filter') ??
      onlyHooks('REJECT', place, 'INPUT', 'FORWARD', 'OUTPUT') ??
      (t.how === 'tcp-reset' ? needsProtocol('REJECT --reject-with tcp-reset', place, IPPROTO_TCP) : undefined)
    );
  },
  bind: (t, env) => (packet) => {
    env.host.reject(packet, t.how);
    return NF_DROP;
  },
};
