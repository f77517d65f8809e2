/** The promises that need the kernel itself beside us. */
import type { Bar } from '../bars.js';
import type { Marginal } from '../marginal.js';
import { servicesNew, servicesPast, type Workload } from '../workloads.js';
import { contest } from './contest.js';

const SERVICES = 10_000;
const PACKETS = 20_000;
const ROUNDS = 15;

const LEGACY = 'iptables-legacy';
const MAP = 'nft verdict map';

/** The same packets and rules for all three; see marginal.ts for what is measured. Needs `kernelLacks()` undefined. */
export async function kernelBars(): Promise<Bar[]> {
  return [
    ...(await barsOn(servicesPast(SERVICES, 2, 4, PACKETS), 'packets for none of them')),
    ...(await barsOn(servicesNew(SERVICES, 2, 4, PACKETS), 'packets for them, NAT included')),
  ];
}

async function barsOn(workload: Workload, packets: string): Promise<Bar[]> {
  const measured = await contest(workload, { rounds: ROUNDS, tables: [LEGACY, MAP], reference: false });
  const of = (contender: string): Marginal => measured.find((m) => m.contender === contender)!;
  const ours = of('compiled');
  const told = ({ contender, marginalNs, spreadNs }: Marginal): string =>
    `${contender} ${marginalNs.toFixed(0)} ns ± ${spreadNs.toFixed(0)}`;
  const table = `cost of a table of 10,000 Services, ${packets}`;
  const bar = (what: string, figure: number, limit: number, atLeast: boolean, other: Marginal): Bar => ({
    what: `${table}: ${what}`,
    figure,
    bar: limit,
    unit: '×',
    atLeast,
    note: `${told(ours)}, ${told(other)}`,
  });
  const legacy = of(LEGACY);
  const map = of(MAP);
  return [
    bar("the kernel's legacy walk / ours", legacy.marginalNs / ours.marginalNs, 100, true, legacy),
    bar("ours / the kernel's nft verdict map", ours.marginalNs / map.marginalNs, 1, false, map),
  ];
}
