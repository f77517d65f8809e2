/** Two hosts, A and B, talking past one connection table: packets in, what tracking made of them out. */
import { VirtualClock } from '../../src/base/clock.js';
import { Rng } from '../../src/base/rng.js';
import { ConntrackTable } from '../../src/conntrack/conntrack-table.js';
import { settingsFromSysctl } from '../../src/conntrack/settings.js';
import {
  CT_STATE_ESTABLISHED,
  CT_STATE_INVALID,
  CT_STATE_NEW,
  CT_STATE_RELATED,
  CT_STATE_UNTRACKED,
} from '../../src/conntrack/state-bit.js';
import { TCP_STATE_NAMES } from '../../src/conntrack/tcp-state.js';
import {
  IPS_ASSURED,
  IPS_SEEN_REPLY,
  NF_ACCEPT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
} from '../../src/net/netfilter.js';
import { Field } from '../../src/wire/field.js';
import type { Packet } from '../../src/wire/packet.js';
import { craft, type TcpRepr, tcpBody, udpBody } from '../support/craft.js';

export const A = '10.1.0.2';
export const B = '10.2.0.2';
const START_US = 1_700_000_000_000_000;

const STATE_NAMES: readonly (readonly [number, string])[] = [
  [CT_STATE_INVALID, 'INVALID'],
  [CT_STATE_ESTABLISHED, 'ESTABLISHED'],
  [CT_STATE_RELATED, 'RELATED'],
  [CT_STATE_NEW, 'NEW'],
  [CT_STATE_UNTRACKED, 'UNTRACKED'],
];

/** Name of the packet's conntrack state. */
export function stateOf(packet: Packet): string {
  return STATE_NAMES.filter(([bit]) => (packet.f[Field.CtState]! & bit) !== 0)
    .map(([, name]) => name)
    .join(',');
}

export class Conversation {
  readonly clock = new VirtualClock();
  readonly ct: ConntrackTable;

  constructor(sysctl: Readonly<Record<string, number>> = {}, startUs: number = START_US) {
    this.clock.nowUs = startUs;
    const entries = Object.entries(sysctl).map(
      ([name, value]) => [`net.netfilter.nf_conntrack_${name}`, String(value)] as const,
    );
    this.ct = new ConntrackTable({
      clock: this.clock,
      hz: 250,
      rng: new Rng(1),
      settings: settingsFromSysctl(new Map(entries)),
    });
  }

  wait(seconds: number): void {
    this.clock.nowUs += seconds * 1_000_000;
  }

  /** Takes the packet through PREROUTING and POSTROUTING; its state there. */
  pass(packet: Packet): string {
    const verdict = this.ct.track(packet, NF_INET_PRE_ROUTING);
    if (verdict !== NF_ACCEPT) return 'dropped';
    const state = stateOf(packet);
    return this.ct.confirm(packet) === NF_ACCEPT ? state : `${state}, clash`;
  }

  tcp(fromA: boolean, segment: Partial<TcpRepr> & { readonly flags: number }): string {
    const [src, dst, sport, dport] = fromA ? [A, B, 1000, 80] : [B, A, 80, 1000];
    return this.pass(craft({ src, dst, protocol: 6, body: tcpBody({ sport, dport, ...segment }) }));
  }

  udp(fromA: boolean, size = 4): string {
    const [src, dst, sport, dport] = fromA ? [A, B, 5, 7] : [B, A, 7, 5];
    return this.pass(craft({ src, dst, protocol: 17, body: udpBody(sport, dport, new Uint8Array(size)) }));
  }

  /** Indices of the entries that are alive. */
  get entries(): number[] {
    const found: number[] = [];
    this.ct.sync();
    this.ct.entries.forEach((entry) => {
      found.push(entry);
    });
    return found;
  }

  /** The only entry in short: `ESTABLISHED 300`, with ` assured` and ` unreplied`; `none` or a number otherwise. */
  get only(): string {
    const { entries } = this;
    if (entries.length !== 1) return entries.length === 0 ? 'none' : String(entries.length);
    const entry = entries[0]!;
    const status = this.ct.status(entry);
    const tcp = this.ct.protocol(entry) === 6 ? `${TCP_STATE_NAMES[this.ct.entries.state[entry]!]} ` : '';
    const assured = (status & IPS_ASSURED) !== 0 ? ' assured' : '';
    const unreplied = (status & IPS_SEEN_REPLY) === 0 ? ' unreplied' : '';
    return `${tcp}${this.ct.expiresIn(entry)}${assured}${unreplied}`;
  }
}

export { NF_INET_POST_ROUTING, NF_INET_PRE_ROUTING };
