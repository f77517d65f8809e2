/** Time stamps of pcapng: a 64-bit count of units whose size and origin each interface states. */

/** Above this many units a second, remainder × 65,536 no longer fits a double exactly. */
const MAX_EXACT_UNITS = 2 ** 37;

export class TimeResolution {
  /** Result of `split`: whole seconds (any sign) and nanoseconds in [0, 1e9), rounded down. */
  seconds = 0;
  nanoseconds = 0;
  readonly #unitsPerSecond: bigint;
  /** Units a second as a number, or 0 where only the exact slow path is right. */
  readonly #units: number;
  readonly #nanosecondsPerUnit: number;
  readonly #offsetSeconds: number;
  /** The upper half last seen, and what it comes to. */
  #high = -1;
  #baseSeconds = 0;
  #baseFraction = 0;

  /** `resolution` is the byte of `if_tsresol` (6 where absent): a power of ten, or of two if its top bit is set. */
  constructor(resolution: number, offsetSeconds: number) {
    const power = resolution & 0x7f;
    this.#unitsPerSecond = (resolution & 0x80) === 0 ? 10n ** BigInt(power) : 1n << BigInt(power);
    this.#offsetSeconds = offsetSeconds;
    const units = Number(this.#unitsPerSecond);
    // Powers of ten up to a nanosecond divide evenly; everything else goes the slow way, which rounds down exactly.
    const even = 1_000_000_000 % units === 0;
    this.#units = even && units <= MAX_EXACT_UNITS ? units : 0;
    this.#nanosecondsPerUnit = even ? 1_000_000_000 / units : 0;
  }

  /** Splits the stamp `high` × 2^32 + `low` (both unsigned). Allocates nothing for resolutions 10^0 to 10^-9. */
  split(high: number, low: number): void {
    const units = this.#units;
    if (units === 0) {
      this.#splitSlowly(high, low);
      return;
    }
    if (high !== this.#high) this.#moveBase(high);
    const fraction = this.#baseFraction + low;
    const more = Math.floor(fraction / units);
    this.seconds = this.#baseSeconds + more;
    this.nanoseconds = (fraction - more * units) * this.#nanosecondsPerUnit;
  }

  /**
   * Splits `high` × 2^32, which stays the same for seconds or hours. Long division in digits of 16 bits: a nanosecond count of
   * today has 61 bits, more than a double holds.
   */
  #moveBase(high: number): void {
    const units = this.#units;
    const first = Math.floor(high / units);
    const middleValue = (high - first * units) * 65536;
    const middle = Math.floor(middleValue / units);
    const lastValue = (middleValue - middle * units) * 65536;
    const last = Math.floor(lastValue / units);
    this.#high = high;
    this.#baseSeconds = first * 4_294_967_296 + middle * 65536 + last + this.#offsetSeconds;
    this.#baseFraction = lastValue - last * units;
  }

  #splitSlowly(high: number, low: number): void {
    const stamp = (BigInt(high) << 32n) | BigInt(low);
    this.seconds = Number(stamp / this.#unitsPerSecond) + this.#offsetSeconds;
    this.nanoseconds = Number(((stamp % this.#unitsPerSecond) * 1_000_000_000n) / this.#unitsPerSecond);
  }
}
