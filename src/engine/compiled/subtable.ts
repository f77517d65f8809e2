/** The rules of a chain whose keys have one shape, hashed by key. */
import { WordTable } from '../../base/hash-table.js';
import type { Shape } from './shape.js';

/** Chosen keys cannot slow a rule table down: an attacker does not write the rules. A constant keeps runs alike. */
const SEED = 0x51ab1e;

export class Subtable {
  readonly slots: Int32Array;
  readonly masks: Int32Array;
  /** First entry of each key. */
  readonly heads: WordTable;
  readonly key: Int32Array;
  /** No rule in here has a lower label; it may lie below the lowest after removals. */
  minLabel = Number.POSITIVE_INFINITY;
  ruleCount = 0;

  constructor({ slots, masks }: Shape, expected: number) {
    this.slots = Int32Array.from(slots);
    this.masks = Int32Array.from(masks);
    this.heads = new WordTable(slots.length, expected, SEED);
    this.key = new Int32Array(slots.length);
  }

  /** First entry for these fields, or -1. Per packet: allocates nothing. */
  find(f: Uint32Array): number {
    const { slots, masks, key } = this;
    for (let i = 0; i < key.length; i++) key[i] = f[slots[i]!]! & masks[i]!;
    return this.heads.find(key);
  }
}
