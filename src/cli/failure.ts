/** Ends of a command. Exit codes are part of the contract: 0 done, 1 the answer is no, 2 bad input or usage. */
export const EXIT_DONE = 0;
export const EXIT_NO = 1;
export const EXIT_BAD_INPUT = 2;

/** Bad input or usage that ends the command: `message` is printed as it stands, to stderr. */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_BAD_INPUT) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** What the operating system said of a file, in a sentence with the file's name. */
export function describeSystemError(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return `${path}: no such file or directory`;
  if (code === 'EACCES') return `${path}: permission denied`;
  if (code === 'EISDIR') return `${path}: is a directory`;
  return `${path}: ${error instanceof Error ? error.message : String(error)}`;
}
