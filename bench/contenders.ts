/** Everything that can carry a workload, behind one interface. The kernel's contenders stand in kernel/. */
import { PassThrough } from 'node:stream';
import { parse } from 'pcap-parser';
import { CaptureReader } from '../src/capture/reader.js';
import { CaptureRecord } from '../src/capture/record.js';
import type { BuildEngine } from '../src/engine/engine.js';
import type { RuleSet } from '../src/ruleset/model.js';
import { Packet } from '../src/wire/packet.js';
import { floorOf } from './floor.js';
import type { Case } from './measure.js';
import { Node } from './node.js';
import type { Workload } from './workloads.js';

/** Addresses of services as numbers: keys of the floor's table. */
const FIRST_SERVICE = 0xac100001;
const TCP = 6;
/** What fs.createReadStream() hands on at a time. */
const PIECE_SIZE = 1 << 16;
/** Longer than any timeout of a connection that was never answered. */
const EXPIRY_US = 1_000_000_000;

/** The cheapest loop possible (floor.ts), over the workload's own capture and as many keys as it has services. */
export function floorCase(workload: Workload): Case {
  const floor = floorOf(workload.capture, workload.size, (i) =>
    workload.family === 4 ? [FIRST_SERVICE + i, (TCP << 16) | 80] : [(i % 0xffff) + 1, (TCP << 16) | 80],
  );
  return { name: 'floor', items: workload.frames.length, run: () => floor.run() };
}

/** Records of the capture, not looked into. */
export function readingCase(workload: Workload): Case {
  const record = new CaptureRecord();
  return {
    name: 'reading',
    items: workload.frames.length,
    run: () => {
      const reader = new CaptureReader(workload.name);
      let count = 0;
      reader.feed(workload.capture);
      while (reader.next(record)) count++;
      return count;
    },
  };
}

/** The same by pcap-parser; it is given the capture in the pieces of a file stream. */
export function pcapParserCase(workload: Workload): Case {
  const bytes = Buffer.from(workload.capture);
  return {
    name: 'pcap-parser',
    items: workload.frames.length,
    run: () => {
      const stream = new PassThrough();
      let count = 0;
      parse(stream).on('packet', () => count++);
      for (let at = 0; at < bytes.length; at += PIECE_SIZE) stream.emit('data', bytes.subarray(at, at + PIECE_SIZE));
      return count;
    },
  };
}

/** The packet view over each record. */
export function parsingCase(workload: Workload): Case {
  const { capture, family } = workload;
  const view = new DataView(capture.buffer, capture.byteOffset, capture.byteLength);
  const packet = new Packet();
  packet.attach(capture, view);
  return {
    name: 'parsing',
    items: workload.frames.length,
    run: () => {
      let good = 0;
      for (let at = 24; at < capture.length; ) {
        const end = at + 16 + view.getUint32(at + 8, true);
        packet.reset();
        const result = family === 4 ? packet.parse4(at + 30, end, end) : packet.parse6(at + 30, end, end);
        if (result === 0) good++;
        at = end;
      }
      return good;
    },
  };
}

/**
 * The whole pipeline of a host. The host writes into frames, so each run begins with a copy of the capture (some 5 ns a packet). First
 * packets are first again because a run begins when the connections of the one before have expired.
 */
export function pipelineCase(
  name: string,
  workload: Workload,
  ruleSet: RuleSet,
  build: BuildEngine,
  limit = workload.frames.length,
): Case {
  return nodeCase(name, workload, new Node(ruleSet, workload.family, build), EXPIRY_US, limit);
}

/** The same on a node that has connections already, and keeps them. */
export function establishedCase(name: string, workload: Workload, node: Node): Case {
  return nodeCase(name, workload, node, 0, workload.frames.length);
}

function nodeCase(name: string, workload: Workload, node: Node, pauseUs: number, limit: number): Case {
  const size = sizeOfRecords(workload, limit);
  const capture = workload.capture.slice(0, size);
  const original = workload.capture.subarray(0, size);
  const view = new DataView(capture.buffer);
  return {
    name,
    items: Math.min(limit, workload.frames.length),
    run: () => {
      capture.set(original);
      node.pause(pauseUs);
      return node.run(capture, view, workload.fromPods);
    },
  };
}

function sizeOfRecords(workload: Workload, limit: number): number {
  return workload.frames.slice(0, limit).reduce((sum, frame) => sum + 16 + frame.length, 24);
}
