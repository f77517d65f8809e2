/**
 * How many rules each service port has in the chains that all share, in canonical order: a rule's index is the sum over
 * the ports before it. Columns of 16-bit numbers: summing 50,000 of them takes some 30 µs.
 */
import { type PortBlock, SHARED_CHAINS } from './proxy/block.js';

export class SharedCounts {
  #size = 0;
  #columns = SHARED_CHAINS.map(() => new Uint16Array(16));

  insert(at: number, block: PortBlock): void {
    if (this.#size === this.#columns[0]!.length) {
      this.#columns = this.#columns.map((column) => {
        const larger = new Uint16Array(2 * column.length);
        larger.set(column);
        return larger;
      });
    }
    for (const column of this.#columns) column.copyWithin(at + 1, at, this.#size);
    this.#size++;
    this.replace(at, block);
  }

  replace(at: number, block: PortBlock): void {
    SHARED_CHAINS.forEach((shared, i) => {
      this.#columns[i]![at] = shared.countIn(block);
    });
  }

  remove(at: number): void {
    for (const column of this.#columns) column.copyWithin(at, at + 1, this.#size);
    this.#size--;
  }

  /** Rules in the `shared`-th chain of all ports before `end`. */
  sum(shared: number, end: number): number {
    const column = this.#columns[shared]!;
    let total = 0;
    for (let i = 0; i < end; i++) total += column[i]!;
    return total;
  }
}
