/** Colours where they are wanted: a terminal, and no NO_COLOR (picocolors looks at it). */
import pc from 'picocolors';
import { type Paint, paintNothing } from '../report/paint.js';

export function paintFor(stream: NodeJS.WriteStream): Paint {
  if (stream.isTTY !== true || !pc.isColorSupported) return paintNothing;
  return {
    plain: (text) => text,
    bold: pc.bold,
    dim: pc.dim,
    red: pc.red,
    green: pc.green,
    yellow: pc.yellow,
    cyan: pc.cyan,
  };
}
