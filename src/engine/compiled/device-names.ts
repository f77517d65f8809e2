/**
 * Device names as rules use them, turned into numbers and tables by device index, so that no packet compares text.
 * A device keeps its name while an engine lives.
 */
import type { HostServices } from '../../ext/extension.js';

/** Number of a device whose name no rule spells out. */
const OTHER = -1;
const UNKNOWN = -2;

export class DeviceNames {
  /** Some rule tests a device: runs must fill InName and OutName. */
  used = false;
  readonly #host: Pick<HostServices, 'deviceName'>;
  readonly #numbers = new Map<string, number>();
  readonly #prefixes: string[] = [];
  /** By device index: number of its name, or UNKNOWN until asked. */
  #numberByDevice = new Int32Array(16).fill(UNKNOWN);
  /** By pattern, then by device index: 0 unknown, 1 yes, 2 no. */
  readonly #fits: Uint8Array[] = [];

  constructor(host: Pick<HostServices, 'deviceName'>) {
    this.#host = host;
  }

  /** The number that stands for a name in InName and OutName. */
  number(name: string): number {
    this.used = true;
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(name, number);
      this.#numberByDevice.fill(UNKNOWN);
    }
    return number;
  }

  /** Index of the pattern `prefix+`. */
  pattern(prefix: string): number {
    const known = this.#prefixes.indexOf(prefix);
    if (known !== -1) return known;
    this.#fits.push(new Uint8Array(16));
    return this.#prefixes.push(prefix) - 1;
  }

  /** Number of the name of the device. Per packet: allocates nothing once a device is known. */
  numberOf(device: number): number {
    const number = device < this.#numberByDevice.length ? this.#numberByDevice[device]! : UNKNOWN;
    return number === UNKNOWN ? this.#learn(device) : number;
  }

  #learn(device: number): number {
    if (device >= this.#numberByDevice.length) {
      const grown = new Int32Array(2 * device).fill(UNKNOWN);
      grown.set(this.#numberByDevice);
      this.#numberByDevice = grown;
    }
    const number = this.#numbers.get(this.#host.deviceName(device)) ?? OTHER;
    this.#numberByDevice[device] = number;
    return number;
  }

  /** True if the device's name begins with the pattern's prefix. Per packet: as numberOf. */
  fits(pattern: number, device: number): boolean {
    let fits = this.#fits[pattern]!;
    if (device >= fits.length) {
      const grown = new Uint8Array(2 * device);
      grown.set(fits);
      this.#fits[pattern] = fits = grown;
    }
    if (fits[device] === 0) {
      fits[device] = this.#host.deviceName(device).startsWith(this.#prefixes[pattern]!) ? 1 : 2;
    }
    return fits[device] === 1;
  }
}
