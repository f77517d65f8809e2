/** Charts as SVG text: cost against table size, both axes logarithmic; or bars, where there is one size only. */
import { init } from 'echarts';

export interface Line {
  readonly name: string;
  /** Table size and nanoseconds, by size. */
  readonly points: readonly (readonly [size: number, ns: number])[];
}

const WIDTH = 900;
const HEIGHT = 480;
/** Contenders keep their colour in every chart; ours are the strong lines. */
const COLOURS: Readonly<Record<string, string>> = {
  floor: '#7a7a7a',
  compiled: '#0b5fff',
  reference: '#7fa8ff',
  'iptables-legacy': '#c62828',
  'iptables-nft': '#e08a00',
  'nft verdict map': '#2e7d32',
  'nft interval set': '#2e7d32',
  ipset: '#7b1fa2',
  reading: '#00838f',
  parsing: '#ad1457',
};
/** As charts name them: ours by the product's name. */
const NAMES: Readonly<Record<string, string>> = {
  compiled: 'chainwalk, compiled',
  reference: 'chainwalk, reference',
};
const nameOf = (name: string): string => NAMES[name] ?? name;
const colourOf = (name: string): string => COLOURS[name] ?? '#333333';

/** What a logarithmic axis can show: a cost that noise made nothing or less stands at a nanosecond. */
const shown = (ns: number): number => Math.max(1, ns);

/** Nanoseconds as people read them: 43 ns, 4.3 µs. */
export function printNs(ns: number): string {
  const [value, unit] = ns < 1e3 ? [ns, 'ns'] : ns < 1e6 ? [ns / 1e3, 'µs'] : [ns / 1e6, 'ms'];
  return `${value < 10 && unit !== 'ns' ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
}

function render(option: object, height: number): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption({ animation: false, textStyle: { fontFamily: 'sans-serif' }, backgroundColor: '#ffffff', ...option });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

const titleOf = (text: string, subtext: string): object => ({
  ...{ text, subtext, left: 10, top: 8 },
  textStyle: { fontSize: 17 },
  subtextStyle: { fontSize: 12.5, color: '#444' },
});

/** The name stands behind the end of a line, or before it where the line ends within the chart, among others. */
function seriesOf({ name, points }: Line, lastSize: number): object {
  const isShort = points.at(-1)![0] < lastSize;
  const label = {
    ...{ show: true, fontSize: 13, color: colourOf(name), padding: [2, 0] },
    fontWeight: name === 'compiled' ? 'bold' : 'normal',
    formatter: `${nameOf(name)}  ${printNs(points.at(-1)![1])}`,
  };
  const data: object[] = points.map(([size, ns]) => ({ value: [size, shown(ns)] }));
  if (isShort) data.push({ ...data.pop(), label: { ...label, position: 'left', offset: [0, -6] } });
  return {
    ...{ type: 'line', name, symbol: 'circle', symbolSize: name === 'compiled' ? 8 : 6, color: colourOf(name), data },
    lineStyle: { width: name === 'compiled' ? 4 : 2, type: name === 'floor' ? 'dashed' : 'solid' },
    ...(isShort ? {} : { endLabel: { ...label, distance: 8 }, labelLayout: { moveOverlap: 'shiftY' } }),
  };
}

/** `sizeName`: what the sizes count. */
export function lineChart(title: string, subtitle: string, sizeName: string, lines: readonly Line[]): string {
  const sizes = [...new Set(lines.flatMap((line) => line.points.map(([size]) => size)))].sort((a, b) => a - b);
  return render(
    {
      title: titleOf(title, subtitle),
      grid: { left: 84, right: 240, top: 70, bottom: 56 },
      xAxis: {
        type: 'log',
        ...{ min: sizes[0], max: sizes.at(-1), name: sizeName, nameLocation: 'middle', nameGap: 32 },
        ...{ nameTextStyle: { fontSize: 13 }, splitLine: { show: true, lineStyle: { color: '#eeeeee' } } },
        axisLabel: { fontSize: 12.5, formatter: (n: number) => n.toLocaleString('en-US'), customValues: sizes },
        axisTick: { customValues: sizes },
      },
      yAxis: {
        type: 'log',
        splitLine: { lineStyle: { color: '#e4e4e4' } },
        axisLabel: { fontSize: 12.5, formatter: printNs },
      },
      series: lines.map((line) => seriesOf(line, sizes.at(-1)!)),
    },
    HEIGHT,
  );
}

export interface Column {
  readonly name: string;
  readonly ns: number;
}

export function barChart(title: string, subtitle: string, columns: readonly Column[]): string {
  const dearest = [...columns].sort((a, b) => b.ns - a.ns);
  return render(
    {
      title: titleOf(title, subtitle),
      grid: { left: 170, right: 100, top: 70, bottom: 40 },
      xAxis: {
        type: 'log',
        min: 1,
        splitLine: { lineStyle: { color: '#e4e4e4' } },
        axisLabel: { fontSize: 12.5, formatter: printNs },
      },
      yAxis: { type: 'category', data: dearest.map(({ name }) => nameOf(name)), axisLabel: { fontSize: 13 } },
      series: [
        {
          type: 'bar',
          barMaxWidth: 26,
          data: dearest.map(({ name, ns }) => ({ value: shown(ns), itemStyle: { color: colourOf(name) } })),
          label: {
            ...{ show: true, position: 'right', fontSize: 13 },
            formatter: ({ dataIndex }: { dataIndex: number }) => printNs(dearest[dataIndex]!.ns),
          },
        },
      ],
    },
    120 + 38 * columns.length,
  );
}
