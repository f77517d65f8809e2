/** chainwalk as the other host: the same bundle, rules and packets, the same outcome in the same words. */
import type { CaseRecord, HostOutcome } from './case-record.js';

export type EngineName = 'reference' | 'compiled';

/** Engines that exist; each runs every case. */
export const ENGINES: readonly EngineName[] = [];

export function emulate(_record: CaseRecord, _engine: EngineName): HostOutcome {
  throw new Error('bug: no engine yet');
}
