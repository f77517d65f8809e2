/** An environment to bind extensions in without a host: addresses, devices and connections are what the test says. */
import { VirtualClock } from '../../src/base/clock.js';
import { Rng } from '../../src/base/rng.js';
import type { Conntrack, NatRange, TupleView } from '../../src/conntrack/conntrack.js';
import type { BindEnv, FieldTest, HostServices, SharedState } from '../../src/ext/extension.js';
import type { Family, TableName } from '../../src/net/netfilter.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { Field } from '../../src/wire/field.js';
import { L4_OK, type Packet } from '../../src/wire/packet.js';

/** Matches that insist on a whole transport header; packets without one never meet their lowered tests. */
const NEED_HEADER: readonly string[] = ['tcp', 'udp', 'icmp', 'icmp6', 'sctp', 'multiport'];

export interface NatCall {
  readonly range: NatRange;
  readonly manip: number;
  readonly hook: number;
}

/** One connection, entry 0. */
export interface FakeConnection {
  status: number;
  mark: number;
  protocol: number;
  expires: number;
  tuples: readonly [Partial<TupleView>, Partial<TupleView>];
}

export class FakeHost implements HostServices {
  readonly devices = ['', 'eth0', 'eth1', 'lo'];
  readonly lines: string[] = [];
  readonly rejects: string[] = [];
  /** IPv4 address type by address and device; everything else is UNICAST (1). */
  addressTypes = new Map<string, number>();
  mtu = 1500;
  address: readonly number[] | undefined = [0x0a000001, 0, 0, 0];
  readonly counted: [string, number][] = [];
  deviceName = (index: number): string => this.devices[index] ?? '';
  isEthernet = (index: number): boolean => index !== 0 && this.deviceName(index) !== 'lo';
  addressType = (packet: Packet, first: 0 | 4, device: number): number =>
    this.addressTypes.get(`${packet.f[first]} ${device}`) ?? 1;
  addressTypeMatches6 = (packet: Packet, first: 0 | 4, device: number, mask: number): boolean =>
    ((1 << this.addressType(packet, first, device)) & mask) !== 0;
  reject = (_packet: Packet, how: string): void => {
    this.rejects.push(how);
  };
  log = (level: number, line: string): void => {
    this.lines.push(`<${level}>${line}`);
  };
  pathMtu = (): number => this.mtu;
  insertBytes(packet: Packet, at: number, size: number): void {
    const { bytes } = packet;
    const grown = new Uint8Array(bytes.length + size);
    grown.set(bytes.subarray(0, at));
    grown.set(bytes.subarray(at), at + size);
    packet.attach(grown, new DataView(grown.buffer));
    packet.end += size;
    packet.wireEnd += size;
  }
  masqueradeAddress = (_packet: Packet, out: Uint32Array): boolean => this.#fill(out);
  redirectAddress = (_packet: Packet, out: Uint32Array): boolean => this.#fill(out);
  hasNfacct = (): boolean => true;
  countNfacct(name: string, bytes: number): boolean {
    this.counted.push([name, bytes]);
    return true;
  }
  #fill(out: Uint32Array): boolean {
    if (this.address === undefined) return false;
    out.set(this.address);
    return true;
  }
}

export class FakeConntrack implements Conntrack {
  connection: FakeConnection = { status: 0, mark: 0, protocol: 6, expires: 0, tuples: [{}, {}] };
  readonly nat: NatCall[] = [];
  status = (): number => this.connection.status;
  mark = (): number => this.connection.mark;
  setMark = (_ct: number, mark: number): void => {
    this.connection.mark = mark;
  };
  protocol = (): number => this.connection.protocol;
  zone = (): number => 0;
  tuple = (_ct: number, direction: 0 | 1, out: TupleView): void => {
    const from = this.connection.tuples[direction];
    out.address.fill(0);
    if (from.address !== undefined) out.address.set(from.address);
    out.srcPort = from.srcPort ?? 0;
    out.dstPort = from.dstPort ?? 0;
  };
  expiresIn = (): number => this.connection.expires;
  packets = (): number => -1;
  bytes = (): number => -1;
  master = (): number => -1;
  masqueradeDevices: number[] = [];
  setMasqueradeDevice(packet: Packet): void {
    this.masqueradeDevices.push(packet.f[Field.OutDev]!);
  }
  setupNat(_packet: Packet, range: NatRange, manip: 0 | 1, hook: number): number {
    const copy = { ...range, minAddress: [...Array.from(range.minAddress)], maxAddress: Array.from(range.maxAddress) };
    this.nat.push({ range: copy, manip, hook });
    return 1;
  }
}

