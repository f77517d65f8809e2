/** Times cases with benny: warm-up and sampling are its own; what comes back is nanoseconds a packet. */
import { add, configure, suite } from 'benny';

export interface Case {
  readonly name: string;
  /** Packets (or other items) that one call handles. */
  readonly items: number;
  run(): unknown;
}

export interface Measured {
  readonly name: string;
  /** Nanoseconds an item: median of the samples, fastest, and half the width of the middle half. */
  readonly medianNs: number;
  readonly minNs: number;
  readonly spreadNs: number;
  readonly samples: number;
}

/** Measures the cases one after the other, `seconds` each. */
export async function measure(title: string, cases: readonly Case[], seconds: number): Promise<Measured[]> {
  const write = console.log;
  // benny announces each suite on stdout, where the tables go.
  console.log = () => undefined;
  try {
    const options = { cases: { minSamples: 5, maxTime: seconds, minTime: seconds / 20, delay: 0 } };
    const entries = cases.map((one) =>
      add(one.name, () => () => {
        one.run();
      }),
    );
    const summary = await suite(title, configure(options), ...entries);
    return summary.results.map((result, i) => {
      const perItem = result.details.sampleResults.map((s) => (s * 1e9) / cases[i]!.items).sort((a, b) => a - b);
      const at = (share: number): number => perItem[Math.floor(share * (perItem.length - 1))]!;
      return {
        name: result.name,
        medianNs: at(0.5),
        minNs: at(0),
        spreadNs: (at(0.75) - at(0.25)) / 2,
        samples: perItem.length,
      };
    });
  } finally {
    console.log = write;
  }
}
