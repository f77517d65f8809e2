/** A text that came from outside, with the name to call it by in messages. Lines and columns count from 1. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

/** A stretch of a source, as offsets in UTF-16 units: `start` inclusive, `end` exclusive. */
export interface Span {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

const lineStartsOf = new WeakMap<Source, number[]>();

function lineStarts(source: Source): number[] {
  let starts = lineStartsOf.get(source);
  if (starts === undefined) {
    starts = [0];
    for (let at = source.text.indexOf('\n'); at !== -1; at = source.text.indexOf('\n', at + 1)) starts.push(at + 1);
    lineStartsOf.set(source, starts);
  }
  return starts;
}

/** Line and column of an offset, by binary search over the line starts (made once per source). */
export function positionOf(source: Source, offset: number): Position {
  const starts = lineStarts(source);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - starts[low]! + 1 };
}

/** The text of a line (from 1), without its line break. */
export function lineText(source: Source, line: number): string {
  const starts = lineStarts(source);
  const start = starts[line - 1];
  if (start === undefined) return '';
  const end = starts[line] === undefined ? source.text.length : starts[line]! - 1;
  return source.text.slice(start, end);
}
