/**
 * A node's own listings → HostConfig. Pure: takes the texts of a bundle's files; reading the folder is the command
 * line's. Formats: `ip -j addr`, `ip -j route show table all` (and -6), `ip -j rule` (and -6), `ip -j neigh`,
 * `sysctl -a`, `conntrack -L`, `nfacct list`, all as iproute2 5.x/6.x and their likes print them.
 */
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';
import { macOf, wordsOfAddress } from './address-text.js';
import { devicesOf } from './bundle-device.js';
import { RouteReader } from './bundle-route.js';
import type { HostConfig, NeighbourConfig, NfacctConfig } from './host-config.js';
import { JsonReader, textOf } from './json-reader.js';
import { parseSysctl } from './sysctl.js';

/** Files of a bundle that describe the host; rule sets and sets are others' to read. */
export const HOST_FILES = [
  'addr.json',
  'route.json',
  'route6.json',
  'rule.json',
  'rule6.json',
  'neigh.json',
  'sysctl',
  'conntrack',
  'nfacct',
  'time',
] as const;
export type HostFile = (typeof HOST_FILES)[number];

export interface ParsedBundle {
  readonly config: HostConfig;
  readonly diagnostics: readonly Diagnostic[];
  /** What the bundle does not say and is taken for granted, one sentence each. */
  readonly assumed: readonly string[];
}

/** Reads the files that are there (`Source.text` by name). `addr.json` must be. */
export function parseBundle(files: ReadonlyMap<string, Source>): ParsedBundle {
  return new BundleReader(files).read();
}

class BundleReader {
  readonly #files: ReadonlyMap<string, Source>;
  readonly #diagnostics: Diagnostic[] = [];
  readonly #assumed: string[] = [];

  constructor(files: ReadonlyMap<string, Source>) {
    this.#files = files;
  }

  read(): ParsedBundle {
    const addr = this.#files.get('addr.json');
    const devices = addr === undefined ? [] : devicesOf(new JsonReader(addr, this.#diagnostics));
    const reader = new RouteReader(this.#files, this.#diagnostics, this.#assumed);
    const rules = [...reader.rules('rule.json', 4), ...reader.rules('rule6.json', 6)];
    const sysctl = this.#files.get('sysctl');
    if (sysctl === undefined) this.#assumed.push('forwarding is on and every other setting has its default: no sysctl');
    if (this.#files.get('neigh.json') === undefined) {
      this.#assumed.push('hardware addresses of neighbours are those seen in the capture: no neigh.json');
    }
    const conntrack = this.#files.get('conntrack')?.text;
    const timeUs = this.#time();
    const nfacct = this.#nfacct();
    const config: HostConfig = {
      devices,
      routes: reader.routes(devices),
      neighbours: this.#neighbours(),
      sysctl: parseSysctl(sysctl?.text ?? ''),
      ...(rules.length > 0 ? { rules } : {}),
      ...(conntrack !== undefined && conntrack.trim() !== '' ? { conntrack } : {}),
      ...(timeUs === undefined ? {} : { timeUs }),
      ...(nfacct.size > 0 ? { nfacct } : {}),
    };
    return { config, diagnostics: this.#diagnostics, assumed: this.#assumed };
  }

  #neighbours(): NeighbourConfig[] {
    const source = this.#files.get('neigh.json');
    if (source === undefined) return [];
    const json = new JsonReader(source, this.#diagnostics);
    return json.rows().flatMap((row) => {
      const dst = textOf(row, 'dst') ?? '';
      const device = textOf(row, 'dev');
      const mac = macOf(textOf(row, 'lladdr'));
      const family = dst.includes(':') ? 6 : 4;
      const address = wordsOfAddress(dst, family);
      if (device === undefined || mac === undefined || address === undefined) return [];
      return [{ family, device, address, mac }];
    });
  }

  /** `time`: seconds since the epoch, with a fraction or without. */
  #time(): number | undefined {
    const text = this.#files.get('time')?.text.trim();
    const found = /^(\d{1,11})(?:\.(\d{1,9}))?$/.exec(text ?? '');
    if (found === null) return undefined;
    return Number(found[1]) * 1_000_000 + Math.floor(Number(`0.${found[2] ?? '0'}`) * 1_000_000);
  }

  /** `nfacct list`: `{ pkts = 0, bytes = 0, quota = 10, mode = packet } = name;` */
  #nfacct(): Map<string, NfacctConfig> {
    const made = new Map<string, NfacctConfig>();
    for (const line of this.#files.get('nfacct')?.text.split('\n') ?? []) {
      const found = /^\s*\{(.*)\}\s*=\s*(\S+?);?\s*$/.exec(line);
      if (found === null) continue;
      const quota = /quota\s*=\s*(\d+)/.exec(found[1]!);
      const unit = /packet/.test(/mode\s*=\s*(\w+)/.exec(found[1]!)?.[1] ?? '') ? 'packets' : 'bytes';
      made.set(found[2]!, quota === null ? {} : { quota: Number(quota[1]), unit });
    }
    return made;
  }
}
