/** NAT over whole flows through the connection table. */
import { describe, expect, it } from 'vitest';
import { CT_STATE_DNAT, CT_STATE_SNAT } from '../../src/conntrack/state-bit.js';
import {
  IP_CT_RELATED_REPLY,
  IPS_DST_NAT,
  IPS_DST_NAT_DONE,
  IPS_SRC_NAT,
  IPS_SRC_NAT_DONE,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_NAT_MANIP_SRC,
} from '../../src/net/netfilter.js';
import { Field } from '../../src/wire/field.js';
import { ACK, be16, craft, FIN, icmpBody, RST, SYN } from '../support/craft.js';
import { NatRouter, range, shown, tcp, udp, type Way } from './nat-router.js';

const A = '10.1.0.2';
const V = '192.0.2.99';
const S = '10.2.0.2';
const OUT = '10.2.0.1';

/** Passes a packet and says how it left. */
function leaves(router: NatRouter, text: string, way: Way = {}): string {
  const packet = udp(text);
  const result = router.pass(packet, way);
  return result === 'passed' ? shown(packet) : result;
}

describe('a decision per connection and side', () => {
  it.each<[string, Way, string, string, number]>([
    ['no rule', {}, `${A}:5>${V}:80`, `${V}:80>${A}:5`, 0],
    ['DNAT', { dnat: { to: S } }, `${A}:5>${S}:80`, `${S}:80>${A}:5`, IPS_DST_NAT],
    ['DNAT to a port', { dnat: { to: S, ports: [81, 81] } }, `${A}:5>${S}:81`, `${S}:81>${A}:5`, IPS_DST_NAT],
    ['DNAT, port alone', { dnat: { ports: [81, 81] } }, `${A}:5>${V}:81`, `${V}:81>${A}:5`, IPS_DST_NAT],
    ['DNAT to what it is', { dnat: { to: V, ports: [80, 80] } }, `${A}:5>${V}:80`, `${V}:80>${A}:5`, 0],
    ['SNAT', { snat: { to: OUT } }, `${OUT}:5>${V}:80`, `${V}:80>${OUT}:5`, IPS_SRC_NAT],
    ['SNAT to what it is', { snat: { to: A } }, `${A}:5>${V}:80`, `${V}:80>${A}:5`, 0],
    [
      'both',
      { dnat: { to: S, ports: [81, 81] }, snat: { to: OUT, ports: [9, 9] } },
      `${OUT}:9>${S}:81`,
      `${S}:81>${OUT}:9`,
      IPS_SRC_NAT | IPS_DST_NAT,
    ],
  ])('%s', (_name, way, out, answer, bits) => {
    const router = new NatRouter();
    const first = udp(`${A}:5>${V}:80`);
    expect(router.pass(first, way)).toBe('passed');
    expect(shown(first)).toBe(out);
    expect(router.asked).toEqual([NF_INET_PRE_ROUTING, NF_INET_POST_ROUTING]);
    const status = router.ct.status(first.ct);
    expect(status & (IPS_SRC_NAT | IPS_DST_NAT)).toBe(bits);
    expect(status & (IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE)).toBe(IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE);
    const state = first.f[Field.CtState]!;
    expect((state & CT_STATE_SNAT) !== 0).toBe((bits & IPS_SRC_NAT) !== 0);
    expect((state & CT_STATE_DNAT) !== 0).toBe((bits & IPS_DST_NAT) !== 0);
    expect(router.list()).toEqual([`${A}:5>${V}:80 ${answer}`]);
    // An unreplied repetition is still NEW, but no rule is asked; nor are later rules ever heeded.
    expect(leaves(router, `${A}:5>${V}:80`, { dnat: { to: '10.9.9.9' }, snat: { to: '10.9.9.8' } })).toBe(out);
    expect(router.asked).toEqual([]);
    expect(leaves(router, answer)).toBe(`${V}:80>${A}:5`);
    expect(router.asked).toEqual([]);
    expect(leaves(router, `${A}:5>${V}:80`)).toBe(out);
  });

  it('from a local process, and to a local socket', () => {
    const router = new NatRouter();
    const way: Way = { fromLocal: true, dnat: { to: S }, snat: { to: OUT } };
    expect(leaves(router, `${A}:5>${V}:80`, way)).toBe(`${OUT}:5>${S}:80`);
    expect(router.asked).toEqual([NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING]);
    expect(leaves(router, `${S}:80>${OUT}:5`, { toLocal: true })).toBe(`${V}:80>${A}:5`);
    const inward = new NatRouter();
    expect(leaves(inward, `${A}:5>${V}:80`, { toLocal: true, snat: { to: '10.7.7.7' } })).toBe(`10.7.7.7:5>${V}:80`);
    expect(inward.asked).toEqual([NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN]);
    expect(leaves(inward, `${V}:80>10.7.7.7:5`, { fromLocal: true })).toBe(`${V}:80>${A}:5`);
  });

  it('loopback: the packet that comes in again has both decisions', () => {
    const router = new NatRouter();
    const packet = udp(`${A}:5>${A}:80`);
    expect(router.pass(packet, { fromLocal: true, dnat: { ports: [81, 81] } })).toBe('passed');
    expect(shown(packet)).toBe(`${A}:5>${A}:81`);
    const ct = packet.ct;
    expect(router.pass(packet, { toLocal: true, dnat: { ports: [99, 99] } })).toBe('passed');
    expect(router.asked).toEqual([]);
    expect(packet.ct).toBe(ct);
    expect(shown(packet)).toBe(`${A}:5>${A}:81`);
  });

  it('a side is decided once; afterwards a target is refused', () => {
    const router = new NatRouter();
    const packet = udp(`${A}:5>${V}:80`);
    expect(router.ct.track(packet, NF_INET_PRE_ROUTING)).toBe(NF_ACCEPT);
    const setup = () => router.ct.setupNat(packet, range({ to: OUT }), NF_NAT_MANIP_SRC, NF_INET_POST_ROUTING);
    expect(setup()).toBe(NF_ACCEPT);
    expect(setup()).toBe(NF_DROP);
    expect(router.ct.confirm(packet)).toBe(NF_ACCEPT);
    expect(setup()).toBe(NF_ACCEPT);
    expect(router.list()).toEqual([`${A}:5>${V}:80 ${V}:80>${OUT}:5`]);
  });

  it('what the table says besides ACCEPT is handed on', () => {
    const router = new NatRouter();
    for (const verdict of [NF_DROP, 2, 3]) {
      const packet = udp(`${A}:5>${V}:80`);
      router.ct.track(packet, NF_INET_PRE_ROUTING);
      expect(router.ct.nat(packet, NF_INET_PRE_ROUTING, () => verdict)).toBe(verdict);
    }
  });

  it('untracked and invalid packets are not looked at', () => {
    const router = new NatRouter();
    const packet = udp(`${A}:5>${V}:80`);
    router.ct.untrack(packet);
    expect(router.pass(packet, { dnat: { to: S } })).toBe('passed');
    expect(shown(packet)).toBe(`${A}:5>${V}:80`);
    const echoReply = craft({ src: A, dst: V, protocol: 1, body: icmpBody(0, 0, be16(1), be16(1)) });
    expect(router.pass(echoReply, { dnat: { to: S } })).toBe('passed');
    expect(router.asked).toEqual([]);
    expect(router.list()).toEqual([]);
  });

  it('a first packet that is dropped is decided anew when it comes again', () => {
    const router = new NatRouter();
    const packet = udp(`${A}:5>${V}:80`);
    router.ct.track(packet, NF_INET_PRE_ROUTING);
    router.ct.nat(packet, NF_INET_PRE_ROUTING, (p) => router.ct.setupNat(p, range({ to: S }), 1, NF_INET_PRE_ROUTING));
    router.ct.drop(packet);
    expect(leaves(router, `${A}:5>${V}:80`, { dnat: { to: '10.2.0.3' } })).toBe(`${A}:5>10.2.0.3:80`);
    expect(router.asked).toEqual([NF_INET_PRE_ROUTING, NF_INET_POST_ROUTING]);
  });
});

