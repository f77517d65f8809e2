/** `-j LOG`: one kernel log line a packet. Kernel: log_tg(), net/netfilter/xt_LOG.c; the line: log-line.ts. */
import { XT_CONTINUE } from '../../net/netfilter.js';
import type { TargetExt } from '../extension.js';
import {
  formatLogLine,
  LOG_IP_OPTIONS,
  LOG_MAC_DECODE,
  LOG_TCP_OPTIONS,
  LOG_TCP_SEQUENCE,
  LOG_UID,
} from '../log-line.js';
import { cutBytes, parseCNumber, saveString } from '../option.js';

export interface LogTarget {
  readonly prefix: string;
  /** 0 emerg … 7 debug. */
  readonly level: number;
  /** LOG_… bits. */
  readonly flags: number;
}

const DEFAULT_LEVEL = 4;
const LEVELS: ReadonlyMap<string, number> = new Map([
  ['emerg', 0],
  ['panic', 0],
  ['alert', 1],
  ['crit', 2],
  ['error', 3],
  ['warning', 4],
  ['notice', 5],
  ['info', 6],
  ['debug', 7],
]);
const FLAGS: readonly (readonly [string, number])[] = [
  ['--log-tcp-sequence', LOG_TCP_SEQUENCE],
  ['--log-tcp-options', LOG_TCP_OPTIONS],
  ['--log-ip-options', LOG_IP_OPTIONS],
  ['--log-uid', LOG_UID],
  ['--log-macdecode', LOG_MAC_DECODE],
];

export const LOG: TargetExt<LogTarget> = {
  kind: 'LOG',
  families: [4, 6],
  terminating: false,
  options: [{ name: '--log-level' }, { name: '--log-prefix' }, ...FLAGS.map(([name]) => ({ name, args: 0 as const }))],
  parse(given) {
    const levelOption = given.get('--log-level');
    const prefixOption = given.get('--log-prefix');
    let level = DEFAULT_LEVEL;
    if (levelOption !== undefined) {
      const text = levelOption.values[0]!;
      const found = parseCNumber(text) ?? LEVELS.get(text);
      if (found === undefined || found > 7) given.fail(levelOption, 'bad-word', `log level "${text}" unknown`);
      else level = found;
    }
    const prefix = prefixOption?.values[0];
    if (prefixOption !== undefined && prefix === '')
      given.fail(prefixOption, 'bad-string', 'LOG: --log-prefix must have a minimum length of 1 character');
    if (prefixOption !== undefined && prefix!.includes('\n'))
      given.fail(prefixOption, 'bad-string', 'LOG: newlines are not allowed in --log-prefix');
    return {
      prefix: cutBytes(prefix ?? '', 29),
      level,
      flags: FLAGS.reduce((bits, [name, bit]) => (given.has(name) ? bits | bit : bits), 0),
    };
  },
  print(t) {
    const parts: string[] = [];
    if (t.prefix !== '') parts.push(`--log-prefix ${saveString(t.prefix)}`);
    if (t.level !== DEFAULT_LEVEL) parts.push(`--log-level ${t.level}`);
    for (const [name, bit] of FLAGS) if ((t.flags & bit) !== 0) parts.push(name);
    return parts.join(' ');
  },
  bind: (t, env) => (packet) => {
    env.host.log(t.level, formatLogLine(packet, env.host, t.prefix, t.flags));
    return XT_CONTINUE;
  },
};
