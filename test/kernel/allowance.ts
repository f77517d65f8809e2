/**
 * Every place where the comparison accepts more than equality, by name and with its reason. What the kernel chooses
 * freely is masked on both sides, and only where it is free: packets that the suite injected keep their tag, so only
 * packets that the host made itself are touched. Nothing else may differ.
 */
import { addressText, onesSum } from './frame.js';

export interface Allowance {
  readonly name: string;
  readonly what: string;
  readonly reason: string;
}

export const ALLOWANCES: readonly Allowance[] = [
  {
    name: 'ip-id',
    what: 'IPv4 identification (and with it the header checksum) of packets that the host makes itself, resets excepted',
    reason: 'the kernel draws it from a counter with a random start',
  },
  {
    name: 'flow-label',
    what: 'IPv6 flow label of packets that the host makes itself',
    reason: 'the kernel derives it from a hash with a random seed',
  },
  {
    name: 'fragment-id',
    what: 'IPv6 fragment identification of datagrams that were gathered and cut again',
    reason: 'the kernel draws a new one; that all pieces of a datagram share it is checked',
  },
  {
    name: 'timestamp-reply',
    what: 'the two stamps that the host writes into an ICMP timestamp reply, and its checksum',
    reason: 'they are the time of day of the running kernel',
  },
  {
    name: 'port-search',
    what: 'source port or ICMP id from a search with a random start',
    reason:
      'the emulator is given the start that the kernel drew; which searches happen, their candidates and their end must then give the same port. Where nothing shows the port any more (its connection is gone, and no frame carried it), some start must make everything else agree',
  },
  {
    name: 'seconds',
    what: 'remaining seconds of a connection differ by at most one (two where the case took longer than a second)',
    reason: 'the phase of the clock tick is unknown',
  },
  {
    name: 'log-uid',
    what: 'UID= and GID= in log lines of packets that the suite sends through a raw socket of the host',
    reason: 'a packet does not tell whose it is; chainwalk is not told either',
  },
  {
    name: 'order-of-connections',
    what: 'connections are compared as a set, without use=',
    reason: 'the order is that of a hash with a random seed',
  },
];

/** Tags of the injected packets: only packets with other tags are the host's own. */
export type Tags = ReadonlySet<number>;

/** A copy of the IP packet with the free choices masked. `fragmentIds` numbers fragment identifications as they come. */
export function maskFree(packet: Uint8Array, tags: Tags, fragmentIds: Map<number, number>): Uint8Array {
  const copy = packet.slice();
  if (copy.length >= 20 && copy[0]! >> 4 === 4) maskIp4(copy, tags);
  else if (copy.length >= 40 && copy[0]! >> 4 === 6) maskIp6(copy, tags, fragmentIds);
  return copy;
}

function maskIp4(p: Uint8Array, tags: Tags): void {
  const id = (p[4]! << 8) | p[5]!;
  const size = (p[0]! & 15) * 4;
  if (p[9] === 1 && [3, 4, 5, 11, 12].includes(p[size]!) && p.length >= size + 28) maskQuote4(p, size, tags);
  // The own resets of the host have 0 for certain; an ICMP message may have drawn it.
  if (tags.has(id) || (id === 0 && p[9] !== 1)) return;
  // A right header checksum becomes zero; a wrong one stays what it is off by.
  const sum = ~onesSum(p.subarray(0, size)) & 0xffff;
  maskIp4Identity(p, size, sum);
}

/**
 * Tags for comparing two IPv4 packets of which one is an own ICMP message whose drawn identification happens to be the
 * tag of an injected packet: neither is taken for injected. Undefined: it is not so.
 */
export function tagsWithoutCoincidence(a: Uint8Array, b: Uint8Array, tags: Tags): Tags | undefined {
  if (a.length < 20 || b.length < 20 || a[0]! >> 4 !== 4 || a[9] !== 1 || b[9] !== 1) return undefined;
  const ids = [a, b].map((p) => (p[4]! << 8) | p[5]!);
  if (tags.has(ids[0]!) === tags.has(ids[1]!)) return undefined;
  return new Set([...tags].filter((tag) => !ids.includes(tag)));
}

function maskIp4Identity(p: Uint8Array, size: number, sum: number): void {
  p[4] = p[5] = 0;
  p[10] = sum >> 8;
  p[11] = sum & 255;
  if (p[9] === 1 && p[size] === 14 && p.length >= size + 20) {
    p.fill(0, size + 2, size + 4);
    p.fill(0, size + 12, size + 20);
  }
}

