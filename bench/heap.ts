/** Run in a process of its own with --expose-gc: what a million packets through a warm host leave on the heap. Prints JSON. */
import { compiledEngine } from '../src/engine/compiled/engine.js';
import { establish, Node, ruleSetOf } from './node.js';
import { servicesNew } from './workloads.js';

declare const gc: () => void;

const MILLION = 1_000_000;
const PACKETS = 10_000;
/** Longer than any timeout of a connection that was never answered. */
const EXPIRY_US = 1_000_000_000;

function used(): number {
  for (let i = 0; i < 4; i++) gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function growth(kind: 'established' | 'new'): number {
  const fresh = servicesNew(100, 2, 4, PACKETS);
  const node = new Node(ruleSetOf(fresh), 4, compiledEngine);
  const workload = kind === 'new' ? fresh : establish(node, fresh, 500, PACKETS);
  const capture = workload.capture.slice();
  const view = new DataView(capture.buffer);
  const round = (): void => {
    capture.set(workload.capture);
    if (kind === 'new') node.pause(EXPIRY_US);
    if (node.run(capture, view, workload.fromPods) !== PACKETS) throw new Error('bug: packets were lost');
  };
  for (let i = 0; i < 20; i++) round();
  const before = used();
  for (let i = 0; i < MILLION / PACKETS; i++) round();
  return used() - before;
}

console.log(JSON.stringify({ established: growth('established'), new: growth('new') }));
