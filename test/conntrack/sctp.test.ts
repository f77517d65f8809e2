import { describe, expect, it } from 'vitest';
import { nextSctpState, SCTP_INVALID, SCTP_STATE_NAMES } from '../../src/conntrack/sctp-state.js';
import { IPS_ASSURED } from '../../src/net/netfilter.js';
import { be16, be32, bytesOf, craft } from '../support/craft.js';
import { A, B, Conversation } from './conversation.js';

const CHUNKS: Readonly<Record<string, number>> = {
  DATA: 0,
  INIT: 1,
  INIT_ACK: 2,
  SACK: 3,
  HEARTBEAT: 4,
  HEARTBEAT_ACK: 5,
  ABORT: 6,
  SHUTDOWN: 7,
  SHUTDOWN_ACK: 8,
  ERROR: 9,
  COOKIE_ECHO: 10,
  COOKIE_ACK: 11,
  SHUTDOWN_COMPLETE: 14,
};

/** The specification's table. */
const TABLE = `
orig INIT               CL CL CW CE ES CL CL SA CW
orig INIT_ACK           CL CL CW CE ES SS SR SA CL
orig ABORT              CL CL CL CL CL CL CL CL CL
orig SHUTDOWN           CL CL CW CE SS SS SR SA CL
orig SHUTDOWN_ACK       SA CL CW CE ES SA SA SA SA
orig COOKIE_ECHO        CL CL CE CE ES SS SR SA CL
orig COOKIE_ACK         CL CL CW ES ES SS SR SA CL
orig SHUTDOWN_COMPLETE  CL CL CW CE ES SS SR CL CL
orig HEARTBEAT          HS CL CW CE ES SS SR SA HS
orig HEARTBEAT_ACK      CL CL CW CE ES SS SR SA HS
orig ERROR              CL CL CW CE ES SS SR SA CL
orig DATA               NO CL CW CE ES SS SR SA HS
reply INIT              IV CL CW CE ES SS SR SA IV
reply INIT_ACK          IV CW CW CE ES SS SR SA IV
reply ABORT             IV CL CL CL CL CL CL CL IV
reply SHUTDOWN          IV CL CW CE SR SS SR SA IV
reply SHUTDOWN_ACK      IV CL CW CE ES SA SA SA IV
reply COOKIE_ECHO       IV CL CE CE ES SS SR SA IV
reply COOKIE_ACK        IV CL CW ES ES SS SR SA IV
reply SHUTDOWN_COMPLETE IV CL CW CE ES SS SR CL IV
reply ERROR             IV CL CW CL ES SS SR SA IV
reply HEARTBEAT         IV CL CW CE ES SS SR SA HS
reply HEARTBEAT_ACK     IV CL CW CE ES SS SR SA ES
reply SACK              NO CL CW CE ES SS SR SA HS`;
const SHORT = ['NO', 'CL', 'CW', 'CE', 'ES', 'SS', 'SR', 'SA', 'HS'];

describe('state table', () => {
  it.each(
    TABLE.trim()
      .split('\n')
      .map((line) => line.split(/\s+/)),
  )('%s %s', (direction, chunk, ...cells) => {
    const got = cells.map((_, old) => {
      const next = nextSctpState(direction === 'orig' ? 0 : 1, CHUNKS[chunk!]!, old);
      return next === SCTP_INVALID ? 'IV' : SHORT[next];
    });
    expect(got).toEqual(cells);
  });
});

const TAG_A = 0xaaaa_0001;
const TAG_B = 0xbbbb_0002;

/** `INIT`, or several chunks joined by `+`; the tag that the receiver expects unless told otherwise. */
type Step = readonly [from: 'A' | 'B', chunks: string, tag: number | 'right', state: string, entry: string];

