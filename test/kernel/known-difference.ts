/** Differences from Linux that are known and stay for now; each has a test that is marked so. */
export interface KnownDifference {
  readonly name: string;
  readonly what: string;
  /** File of the recorded case. */
  readonly test: string;
}

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [];
