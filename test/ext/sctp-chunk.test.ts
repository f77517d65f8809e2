/** Chunks as the sctp match sees them: packets sent through rules on Linux 6.18, plain and inverted. */
import { describe, expect, it } from 'vitest';
import { IPPROTO_SCTP } from '../../src/net/protocol.js';
import { be16, be32, bytesOf, craft } from '../support/craft.js';
import { Bench } from '../support/extension-env.js';

const RULES = [
  'any I_DATA:B',
  'any I_DATA',
  'all DATA:B,INIT',
  'only DATA,INIT',
  'only ALL',
  'only NONE',
  'any ALL',
  'any NONE',
  'all ALL',
  'all NONE',
  'any DATA:Be',
  'any ASCONF:-',
  'only DATA:E',
];

const chunk = (type: number, flags: number, size = 4, body: readonly number[] = []): number[] => [
  type,
  flags,
  ...be16(size),
  ...body,
];

/** The packet's chunks, and the rules that match it in the order of RULES; undefined: hotdrop by all, inverted too. */
const ROWS: readonly (readonly [name: string, chunks: readonly number[], fits: string | undefined])[] = [
  ['I_DATA', chunk(64, 0), '++--+-+--+---'],
  ['I_DATA with B', chunk(64, 2), '++--+-+--+---'],
  ['DATA with B and E, INIT', [...chunk(0, 3), ...chunk(1, 0)], '--+++-+--+---'],
  ['DATA with E', chunk(0, 1), '---++-+--+--+'],
  ['DATA with B', chunk(0, 2), '---++-+--++--'],
  ['INIT', chunk(1, 0), '---++-+--+---'],
  ['ASCONF', chunk(193, 0), '----+-+--+-+-'],
  ['a length beyond the packet', chunk(0, 2, 40), '---++-+--++--'],
  ['padded', [...chunk(0, 2, 5, [120, 0, 0, 0]), ...chunk(1, 0)], '--+++-+--++--'],
  ['padding that is not there', chunk(0, 2, 5, [120]), '---++-+--++--'],
  ['length 1', [...chunk(0, 2, 1), ...chunk(1, 0)], '--+++-+--++--'],
  ['no chunk', [], undefined],
  ['length 0', chunk(0, 2, 0), undefined],
  ['half a chunk header', [0, 2], undefined],
];

describe.each(ROWS)('%s', (_, chunks, fits) => {
  const packet = () =>
    craft({
      src: '10.0.0.1',
      dst: '10.0.0.2',
      protocol: IPPROTO_SCTP,
      body: bytesOf(be16(5), be16(80), be32(0), be32(0), chunks),
    });
  it.each(RULES.map((rule, i) => [rule, fits?.[i]] as const))('%s', (rule, expected) => {
    const [plain, inverted] =
      expected === undefined ? ['drop', 'drop'] : expected === '+' ? ['yes', 'no'] : ['no', 'yes'];
    const bench = new Bench(4);
    expect(bench.bind(`-p sctp -m sctp --chunk-types ${rule}`).match(packet())).toBe(plain);
    expect(bench.bind(`-p sctp -m sctp ! --chunk-types ${rule}`).match(packet())).toBe(inverted);
    expect(bench.bind(`-p sctp -m sctp --dport 81 --chunk-types ${rule}`).match(packet())).toBe('no');
  });
});

describe('where the walk stops', () => {
  // The first chunk decides, and the broken one behind it is not seen; else it is.
  it.each([
    ['any DATA', 'yes'],
    ['only INIT', 'no'],
    ['any INIT', 'drop'],
    ['only DATA', 'drop'],
  ])('%s before half a header', (rule, expected) => {
    const body = bytesOf(be16(5), be16(80), be32(0), be32(0), chunk(0, 2), [1, 0]);
    const packet = craft({ src: '10.0.0.1', dst: '10.0.0.2', protocol: IPPROTO_SCTP, body });
    expect(new Bench(4).bind(`-p sctp -m sctp --chunk-types ${rule}`).match(packet)).toBe(expected);
  });
});
