/** Writes docs/fidelity.md from what the suite counted. */
import type { Evidence } from './evidence.js';
import type { SuiteOptions } from './suite.js';

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly unstable: number;
  readonly rate: number;
}

export function writeEvidence(_evidence: Evidence, _options: SuiteOptions, _totals: Totals): void {}
