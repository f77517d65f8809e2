/**
 * Flows of established connections in one typed array: what a packet must look like to belong to one, and what becomes
 * of it. Records are never deleted one by one: one whose connection has gone is written over when its key comes again,
 * and all are forgotten together when there are MAX_FLOWS.
 *
 * Layout: a record is FLOW_WORDS words, two cache lines; #index[slot] holds record number + 1 (0: free), at most half
 * full, linear probing. The key is META, PORTS, HEAD and the addresses (IPv4: HEAD and the last three words of each are 0).
 */

export const FLOW_WORDS = 32;
/** Device (8 bits), TTL (8), TOS (8; IPv6: 0) and kind (8). */
export const META = 0;
/** Source port << 16 | destination port. */
export const PORTS = 1;
/** IPv6: version, traffic class and flow label. */
export const HEAD = 2;
export const SRC = 3;
export const DST = 7;
export const KEY_WORDS = 11;
/** Entry × 2 + direction. */
export const NODE = 11;
/** The entry as it was: EntryTable.serial, status, mark. SERIAL 0: a candidate, of which nothing else is kept yet. */
export const SERIAL = 12;
export const STATUS = 13;
export const CT_MARK = 14;
/** Larger packets take the long way. */
export const MTU = 15;
/** Number of the walk (WalkMemo). Of a candidate: packets that are let go by before one is recorded. */
export const WALK = 16;
/** Field.CtState. Of a candidate: packets that were let go by the last time. */
export const CT_STATE = 17;
/** The packet's mark at its end. */
export const MARK = 18;
/** Device that it leaves by << 16 | upper half of the next hop's hardware address; its lower words. */
export const OUT_AND_MAC = 19;
export const MAC_LOW = 20;
/** What the sums under IP's and the transport's checksum grow by. */
export const IP_CHANGE = 21;
export const L4_CHANGE = 22;
export const PORTS_OUT = 23;
export const SRC_OUT = 24;
export const DST_OUT = 28;

const FIRST_RECORD_COUNT = 64;
/** Flows kept; then all are forgotten, and noted again as their packets come. */
const MAX_FLOWS = 262_144;

export class FlowTable {
  /** Replaced when the table grows: never keep it. */
  words: Uint32Array = new Uint32Array(FIRST_RECORD_COUNT * FLOW_WORDS);
  readonly #seed: number;
  #index: Int32Array = new Int32Array(2 * FIRST_RECORD_COUNT);
  #mask = 2 * FIRST_RECORD_COUNT - 1;
  #count = 0;

  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.words = new Uint32Array(FIRST_RECORD_COUNT * FLOW_WORDS);
    this.#index = new Int32Array(2 * FIRST_RECORD_COUNT);
    this.#mask = 2 * FIRST_RECORD_COUNT - 1;
    this.#count = 0;
  }

  /** First word of the IPv4 flow with this key, or -1. Allocates nothing. */
  find4(meta: number, ports: number, src: number, dst: number): number {
    const { words } = this;
    const index = this.#index;
    const mask = this.#mask;
    for (let slot = hash4(this.#seed, meta, ports, src, dst) & mask; ; slot = (slot + 1) & mask) {
      const stored = index[slot]!;
      if (stored === 0) return -1;
      const at = (stored - 1) * FLOW_WORDS;
      if (
        words[at + PORTS] === ports >>> 0 &&
        words[at + SRC] === src >>> 0 &&
        words[at + DST] === dst >>> 0 &&
        words[at + META] === meta >>> 0
      ) {
        return at;
      }
    }
  }

  /** First word of the IPv6 flow with this key, or -1; its addresses are the 32 bytes of `view` from `addresses` on. Allocates nothing. */
  find6(meta: number, ports: number, head: number, view: DataView, addresses: number): number {
    const { words } = this;
    const index = this.#index;
    const mask = this.#mask;
    let hash = mix(hash4(this.#seed, meta, ports, view.getUint32(addresses), view.getUint32(addresses + 16)), head);
    for (let off = 4; off < 16; off += 4) {
      hash = mix(mix(hash, view.getUint32(addresses + off)), view.getUint32(addresses + 16 + off));
    }
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const stored = index[slot]!;
      if (stored === 0) return -1;
      const at = (stored - 1) * FLOW_WORDS;
      if (words[at + PORTS] !== ports >>> 0 || words[at + META] !== meta >>> 0 || words[at + HEAD] !== head >>> 0) {
        continue;
      }
      let i = 0;
      while (i < 8 && words[at + SRC + i] === view.getUint32(addresses + (i << 2))) i++;
      if (i === 8) return at;
    }
  }

  /** First word of the record with the key of KEY_WORDS words, or -1. */
  find(key: Uint32Array): number {
    const stored = this.#index[this.#slotOf(key)]!;
    return (stored - 1) * FLOW_WORDS;
  }

  /**
   * First word of the record for the key of KEY_WORDS words; a new one if the key is not known: its other words are 0, that
   * is, a candidate without delay.
   */
  put(key: Uint32Array): number {
    let slot = this.#slotOf(key);
    const stored = this.#index[slot]!;
    if (stored !== 0) return (stored - 1) * FLOW_WORDS;
    if (this.#count === MAX_FLOWS) this.clear();
    if ((this.#count + 1) * FLOW_WORDS > this.words.length) this.#grow();
    slot = this.#slotOf(key);
    this.#index[slot] = ++this.#count;
    const at = (this.#count - 1) * FLOW_WORDS;
    this.words.set(key, at);
    return at;
  }

  /** Slot that holds the key, or the free one where it would go. */
  #slotOf(key: Uint32Array): number {
    const { words } = this;
    const index = this.#index;
    const mask = this.#mask;
    for (let slot = hashKey(this.#seed, key, 0) & mask; ; slot = (slot + 1) & mask) {
      const stored = index[slot]!;
      if (stored === 0) return slot;
      const at = (stored - 1) * FLOW_WORDS;
      let i = 0;
      while (i < KEY_WORDS && words[at + i] === key[i]) i++;
      if (i === KEY_WORDS) return slot;
    }
  }

  #grow(): void {
    const words = new Uint32Array(2 * this.words.length);
    words.set(this.words);
    this.words = words;
    const slotCount = (2 * words.length) / FLOW_WORDS;
    this.#index = new Int32Array(slotCount);
    this.#mask = slotCount - 1;
    for (let record = 0; record < this.#count; record++) {
      let slot = hashKey(this.#seed, words, record * FLOW_WORDS) & this.#mask;
      while (this.#index[slot] !== 0) slot = (slot + 1) & this.#mask;
      this.#index[slot] = record + 1;
    }
  }
}

/** Of a record's key; IPv4 keys have HEAD 0, IPv6 ones never. */
function hashKey(seed: number, words: Uint32Array, at: number): number {
  let hash = hash4(seed, words[at + META]!, words[at + PORTS]!, words[at + SRC]!, words[at + DST]!);
  if (words[at + HEAD] === 0) return hash;
  hash = mix(hash, words[at + HEAD]!);
  for (let i = 1; i < 4; i++) hash = mix(mix(hash, words[at + SRC + i]!), words[at + DST + i]!);
  return hash;
}

/** Multiply and fold each word, as EntryTable's hash. */
function hash4(seed: number, meta: number, ports: number, src: number, dst: number): number {
  let hash = Math.imul(seed ^ src, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ dst, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ ports, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ meta, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
