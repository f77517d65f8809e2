/**
 * Aligns two lists: which entries are the same, and which of those kept their order. Equal entries are paired first with
 * first, second with second; the longest increasing run of pairs stays, the other pairs moved. O(n log n).
 */
export interface Alignment {
  /** For each entry of the second list: index of its partner in the first, or -1. */
  readonly partner: Int32Array;
  /** For each entry of the second list: 1 if it has a partner and kept its order, else 0. */
  readonly kept: Uint8Array;
}

export function align(before: readonly string[], after: readonly string[]): Alignment {
  const partner = pairs(before, after);
  const kept = new Uint8Array(after.length);
  // Longest increasing subsequence of partner[]: ends[k] is the entry that ends the best run of length k + 1.
  const ends: number[] = [];
  const previous = new Int32Array(after.length).fill(-1);
  for (let j = 0; j < after.length; j++) {
    const i = partner[j]!;
    if (i === -1) continue;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (partner[ends[middle]!]! < i) low = middle + 1;
      else high = middle;
    }
    if (low > 0) previous[j] = ends[low - 1]!;
    ends[low] = j;
  }
  for (let j = ends.length > 0 ? ends[ends.length - 1]! : -1; j !== -1; j = previous[j]!) kept[j] = 1;
  return { partner, kept };
}

function pairs(before: readonly string[], after: readonly string[]): Int32Array {
  const partner = new Int32Array(after.length).fill(-1);
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) {
    partner[head] = head;
    head++;
  }
  const unpaired = new Map<string, number[]>();
  for (let i = before.length - 1; i >= head; i--) {
    const list = unpaired.get(before[i]!);
    if (list === undefined) unpaired.set(before[i]!, [i]);
    else list.push(i); // descending, so that pop() gives the first
  }
  for (let j = head; j < after.length; j++) partner[j] = unpaired.get(after[j]!)?.pop() ?? -1;
  return partner;
}
