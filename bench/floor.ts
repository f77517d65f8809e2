/**
 * The floor: the cheapest loop that could do anything with a packet of a capture in memory. It reads the five-tuple
 * and looks one key up in a typed-array hash as large as the rule table.
 */
const PCAP_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;
const ETHERNET_SIZE = 14;

export interface Floor {
  /** Runs over the capture once; returns how many packets the table knew. */
  run(): number;
  readonly packetCount: number;
}

/** `keyOf` draws the words of entry `i`; packets are looked up by destination address, protocol and port. */
export function floorOf(capture: Uint8Array, size: number, keyOf: (i: number) => readonly [number, number]): Floor {
  let slotCount = 8;
  while (slotCount < 2 * size) slotCount *= 2;
  const mask = slotCount - 1;
  const keys = new Int32Array(slotCount * 2);
  const values = new Int32Array(slotCount).fill(-1);
  const slotOf = (a: number, b: number): number => {
    let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (values[slot] !== -1 && (keys[2 * slot] !== a || keys[2 * slot + 1] !== b)) slot = (slot + 1) & mask;
    return slot;
  };
  for (let i = 0; i < size; i++) {
    const [a, b] = keyOf(i);
    const slot = slotOf(a | 0, b | 0);
    keys[2 * slot] = a | 0;
    keys[2 * slot + 1] = b | 0;
    values[slot] = i;
  }
  const view = new DataView(capture.buffer, capture.byteOffset, capture.byteLength);
  let packetCount = 0;
  for (let at = PCAP_HEADER_SIZE; at < capture.length; packetCount++) {
    at += RECORD_HEADER_SIZE + view.getUint32(at + 8, true);
  }
  /** Source and ports must be read, or the loop would not be one over five-tuples. */
  let sink = 0;
  return {
    packetCount,
    run(): number {
      let found = 0;
      const end = capture.length;
      for (let at = PCAP_HEADER_SIZE; at < end; ) {
        const size = view.getUint32(at + 8, true);
        const l3 = at + RECORD_HEADER_SIZE + ETHERNET_SIZE;
        const v6 = capture[l3]! >> 4 === 6;
        const src = view.getUint32(l3 + (v6 ? 20 : 12));
        const dst = view.getUint32(l3 + (v6 ? 36 : 16));
        const protocol = capture[l3 + (v6 ? 6 : 9)]!;
        const ports = view.getUint32(l3 + (v6 ? 40 : 20));
        sink ^= src ^ ports;
        const a = dst | 0;
        const b = (protocol << 16) | (ports & 0xffff);
        let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
        hash ^= hash >>> 15;
        let slot = hash & mask;
        while (values[slot] !== -1 && (keys[2 * slot] !== a || keys[2 * slot + 1] !== b)) slot = (slot + 1) & mask;
        if (values[slot] !== -1) found++;
        at += RECORD_HEADER_SIZE + size;
      }
      return sink === -1 ? found + 1 - 1 : found;
    },
  };
}