class Shared implements SharedState {
  readonly #objects = new Map<string, object>();
  get<T extends object>(key: string, create: () => T): T {
    const found = this.#objects.get(key) ?? create();
    this.#objects.set(key, found);
    return found as T; // a key is always asked for with the same type
  }
}

export class Bench {
  readonly clock = new VirtualClock();
  readonly host = new FakeHost();
  readonly conntrack = new FakeConntrack();
  readonly rng = new Rng(7);
  readonly shared = new Shared();
  readonly family: Family;
  readonly table: TableName;

  constructor(family: Family = 4, table: TableName = 'filter') {
    this.family = family;
    this.table = table;
    this.clock.nowUs = 1_700_000_000_000_000;
  }

  env(): BindEnv {
    const { family, table, clock, host, conntrack, rng, shared } = this;
    return { family, table, hz: 250, clock, host, conntrack, rng, shared };
  }

  /** Loads one rule into `chain` and binds its matches and target, as an engine would. */
  bind(
    rule: string,
    chain = 'FORWARD',
  ): {
    match(packet: Packet): 'yes' | 'no' | 'drop';
    target(packet: Packet): number;
    /** The target as two words, if it has them. */
    words: ((packet: Packet) => number) | undefined;
  } {
    const text = `*${this.table}\n-A ${chain} ${rule}\nCOMMIT\n`;
    const { ruleSet, diagnostics } = parseRuleSet({ name: 'test.rules', text }, { family: this.family });
    if (diagnostics.length > 0) throw new Error(`bug: ${rule}: ${diagnostics[0]!.message}`);
    const loaded = ruleSet.tables[0]!.chains.get(chain)!.rules[0]!;
    const matches = loaded.matches.map((use) => ({
      kind: use.ext.kind,
      fn: use.ext.bind(use.value, this.env()),
      tests: use.ext.lower?.(use.value, this.family),
    }));
    const target = loaded.target.kind === 'extension' ? loaded.target.use : undefined;
    const run = target?.ext.bind(target.value, this.env());
    const words = target?.ext.words?.(target.value, this.family);
    const runWords = target?.ext.bindWords?.(this.env());
    return {
      words: words === undefined ? undefined : (packet) => runWords!(packet, words[0], words[1]),
      match(packet) {
        packet.hotdrop = false;
        for (const { fn, tests, kind } of matches) {
          const fits = fn(packet);
          if (packet.hotdrop) return 'drop';
          const whole = packet.l4State === L4_OK || !NEED_HEADER.includes(kind);
          if (whole && tests !== undefined && tests.every((t) => holds(packet, t)) !== fits)
            throw new Error(`bug: ${rule}: lowered tests differ from the match`);
          if (!fits) return 'no';
        }
        return 'yes';
      },
      target: (packet) => {
        if (run === undefined) throw new Error('bug: the rule has no target');
        return run(packet);
      },
    };
  }
}

/** A lowered test, read as extension.ts defines it. */
function holds(packet: Packet, test: FieldTest): boolean {
  const value = packet.f[test.slot]!;
  const fits =
    'mask' in test
      ? (value & test.mask) >>> 0 === test.value
      : 'anyOf' in test
        ? test.anyOf.some((r) => value >= r.low && value <= r.high)
        : value >= test.low && value <= test.high;
  return fits !== test.invert;
}

/** The packet with the field words given. */
export function withFields(packet: Packet, fields: Partial<Record<keyof typeof Field, number>>): Packet {
  for (const [name, value] of Object.entries(fields)) packet.f[Field[name as keyof typeof Field]] = value;
  return packet;
}
