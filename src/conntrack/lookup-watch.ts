/**
 * Told of every look-up in the connection table, so that somebody can show that two sets of packets have not met in it. An
 * entry is met by its tuples, by the source part of its original tuple (source NAT), and by being entered.
 */
export interface LookupWatch {
  /** A look-up met the confirmed entry. */
  found(entry: number): void;
  /** Nothing alive has the tuple words[at..]. */
  missed(words: Uint32Array, at: number): void;
  /** An entry was handed out, at `nowUs`. */
  allocated(nowUs: number): void;
  /** The entry was confirmed: both its tuples can be met from now on. */
  inserted(entry: number): void;
  /** The entry can be met by its source. */
  listedBySource(entry: number): void;
  /** Somebody looked for connections with the source part of the tuple words[at..]; `proto`: their T_PROTO word. */
  askedForSource(words: Uint32Array, at: number, proto: number): void;
}
