/**
 * A captured record as a frame of the host: which device, which way, where the IP packet lies. Reused for every record;
 * allocates nothing per packet.
 */
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, LinkLayer, locatePacket } from '../capture/link-type.js';
import type { CaptureRecord } from '../capture/record.js';
import { emptyFrame, type InFrame } from '../host/event.js';
import type { HostConfig } from '../host/host-config.js';
import { packetTypeOf, type Way, WENT_IN, WENT_OUT, wayOf } from './direction.js';

/** What a capture of the replay is told about itself. */
export interface CaptureInput {
  readonly name: string;
  /** Device that the command line gives it (`IFACE=FILE`). */
  readonly device?: string | undefined;
}

export interface DirectionChoice {
  /** Every record of these devices came in (`--in`). */
  readonly inDevices: ReadonlySet<string>;
  /** Every record whose direction the capture does not tell is the host's own (`--local`). */
  readonly local: boolean;
}

/** What an ARP packet that came in tells: the neighbour that sent it. */
export interface ArpSender {
  /** Device index; 0: it tells nothing. */
  device: number;
  /** IPv4 address, in the first word. */
  readonly address: Uint32Array;
  /** First two and last four bytes of the hardware address. */
  macHigh: number;
  macLow: number;
}

const ARP_SIZE = 28;
/** Hardware type Ethernet, protocol IPv4; sizes of their addresses. */
const ARP_KIND = 0x0001_0800;
const ARP_SIZES = 0x0604;

/** Reasons for which a record is passed over. */
export const SKIP_ARP = 'ARP';
export const SKIP_NOT_IP = 'not IP';
export const SKIP_LINK = 'link header cut or of an unknown type';
export const SKIP_PORT = 'port of a bridge or bond (its master sees the frame)';
export const SKIP_VLAN = 'VLAN without a device';
export const SKIP_NO_DEVICE = 'device that the host does not have';
export const SKIP_LOOPBACK = 'loopback, second look';

export class FrameSource {
  readonly frame: InFrame = emptyFrame();
  /** Of the last record, if it was passed over as ARP. */
  readonly arp: ArpSender = { device: 0, address: new Uint32Array(4), macHigh: 0, macLow: 0 };
  way: Way = WENT_IN;
  isLoopback = false;
  readonly assumptions = new Set<string>();
  readonly #link = new LinkLayer();
  readonly #config: HostConfig;
  readonly #inputs: readonly CaptureInput[];
  readonly #choice: DirectionChoice;
  readonly #byName = new Map<string, number>();
  readonly #byKernelIndex = new Map<number, number>();
  /** Devices by capture and its interface index, resolved once; -1: unknown. */
  readonly #resolved: number[][];

  constructor(config: HostConfig, inputs: readonly CaptureInput[], choice: DirectionChoice) {
    this.#config = config;
    this.#inputs = inputs;
    this.#choice = choice;
    this.#resolved = inputs.map(() => []);
    config.devices.forEach((device, i) => {
      this.#byName.set(device.name, i + 1);
      if (device.kernelIndex !== undefined) this.#byKernelIndex.set(device.kernelIndex, i + 1);
    });
  }

  deviceName(index: number): string {
    return this.#config.devices[index - 1]?.name ?? '';
  }

  /** Points `frame` at the record. Returns undefined, or why the record is passed over. */
  take(capture: number, record: CaptureRecord): string | undefined {
    const { frame } = this;
    const link = this.#link;
    const fault = locatePacket(record.linkType, record.view, record.off, record.capturedSize, link);
    if (fault !== undefined) return fault === 'not-ip' ? SKIP_NOT_IP : SKIP_LINK;
    if (link.protocol === ETH_P_ARP) {
      this.#takeArp(capture, record);
      return SKIP_ARP;
    }
    if (link.protocol !== ETH_P_IP && link.protocol !== ETH_P_IPV6) return SKIP_NOT_IP;
    const device = this.#locate(capture, record, link);
    if (typeof device === 'string') return device;
    const config = this.#config.devices[device - 1]!;
    this.isLoopback = config.kind === 'loopback';
    frame.bytes = record.bytes;
    frame.view = record.view;
    frame.start = record.off;
    frame.l3Off = link.l3Off;
    frame.capturedEnd = record.off + record.capturedSize;
    frame.originalEnd = record.off + record.originalSize;
    frame.family = link.protocol === ETH_P_IP ? 4 : 6;
    frame.device = device;
    // A tag between the addresses and the type: the IP packet's own Ethernet header is not what lies before it.
    frame.macOff = link.vlanCount > 0 ? -1 : link.macOff;
    frame.pktType = packetTypeOf(record.bytes, link, config.mac);
    frame.offloaded = frame.originalEnd - frame.l3Off > config.mtu;
    this.way = this.#choice.inDevices.has(config.name) ? WENT_IN : wayOf(record, link, config.mac);
    if (this.#choice.local && !tellsWay(record, link)) this.way = WENT_OUT;
    return undefined;
  }

  /** The device of a record, or why it has none. */
  #locate(capture: number, record: CaptureRecord, link: LinkLayer): number | string {
    let device = this.#deviceOf(capture, record, link);
    if (device <= 0) return SKIP_NO_DEVICE;
    if (link.vlanCount > 0) {
      device = this.#vlanDevice(device, link);
      if (device <= 0) return SKIP_VLAN;
    }
    const { master } = this.#config.devices[device - 1]!;
    return master !== undefined && this.#byName.has(master) ? SKIP_PORT : device;
  }