/** The packet that an ICMP error is about may be the host's own too. */
function maskQuote4(p: Uint8Array, icmp: number, tags: Tags): void {
  const quote = p.subarray(icmp + 8);
  const id = (quote[4]! << 8) | quote[5]!;
  const size = (quote[0]! & 15) * 4;
  if (tags.has(id) || id === 0 || quote.length < size || size < 20) return;
  const sum = ~onesSum(p.subarray(icmp)) & 0xffff;
  p[icmp + 2] = sum >> 8;
  p[icmp + 3] = sum & 255;
  const inner = ~onesSum(quote.subarray(0, size)) & 0xffff;
  quote.set([0, 0], 4);
  quote.set([inner >> 8, inner & 255], 10);
}

function maskQuote6(p: Uint8Array, tags: Tags): void {
  const quote = p.subarray(48);
  const label = ((quote[1]! & 15) << 16) | (quote[2]! << 8) | quote[3]!;
  if (tags.has(label)) return;
  const pseudo = onesSum(p.subarray(8, 40), p.length - 40 + 58);
  const sum = ~onesSum(p.subarray(40), pseudo) & 0xffff;
  p.set([sum >> 8, sum & 255], 42);
  quote[1]! &= 0xf0;
  quote.set([0, 0], 2);
}

function maskIp6(p: Uint8Array, tags: Tags, fragmentIds: Map<number, number>): void {
  const label = ((p[1]! & 15) << 16) | (p[2]! << 8) | p[3]!;
  if (!tags.has(label)) {
    p[1]! &= 0xf0;
    p[2] = p[3] = 0;
  }
  if (p[6] === 58 && p[40]! < 128 && p.length >= 88) maskQuote6(p, tags);
  if (p[6] !== 44 || p.length < 48) return;
  const id = new DataView(p.buffer, p.byteOffset).getUint32(44);
  const number = fragmentIds.get(id) ?? fragmentIds.size + 1;
  fragmentIds.set(id, number);
  p.set([0, 0, number >> 8, number & 255], 44);
}

/** A LOG line without the identification or flow label of packets that the host made itself. */
export function maskLogLine(line: string, tags: Tags): string {
  const mask = (whole: string, key: string, value: string) => (tags.has(Number(value)) ? whole : `${key}=*`);
  return line
    .replace(/UID=0 GID=0 /, '')
    .replace(/\b(ID)=(\d+)(?! SEQ)\b/g, mask)
    .replace(/\b(FLOWLBL)=(\d+)\b/g, mask);
}

/** A connection line in comparable form: seconds apart from the rest. */
export interface ConnectionLine {
  readonly text: string;
  readonly seconds: number;
}

/** Reads a line of conntrack -L -o extended or of /proc/net/nf_conntrack. */
export function connectionLine(line: string): ConnectionLine {
  // /proc shows the timeouts of a GRE connection, which conntrack -L does not.
  const words = line
    .trim()
    .replace(/ timeout=\d+, stream_timeout=\d+ /, ' ')
    .split(/\s+/);
  const [family, , protocol, number, seconds] = words;
  // Of DCCP the kernel keeps no ports any more; the tool prints zeros.
  const dccp = number === '33';
  const rest = words
    .slice(5)
    .filter((w) => !w.startsWith('use=') && !/^zone(-orig|-reply)?=0$/.test(w) && !(dccp && /^[sd]port=0$/.test(w)))
    .map((w) => {
      const [key, value] = w.split('=') as [string, string | undefined];
      return (key === 'src' || key === 'dst') && value !== undefined ? `${key}=${plainAddress(value)}` : w;
    });
  return { text: [family, dccp ? 'dccp' : protocol, number, ...rest].join(' '), seconds: Number(seconds) };
}

/** One spelling per address, whatever the lister's. */
function plainAddress(text: string): string {
  if (!text.includes(':')) return text;
  const [head, tail] = text.split('::') as [string, string | undefined];
  const groups = (part: string) => part.split(':').filter((g) => g !== '');
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const middle = new Array<string>(8 - front.length - back.length).fill('0');
  return addressText(
    [...front, ...middle, ...back].flatMap((g) => [Number.parseInt(g, 16) >> 8, Number.parseInt(g, 16) & 255]),
  );
}
