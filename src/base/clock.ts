/**
 * Virtual time: driven by packet time stamps, so that a replay expires entries exactly as the capture did.
 * `nowUs` is microseconds since the epoch as a whole number (exact below 2^53, that is until the year 2255).
 */
export interface Clock {
  readonly nowUs: number;
}

/** Kernel ticks a second on common distributions (CONFIG_HZ). */
export const DEFAULT_HZ = 250;

export class VirtualClock implements Clock {
  nowUs = 0;

  /** Time never goes back: a record stamped earlier than its predecessor happens "now". */
  advanceTo(us: number): void {
    if (us > this.nowUs) this.nowUs = us;
  }
}

/** Whole ticks since the epoch at `hz` ticks a second (the kernel's `jiffies`, but for its arbitrary start). */
export function jiffiesAt(clock: Clock, hz: number): number {
  return Math.floor((clock.nowUs * hz) / 1_000_000);
}
