import { describe, expect, it } from 'vitest';
import { nextTcpState, TCP_IGNORE, TCP_INVALID, TCP_STATE_NAMES, tcpClass } from '../../src/conntrack/tcp-state.js';
import { ACK, FIN, PSH, RST, SYN, URG } from '../support/craft.js';
import { Conversation } from './conversation.js';

/** The specification's table, as printed there. */
const TABLE = `
orig syn      SS SS IG IG IG IG IG SS* SS* S2
orig synack   IV IV SR IV IV IV IV IV IV SR
orig fin      IV IV FW FW LA LA LA TW CL IV
orig ack      ES IV ES ES CW CW TW TW CL IV
orig rst      IV CL CL CL CL CL CL CL CL CL
reply syn     IV S2 IV IV IV IV IV SS* IV S2
reply synack  IV SR IG IG IG IG IG IG IG SR
reply fin     IV IV FW FW LA LA LA TW CL IV
reply ack     IV IG SR ES CW CW TW TW CL IG
reply rst     IV CL CL CL CL CL CL CL CL CL`;

const SHORT: Readonly<Record<string, string>> = {
  SYN_SENT: 'SS',
  SYN_RECV: 'SR',
  ESTABLISHED: 'ES',
  FIN_WAIT: 'FW',
  CLOSE_WAIT: 'CW',
  LAST_ACK: 'LA',
  TIME_WAIT: 'TW',
  CLOSE: 'CL',
  SYN_SENT2: 'S2',
};

describe('state table', () => {
  const flagsOf: Readonly<Record<string, number>> = { syn: SYN, synack: SYN | ACK, fin: FIN | ACK, ack: ACK, rst: RST };
  it.each(
    TABLE.trim()
      .split('\n')
      .map((line) => line.split(/\s+/)),
  )('%s %s', (direction, name, ...cells) => {
    const packetClass = tcpClass(flagsOf[name!]!);
    const got = cells.map((_, old) => {
      const next = nextTcpState(direction === 'orig' ? 0 : 1, packetClass, old);
      return next === TCP_INVALID ? 'IV' : next === TCP_IGNORE ? 'IG' : SHORT[TCP_STATE_NAMES[next]!];
    });
    expect(got).toEqual(cells.map((cell) => cell.replace('*', '')));
  });

  it('takes nine combinations of flags, whatever ECE, CWR and PSH are', () => {
    const valid = Array.from({ length: 64 }, (_, flags) => flags).filter((flags) => tcpClass(flags) !== 5);
    const bare = [SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG];
    expect(valid).toEqual([...bare, ...bare.map((flags) => flags | PSH)].sort((a, b) => a - b));
    for (let flags = 0; flags < 256; flags++) expect(tcpClass(flags)).toBe(tcpClass(flags & 63));
  });
});

/** Letters of a script: direction, flags, then seq, ack, data size and window. */
interface Step {
  readonly from: 'A' | 'B';
  readonly flags: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly data?: number;
  readonly win?: number;
  readonly options?: readonly number[];
  readonly wait?: number;
  /** ctstate of the packet, and the entry afterwards. */
  readonly state: string;
  readonly entry: string;
}

function run(steps: readonly Step[], sysctl: Readonly<Record<string, number>> = {}): void {
  const talk = new Conversation(sysctl);
  steps.forEach((step, i) => {
    if (step.wait !== undefined) talk.wait(step.wait);
    const state = talk.tcp(step.from === 'A', {
      flags: step.flags,
      seq: step.seq ?? 0,
      ack: step.ack ?? 0,
      win: step.win ?? 65535,
      options: step.options ?? [],
      payload: new Uint8Array(step.data ?? 0),
    });
    expect([i, state, talk.only]).toEqual([i, step.state, step.entry]);
  });
}

const SA = SYN | ACK;
const FA = FIN | ACK;

