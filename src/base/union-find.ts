/** Disjoint sets of whole numbers from 0. */
import { growUint32 } from './grow.js';

export class UnionFind {
  #parent: Uint32Array = new Uint32Array(64);
  #count = 0;

  /** Numbers below this exist. */
  get count(): number {
    return this.#count;
  }

  /** Numbers up to `count` − 1 exist from now on, new ones each in a set of its own. */
  extend(count: number): void {
    if (count > this.#parent.length) this.#parent = growUint32(this.#parent, count);
    for (let i = this.#count; i < count; i++) this.#parent[i] = i;
    if (count > this.#count) this.#count = count;
  }

  /** The number that stands for the set: its smallest. */
  find(i: number): number {
    const parent = this.#parent;
    let at = i;
    while (parent[at] !== at) {
      parent[at] = parent[parent[at]!]!;
      at = parent[at]!;
    }
    return at;
  }

  /** Makes one set of the two; false if they were one. */
  join(a: number, b: number): boolean {
    const x = this.find(a);
    const y = this.find(b);
    if (x === y) return false;
    if (x < y) this.#parent[y] = x;
    else this.#parent[x] = y;
    return true;
  }
}
