/** What talks: flows and the steps that they take, as plain values that shrink well. conversation.ts plays them. */
import fc from 'fast-check';
import type { Family } from '../../../src/net/netfilter.js';
import { ICMP, ICMP6, TCP, UDP } from '../frame.js';
import { LOCAL } from '../kernel.js';
import { address, FAR } from '../topology.js';
import { CLIENT_PORTS, farAddresses, HOSTS, hostAddresses, ownAddresses, SERVER_PORTS, VIRTUAL } from './pool.js';

const SCTP = 132;

export interface Flow {
  readonly protocol: number;
  /** Link of the client, or LOCAL. */
  readonly from: number;
  readonly client: string;
  readonly server: string;
  readonly clientPort: number;
  readonly serverPort: number;
  /** Socket mark of a local client. */
  readonly mark: number;
}

export const STEP_KINDS = [
  'handshake',
  'open',
  'answer',
  'up',
  'down',
  'ackUp',
  'ackDown',
  'closeUp',
  'closeDown',
  'resetUp',
  'resetDown',
  'oddUp',
  'oddDown',
  'again',
  'errorDown',
  'errorUp',
  'blindDown',
  'exchange',
  'close',
] as const;
export type StepKind = (typeof STEP_KINDS)[number];

/** One thing that is unusual about a step's packet. */
export const TWISTS = [
  'none',
  'badChecksum',
  'ttl1',
  'ttl2',
  'tos',
  'ipOptions',
  'short',
  'fragments',
  'fragmentsReversed',
  'fragmentLost',
  'broadcastMac',
  'otherMac',
  'trailer',
  'badIpChecksum',
  'zeroUdpChecksum',
  'seqOld',
  'seqAhead',
  'seqFar',
  'ackOld',
  'ackAhead',
  'windowZero',
  'tcpOptions',
  'mss',
  'mssOdd',
  'dontFragment',
  'large',
] as const;
export type Twist = (typeof TWISTS)[number];

export interface Step {
  readonly flow: number;
  readonly kind: StepKind;
  /** Bytes of payload. */
  readonly size: number;
  readonly twist: Twist;
  /** Picks among what the kind and the twist leave open. */
  readonly n: number;
}

export interface Traffic {
  readonly flows: readonly Flow[];
  readonly steps: readonly Step[];
}

/**
 * Leaves something behind in the namespace: queued fragments, or the count of errors about routes that say no
 * (five at once to one sender, then one a second; no setting of a namespace lifts that).
 */
export function leavesTraces(traffic: Traffic): boolean {
  return (
    traffic.steps.some((s) => s.twist.startsWith('fragment')) ||
    traffic.flows.some((f) => saysNo(f.server) || saysNo(f.client))
  );
}

/** Addresses behind the unreachable and prohibit routes. */
export function saysNo(text: string): boolean {
  return /^10\.6[67]\.|^fd00:6[67]:/.test(text);
}

/** Packets that a case sends towards such addresses at most. */
export const MOST_REFUSED_ROUTES = 4;

function arbFlow(family: Family): fc.Arbitrary<Flow> {
  const icmp = family === 4 ? ICMP : ICMP6;
  const protocol = fc.oneof(
    { weight: 8, arbitrary: fc.constant(TCP) },
    { weight: 6, arbitrary: fc.constant(UDP) },
    { weight: 3, arbitrary: fc.constant(icmp) },
    { weight: 1, arbitrary: fc.constant(SCTP) },
    { weight: 1, arbitrary: fc.constantFrom(SCTP, 33, 136, 47, 50, 51, 99, 2, 4, 108) },
  );
  const server = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...hostAddresses(family)) },
    { weight: 3, arbitrary: fc.constantFrom(...VIRTUAL[family]) },
    { weight: 4, arbitrary: fc.constantFrom(...ownAddresses(family)) },
    { weight: 1, arbitrary: fc.constantFrom(...farAddresses(family)) },
    {
      weight: 1,
      arbitrary:
        family === 4
          ? fc.constantFrom(
              '10.1.0.15',
              '10.2.0.15',
              '224.0.0.1',
              '224.0.0.5',
              '255.255.255.255',
              '127.0.0.1',
              '10.1.0.0',
            )
          : fc.constantFrom('ff02:0:0:0:0:0:0:1', 'ff02:0:0:0:0:0:0:5', 'fd00:1::', 'ff05:0:0:0:0:0:0:2'),
    },
  );
  const ports = { clientPort: fc.constantFrom(...CLIENT_PORTS), serverPort: fc.constantFrom(...SERVER_PORTS) };
  const wire = fc
    .record({
      protocol,
      from: fc.constantFrom(0, 0, 0, 1, 2),
      clientHost: fc.constantFrom(...HOSTS),
      odd: fc.oneof(
        { weight: 30, arbitrary: fc.constant(0) },
        { weight: 3, arbitrary: fc.constant(1) },
        { weight: 1, arbitrary: fc.integer({ min: 2, max: 6 }) },
      ),
      server,
      ...ports,
    })
    .map(({ clientHost, odd, ...f }): Flow => ({ ...f, client: oddSource(family, f.from, clientHost, odd), mark: 0 }));
  const local = fc
    .record({
      protocol,
      client: fc.constantFrom(...ownAddresses(family)),
      server,
      mark: fc.constant(0),
      ...ports,
    })
    .map((f): Flow => ({ ...f, from: LOCAL }));
  return fc.oneof({ weight: 6, arbitrary: wire }, { weight: 1, arbitrary: local });
}

/** 0: a host of the link; 1: somebody far away; more: sources that a router may dislike. */
function oddSource(family: Family, link: number, host: number, odd: number): string {
  switch (odd) {
    case 0:
      return address(family, link, host);
    case 1:
      return FAR[family].away;
    case 2:
      return address(family, link, 1);
    case 3:
      return family === 4 ? '10.1.0.15' : '::1';
    case 4:
      return family === 4 ? '0.0.0.0' : '::';
    case 5:
      return family === 4 ? '127.0.0.1' : 'ff02::1';
    default:
      return FAR[family].unreachable;
  }
}

const STEP_WEIGHTS: Readonly<Record<StepKind, number>> = {
  handshake: 6,
  open: 6,
  answer: 4,
  exchange: 6,
  up: 4,
  down: 4,
  ackUp: 2,
  ackDown: 2,
  closeUp: 1,
  closeDown: 1,
  close: 1,
  resetUp: 1,
  resetDown: 1,
  oddUp: 1,
  oddDown: 1,
  again: 1,
  errorDown: 2,
  errorUp: 1,
  blindDown: 1,
};

const arbStep: fc.Arbitrary<Step> = fc.record({
  flow: fc.integer({ min: 0, max: 3 }),
  kind: fc.oneof(
    ...STEP_KINDS.map((kind) => ({ weight: STEP_WEIGHTS[kind], arbitrary: fc.constant(kind) })),
  ) as fc.Arbitrary<StepKind>,
  size: fc.constantFrom(0, 0, 1, 4, 13, 100, 600),
  twist: fc.oneof(
    { weight: 5, arbitrary: fc.constant<Twist>('none') },
    { weight: 2, arbitrary: fc.constantFrom(...TWISTS) },
  ),
  n: fc.nat({ max: 255 }),
});

export function arbTraffic(family: Family): fc.Arbitrary<Traffic> {
  return fc.record({
    flows: fc.array(arbFlow(family), { minLength: 1, maxLength: 4 }),
    steps: fc.array(arbStep, { minLength: 3, maxLength: 20, size: 'max' }),
  });
}
