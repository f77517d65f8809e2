/** Faults in objects, by field path; `load.ts` turns them into Diagnostics with a place in the text. */
export type FieldPath = readonly (string | number)[];

export interface FieldError {
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly path: FieldPath;
  /** What is wrong, quoting the value; lower case, no full stop. */
  readonly message: string;
  readonly hint?: string;
}

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/** `spec.ports[0].port`, `metadata.labels["a/b"]`. */
export function printPath(path: FieldPath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (!PLAIN_KEY.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

/** A value as a message quotes it: JSON, shortened. */
export function quoteValue(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
