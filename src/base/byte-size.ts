/** Sizes and order of text as the C library sees it: UTF-8 bytes. */

/**
 * Number of UTF-8 bytes of `text` from `start` to `end` (offsets in UTF-16 units). A lone U+DC80..U+DCFF stands for one
 * raw byte that is no UTF-8.
 */
export function byteSize(text: string, start = 0, end = text.length): number {
  let size = 0;
  for (let i = start; i < end; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) size++;
    else if (unit < 0x800) size += 2;
    else if (unit < 0xd800 || unit > 0xdfff) size += 3;
    // A surrogate pair is four bytes, two for each half.
    else size += unit >= 0xdc80 && unit <= 0xdcff && !isHighSurrogate(text.charCodeAt(i - 1)) ? 1 : 2;
  }
  return size;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** Order of two texts by their UTF-8 bytes, as strcmp(): negative, zero or positive. */
export function compareBytes(a: string, b: string): number {
  const size = Math.min(a.length, b.length);
  for (let i = 0; i < size; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    // Code points past U+FFFF sort after U+E000..U+FFFF in UTF-8, but their surrogates before them.
    if (x >= 0xd800 && y >= 0xd800) {
      x = x <= 0xdfff ? x + 0x10000 : x;
      y = y <= 0xdfff ? y + 0x10000 : y;
    }
    return x - y;
  }
  return a.length - b.length;
}
