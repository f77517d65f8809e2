/** Counters in brackets before a command that is no plain saved rule. */
import { type Counters, parseCounter } from './counter.js';
import type { Fail } from './run-command.js';

/** ParseOptions.counters. */
export type CounterMode = boolean | 'if-present';

/**
 * `[packets:bytes]` before a command. The tool cuts the line in place at the colon and bracket that it finds, wherever
 * they are. Source: tokenize_rule_counters(), iptables/xshared.c.
 */
export function readBracket(
  text: string,
  start: number,
  end: number,
  mode: CounterMode,
  fail: Fail,
): { readonly counters: Counters | undefined; readonly from: number; readonly to: number } | undefined {
  const line = text.slice(start, end);
  const close = line.indexOf(']');
  const lineEnd = line.endsWith('\n') ? end - 1 : end;
  const refuse = (what: string): undefined => {
    fail('bad-counters', `counters need ${what}`, start, lineEnd, 'write [packets:bytes] before the command');
    return undefined;
  };
  if (close === -1) return refuse('a "]"');
  let packetsStart = 1;
  while (line[packetsStart] === ':') packetsStart++;
  if (packetsStart >= line.length) return refuse('a ":"');
  const colon = line.indexOf(':', packetsStart);
  if (colon === -1) return refuse('a ":"');
  let bytesStart = colon + 1;
  while (line[bytesStart] === ']') bytesStart++;
  if (bytesStart >= line.length) return refuse('a byte count');
  const bytesEnd = line.indexOf(']', bytesStart);
  const cuts = [colon, bytesEnd].filter((cut) => cut > close);
  const from = start + close + 1;
  const to = start + Math.min(line.length, ...cuts);
  if (mode === false) return { counters: undefined, from, to };
  const packets = parseCounter(line.slice(packetsStart, colon));
  const bytes = parseCounter(line.slice(bytesStart, bytesEnd === -1 ? undefined : bytesEnd));
  if (packets !== undefined && bytes !== undefined) return { counters: { packets, bytes }, from, to };
  if (mode === 'if-present') return { counters: undefined, from, to };
  fail('bad-counters', 'counters not numeric', start, start + close + 1);
  return undefined;
}
