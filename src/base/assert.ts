/** For the default case of a switch over a union: the compiler proves that it is never reached. */
export function assertNever(value: never): never {
  throw new Error(`bug: unexpected ${JSON.stringify(value)}`);
}

/** States what must hold if our own code is right; bad input never gets here. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`bug: ${what}`);
}
