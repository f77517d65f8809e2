/** What a replay writes: frames that leave, rules with their counters, connections. */
import { LINKTYPE_ETHERNET, LINKTYPE_RAW } from '../capture/link-type.js';
import { PcapngWriter } from '../capture/pcapng-writer.js';
import type { RuleSet } from '../ruleset/model.js';
import { printRuleSet } from '../ruleset/print.js';
import { Failure } from './failure.js';
import { OutputFile } from './output.js';

/** Bytes of frames that may wait in memory before they are written. */
const WRITE_AT = 1 << 20;
const PCAPNG_OUTBOUND = 2;

export function saveRules(
  paths: { readonly save?: string; readonly save6?: string },
  ruleSets: readonly RuleSet[],
): void {
  const first = ruleSets.find((r) => r.family === 4) ?? ruleSets[0];
  if (paths.save !== undefined && first !== undefined) writeText(paths.save, printRuleSet(first, { counters: true }));
  if (paths.save6 === undefined) return;
  const second = ruleSets.find((r) => r.family === 6);
  if (second === undefined) throw new Failure('error: --save6: there are no IPv6 rules');
  writeText(paths.save6, printRuleSet(second, { counters: true }));
}

export function writeText(path: string, text: string): void {
  const file = new OutputFile(path);
  file.write(text);
  file.close();
}

/** Frames that leave → pcapng, one interface a device, described when it first sends. */
export class FrameWriter {
  readonly #file: OutputFile;
  readonly #pcapng = new PcapngWriter();
  readonly #interfaces = new Map<string, number>();

  constructor(path: string) {
    this.#file = new OutputFile(path);
  }

  /** The frame is bytes[start, start + size); `wireSize` is more where the capture was cut. */
  add(
    device: string,
    hasEthernet: boolean,
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    start: number,
    size: number,
    wireSize: number,
  ): void {
    let index = this.#interfaces.get(device);
    if (index === undefined) {
      index = this.#pcapng.addInterface(device, hasEthernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW);
      this.#interfaces.set(device, index);
    }
    this.#pcapng.addPacket(index, seconds, nanoseconds, bytes, start, size, wireSize, PCAPNG_OUTBOUND);
    if (this.#pcapng.size >= WRITE_AT) this.#file.write(this.#pcapng.take());
  }

  close(): void {
    this.#file.write(this.#pcapng.take());
    this.#file.close();
  }
}