describe('clashes', () => {
  it('a null binding may change the source port', () => {
    const router = new NatRouter();
    router.ct.chooseOffset = () => 10_000;
    expect(leaves(router, `${A}:5000>${V}:80`, { dnat: { to: S } })).toBe(`${A}:5000>${S}:80`);
    expect(leaves(router, `${A}:5000>${S}:80`)).toBe(`${A}:11024>${S}:80`);
    // Each answer finds its own connection.
    expect(leaves(router, `${S}:80>${A}:5000`)).toBe(`${V}:80>${A}:5000`);
    expect(leaves(router, `${S}:80>${A}:11024`)).toBe(`${S}:80>${A}:5000`);
  });

  it('two clients with one port: the second gets another, until no port is left', () => {
    const router = new NatRouter();
    router.ct.chooseOffset = () => 0;
    const way: Way = { snat: { to: OUT, ports: [700, 701] } };
    expect(leaves(router, `10.1.0.2:5>${S}:80`, way)).toBe(`${OUT}:700>${S}:80`);
    expect(leaves(router, `10.1.0.3:5>${S}:80`, way)).toBe(`${OUT}:701>${S}:80`);
    expect(leaves(router, `10.1.0.4:5>${S}:80`, way)).toBe('clash');
    expect(leaves(router, `10.1.0.4:5>${S}:81`, way)).toBe(`${OUT}:700>${S}:81`);
    expect(router.list().length).toBe(3);
    // When the first has expired its port is free again.
    router.wait(31);
    expect(leaves(router, `10.1.0.4:5>${S}:80`, way)).toBe(`${OUT}:700>${S}:80`);
  });

  it('one client port keeps its outside port towards another server', () => {
    const router = new NatRouter();
    let offset = 0;
    router.ct.chooseOffset = () => offset++;
    const way: Way = { snat: { to: OUT, ports: [700, 799] } };
    expect(leaves(router, `${A}:5>${S}:80`, way)).toBe(`${OUT}:700>${S}:80`);
    expect(leaves(router, `${A}:5>10.2.0.3:80`, way)).toBe(`${OUT}:700>10.2.0.3:80`);
    expect(leaves(router, `${A}:6>10.2.0.4:80`, way)).toBe(`${OUT}:701>10.2.0.4:80`);
  });

  it('a TIME_WAIT connection makes room for one whose numbers are ahead', () => {
    const way: Way = { snat: { to: OUT, ports: [700, 700] } };
    const close = (router: NatRouter): void => {
      const say = (text: string, flags: number, seq: number, ack: number) =>
        expect(router.pass(tcp(text, flags, seq, ack), way)).toBe('passed');
      say(`10.1.0.2:5>${S}:80`, SYN, 1000, 0);
      say(`${S}:80>${OUT}:700`, SYN | ACK, 5000, 1001);
      say(`10.1.0.2:5>${S}:80`, ACK, 1001, 5001);
      say(`10.1.0.2:5>${S}:80`, FIN | ACK, 1001, 5001);
      say(`${S}:80>${OUT}:700`, FIN | ACK, 5001, 1002);
      say(`10.1.0.2:5>${S}:80`, ACK, 1002, 5002);
    };
    const behind = new NatRouter();
    close(behind);
    expect(behind.pass(tcp(`10.1.0.3:5>${S}:80`, SYN, 900), way)).toBe('clash');
    const ahead = new NatRouter();
    close(ahead);
    expect(ahead.pass(tcp(`10.1.0.3:5>${S}:80`, SYN, 90_000), way)).toBe('passed');
    expect(ahead.list()).toEqual([`10.1.0.3:5>${S}:80 ${S}:80>${OUT}:700`]);
  });
});

