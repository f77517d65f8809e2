/** Where the walk goes on when a chain ends. One for an engine: nested runs stand above the runs that caused them. */
import { growInt32 } from '../../base/grow.js';

/** Words of one jump: number of the chain, rule that jumped, frame of the chain's plan. */
const JUMP_SIZE = 3;

export class JumpStack {
  #words: Int32Array = new Int32Array(JUMP_SIZE * 64);
  top = 0;

  push(chain: number, rule: number, frame: number): void {
    const at = this.top;
    if (at + JUMP_SIZE > this.#words.length) this.#words = growInt32(this.#words, at + JUMP_SIZE);
    this.#words[at] = chain;
    this.#words[at + 1] = rule;
    this.#words[at + 2] = frame;
    this.top = at + JUMP_SIZE;
  }

  /** Takes the last jump off; it can be read until the next push. */
  pop(): void {
    this.top -= JUMP_SIZE;
  }

  get chain(): number {
    return this.#words[this.top]!;
  }
  get rule(): number {
    return this.#words[this.top + 1]!;
  }
  get frame(): number {
    return this.#words[this.top + 2]!;
  }
}
