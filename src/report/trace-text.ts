/**
 * The walk of one packet as a story: hooks, tables, chains, rules, what matched and why not, and what came of it.
 *
 *   PREROUTING   nat          in eth0, connection NEW
 *     ✗ PREROUTING rules 1 to 4 fail (-d)
 *     ✓ PREROUTING rule 5 (line 12): -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.9
 *                             changed: destination 192.0.2.1:80 → 10.0.0.9:80
 *                routing      10.0.0.9 is out by eth1
 *
 * An answer that the host makes on the way is told where it happens, behind a bar.
 */
import { positionOf } from '../base/source.js';
import type { Conntrack, TupleView } from '../conntrack/conntrack.js';
import type { Engine, TraceSink } from '../engine/engine.js';
import type { DropCause, HostEvents } from '../host/event.js';
import { RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from '../host/host-config.js';
import type { HostPacket } from '../host/host-packet.js';
import {
  HOOK_CHAINS,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  NF_ACCEPT,
  NF_DROP,
  NF_QUEUE,
  NF_STOLEN,
  type TableName,
  XT_CONTINUE,
  XT_RETURN,
} from '../net/netfilter.js';
import { describeAddress, describeCtState, describePacket, describeTuple } from '../replay/describe.js';
import type { Chain } from '../ruleset/model.js';
import { printRuleSpec } from '../ruleset/print.js';
import { Field } from '../wire/field.js';
import { hasPorts, type Packet } from '../wire/packet.js';
import { describeChanges, describeDetails, lookAt, type PacketLook } from './packet-look.js';
import { type Paint, paintNothing } from './paint.js';

export interface TraceTextOptions {
  readonly paint?: Paint;
  /** Every rule that did not match on a line of its own; else runs of them are summed up. */
  readonly all?: boolean;
  readonly deviceName: (index: number) => string;
}

/** Failed rules in a row that are still shown one by one. */
const SHOWN_FAILURES = 3;
const HOOK_WIDTH = 12;
const STEP_WIDTH = 12;

interface FailedRule {
  readonly chain: Chain;
  readonly ruleIndex: number;
  readonly part: string;
}

/** Where one packet stands; answers that the host makes on the way have a place of their own. */
interface Place {
  /** Jumps deep within the table at hand. */
  chainDepth: number;
  /** Depths to which RETURN leads; `-g` leaves none. */
  returnDepths: number[];
  failures: FailedRule[];
  /** Line that names the table at hand, -1: none; whether anything was said of it since. */
  headLine: number;
  walked: boolean;
  before: PacketLook | undefined;
}

const newPlace = (): Place => ({
  chainDepth: 0,
  returnDepths: [],
  failures: [],
  headLine: -1,
  walked: false,
  before: undefined,
});

export class TraceStory implements TraceSink {
  readonly lines: string[] = [];
  /** The same as data, for --json. */
  readonly steps: object[] = [];
  /** What became of the packet itself, in the order of events; more than one if it left in pieces. */
  readonly ends: string[] = [];
  readonly #paint: Paint;
  readonly #options: TraceTextOptions;
  readonly #conntrack: Conntrack;
  /** The event at hand is about an answer: one that went out by lo comes in again after its cause is done. */
  #isAnswer = false;
  /** The packet itself, and answers within answers. */
  readonly #places: Place[] = [newPlace()];
  readonly #tuple: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };
  readonly #reply: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };

  constructor(conntrack: Conntrack, options: TraceTextOptions) {
    this.#conntrack = conntrack;
    this.#options = options;
    this.#paint = options.paint ?? paintNothing;
  }

  /** Listens to the engines of a host. */
  attach(engines: readonly (Engine | undefined)[]): void {
    for (const engine of engines) engine?.trace(this);
  }

  /** What the host tells of its own steps. */
  events(): HostEvents {
    const { deviceName } = this.#options;
    const paint = this.#paint;
    return {
      step: (packet, hook, kind, table, verdict) => {
        this.#isAnswer = packet.origin === 'answer';
        const name = HOOK_CHAINS[hook];
        if (verdict === undefined) {
          // Between the steps the host itself changes packets: forwarding takes one off the TTL.
          this.#tellChanges(packet);
          if (table !== undefined) this.#openTable(packet, name, kind === 'nat', table);
          return;
        }
        this.#flush();
        if (kind === 'conntrack') this.#tellConntrack(packet, name, verdict);
        else if (kind === 'confirm' && verdict !== NF_ACCEPT)
          this.#head(name, 'conntrack', paint.red('drops it: its tuple is taken by another connection'));
        else if (kind === 'nat' && !this.#place.walked)
          this.#append(
            packet.ct < 0 ? 'no connection: nothing to translate' : "as the connection's first packet decided",
          );
        else if (kind === 'defrag' && this.#place.before?.words !== describePacket(packet))
          this.#head(name, 'fragments', `complete: ${describePacket(packet)}, ${packet.length} bytes`);
        this.#tellChanges(packet);
      },
      routed: (packet) => {
        this.#isAnswer = packet.origin === 'answer';
        const way = this.#wayOf(packet);
        this.#head('', 'routing', `${describeAddress(packet.family, packet.f, Field.Dst0)} ${way}`);
        this.#note({ step: 'routed', way, device: deviceName(packet.outDevice) });
      },
      held: (packet, waitsFor) => {
        this.#flush();
        const isFragment = waitsFor === 'fragments';
        const why = isFragment ? 'the other fragments of its datagram' : 'the hardware address of its next hop';
        this.#head('', isFragment ? 'fragments' : 'neighbour', paint.yellow(`waits for ${why}`));
        this.#note({ step: 'held', packet: describePacket(packet), waitsFor });
        const otherwise = isFragment ? '' : '; unanswered, its sender is told that it can not be reached';
        if (packet.origin !== 'answer') this.#end(`held: it waits for ${why}${otherwise}`);
      },
      answering: (answer) => {
        this.#flush();
        const look = this.#look(answer);
        this.#head('', 'answer', `${paint.yellow(`the host sends ${look.words}`)}, ${describeDetails(look)}`);
        this.#note({ step: 'answering', packet: look.words });
        this.#places.push(newPlace());
      },
      answered: () => {
        this.#flush();
        if (this.#places.length > 1) this.#places.pop();
        this.#isAnswer = this.#places.length > 1;
        this.#note({ step: 'answered' });
      },
      sent: (frame) => {
        const look = this.#look(frame.packet);
        const device = deviceName(frame.device);
        this.#place.before = undefined;
        const again = frame.packet.routeType === RTN_LOCAL ? ', and comes in by it' : '';
        this.#head('', 'sent', paint.green(`by ${device}${again}: ${look.words}, ${describeDetails(look)}`));
        this.#note({ step: 'sent', device, packet: look.words, length: look.length });
        if (frame.origin === 'answer') this.#end(`answered by ${device}: ${look.words}, ${describeDetails(look)}`);
        else if (again === '') this.#end(`sent by ${device}: ${look.words}, ${describeDetails(look)}`);
      },
      delivered: (packet) => {
        this.#isAnswer = packet.origin === 'answer';
        const look = this.#look(packet);
        this.#place.before = undefined;
        this.#head('', 'delivered', paint.green(`to the host itself: ${look.words}, ${describeDetails(look)}`));
        this.#note({ step: 'delivered', packet: look.words });
        if (packet.origin !== 'answer')
          this.#end(`delivered to the host itself: ${look.words}, ${describeDetails(look)}`);
      },
      dropped: (packet, place, reason, cause) => {
        this.#flush();
        this.#isAnswer = packet.origin === 'answer';
        const where = typeof place === 'number' ? HOOK_CHAINS[place] : place;
        this.#place.before = undefined;
        this.#note({ step: 'dropped', place: where, reason, packet: describePacket(packet) });
        if (place === 'local end') {
          this.#head('', 'local end', paint.yellow(`nobody took it: ${reason}`));
          if (packet.origin !== 'answer') this.#end(`nobody took it: ${reason}`);
          return;
        }
        const why = this.#causeOf(reason, cause);
        this.#head(typeof place === 'number' ? where : '', 'dropped', paint.red(why));
        if (packet.origin !== 'answer') this.#end(`dropped at ${where}: ${why}`);
      },
      log: (_level, line) => this.#say(`${this.#indent()}  ${paint.dim(`kernel log: ${line}`)}`),
    };
  }

  failed(table: TableName, chain: Chain, ruleIndex: number, part: string, packet: Packet): void {
    this.family = packet.family;
    this.#place.walked = true;
    this.#place.failures.push({ chain, ruleIndex, part });
    this.#note({ step: 'failed', table, chain: chain.name, rule: ruleIndex + 1, part });
  }

  matched(table: TableName, chain: Chain, ruleIndex: number, packet: Packet): void {
    this.#flush();
    this.#place.walked = true;
    this.#say(`${this.#indent()}${this.#paint.green('✓')} ${this.#rule(chain, ruleIndex, packet.family)}`);
    this.#note({ step: 'matched', table, chain: chain.name, rule: ruleIndex + 1, line: lineOf(chain, ruleIndex) });
    const { kind } = chain.rules[ruleIndex]!.target;
    if (kind === 'jump') this.#place.returnDepths.push(this.#place.chainDepth);
    if (kind === 'jump' || kind === 'goto') this.#place.chainDepth++;
  }

  target(table: TableName, chain: Chain, ruleIndex: number, verdict: number): void {
    const name = VERDICT_NAMES.get(verdict) ?? String(verdict);
    // ACCEPT, DROP and RETURN stand in the rule already.
    const isPlain = chain.rules[ruleIndex]!.target.kind === 'verdict';
    if (verdict !== XT_CONTINUE && !isPlain)
      this.#say(`${this.#indent()}  → ${verdict === NF_DROP ? this.#paint.red(name) : name}`);
    this.#note({ step: 'target', table, chain: chain.name, rule: ruleIndex + 1, verdict: name });
  }

  returned(table: TableName, chain: Chain): void {
    this.#flush();
    const place = this.#place;
    place.chainDepth = place.returnDepths.pop() ?? 0;
    this.#say(this.#paint.dim(`${this.#indent()}  back in ${chain.name}`));
    this.#note({ step: 'returned', table, chain: chain.name });
  }

  policy(table: TableName, chain: Chain, verdict: number): void {
    this.#flush();
    const place = this.#place;
    place.chainDepth = 0;
    const name = VERDICT_NAMES.get(verdict) ?? String(verdict);
    const shown = verdict === NF_DROP ? this.#paint.red(name) : name;
    if (place.walked) this.#say(`${this.#indent()}→ policy of ${chain.name}: ${shown}`);
    else this.#append(`no rules, policy ${shown}`);
    place.walked = true;
    this.#note({ step: 'policy', table, chain: chain.name, verdict: name });
  }

  hotdrop(table: TableName, chain: Chain, ruleIndex: number, packet: Packet): void {
    this.#flush();
    this.#place.walked = true;
    const verdict = this.#paint.red('✗ a match found the packet broken:');
    this.#say(`${this.#indent()}${verdict} ${this.#rule(chain, ruleIndex, packet.family)}`);
    this.#note({ step: 'hotdrop', table, chain: chain.name, rule: ruleIndex + 1 });
  }

  /** Family of the packet that a failed rule was tried on. */
  family: 4 | 6 = 4;

  get #place(): Place {
    return this.#places[this.#places.length - 1]!;
  }

  #look(packet: HostPacket): PacketLook {
    return lookAt(packet, packet.ct < 0 ? -1 : this.#conntrack.mark(packet.ct));
  }

  #openTable(packet: HostPacket, hook: string, isNat: boolean, table: TableName): void {
    const { deviceName } = this.#options;
    const place = this.#place;
    place.chainDepth = 0;
    place.returnDepths = [];
    place.walked = false;
    const words: string[] = [];
    if (packet.f[Field.InDev] !== 0) words.push(`in ${deviceName(packet.f[Field.InDev]!)}`);
    if (packet.f[Field.OutDev] !== 0) words.push(`out ${deviceName(packet.f[Field.OutDev]!)}`);
    if (isNat && packet.ct >= 0) words.push(`connection ${describeCtState(packet.f[Field.CtState]!)}`);
    this.#head(hook, table, this.#paint.dim(words.join(', ')));
    place.headLine = this.lines.length - 1;
    this.#note({ step: 'table', hook, table });
  }

  #tellChanges(packet: HostPacket): void {
    const place = this.#place;
    const after = this.#look(packet);
    const changes = place.before === undefined ? [] : describeChanges(place.before, after);
    place.before = after;
    if (changes.length === 0) return;
    this.#head('', 'changed', this.#paint.cyan(changes.join(', ')));
    this.#note({ step: 'changed', packet: after.words, changes });
  }

  #tellConntrack(packet: HostPacket, hook: string, verdict: number): void {
    const state = describeCtState(packet.f[Field.CtState]!);
    let connection = '';
    if (packet.ct >= 0) {
      this.#conntrack.tuple(packet.ct, IP_CT_DIR_ORIGINAL, this.#tuple);
      this.#conntrack.tuple(packet.ct, IP_CT_DIR_REPLY, this.#reply);
      const { family } = packet;
      connection = `, ${packet.ctDir === IP_CT_DIR_REPLY ? 'reply of' : 'connection'} ${describeTuple(family, this.#tuple)}`;
      if (isTranslated(this.#tuple, this.#reply))
        connection += `, translated: its replies are ${describeTuple(family, this.#reply)}`;
    }
    const refused = verdict === NF_ACCEPT ? '' : this.#paint.red(', drops it: the table is full');
    this.#head(hook, 'conntrack', `${state}${connection}${refused}`);
    this.#note({ step: 'conntrack', state });
  }

  #wayOf(packet: HostPacket): string {
    switch (packet.routeType) {
      case RTN_LOCAL:
        return "is the host's own";
      case RTN_BROADCAST:
        return 'is a broadcast to this host';
      case RTN_MULTICAST:
        return 'is multicast';
      case RTN_UNICAST:
        return packet.outDevice === 0 ? 'has no route' : `is out by ${this.#options.deviceName(packet.outDevice)}`;
      default:
        return `has a route of type ${packet.routeType}`;
    }
  }

  #causeOf(reason: string, cause: DropCause | undefined): string {
    if (cause === undefined || cause.decision.chain === undefined) return reason;
    const { chain, ruleIndex } = cause.decision;
    if (ruleIndex < 0) return `policy of ${chain.name} in ${cause.table}`;
    const rule = `rule ${ruleIndex + 1}${lineText(lineOf(chain, ruleIndex))} of ${chain.name} in ${cause.table}`;
    return reason === 'rule' ? rule : `${reason}, ${rule}`;
  }

  #rule(chain: Chain, ruleIndex: number, family: 4 | 6): string {
    const line = lineText(lineOf(chain, ruleIndex));
    return `${chain.name} rule ${ruleIndex + 1}${this.#paint.dim(line)}: ${printRuleSpec(chain.rules[ruleIndex]!, family).trim()}`;
  }

  #flush(): void {
    const place = this.#place;
    const { failures } = place;
    if (failures.length === 0) return;
    place.failures = [];
    const { dim } = this.#paint;
    if (this.#options.all === true || failures.length <= SHOWN_FAILURES) {
      for (const { chain, ruleIndex, part } of failures) {
        const spec = printRuleSpec(chain.rules[ruleIndex]!, this.family).trim();
        const line = lineText(lineOf(chain, ruleIndex));
        this.#say(dim(`${this.#indent()}✗ ${chain.name} rule ${ruleIndex + 1}${line} fails on ${part}: ${spec}`));
      }
      return;
    }
    const parts = new Map<string, number>();
    for (const { part } of failures) parts.set(part, (parts.get(part) ?? 0) + 1);
    const first = failures[0]!;
    const last = failures.at(-1)!;
    const why =
      parts.size === 1 ? `all on ${first.part}` : [...parts].map(([part, count]) => `${count} on ${part}`).join(', ');
    const rules = `${first.chain.name} rules ${first.ruleIndex + 1} to ${last.ruleIndex + 1}`;
    this.#say(dim(`${this.#indent()}✗ ${rules} fail, ${why}`));
  }

  #indent(): string {
    return '  '.repeat(this.#place.chainDepth + 1);
  }

  /** A line of the packet's way: hook, step, what happened. */
  #head(hook: string, step: string, text: string): void {
    const { bold } = this.#paint;
    const words = `${bold(hook.padEnd(HOOK_WIDTH))} ${bold(step.padEnd(STEP_WIDTH))} ${text}`;
    this.#say(words.trimEnd());
    this.#place.headLine = -1;
  }

  /** Adds to the line that names the table at hand. */
  #append(text: string): void {
    const { headLine } = this.#place;
    if (headLine === this.lines.length - 1) this.lines[headLine] += `: ${text}`;
    else this.#say(`${this.#indent()}${text}`);
  }

  #end(text: string): void {
    this.ends.push(text);
  }

  #say(text: string): void {
    this.lines.push('  │ '.repeat(Math.max(this.#places.length - 1, this.#isAnswer ? 1 : 0)) + text);
  }

  #note(step: object): void {
    this.steps.push(step);
  }
}

const VERDICT_NAMES = new Map<number, string>([
  [NF_ACCEPT, 'ACCEPT'],
  [NF_DROP, 'DROP'],
  [NF_STOLEN, 'STOLEN'],
  [NF_QUEUE, 'QUEUE'],
  [XT_CONTINUE, 'CONTINUE'],
  [XT_RETURN, 'RETURN'],
]);

function lineOf(chain: Chain, ruleIndex: number): number | undefined {
  const span = chain.rules[ruleIndex]?.span;
  return span === undefined ? undefined : positionOf(span.source, span.start).line;
}

const lineText = (line: number | undefined): string => (line === undefined ? '' : ` (line ${line})`);

/** The replies are not simply the other way round. */
function isTranslated(original: TupleView, reply: TupleView): boolean {
  const sameAddresses = [0, 1, 2, 3].every(
    (i) => original.address[i] === reply.address[4 + i] && original.address[4 + i] === reply.address[i],
  );
  const samePorts =
    !hasPorts(original.protocol) || (original.srcPort === reply.dstPort && original.dstPort === reply.srcPort);
  return !sameAddresses || !samePorts;
}