describe('two hops in one', () => {
  it('hairpin: the client meets its own network under the outside address', () => {
    const router = new NatRouter();
    const way: Way = { dnat: { to: '10.1.0.9', ports: [8080, 8080] }, snat: { to: '10.1.0.1' } };
    expect(leaves(router, `${A}:5>${V}:80`, way)).toBe('10.1.0.1:5>10.1.0.9:8080');
    expect(leaves(router, '10.1.0.9:8080>10.1.0.1:5')).toBe(`${V}:80>${A}:5`);
  });

  it('a service that a client reaches as itself', () => {
    const router = new NatRouter();
    const way: Way = { dnat: { to: A, ports: [8080, 8080] }, snat: { to: OUT } };
    expect(leaves(router, `${A}:5>${V}:80`, way)).toBe(`${OUT}:5>${A}:8080`);
    expect(leaves(router, `${A}:8080>${OUT}:5`)).toBe(`${V}:80>${A}:5`);
  });

  it('zones keep equal connections apart', () => {
    const router = new NatRouter();
    for (const zone of [1, 2]) {
      const packet = udp(`${A}:5>${V}:80`);
      packet.templateZoneOriginal = packet.templateZoneReply = zone;
      expect(router.pass(packet, { dnat: { to: `10.2.0.${zone}` }, snat: { to: OUT } })).toBe('passed');
      expect(shown(packet)).toBe(`${OUT}:5>10.2.0.${zone}:80`);
      expect(router.ct.zone(packet.ct, 0)).toBe(zone);
      expect(router.ct.zone(packet.ct, 1)).toBe(zone);
    }
    const back = udp(`10.2.0.2:80>${OUT}:5`);
    back.templateZoneOriginal = back.templateZoneReply = 2;
    expect(router.pass(back)).toBe('passed');
    expect(shown(back)).toBe(`${V}:80>${A}:5`);
    // In the other zone it belongs to nobody.
    expect(leaves(router, `10.2.0.2:80>${OUT}:5`)).toBe(`10.2.0.2:80>${OUT}:5`);
  });

  it('overlapping clients in zones of the original direction share the outside', () => {
    const router = new NatRouter();
    router.ct.chooseOffset = () => 4000;
    const way: Way = { snat: { to: OUT } };
    const send = (zone: number): string => {
      const packet = udp(`${A}:5000>${S}:80`);
      packet.templateZoneOriginal = zone;
      expect(router.pass(packet, way)).toBe('passed');
      return shown(packet);
    };
    expect(send(1)).toBe(`${OUT}:5000>${S}:80`);
    expect(send(2)).toBe(`${OUT}:5024>${S}:80`);
    expect(send(1)).toBe(`${OUT}:5000>${S}:80`);
    expect(leaves(router, `${S}:80>${OUT}:5024`)).toBe(`${S}:80>${A}:5000`);
  });
});