  /** Kernel: arp_process(): whoever asks or answers tells its own address. */
  #takeArp(capture: number, record: CaptureRecord): void {
    const { arp } = this;
    const link = this.#link;
    const { view } = record;
    const at = link.l3Off;
    arp.device = 0;
    if (record.off + record.capturedSize < at + ARP_SIZE) return;
    if (view.getUint32(at) !== ARP_KIND || view.getUint16(at + 4) !== ARP_SIZES) return;
    const device = this.#locate(capture, record, link);
    if (typeof device === 'string') return;
    const { mac } = this.#config.devices[device - 1]!;
    const sender = view.getUint32(at + 14);
    if (wayOf(record, link, mac) === WENT_OUT || sender === 0 || (view.getUint8(at + 8) & 1) !== 0) return;
    arp.device = device;
    arp.address[0] = sender;
    arp.macHigh = view.getUint16(at + 8);
    arp.macLow = view.getUint32(at + 10);
  }

  #deviceOf(capture: number, record: CaptureRecord, link: LinkLayer): number {
    if (link.interfaceIndex !== 0) {
      const known = this.#byKernelIndex.get(link.interfaceIndex);
      if (known !== undefined) return known;
      // Another machine's numbers, or a host that was described by hand: one device is all there can be.
      if (this.#byKernelIndex.size > 0) return -1;
    }
    const resolved = this.#resolved[capture]!;
    const at = record.interfaceIndex;
    resolved[at] ??= this.#resolve(capture, record.interfaceName);
    return resolved[at];
  }

  #resolve(capture: number, interfaceName: string): number {
    const input = this.#inputs[capture]!;
    if (input.device !== undefined) return this.#byName.get(input.device) ?? -1;
    if (interfaceName !== '' && interfaceName !== 'any') {
      const named = this.#byName.get(interfaceName);
      if (named !== undefined) return named;
    }
    const stem = /([^/\\]+?)(?:\.pcap|\.pcapng|\.cap|\.gz)*$/.exec(input.name)?.[1] ?? '';
    const byStem = this.#byName.get(stem);
    if (byStem !== undefined) return byStem;
    const outside = this.#config.devices.findIndex((d) => d.kind !== 'loopback' && d.master === undefined);
    if (outside === -1) return -1;
    const { name } = this.#config.devices[outside]!;
    this.assumptions.add(`${input.name} does not say its interface: taken as ${name} (say IFACE=FILE to name it)`);
    return outside + 1;
  }

  /** `eth0.10` for tag 10 on eth0; two tags make `eth0.10.20`. Without any VLAN device at all, tags are looked through. */
  #vlanDevice(device: number, link: LinkLayer): number {
    const tags = [link.outerVlan, link.innerVlan].slice(0, link.vlanCount).map((control) => control & 0xfff);
    const name = [this.deviceName(device), ...tags].join('.');
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    if (this.#config.devices.some((d) => d.name.includes('.'))) return -1;
    this.assumptions.add(
      `frames with VLAN tags are taken as ${this.deviceName(device)}'s own: the host has no VLAN devices`,
    );
    return device;
  }
}

function tellsWay(record: CaptureRecord, link: LinkLayer): boolean {
  return record.direction !== 0 || link.packetType !== -1;
}