function run(steps: readonly Step[]): void {
  const talk = new Conversation();
  steps.forEach(([from, chunks, tag, state, entry], i) => {
    const fromA = from === 'A';
    const own = fromA ? TAG_A : TAG_B;
    const parts = chunks.split('+').map((name) => {
      const isInit = name === 'INIT' || name === 'INIT_ACK';
      const body = isInit ? bytesOf(be32(own), be32(1000), be16(1), be16(1), be32(1)) : new Uint8Array(4);
      return bytesOf(CHUNKS[name]!, 0, be16(4 + body.length), body);
    });
    const right = chunks === 'INIT' ? 0 : fromA ? TAG_B : TAG_A;
    const body = bytesOf(
      be16(fromA ? 9 : 7),
      be16(fromA ? 7 : 9),
      be32(tag === 'right' ? right : tag),
      [0, 0, 0, 0],
      ...parts,
    );
    const got = talk.pass(craft({ src: fromA ? A : B, dst: fromA ? B : A, protocol: 132, body }));
    const { entries } = talk;
    const listed =
      entries.length === 0
        ? 'none'
        : `${SCTP_STATE_NAMES[talk.ct.entries.state[entries[0]!]!]} ${talk.ct.expiresIn(entries[0]!)}` +
          ((talk.ct.status(entries[0]!) & IPS_ASSURED) !== 0 ? ' assured' : '');
    expect([i, got, listed]).toEqual([i, state, entry]);
  });
}

const OPEN: readonly Step[] = [
  ['A', 'INIT', 'right', 'NEW', 'CLOSED 10'],
  ['B', 'INIT_ACK', 'right', 'ESTABLISHED', 'COOKIE_WAIT 3'],
  ['A', 'COOKIE_ECHO+DATA', 'right', 'ESTABLISHED', 'COOKIE_ECHOED 3'],
  ['B', 'COOKIE_ACK+SACK', 'right', 'ESTABLISHED', 'ESTABLISHED 210 assured'],
];

describe('associations', () => {
  it('opens and shuts down', () =>
    run([
      ...OPEN,
      ['A', 'DATA', 'right', 'ESTABLISHED', 'ESTABLISHED 210 assured'],
      ['A', 'SHUTDOWN', 'right', 'ESTABLISHED', 'SHUTDOWN_SENT 3 assured'],
      ['B', 'SHUTDOWN_ACK', 'right', 'ESTABLISHED', 'SHUTDOWN_ACK_SENT 3 assured'],
      ['A', 'SHUTDOWN_COMPLETE', 'right', 'ESTABLISHED', 'CLOSED 10 assured'],
    ]));

  it('checks tags', () =>
    run([
      ...OPEN,
      ['A', 'DATA', TAG_A, 'INVALID', 'ESTABLISHED 210 assured'],
      ['A', 'ABORT', TAG_A, 'INVALID', 'ESTABLISHED 210 assured'],
      ['A', 'INIT', 5, 'INVALID', 'ESTABLISHED 210 assured'],
      ['A', 'ABORT', 'right', 'ESTABLISHED', 'CLOSED 10 assured'],
    ]));

  it('heartbeats begin and establish', () =>
    run([
      ['A', 'HEARTBEAT', 'right', 'NEW', 'HEARTBEAT_SENT 30'],
      ['B', 'HEARTBEAT_ACK', 'right', 'ESTABLISHED', 'ESTABLISHED 210 assured'],
    ]));

  it('a heartbeat acknowledgement sets the tag of its own direction only', () =>
    run([
      ['A', 'HEARTBEAT_ACK', 'right', 'NEW', 'CLOSED 10'],
      ['B', 'HEARTBEAT', 77, 'ESTABLISHED', 'CLOSED 10'],
    ]));

  it.each([
    'DATA',
    'SACK',
    'ABORT',
    'SHUTDOWN_COMPLETE',
    'COOKIE_ACK',
    'INIT+DATA',
    'DATA+INIT',
    'DATA+COOKIE_ECHO',
  ])('%s begins nothing', (chunks) => run([['A', chunks, 0, 'INVALID', 'none']]));

  it.each(['INIT', 'INIT_ACK', 'SHUTDOWN', 'ERROR', 'COOKIE_ECHO', 'HEARTBEAT_ACK'])('%s begins', (chunks) =>
    run([['A', chunks, 0, 'NEW', 'CLOSED 10']]));

  it('an INIT sent again does not refresh', () => {
    const talk = new Conversation();
    const body = bytesOf(be16(9), be16(7), be32(0), [0, 0, 0, 0], 1, 0, be16(20), be32(9), new Uint8Array(12));
    const init = (): string => talk.pass(craft({ src: A, dst: B, protocol: 132, body }));
    init();
    talk.wait(3);
    expect([init(), talk.only]).toEqual(['NEW', '7 unreplied']);
  });
});
