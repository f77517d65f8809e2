/** The rules of a chain whose keys have one shape, by the hash of their key. A rule's program tells keys of one hash apart. */
import { HashIndex } from '../../base/hash-index.js';
import type { Shape } from './shape.js';

/** Chosen keys cannot slow a rule table down: an attacker does not write the rules. A constant keeps runs alike. */
const SEED = 0x51ab1e;

export class Subtable {
  readonly slots: Int32Array;
  readonly masks: Int32Array;
  /** First entry of each hash. */
  readonly heads: HashIndex;
  /** No rule in here has a lower label; it may lie below the lowest after removals. */
  minLabel = Number.POSITIVE_INFINITY;
  ruleCount = 0;

  constructor({ slots, masks }: Shape, expected: number) {
    this.slots = Int32Array.from(slots);
    this.masks = Int32Array.from(masks);
    this.heads = new HashIndex(expected);
  }

  /** First entry for these fields, or -1; of another key, once in 2^32 times. Per packet: allocates nothing. */
  find(f: Uint32Array): number {
    const { slots, masks } = this;
    let hash = SEED;
    for (let i = 0; i < slots.length; i++) {
      hash = Math.imul(hash ^ (f[slots[i]!]! & masks[i]!), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return this.heads.find(finish(hash));
  }

  /** Hash of a key: its first words are those of the shape's slots, masked. */
  hashOf(key: readonly number[]): number {
    let hash = SEED;
    for (let i = 0; i < this.slots.length; i++) {
      hash = Math.imul(hash ^ key[i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return finish(hash);
  }
}

/** As MurmurHash3 ends. Signed. */
function finish(hash: number): number {
  const mixed = Math.imul(hash, 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}
