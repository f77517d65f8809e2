/** What `chainwalk bench` found, as a table. */

/** Nanoseconds a packet. */
export interface BenchFigure {
  readonly medianNs: number;
  /** Half the width of the middle half of the rounds. */
  readonly spreadNs: number;
}

export interface BenchContender extends BenchFigure {
  readonly name: string;
  /** Packets of a round, from the first of the capture on. */
  readonly packets: number;
  readonly rounds: number;
}

export interface BenchResult {
  readonly rules: number;
  readonly packets: number;
  /** Records that were not measured, by reason. */
  readonly passedOver?: Readonly<Record<string, number>>;
  readonly contenders: readonly BenchContender[];
  /** With the rules minus without them. */
  readonly marginal: { readonly compiled: BenchFigure; readonly reference: BenchFigure };
}

const whole = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 0 });
const ns = (value: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function printBench(result: BenchResult): string {
  const { rules, packets, contenders, marginal, passedOver = {} } = result;
  const floorNs = contenders.find(({ name }) => name === 'floor')!.medianNs;
  const others = Object.entries(passedOver).map(([reason, count]) => `${whole(count)} ${reason}`);
  const lines = [
    `${whole(rules)} rules, ${whole(packets)} packets that came in${others.length === 0 ? '' : ` (passed over: ${others.join(', ')})`}`,
    '',
    `${'contender'.padEnd(16)}${'ns a packet'.padStart(14)}${'±'.padStart(12)}${'packets/s'.padStart(15)}${'× floor'.padStart(12)}`,
  ];
  for (const one of contenders) {
    const perSecond = one.medianNs > 0 ? whole(1e9 / one.medianNs) : '-';
    const ratio = floorNs > 0 ? ns(one.medianNs / floorNs) : '-';
    const fewer = one.packets < packets ? `   (first ${whole(one.packets)} packets)` : '';
    lines.push(
      `${one.name.padEnd(16)}${ns(one.medianNs).padStart(14)}${ns(one.spreadNs).padStart(12)}${perSecond.padStart(15)}${ratio.padStart(12)}${fewer}`,
    );
  }
  const added = ({ medianNs, spreadNs }: BenchFigure): string => `${ns(medianNs)} ns ± ${ns(spreadNs)}`;
  lines.push(
    '',
    `The rules add ${added(marginal.compiled)} to a packet; walked rule by rule, ${added(marginal.reference)}.`,
    'Medians of processor time; ±: half the width of the middle half of the rounds. The floor is a loop that reads the',
    'five-tuple and looks one key up in a hash of as many entries as there are rules.',
    '',
  );
  return lines.join('\n');
}