describe('what the reply tuple is compared with', () => {
  it.each([
    // zone of the original direction, of the reply direction, port that 5000 becomes (as on Linux)
    [0, 0, 11024],
    [1, 0, 5000],
    [0, 1, 5000],
    [1, 1, 5000],
  ])('zones %i and %i: the port becomes %i', (original, reply, port) => {
    const router = new NatRouter();
    router.ct.chooseOffset = () => 10_000;
    expect(leaves(router, `${S}:80>${OUT}:5000`, { toLocal: true })).toBe(`${S}:80>${OUT}:5000`);
    const packet = udp(`${A}:5000>${S}:80`);
    packet.templateZoneOriginal = original;
    packet.templateZoneReply = reply;
    expect(router.pass(packet, { snat: { to: OUT } })).toBe('passed');
    expect(shown(packet)).toBe(`${OUT}:${port}>${S}:80`);
  });
});

describe('masquerade', () => {
  const way: Way = { snat: { to: OUT }, masquerade: true, out: 2 };

  it('a connection that would leave by another device ends there', () => {
    const router = new NatRouter();
    expect(leaves(router, `${A}:5>${S}:80`, way)).toBe(`${OUT}:5>${S}:80`);
    expect(leaves(router, `${A}:5>${S}:80`, way)).toBe(`${OUT}:5>${S}:80`);
    expect(leaves(router, `${S}:80>${OUT}:5`, { out: 1 })).toBe(`${S}:80>${A}:5`);
    expect(leaves(router, `${A}:5>${S}:80`, { ...way, out: 3 })).toBe('dropped by source nat');
    expect(router.list()).toEqual([]);
    expect(leaves(router, `${A}:5>${S}:80`, { ...way, out: 3 })).toBe(`${OUT}:5>${S}:80`);
    expect(router.asked).toEqual([NF_INET_PRE_ROUTING, NF_INET_POST_ROUTING]);
  });

  it('the device of plain SNAT does not matter', () => {
    const router = new NatRouter();
    expect(leaves(router, `${A}:5>${S}:80`, { snat: { to: OUT }, out: 2 })).toBe(`${OUT}:5>${S}:80`);
    expect(leaves(router, `${A}:5>${S}:80`, { out: 3 })).toBe(`${OUT}:5>${S}:80`);
  });
});

describe('a reset that the host makes about a SYN', () => {
  it('visits the nat table for the side that is still open, and is translated back', () => {
    const router = new NatRouter();
    const syn = tcp(`${A}:5>${V}:80`, SYN, 7);
    router.ct.track(syn, NF_INET_PRE_ROUTING);
    router.ct.nat(syn, NF_INET_PRE_ROUTING, (p) => router.ct.setupNat(p, range({ to: S }), 1, NF_INET_PRE_ROUTING));
    const reset = tcp(`${S}:80>${A}:5`, RST | ACK, 0, 8);
    router.ct.attach(reset, syn);
    expect(reset.ctInfo).toBe(IP_CT_RELATED_REPLY);
    expect(router.pass(reset, { fromLocal: true })).toBe('passed');
    expect(router.asked).toEqual([NF_INET_POST_ROUTING]);
    expect(shown(reset)).toBe(`${V}:80>${A}:5`);
    expect(router.list()).toEqual([]);
  });
});

describe('random flows against a model', () => {
  it('every answer finds the way back to who asked', () => {
    const router = new NatRouter();
    const way: Way = { dnat: { to: S, ports: [8080, 8081] }, snat: { to: '10.2.0.1-10.2.0.2', ports: [700, 1200] } };
    const outside = new Map<string, string>();
    let clashes = 0;
    for (let i = 0; i < 300; i++) {
      const flow = `10.1.0.${i % 7}:${1000 + (i % 41)}>${V}:${80 + (i % 2)}`;
      const out = leaves(router, flow, way);
      if (out === 'clash') {
        clashes++;
        continue;
      }
      const known = outside.get(out);
      expect(known === undefined || known === flow, `${out} for ${known} and ${flow}`).toBe(true);
      outside.set(out, flow);
    }
    expect(clashes).toBe(0);
    expect(outside.size).toBeGreaterThan(200);
    for (const [out, flow] of outside) {
      const [from, to] = out.split('>') as [string, string];
      const [client, virtual] = flow.split('>') as [string, string];
      expect(leaves(router, `${to}>${from}`)).toBe(`${virtual}>${client}`);
    }
  });
});
