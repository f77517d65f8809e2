/** Finds the form of a rule while it is read: a tree of what may come next, one step for each part of the line. */
import type { Source } from '../base/source.js';
import type { MatchExt, MatchUse, TargetExt } from '../ext/extension.js';
import type { Words6 } from '../net/ip6.js';
import type { Family } from '../net/netfilter.js';
import type { DeviceTest, Rule } from './model.js';
import { isPlain, type PlainPiece, type RuleForm } from './saved-rule.js';

/** Parts of a form. What a step takes: */
export const PART_COUNTERS = 0; // true
/** Prefix length × 2, + 1 if inverted. */
export const PART_SRC = 1;
export const PART_DST = 2;
export const PART_IN = 3; // DeviceTest
export const PART_OUT = 4; // DeviceTest
export const PART_PROTOCOL = 5; // Rule['protocol']
export const PART_FRAGMENT = 6; // boolean
export const PART_MATCH = 7; // MatchUse or PlainPiece
export const PART_TARGET = 8; // PlainPiece

type Part = number | boolean | DeviceTest | Rule['protocol'] | MatchUse | PlainPiece;

export class FormNode {
  readonly #parent: FormNode | undefined;
  readonly #kind: number;
  readonly #part: Part;
  /** Next nodes by part, by kind. */
  #next: (Map<Part, FormNode> | undefined)[] | undefined;
  /** The step taken last: lines of a kind follow each other. */
  #lastPart: Part;
  #lastNode: FormNode | undefined;
  #form: RuleForm | undefined;

  constructor(parent: FormNode | undefined, kind: number, part: Part) {
    this.#parent = parent;
    this.#kind = kind;
    this.#part = part;
    this.#next = undefined;
    this.#lastPart = undefined;
    this.#lastNode = undefined;
    this.#form = undefined;
  }

  step(kind: number, part: Part): FormNode {
    const last = this.#lastNode;
    if (last !== undefined && this.#lastPart === part && last.#kind === kind) return last;
    this.#next ??= [];
    const known = this.#next[kind];
    const next = known ?? new Map<Part, FormNode>();
    if (known === undefined) this.#next[kind] = next;
    let node = next.get(part);
    if (node === undefined) {
      node = new FormNode(this, kind, part);
      next.set(part, node);
    }
    this.#lastPart = part;
    this.#lastNode = node;
    return node;
  }

  form(source: Source, family: Family): RuleForm {
    this.#form ??= this.#made(source, family);
    return this.#form;
  }

  #made(source: Source, family: Family): RuleForm {
    const parts: Part[] = new Array(PART_TARGET + 1).fill(undefined);
    const matches: (MatchUse | PlainPiece<MatchExt>)[] = [];
    for (let node: FormNode = this; node.#parent !== undefined; node = node.#parent) {
      if (node.#kind === PART_MATCH) matches.unshift(node.#part as MatchUse | PlainPiece<MatchExt>);
      else parts[node.#kind] = node.#part;
    }
    const address = (code: Part): RuleForm['src'] =>
      typeof code === 'number' ? { mask: MASKS[code >> 1]!, invert: (code & 1) === 1 } : undefined;
    // The kinds say what each part is.
    return {
      source,
      family,
      counted: parts[PART_COUNTERS] === true,
      src: address(parts[PART_SRC]),
      dst: address(parts[PART_DST]),
      inDevice: parts[PART_IN] as DeviceTest | undefined,
      outDevice: parts[PART_OUT] as DeviceTest | undefined,
      protocol: parts[PART_PROTOCOL] as Rule['protocol'],
      fragment: parts[PART_FRAGMENT] as boolean | undefined,
      matches,
      hasPlain: matches.some(isPlain),
      target: parts[PART_TARGET] as PlainPiece<TargetExt> | undefined,
    };
  }
}

/** IPv4 masks by length. */
const MASKS: readonly Words6[] = Array.from({ length: 33 }, (_, bits) => [
  bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0,
  0,
  0,
  0,
]);
