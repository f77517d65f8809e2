/** What must have become of a workload's packets, told from the rules' own text, for contenders of every kind. */
import { referenceEngine } from '../src/engine/reference/walk.js';
import { printIp4 } from '../src/net/ip4.js';
import { servicesOf } from './kernel/nft-text.js';
import { Node, ruleSetOf } from './node.js';
import type { Workload } from './workloads.js';

const DESTINATION = 14 + 16;
const DESTINATION_PORT = 14 + 20 + 2;

function destination(frame: Uint8Array): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return `${printIp4(view.getUint32(DESTINATION))}:${view.getUint16(DESTINATION_PORT)}`;
}

/** Where each of the first `count` packets may go; none: it is dropped. IPv4. */
function allowed(workload: Workload, count: number): readonly (readonly string[])[] {
  const frames = workload.frames.slice(0, count);
  const services = new Map(servicesOf(workload.rules).map((s) => [`${s.address}:80`, s.endpoints]));
  if (workload.expected.length > 0) {
    return frames.map((frame, i) => {
      const to = destination(frame);
      return workload.expected[i] === 'forward' ? (services.get(to) ?? [to]) : [];
    });
  }
  const node = new Node(ruleSetOf(workload), 4, referenceEngine);
  return frames.map((frame) => node.carry(frame, false).map(destination));
}

/** `sent`: what left for each packet. Undefined: all is right. Otherwise the first that is not. */
export function wrongVerdict(workload: Workload, sent: readonly (Uint8Array | undefined)[]): string | undefined {
  const may = allowed(workload, sent.length);
  for (const [i, frame] of sent.entries()) {
    const went = frame === undefined ? undefined : destination(frame);
    if (went === undefined ? may[i]!.length === 0 : may[i]!.includes(went)) continue;
    return `packet ${i + 1} went ${went ?? 'nowhere'}, not ${may[i]!.join(' or ') || 'nowhere'}`;
  }
  return undefined;
}
