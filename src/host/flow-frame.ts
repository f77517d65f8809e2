/** A frame that left by the short way, as the host's events are told of it. Its packet is read only if somebody asks. */
import type { Direction, Family } from '../net/netfilter.js';
import { IP_CT_ESTABLISHED, IP_CT_ESTABLISHED_REPLY, PACKET_HOST } from '../net/netfilter.js';
import { Field } from '../wire/field.js';
import type { InFrame, SentFrame } from './event.js';
import { CT_STATE, MARK, NODE, OUT_AND_MAC } from './flow-table.js';
import { ETHERNET_SIZE, HostPacket, type Origin } from './host-packet.js';

export class FlowFrame implements SentFrame {
  device = 0;
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  originalEnd = 0;
  readonly hasEthernet = true;
  readonly origin: Origin = 'forwarded';
  readonly #packet = new HostPacket();
  #view: DataView = new DataView(new ArrayBuffer(0));
  #words: Uint32Array = new Uint32Array(0);
  #flow = 0;
  #family: Family = 4;
  #receivedOn = 0;
  #isRead = false;

  /** Becomes `frame` as it leaves: rewritten in place, its IP packet at [frame.l3Off, end), by the flow at words[flow..]. */
  become(frame: InFrame, end: number, words: Uint32Array, flow: number): void {
    this.device = words[flow + OUT_AND_MAC]! >>> 16;
    this.bytes = frame.bytes;
    this.start = frame.l3Off - ETHERNET_SIZE;
    this.end = this.originalEnd = end;
    this.#view = frame.view;
    this.#words = words;
    this.#flow = flow;
    this.#family = frame.family;
    this.#receivedOn = frame.device;
    this.#isRead = false;
  }

  get packet(): HostPacket {
    const p = this.#packet;
    if (this.#isRead) return p;
    this.#isRead = true;
    const words = this.#words;
    const flow = this.#flow;
    p.reset();
    p.attach(this.bytes, this.#view);
    p.parse(this.#family, this.start + ETHERNET_SIZE, this.end, this.end);
    p.frameStart = this.start;
    p.macOff = this.start;
    p.ct = words[flow + NODE]! >>> 1;
    p.ctDir = (words[flow + NODE]! & 1) as Direction; // a node's last bit
    p.ctInfo = p.ctDir === 0 ? IP_CT_ESTABLISHED : IP_CT_ESTABLISHED_REPLY;
    p.receivedOn = this.#receivedOn;
    p.outDevice = this.device;
    const { f } = p;
    f[Field.PktType] = PACKET_HOST;
    f[Field.CtState] = words[flow + CT_STATE]!;
    f[Field.Mark] = words[flow + MARK]!;
    f[Field.InDev] = this.#receivedOn;
    f[Field.OutDev] = this.device;
    return p;
  }
}
