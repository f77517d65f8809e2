/** A command line while it is being read: what its options have said so far. */
import type { Span } from '../base/source.js';
import type { MatchExt, TargetExt } from '../ext/extension.js';
import type { GivenOption } from '../ext/option.js';
import type { CommandName } from './base-option.js';
import type { Counters } from './counter.js';
import type { Extension } from './getopt.js';
import type { DeviceTest } from './model.js';

/** Longest chain or target name (kernel: XT_EXTENSION_MAXNAMELEN − 1). */
export const MAX_NAME_SIZE = 28;

/** An extension as it is being read: `-m name` or `-j NAME` and its options so far. */
export interface Instance<E extends Extension> {
  readonly ext: E;
  readonly given: GivenOption[];
  readonly span: Span;
}

export class CommandDraft {
  command: CommandName | undefined;
  andZero = false;
  chain: string | undefined;
  chainWord = 0;
  ruleNumber: number | undefined;
  newName: string | undefined;
  policy: string | undefined;
  /** Letters of base options seen, with their words. `-g` counts as `j`. */
  readonly seen = new Map<string, number>();
  counters: Counters | undefined;
  readonly addressWords: { letter: string; word: number; invert: boolean }[] = [];
  inDevice: DeviceTest | undefined;
  outDevice: DeviceTest | undefined;
  protocol = 0;
  protocolInverted = false;
  protocolGiven = false;
  fragment: boolean | undefined;
  readonly matches: Instance<MatchExt>[] = [];
  target: Instance<TargetExt> | undefined;
  jump: { readonly name: string; readonly isGoto: boolean; readonly word: number } | undefined;
}
