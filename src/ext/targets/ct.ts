/**
 * `-j CT`: what connection tracking shall do with the packet. Kernel: xt_ct_target(), net/netfilter/xt_CT.c.
 * Differs: with `--zone mark` the zone is the mark as it is here; the kernel reads it a little later, when tracking
 * begins, so that a MARK behind this rule in the raw table would count.
 */
import { CT_STATE_NEW } from '../../conntrack/state-bit.js';
import { XT_CONTINUE } from '../../net/netfilter.js';
import { Field } from '../../wire/field.js';
import type { TargetExt } from '../extension.js';
import { parseCNumber } from '../option.js';
import { onlyTables } from '../place.js';
import { exempt, isDecided } from './notrack.js';

export interface CtTarget {
  readonly notrack: boolean;
  /** 0–65535. */
  readonly zone: number;
  readonly zoneFromMark: boolean;
  readonly direction: 'both' | 'original' | 'reply';
}

const ZONE_OPTIONS = ['--zone', '--zone-orig', '--zone-reply'];
const UNSUPPORTED = ['--helper', '--timeout', '--ctevents', '--expevents'];

export const CT: TargetExt<CtTarget> = {
  kind: 'CT',
  families: [4, 6],
  terminating: false,
  options: [{ name: '--notrack', args: 0 }, ...[...UNSUPPORTED, ...ZONE_OPTIONS].map((name) => ({ name }))],
  parse(given) {
    let zone = 0;
    let zoneFromMark = false;
    for (const option of given.given) {
      if (UNSUPPORTED.includes(option.spec.name))
        given.fail(option, 'unsupported-option', `CT: option "${option.spec.name}" is not supported`);
      if (!ZONE_OPTIONS.includes(option.spec.name)) continue;
      const text = option.values[0]!;
      zone = 0;
      if (text.toLowerCase() === 'mark') zoneFromMark = true;
      else {
        zone = parseCNumber(text) ?? -1;
        if (zone < 0 || zone > 65535) {
          given.fail(option, 'bad-number', `CT: cannot parse "${text}" as a zone`, '0 to 65535, or mark');
          zone = 0;
        }
      }
    }
    const original = given.has('--zone-orig');
    const reply = given.has('--zone-reply');
    return {
      notrack: given.has('--notrack'),
      zone,
      zoneFromMark,
      direction: original === reply ? 'both' : original ? 'original' : 'reply',
    };
  },
  print(t) {
    const parts: string[] = [];
    if (t.notrack) parts.push('--notrack');
    if (t.zoneFromMark || t.zone !== 0) {
      const name = { both: '--zone', original: '--zone-orig', reply: '--zone-reply' }[t.direction];
      parts.push(`${name} ${t.zoneFromMark ? 'mark' : t.zone}`);
    }
    return parts.join(' ');
  },
  check: (_t, place) => onlyTables('CT', place, 'raw'),
  needs: (t) => (t.notrack ? undefined : 'conntrack'),
  bind: (t) => (packet) => {
    if (isDecided(packet)) return XT_CONTINUE;
    if (t.notrack) {
      exempt(packet);
      return XT_CONTINUE;
    }
    packet.hasTemplate = true;
    packet.templateZoneOriginal = t.direction === 'reply' ? 0 : t.zone;
    packet.templateZoneReply = t.direction === 'original' ? 0 : t.zone;
    if (t.zoneFromMark) packet.templateZoneFromMark = { original: 1, reply: 2, both: 3 }[t.direction];
    // Until tracking looks at it, the template itself is the packet's (new) connection.
    packet.f[Field.CtState] = CT_STATE_NEW;
    return XT_CONTINUE;
  },
};
