/** The walk of one packet as a story: hooks, tables, chains, rules, what matched and why not, and what came of it. */
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
import { describeCtState, describePacket, describeTuple } from '../replay/describe.js';
import type { Chain } from '../ruleset/model.js';
import { printRuleSpec } from '../ruleset/print.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import { type Paint, paintNothing } from './paint.js';

export interface TraceTextOptions {
  readonly paint?: Paint;
  /** Every rule that did not match on a line of its own; else runs of them are summed up. */
  readonly all?: boolean;
  readonly deviceName: (index: number) => string;
}

/** Failed rules in a row that are still shown one by one. */
const SHOWN_FAILURES = 3;

interface Failure {
  readonly chain: Chain;
  readonly ruleIndex: number;
  readonly part: string;
}

export class TraceStory implements TraceSink {
  readonly lines: string[] = [];
  /** The same as data, for --json. */
  readonly steps: object[] = [];
  readonly #paint: Paint;
  readonly #options: TraceTextOptions;
  readonly #conntrack: Conntrack;
  #depth = 0;
  /** Depth of jumps within the table at hand. */
  #chainDepth = 0;
  #failures: Failure[] = [];
  #before = '';
  readonly #tuple: TupleView = { address: new Uint32Array(8), protocol: 0, srcPort: 0, dstPort: 0 };

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
    return {
      step: (packet, hook, kind, table, verdict) => {
        if (verdict === undefined) {
          if (table !== undefined) {
            this.#chainDepth = 0;
            const interfaces = [
              packet.f[Field.InDev] === 0 ? '' : ` in ${deviceName(packet.f[Field.InDev]!)}`,
              packet.f[Field.OutDev] === 0 ? '' : ` out ${deviceName(packet.f[Field.OutDev]!)}`,
            ].join('');
            if (kind !== 'nat')
              this.#say(this.#paint.bold(`${HOOK_CHAINS[hook]} ${table}`) + this.#paint.dim(interfaces));
            else
              this.#say(
                this.#paint.bold(`${HOOK_CHAINS[hook]} nat`) +
                  this.#paint.dim(`${interfaces}, connection ${describeCtState(packet.f[Field.CtState]!)}`),
              );
            this.#note({ step: 'table', hook: HOOK_CHAINS[hook], table });
          }
          this.#before = describePacket(packet);
          return;
        }
        this.#flush();
        if (kind === 'conntrack') this.#tellConntrack(packet);
        else if (kind === 'confirm' && verdict !== NF_ACCEPT)
          this.#say(this.#paint.red('connection tracking drops it: its tuple is taken'));
        const after = describePacket(packet);
        if (after !== this.#before) {
          this.#say(this.#paint.cyan(`  packet is now ${after}`));
          this.#note({ step: 'changed', packet: after });
        }
      },
      routed: (packet) => {
        const type =
          packet.routeType === RTN_LOCAL
            ? 'to this host'
            : packet.routeType === RTN_BROADCAST
              ? 'broadcast, to this host'
              : packet.routeType === RTN_MULTICAST
                ? 'multicast'
                : packet.routeType === RTN_UNICAST
                  ? `out by ${deviceName(packet.outDevice)}`
                  : `route type ${packet.routeType}`;
        this.#say(`${this.#paint.bold('routing')} ${describeDestination(packet)}: ${type}`);
        this.#note({ step: 'routed', type, device: deviceName(packet.outDevice) });
      },
      answering: (answer, cause) => {
        this.#flush();
        this.#say(this.#paint.yellow(`the host answers ${describePacket(cause)}`));
        this.#note({ step: 'answering', packet: describePacket(answer) });
        this.#depth++;
      },
      sent: (frame) => {
        this.#say(
          this.#paint.green(
            `sent by ${deviceName(frame.device)}: ${describePacket(frame.packet)}, ${frame.packet.length} bytes`,
          ),
        );
        this.#note({
          step: 'sent',
          device: deviceName(frame.device),
          packet: describePacket(frame.packet),
          length: frame.packet.length,
        });
        if (frame.origin === 'answer' && this.#depth > 0) this.#depth--;
      },
      delivered: (packet) => {
        this.#say(this.#paint.green(`delivered to the host: ${describePacket(packet)}`));
        this.#note({ step: 'delivered', packet: describePacket(packet) });
      },
      dropped: (packet, place, reason, cause) => {
        const where = typeof place === 'number' ? `at ${HOOK_CHAINS[place]}` : place;
        this.#say(this.#paint.red(`dropped ${where}: ${reason}${this.#causeOf(cause)}`));
        this.#note({ step: 'dropped', place: where, reason, packet: describePacket(packet) });
        if (packet.origin === 'answer' && this.#depth > 0) this.#depth--;
      },
      log: (_level, line) => this.#say(this.#paint.dim(`log: ${line}`)),
    };
  }

  failed(table: TableName, chain: Chain, ruleIndex: number, part: string): void {
    this.#failures.push({ chain, ruleIndex, part });
    this.#note({ step: 'failed', table, chain: chain.name, rule: ruleIndex + 1, part });
  }

  matched(table: TableName, chain: Chain, ruleIndex: number, packet: Packet): void {
    this.#flush();
    this.#say(`${this.#indent()}${this.#paint.green('✓')} ${this.#rule(chain, ruleIndex, packet)}`);
    this.#note({ step: 'matched', table, chain: chain.name, rule: ruleIndex + 1, line: lineOf(chain, ruleIndex) });
    const { kind } = chain.rules[ruleIndex]!.target;
    if (kind === 'jump' || kind === 'goto') this.#chainDepth++;
  }

  target(table: TableName, chain: Chain, ruleIndex: number, verdict: number): void {
    const name = VERDICT_NAMES.get(verdict) ?? String(verdict);
    if (verdict !== XT_CONTINUE)
      this.#say(`${this.#indent()}  → ${verdict === NF_DROP ? this.#paint.red(name) : name}`);
    this.#note({ step: 'target', table, chain: chain.name, rule: ruleIndex + 1, verdict: name });
  }

  returned(table: TableName, chain: Chain): void {
    this.#flush();
    if (this.#chainDepth > 0) this.#chainDepth--;
    this.#say(this.#paint.dim(`${this.#indent()}  back in ${chain.name}`));
    this.#note({ step: 'returned', table, chain: chain.name });
  }

  policy(table: TableName, chain: Chain, verdict: number): void {
    this.#flush();
    this.#chainDepth = 0;
    const name = VERDICT_NAMES.get(verdict) ?? String(verdict);
    this.#say(
      `${this.#indent()}${this.#paint.dim(`policy of ${chain.name}:`)} ${verdict === NF_DROP ? this.#paint.red(name) : name}`,
    );
    this.#note({ step: 'policy', table, chain: chain.name, verdict: name });
  }

  hotdrop(table: TableName, chain: Chain, ruleIndex: number, packet: Packet): void {
    this.#flush();
    this.#say(
      `${this.#indent()}${this.#paint.red('✗ a match found the packet broken')} ${this.#rule(chain, ruleIndex, packet)}`,
    );
    this.#note({ step: 'hotdrop', table, chain: chain.name, rule: ruleIndex + 1 });
  }

  #tellConntrack(packet: HostPacket): void {
    const state = describeCtState(packet.f[Field.CtState]!);
    let connection = '';
    if (packet.ct >= 0) {
      this.#conntrack.tuple(packet.ct, IP_CT_DIR_ORIGINAL, this.#tuple);
      connection = `, original ${describeTuple(packet.family, this.#tuple)}`;
      this.#conntrack.tuple(packet.ct, IP_CT_DIR_REPLY, this.#tuple);
      connection += `, reply ${describeTuple(packet.family, this.#tuple)}`;
    }
    this.#say(`${this.#paint.bold('connection tracking')} ${state}${connection}`);
    this.#note({ step: 'conntrack', state });
  }

  #causeOf(cause: DropCause | undefined): string {
    if (cause === undefined || cause.decision.chain === undefined) return '';
    const { chain, ruleIndex } = cause.decision;
    return ruleIndex < 0
      ? ` of ${chain.name} in ${cause.table}`
      : ` ${ruleIndex + 1} of ${chain.name} in ${cause.table}${lineText(lineOf(chain, ruleIndex))}`;
  }

  #rule(chain: Chain, ruleIndex: number, packet: Packet): string {
    const line = lineText(lineOf(chain, ruleIndex));
    return `${chain.name} rule ${ruleIndex + 1}${this.#paint.dim(line)}: ${printRuleSpec(chain.rules[ruleIndex]!, packet.family).trim()}`;
  }

  #flush(): void {
    const failures = this.#failures;
    if (failures.length === 0) return;
    this.#failures = [];
    if (this.#options.all === true || failures.length <= SHOWN_FAILURES) {
      for (const { chain, ruleIndex, part } of failures) {
        const spec = printRuleSpec(chain.rules[ruleIndex]!, this.#family(chain, ruleIndex)).trim();
        const line = lineText(lineOf(chain, ruleIndex));
        this.#say(
          this.#paint.dim(
            `${this.#indent()}✗ ${chain.name} rule ${ruleIndex + 1}${line}: ${spec}   (${part} does not match)`,
          ),
        );
      }
      return;
    }
    const parts = new Map<string, number>();
    for (const { part } of failures) parts.set(part, (parts.get(part) ?? 0) + 1);
    const first = failures[0]!;
    const last = failures.at(-1)!;
    const why = [...parts].map(([part, count]) => `${part} ${count}`).join(', ');
    this.#say(
      this.#paint.dim(
        `${this.#indent()}✗ ${first.chain.name} rules ${first.ruleIndex + 1} to ${last.ruleIndex + 1} do not match (${why})`,
      ),
    );
  }

  #family(chain: Chain, ruleIndex: number): 4 | 6 {
    const { src, dst } = chain.rules[ruleIndex]!;
    const wide = [src, dst].some((t) => t !== undefined && (t.mask[1] !== 0 || t.mask[2] !== 0 || t.mask[3] !== 0));
    return wide ? 6 : this.family;
  }
  /** Family of the packet that is traced. */
  family: 4 | 6 = 4;

  #indent(): string {
    return '  '.repeat(this.#chainDepth + 1);
  }

  #say(text: string): void {
    this.lines.push('    '.repeat(this.#depth) + text);
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

function describeDestination(packet: HostPacket): string {
  const words = describePacket(packet);
  return words.slice(words.indexOf('>') + 2).split(' ')[0]!;
}