/** SYN, SYN+ACK, ACK; A's next sequence number is 101, B's 201. */
const OPEN: readonly Step[] = [
  { from: 'A', flags: SYN, seq: 100, state: 'NEW', entry: 'SYN_SENT 120 unreplied' },
  { from: 'B', flags: SA, seq: 200, ack: 101, state: 'ESTABLISHED', entry: 'SYN_RECV 60' },
  { from: 'A', flags: ACK, seq: 101, ack: 201, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
];

describe('outcomes seen on the kernel', () => {
  it('data that is not acknowledged yet shortens the lifetime', () =>
    run([
      ...OPEN,
      { from: 'A', flags: ACK, seq: 101, ack: 201, data: 10, state: 'ESTABLISHED', entry: 'ESTABLISHED 300 assured' },
      { from: 'B', flags: ACK, seq: 201, ack: 111, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
    ]));

  it('closes in four steps', () =>
    run([
      ...OPEN,
      { from: 'A', flags: FA, seq: 101, ack: 201, state: 'ESTABLISHED', entry: 'FIN_WAIT 120 assured' },
      { from: 'B', flags: ACK, seq: 201, ack: 102, state: 'ESTABLISHED', entry: 'CLOSE_WAIT 60 assured' },
      { from: 'B', flags: FA, seq: 201, ack: 102, state: 'ESTABLISHED', entry: 'LAST_ACK 30 assured' },
      { from: 'A', flags: ACK, seq: 102, ack: 202, state: 'ESTABLISHED', entry: 'TIME_WAIT 120 assured' },
      { from: 'A', flags: SYN, seq: 5000, wait: 1, state: 'NEW', entry: 'SYN_SENT 120 unreplied' },
    ]));

  it('closes with FIN, FIN, ACK', () =>
    run([
      ...OPEN,
      { from: 'A', flags: FA, seq: 101, ack: 201, state: 'ESTABLISHED', entry: 'FIN_WAIT 120 assured' },
      { from: 'B', flags: FA, seq: 201, ack: 102, state: 'ESTABLISHED', entry: 'LAST_ACK 30 assured' },
      { from: 'A', flags: ACK, seq: 102, ack: 202, state: 'ESTABLISHED', entry: 'TIME_WAIT 120 assured' },
    ]));

  it('a reset that answers the SYN deletes the entry', () =>
    run([OPEN[0]!, { from: 'B', flags: RST | ACK, seq: 0, ack: 101, state: 'ESTABLISHED', entry: 'none' }]));

  it.each([
    ['exact', 201, 'ESTABLISHED', 'CLOSE 10 assured'],
    ['in the window but not exact', 205, 'ESTABLISHED', 'ESTABLISHED 10 assured'],
    ['before the highest ack', 200, 'INVALID', 'ESTABLISHED 432000 assured'],
    ['far beyond the window', 200_000_000, 'INVALID', 'ESTABLISHED 432000 assured'],
  ])('a reset whose number is %s', (_, seq, state, entry) =>
    run([...OPEN, { from: 'B', flags: RST, seq, state, entry }]));

  it('a SYN on an established connection changes nothing', () =>
    run([
      ...OPEN,
      { from: 'A', flags: SYN, seq: 9000, wait: 10, state: 'ESTABLISHED', entry: 'ESTABLISHED 431990 assured' },
    ]));

  it('a retransmitted SYN does not refresh', () =>
    run([OPEN[0]!, { from: 'A', flags: SYN, seq: 100, wait: 20, state: 'NEW', entry: 'SYN_SENT 100 unreplied' }]));

  it('picks up a connection, short until it is answered', () =>
    run([
      { from: 'A', flags: ACK, seq: 100, ack: 900, state: 'NEW', entry: 'ESTABLISHED 300 unreplied' },
      { from: 'B', flags: ACK, seq: 900, ack: 100, state: 'ESTABLISHED', entry: 'ESTABLISHED 300' },
      { from: 'A', flags: ACK, seq: 100, ack: 900, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
    ]));

  it('does not pick up when told so', () =>
    run([{ from: 'A', flags: ACK, seq: 1, ack: 1, state: 'INVALID', entry: 'none' }], { tcp_loose: 0 }));

  it.each([
    ['SYN+ACK', SA],
    ['FIN+ACK', FA],
    ['RST', RST],
    ['bare FIN', FIN],
    ['no flags', 0],
    ['SYN+FIN', SYN | FIN],
  ])('%s begins nothing', (_, flags) => run([{ from: 'A', flags, state: 'INVALID', entry: 'none' }]));

  it('three identical acks shorten the lifetime', () =>
    run([
      ...OPEN,
      ...[432000, 432000, 300].map(
        (seconds): Step => ({
          from: 'A',
          flags: ACK,
          seq: 101,
          ack: 201,
          state: 'ESTABLISHED',
          entry: `ESTABLISHED ${seconds} assured`,
        }),
      ),
    ]));

  it('an announced window of 0 shortens the lifetime', () =>
    run([
      ...OPEN,
      { from: 'B', flags: ACK, seq: 201, ack: 101, win: 0, state: 'ESTABLISHED', entry: 'ESTABLISHED 300 assured' },
    ]));

  it('opens simultaneously', () =>
    run([
      OPEN[0]!,
      { from: 'B', flags: SYN, seq: 200, state: 'ESTABLISHED', entry: 'SYN_SENT2 120' },
      { from: 'A', flags: SA, seq: 100, ack: 201, state: 'ESTABLISHED', entry: 'SYN_RECV 60' },
      { from: 'B', flags: ACK, seq: 201, ack: 101, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
    ]));

  it('restarts on a SYN+ACK that answers an ignored SYN', () =>
    run([
      ...OPEN,
      { from: 'A', flags: SYN, seq: 70_000, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
      { from: 'B', flags: SA, seq: 90_000, ack: 70_001, state: 'ESTABLISHED', entry: 'SYN_RECV 60 assured' },
      { from: 'A', flags: ACK, seq: 70_001, ack: 90_001, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
    ]));

  it('takes no challenge ACK for the last one', () =>
    run([
      ...OPEN,
      { from: 'A', flags: FA, seq: 101, ack: 201, state: 'ESTABLISHED', entry: 'FIN_WAIT 120 assured' },
      { from: 'B', flags: FA, seq: 201, ack: 102, state: 'ESTABLISHED', entry: 'LAST_ACK 30 assured' },
      { from: 'A', flags: SYN, seq: 7000, state: 'ESTABLISHED', entry: 'LAST_ACK 30 assured' },
      { from: 'B', flags: ACK, seq: 202, ack: 102, state: 'ESTABLISHED', entry: 'LAST_ACK 30 assured' },
      { from: 'B', flags: ACK, seq: 202, ack: 102, state: 'ESTABLISHED', entry: 'TIME_WAIT 120 assured' },
    ]));
});

describe('window', () => {
  it.each([
    // name, from, seq, ack, data, win, state
    ['fits', 'A', 101, 201, 100, 'ESTABLISHED'],
    ['acknowledges what was never sent', 'A', 101, 202, 0, 'INVALID'],
    ['begins beyond the window', 'A', 101 + 131072, 201, 0, 'INVALID'],
    ['begins little beyond the window', 'A', 101 + 65536, 201, 0, 'ESTABLISHED'],
    ['old data sent again', 'A', 101 - 66000, 201, 10, 'ESTABLISHED'],
    ['an ack from long ago', 'A', 101, 201 - 66001, 0, 'ESTABLISHED'],
  ] as const)('%s', (_, from, seq, ack, data, state) => {
    const talk = new Conversation();
    for (const step of OPEN) talk.tcp(step.from === 'A', { flags: step.flags, seq: step.seq!, ack: step.ack ?? 0 });
    talk.wait(5);
    const segment = { flags: ACK, seq: seq >>> 0, ack: ack >>> 0, payload: new Uint8Array(data) };
    expect(talk.tcp(from === 'A', segment)).toBe(state);
    // Only the one that fits refreshes.
    expect(talk.only).toBe(data === 100 ? 'ESTABLISHED 300 assured' : 'ESTABLISHED 431995 assured');
  });

  it('is not looked at when liberal', () =>
    run(
      [
        ...OPEN,
        { from: 'A', flags: ACK, seq: 9_000_000, ack: 9, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
      ],
      {
        tcp_be_liberal: 1,
      },
    ));

  it('is scaled if both sides offer it', () => {
    const scale = (n: number): number[] => [3, 3, n];
    const far = { from: 'A' as const, flags: ACK, seq: 101 + 200_000, ack: 201 };
    const opened = (bOptions: number[]): Step[] => [
      { from: 'A', flags: SYN, seq: 100, options: scale(7), state: 'NEW', entry: 'SYN_SENT 120 unreplied' },
      { from: 'B', flags: SA, seq: 200, ack: 101, options: bOptions, state: 'ESTABLISHED', entry: 'SYN_RECV 60' },
      { from: 'A', flags: ACK, seq: 101, ack: 201, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
      { from: 'B', flags: ACK, seq: 201, ack: 101, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
    ];
    run([...opened(scale(2)), { ...far, state: 'ESTABLISHED', entry: 'ESTABLISHED 300 assured' }]);
    run([...opened([]), { ...far, state: 'INVALID', entry: 'ESTABLISHED 432000 assured' }]);
  });

  it('counts SACK blocks as acknowledged', () => {
    const sackOk = [4, 2];
    const sack = (from: number, to: number): number[] => [1, 1, 5, 10, ...word(from), ...word(to)];
    const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
    run([
      { from: 'A', flags: SYN, seq: 100, options: sackOk, state: 'NEW', entry: 'SYN_SENT 120 unreplied' },
      { from: 'B', flags: SA, seq: 200, ack: 101, options: sackOk, state: 'ESTABLISHED', entry: 'SYN_RECV 60' },
      { from: 'A', flags: ACK, seq: 101, ack: 201, state: 'ESTABLISHED', entry: 'ESTABLISHED 432000 assured' },
      // The block reaches past anything A has sent.
      {
        from: 'B',
        flags: ACK,
        seq: 201,
        ack: 101,
        options: sack(150, 160),
        state: 'INVALID',
        entry: 'ESTABLISHED 432000 assured',
      },
      { from: 'A', flags: ACK, seq: 150, ack: 201, data: 10, state: 'ESTABLISHED', entry: 'ESTABLISHED 300 assured' },
      {
        from: 'B',
        flags: ACK,
        seq: 201,
        ack: 101,
        options: sack(150, 160),
        state: 'ESTABLISHED',
        entry: 'ESTABLISHED 300 assured',
      },
    ]);
  });

  it('a FIN out of window is remembered, the second one shortens the life', () =>
    run([
      ...OPEN,
      { from: 'A', flags: FA, seq: 9_000_000, ack: 201, state: 'INVALID', entry: 'ESTABLISHED 432000 assured' },
      { from: 'B', flags: FA, seq: 9_000_000, ack: 101, state: 'INVALID', entry: 'ESTABLISHED 300 assured' },
    ]));
});
