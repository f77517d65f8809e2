/** Copies of typed arrays with room for more, so that appending costs O(1) in the long run. */

/** Half as large again, and at least `size` elements. */
function roomFor(length: number, size: number): number {
  return Math.max(size, Math.ceil(length * 1.5));
}

export function growInt32(array: Int32Array, size: number): Int32Array {
  const copy = new Int32Array(roomFor(array.length, size));
  copy.set(array);
  return copy;
}

export function growUint32(array: Uint32Array, size: number): Uint32Array {
  const copy = new Uint32Array(roomFor(array.length, size));
  copy.set(array);
  return copy;
}

export function growFloat64(array: Float64Array, size: number): Float64Array {
  const copy = new Float64Array(roomFor(array.length, size));
  copy.set(array);
  return copy;
}

export function growUint8(array: Uint8Array, size: number): Uint8Array {
  const copy = new Uint8Array(roomFor(array.length, size));
  copy.set(array);
  return copy;
}

export function growInt8(array: Int8Array, size: number): Int8Array {
  const copy = new Int8Array(roomFor(array.length, size));
  copy.set(array);
  return copy;
}
