/**
 * Rules as canonical-rule.ts keeps them: large files hold a few forms of rules a hundred thousand times, so a rule stores
 * what is its own (two addresses, a port, a target, its place) and shares the rest. What is only read by people (comments)
 * or once (targets) stays text until somebody asks.
 */
import type { Source, Span } from '../base/source.js';
import type { MatchExt, MatchUse, TargetExt, TargetUse } from '../ext/extension.js';
import type { Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import { type Counters, parseCounter } from './counter.js';
import type { AddressTest, DeviceTest, Rule, RuleTarget } from './model.js';
import { PieceScan, readPiece } from './piece.js';

const NEWLINE = 10;
const SPACE = 32;
const BANG = 33;
const BRACKET = 91;
const [F, G, J, M] = [102, 103, 106, 109] as const;

/** `-m name OPTION value` (or `-j NAME …`) with a value of a form that is always good; read when asked for. */
export interface PlainPiece<E extends MatchExt | TargetExt = MatchExt | TargetExt> {
  readonly plain: 'port' | 'text' | 'endpoint';
  readonly ext: E;
  /** What the piece begins with, up to the value. */
  readonly head: string;
}

/** `-s` or `-d` of a form: the rule has the address. */
export interface AddressForm {
  readonly mask: Words6;
  readonly invert: boolean;
}

/** What rules of one form have in common. */
export interface RuleForm {
  readonly source: Source;
  readonly family: Family;
  /** Counters stand before the rule, and count. */
  readonly counted: boolean;
  readonly src: AddressForm | undefined;
  readonly dst: AddressForm | undefined;
  readonly inDevice: DeviceTest | undefined;
  readonly outDevice: DeviceTest | undefined;
  readonly protocol: Rule['protocol'];
  readonly fragment: boolean | undefined;
  readonly matches: readonly (MatchUse | PlainPiece<MatchExt>)[];
  /** One of `matches` is a plain piece. */
  readonly hasPlain: boolean;
  readonly target: PlainPiece<TargetExt> | undefined;
}

export const isPlain = <E extends MatchExt | TargetExt>(
  part: PlainPiece<E> | { readonly ext: E; readonly value: unknown },
): part is PlainPiece<E> => 'plain' in part;

/** An extension whose value is read from the text when asked for. */
class TextUse<E extends MatchExt | TargetExt> {
  readonly ext: E;
  readonly #rule: SavedRule;
  /** Of the piece; -1 for a plain target, which ends the rule. */
  readonly #start: number;
  readonly #end: number;

  constructor(ext: E, rule: SavedRule, start: number, end: number) {
    this.ext = ext;
    this.#rule = rule;
    this.#start = start;
    this.#end = end;
  }

  get value(): unknown {
    const { source, family, protocol, target } = this.#rule.form;
    const end = this.#end === -1 ? this.#rule.span.end : this.#end;
    // A plain target's value holds no blank, so the piece is the last that begins like this.
    const start = this.#start === -1 ? source.text.lastIndexOf(target!.head, end) : this.#start;
    const key = protocol === undefined ? 0 : protocol.number * 2 + (protocol.invert ? 1 : 0);
    return readPiece(source, start, end, key, family, () => this.ext)!.value;
  }
}

export class SavedRule implements Rule {
  readonly form: RuleForm;
  /** Signed first word of the address where the form has a mask; else the whole test. */
  readonly srcOwn: number | AddressTest | undefined;
  readonly dstOwn: number | AddressTest | undefined;
  /** Of the form's plain `port` piece. */
  readonly port: number;
  /** Undefined: the form has a plain piece. */
  readonly targetOwn: RuleTarget | undefined;
  /** Offset of its line. */
  readonly start: number;

  constructor(
    form: RuleForm,
    src: number | AddressTest | undefined,
    dst: number | AddressTest | undefined,
    port: number,
    target: RuleTarget | undefined,
    start: number,
  ) {
    this.form = form;
    this.srcOwn = src;
    this.dstOwn = dst;
    this.port = port;
    this.targetOwn = target;
    this.start = start;
  }

  get src(): AddressTest | undefined {
    return addressTest(this.srcOwn, this.form.src);
  }
  get dst(): AddressTest | undefined {
    return addressTest(this.dstOwn, this.form.dst);
  }
  get inDevice(): DeviceTest | undefined {
    return this.form.inDevice;
  }
  get outDevice(): DeviceTest | undefined {
    return this.form.outDevice;
  }
  get protocol(): Rule['protocol'] {
    return this.form.protocol;
  }
  get fragment(): boolean | undefined {
    return this.form.fragment;
  }

  get matches(): readonly MatchUse[] {
    const { matches, hasPlain, source } = this.form;
    if (!hasPlain) return matches as readonly MatchUse[]; // none of them is plain
    const scan = new PieceScan(source.text);
    const end = this.#end();
    let at = this.#piecesStart();
    return matches.map((part) => {
      const start = at;
      const pieceEnd = scan.endOf(start, end);
      at = pieceEnd + 1;
      return isPlain(part) ? new TextUse(part.ext, this, start, pieceEnd) : part;
    });
  }

  get target(): RuleTarget {
    const plain = this.form.target;
    if (this.targetOwn !== undefined || plain === undefined) return this.targetOwn!;
    const use: TargetUse = new TextUse(plain.ext, this, -1, -1);
    return { kind: 'extension', use };
  }

  get packets(): bigint {
    return this.#counters()?.packets ?? 0n;
  }
  get bytes(): bigint {
    return this.#counters()?.bytes ?? 0n;
  }

  get span(): Span {
    return { source: this.form.source, start: this.start, end: this.#end() };
  }

  /** `[packets:bytes]`, digits only. */
  #counters(): Counters | undefined {
    if (!this.form.counted) return undefined;
    const { text } = this.form.source;
    const colon = text.indexOf(':', this.start);
    const packets = parseCounter(text.slice(this.start + 1, colon))!;
    return { packets, bytes: parseCounter(text.slice(colon + 1, text.indexOf(']', colon)))! };
  }

  /** A line ends at its newline, or where a C string ends. */
  #end(): number {
    const { text } = this.form.source;
    let end = this.start;
    for (; end < text.length; end++) {
      const code = text.charCodeAt(end);
      if (code === NEWLINE || code === 0) break;
    }
    return end;
  }

  /** Offset of the first `-m`, `-j` or `-g`. */
  #piecesStart(): number {
    const { text } = this.form.source;
    const after = (at: number): number => text.indexOf(' ', at) + 1;
    let at = text.charCodeAt(this.start) === BRACKET ? after(this.start) : this.start;
    at = after(at + 3);
    for (;;) {
      const letter = text.charCodeAt(at + 1);
      if (text.charCodeAt(at) === BANG) at += 2;
      else if (letter === F && text.charCodeAt(at + 2) === SPACE) at += 3;
      else if (letter === M || letter === J || letter === G) return at;
      else at = after(at + 3);
    }
  }
}

function addressTest(own: number | AddressTest | undefined, form: AddressForm | undefined): AddressTest | undefined {
  if (typeof own !== 'number') return own;
  return { address: [own >>> 0, 0, 0, 0], mask: form!.mask, invert: form!.invert };
}

/** The rule with other counters or another target, as a value of its own. */
export function changedRule(
  rule: Rule,
  change: { readonly packets?: bigint; readonly bytes?: bigint; readonly target?: RuleTarget },
): Rule {
  return {
    src: rule.src,
    dst: rule.dst,
    inDevice: rule.inDevice,
    outDevice: rule.outDevice,
    protocol: rule.protocol,
    fragment: rule.fragment,
    matches: rule.matches,
    target: change.target ?? rule.target,
    packets: change.packets ?? rule.packets,
    bytes: change.bytes ?? rule.bytes,
    span: rule.span,
  };
}
