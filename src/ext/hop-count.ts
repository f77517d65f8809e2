/** The matches ttl and hl and the targets TTL and HL: the same things under two names. */
import { XT_CONTINUE } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import { setTtl } from '../wire/mangle.js';
import type { MatchExt, TargetExt } from './extension.js';
import { onlyTables } from './place.js';

export interface HopMatch {
  readonly mode: 'eq' | 'ne' | 'lt' | 'gt';
  /** 0–255. */
  readonly value: number;
}

/** Kernel: ttl_mt(), hl_mt6(), net/netfilter/xt_hl.c. */
export function hopMatch(kind: 'ttl' | 'hl'): MatchExt<HopMatch> {
  const [eq, lt, gt] = [`--${kind}-eq`, `--${kind}-lt`, `--${kind}-gt`];
  return {
    kind,
    families: [kind === 'ttl' ? 4 : 6],
    options: [{ name: eq, aliases: [`--${kind}`], invert: true }, { name: lt }, { name: gt }],
    parse(given) {
      const option = given.exactlyOne(eq, lt, gt);
      if (option === undefined) return { mode: 'eq', value: 0 };
      const { name } = option.spec;
      return {
        mode: name === lt ? 'lt' : name === gt ? 'gt' : option.invert ? 'ne' : 'eq',
        value: given.number(option, 0, 255),
      };
    },
    print: (m) => (m.mode === 'ne' ? `! ${eq} ${m.value}` : `--${kind}-${m.mode} ${m.value}`),
    bind(m) {
      const { value } = m;
      switch (m.mode) {
        case 'eq':
          return (packet) => packet.f[Field.Ttl] === value;
        case 'ne':
          return (packet) => packet.f[Field.Ttl] !== value;
        case 'lt':
          return (packet) => packet.f[Field.Ttl]! < value;
        case 'gt':
          return (packet) => packet.f[Field.Ttl]! > value;
      }
    },
    lower(m) {
      const slot = Field.Ttl;
      if (m.mode === 'lt') return [{ slot, low: m.value, high: 0xffffffff, invert: true }];
      if (m.mode === 'gt') return [{ slot, low: 0, high: m.value, invert: true }];
      return [{ slot, mask: 255, value: m.value, invert: m.mode === 'ne' }];
    },
  };
}

export interface HopTarget {
  readonly mode: 'set' | 'inc' | 'dec';
  readonly value: number;
}

/** Kernel: ttl_tg(), hl_tg6(), net/netfilter/xt_HL.c. */
export function hopTarget(kind: 'TTL' | 'HL'): TargetExt<HopTarget> {
  const prefix = `--${kind.toLowerCase()}`;
  return {
    kind,
    families: [kind === 'TTL' ? 4 : 6],
    terminating: false,
    options: [{ name: `${prefix}-set` }, { name: `${prefix}-dec` }, { name: `${prefix}-inc` }],
    parse(given) {
      const option = given.exactlyOne(`${prefix}-set`, `${prefix}-dec`, `${prefix}-inc`);
      if (option === undefined) return { mode: 'set', value: 0 };
      const mode = option.spec.name.endsWith('set') ? 'set' : option.spec.name.endsWith('inc') ? 'inc' : 'dec';
      return { mode, value: given.number(option, mode === 'set' ? 0 : 1, 255) };
    },
    print: (t) => `${prefix}-${t.mode} ${t.value}`,
    check: (_t, place) => onlyTables(kind, place, 'mangle'),
    bind(t) {
      const { mode, value } = t;
      return (packet) => {
        const now = packet.f[Field.Ttl]!;
        const next = mode === 'set' ? value : mode === 'inc' ? Math.min(now + value, 255) : Math.max(now - value, 0);
        if (next !== now) setTtl(packet, next);
        return XT_CONTINUE;
      };
    },
  };
}
