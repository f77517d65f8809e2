/** A progress bar over the bytes of long captures, on a terminal only. */
import { Presets, SingleBar } from 'cli-progress';

/** Below this many bytes a replay is over before a bar is read. */
const WORTH_A_BAR = 4 * 1024 * 1024;

export interface Progress {
  update(bytes: number, packets: number): void;
  stop(): void;
}

export function startProgress(totalBytes: number | undefined): Progress {
  if (totalBytes === undefined || totalBytes < WORTH_A_BAR || process.stderr.isTTY !== true) {
    return { update: () => {}, stop: () => {} };
  }
  const bar = new SingleBar(
    {
      format: ' {bar} {percentage}% | {packets} packets | {eta_formatted} left',
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  bar.start(totalBytes, 0, { packets: 0 });
  return { update: (bytes, packets) => bar.update(bytes, { packets }), stop: () => bar.stop() };
}
