/** Differences from Linux that are known and stay for now; each has a test that is marked so. */
export interface KnownDifference {
  readonly name: string;
  readonly what: string;
  /** File of the recorded case. */
  readonly test: string;
}

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    name: 'own TCP in a reply zone',
    what: 'the reset that answers an own segment, itself put into a reply zone, does not end the connection',
    test: 'test/regression/known/own-tcp-redirected-reset.json',
  },
  {
    name: 'own packets in a reply zone',
    what: 'an own echo whose answer is tracked in another reply zone reaches INPUT once too often',
    test: 'test/regression/known/own-packets-in-reply-zone.json',
  },
];
