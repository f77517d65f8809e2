/**
 * Hardware addresses told by frames. Kernel: neigh_update(), as called from arp_process() and ndisc_recv_na(). The
 * emulator takes any received frame for it: its sender has asked for the host's address before, or was asked.
 * Differs: what is known stays; the kernel follows a neighbour that changes its address.
 */
import { Field } from '../wire/field.js';
import type { Device } from './device.js';
import type { InFrame } from './event.js';
import type { HostPacket } from './host-packet.js';
import type { Pipeline } from './pipeline.js';
import type { RoutePath } from './route.js';

export class NeighbourLearning {
  readonly #pipeline: Pipeline;
  readonly #destination = new Uint32Array(4);

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline;
  }

  /** The sender's hardware address is that of the next hop towards it. True: it was not known. Per packet: allocates nothing. */
  fromReceived(p: HostPacket, device: Device): boolean {
    const { view, macOff, f } = p;
    if (!device.hasEthernet || (view.getUint8(macOff + 6) & 1) !== 0) return false;
    if (this.#pipeline.neighbours.has(device.index, p.family, f, Field.Src0)) return false;
    const high = view.getUint16(macOff + 6);
    const low = view.getUint32(macOff + 8);
    const path = this.#pathTo(p.family, f, Field.Src0, device.index);
    this.learn(device.index, p.family, f, Field.Src0, high, low);
    if (path === undefined || path.gatewayFamily === 0) return true;
    this.learn(device.index, path.gatewayFamily, path.gateway, 0, high, low);
    return true;
  }

  /** A frame that the host was seen to send shows the hardware address of the next hop towards its destination. True: it was not known. */
  fromSent(frame: InFrame): boolean {
    const { view, macOff, l3Off, family } = frame;
    const device = this.#pipeline.devices.at(frame.device);
    if (device === undefined || !device.hasEthernet || macOff < 0) return false;
    if ((view.getUint8(macOff) & 1) !== 0 || frame.capturedEnd < l3Off + (family === 4 ? 20 : 40)) return false;
    const words = this.#destination;
    if (family === 4) words[0] = view.getUint32(l3Off + 16);
    else for (let i = 0; i < 4; i++) words[i] = view.getUint32(l3Off + 24 + 4 * i);
    const path = this.#pathTo(family, words, 0, device.index);
    if (path === undefined) return false;
    const high = view.getUint16(macOff);
    const low = view.getUint32(macOff + 2);
    if (path.gatewayFamily === 0) return this.learn(device.index, family, words, 0, high, low);
    return this.learn(device.index, path.gatewayFamily, path.gateway, 0, high, low);
  }

  /** An address, if it is unknown till now; packets that waited for it go. True: it was. */
  learn(device: number, family: 4 | 6, words: ArrayLike<number>, at: number, high: number, low: number): boolean {
    const { neighbours, unresolved } = this.#pipeline;
    if (neighbours.find(device, family, words, at)) return false;
    neighbours.set(device, family, words, at, high, low);
    if (!unresolved.isEmpty) unresolved.release(device, family, words, at);
    return true;
  }

  /** The way to an address, if it is by the device, and if it is the only one there. */
  #pathTo(family: 4 | 6, words: ArrayLike<number>, at: number, device: number): RoutePath | undefined {
    const { routing4, routing6, devices } = this.#pipeline;
    const { table } = family === 4 ? routing4 : routing6;
    const found =
      family === 4 ? routing4.lookup(words[at]!, 0, 0, 0, devices.loopback, 0) : routing6.lookup(words, at, 0);
    const path = table.paths[found];
    if (path?.group === undefined) return path?.device === device ? path : undefined;
    const here = path.group.members.filter((index) => table.paths[index]!.device === device);
    return here.length === 1 ? table.paths[here[0]!] : undefined;
  }
}
