/** Sockets that processes of the host hold: for what they take, the stack makes no closed-port answer. */
import type { Family } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';

export class Sockets {
  /** By protocol × 2^16 + port: addresses as words joined, or '' for any. */
  readonly #byPort = new Map<number, Set<string>>();

  /** `words` undefined: bound to every address. */
  add(protocol: number, family: Family, words: ArrayLike<number> | undefined, port: number): void {
    const key = keyOf(protocol, port);
    let addresses = this.#byPort.get(key);
    if (addresses === undefined) {
      addresses = new Set();
      this.#byPort.set(key, addresses);
    }
    addresses.add(words === undefined ? '' : addressKey(family, words, 0));
  }

  /** All sockets, as `addAll` takes them. */
  get bound(): ReadonlyMap<number, ReadonlySet<string>> {
    return this.#byPort;
  }

  addAll(bound: ReadonlyMap<number, ReadonlySet<string>>): void {
    for (const [key, addresses] of bound) {
      this.#byPort.set(key, new Set([...(this.#byPort.get(key) ?? []), ...addresses]));
    }
  }

  /** True if a socket takes the packet (a TCP or UDP packet as it stands after INPUT). */
  takes(packet: Packet): boolean {
    const addresses = this.#byPort.get(keyOf(packet.protocol, packet.dstPort));
    if (addresses === undefined) return false;
    return addresses.has('') || addresses.has(addressKey(packet.family, packet.f, Field.Dst0));
  }
}

function keyOf(protocol: number, port: number): number {
  return protocol * 65536 + port;
}

function addressKey(family: Family, words: ArrayLike<number>, at: number): string {
  return family === 4 ? `${words[at]}` : `${words[at]},${words[at + 1]},${words[at + 2]},${words[at + 3]}`;
}
