/**
 * The line that LOG and TRACE write about a packet. Kernel: nf_log_ip_packet(), nf_log_ip6_packet(),
 * net/netfilter/nf_log_syslog.c. Every field ends with a blank, the line too.
 * Differs: `UID= GID=` never stands there, for no socket's owner is known here.
 */
import { printIp4 } from '../net/ip4.js';
import {
  IPPROTO_AH,
  IPPROTO_DSTOPTS,
  IPPROTO_ESP,
  IPPROTO_FRAGMENT,
  IPPROTO_HOPOPTS,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_NONE,
  IPPROTO_ROUTING,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
} from '../net/protocol.js';
import { Field } from '../wire/field.js';
import type { Packet } from '../wire/packet.js';
import type { HostServices } from './extension.js';

/** NF_LOG_… (include/uapi/linux/netfilter/nf_log.h). */
export const LOG_TCP_SEQUENCE = 1;
export const LOG_TCP_OPTIONS = 2;
export const LOG_IP_OPTIONS = 4;
export const LOG_UID = 8;
export const LOG_MAC_DECODE = 32;
/** What TRACE logs with. */
export const LOG_TRACE_FLAGS = LOG_TCP_SEQUENCE | LOG_TCP_OPTIONS | LOG_IP_OPTIONS | LOG_UID;

/** The whole line without time stamp and level. `flags`: LOG_… bits. */
export function formatLogLine(packet: Packet, host: HostServices, prefix: string, flags: number): string {
  const inDevice = host.deviceName(packet.f[Field.InDev]!);
  const outDevice = host.deviceName(packet.f[Field.OutDev]!);
  const line = new Line(packet, flags);
  line.text = `${prefix}IN=${inDevice} OUT=${outDevice} `;
  const device = packet.f[Field.InDev]!;
  if (device !== 0) line.mac(inDevice, host.isEthernet(device));
  if (packet.family === 4) line.ip4(packet.l3Off, true);
  else line.ip6(packet.l3Off, true);
  return line.text;
}

const hex2 = (n: number): string => n.toString(16).padStart(2, '0');

/** Bytes that an ICMP message of a type must have, by type; 0 or none: not checked. */
const ICMP_REQUIRED: readonly number[] = [4, 0, 0, 28, 28, 28, 0, 0, 4, 0, 0, 28, 28, 20, 20, 0, 0, 12, 12];

/** TCP flags in the order in which they are named. */
const TCP_FLAGS: readonly (readonly [number, string])[] = [
  [0x80, 'CWR '],
  [0x40, 'ECE '],
  [0x20, 'URG '],
  [0x10, 'ACK '],
  [0x08, 'PSH '],
  [0x04, 'RST '],
  [0x02, 'SYN '],
  [0x01, 'FIN '],
];

class Line {
  text = '';
  readonly #packet: Packet;
  readonly #view: DataView;
  readonly #flags: number;

  constructor(packet: Packet, flags: number) {
    this.#packet = packet;
    this.#view = packet.view;
    this.#flags = flags;
  }

  /** skb_header_pointer(): `size` bytes are there at `at`. */
  #has(at: number, size: number): boolean {
    return at + size <= this.#packet.end;
  }

  #hexUpper(at: number, size: number): string {
    let out = '';
    for (let i = 0; i < size; i++) out += hex2(this.#view.getUint8(at + i)).toUpperCase();
    return out;
  }

  #incomplete(at: number): void {
    this.text += `INCOMPLETE [${(this.#packet.wireEnd - at) >>> 0} bytes] `;
  }

  /** Kernel: dump_mac_header(); with the decoding flag an own group packet that comes back without a header shows nothing. */
  mac(device: string, isEthernet: boolean): void {
    const { macOff, l3Off, bytes, family } = this.#packet;
    const type = family === 4 ? [0x08, 0x00] : [0x86, 0xdd];
    // The stack has taken VLAN tags out by then: addresses, then the packet's own type.
    const header =
      macOff !== -1
        ? [...bytes.subarray(macOff, macOff + 12), ...bytes.subarray(l3Off - 2, l3Off)]
        : device === 'lo'
          ? [...new Array<number>(12).fill(0), ...type]
          : [];
    const text = (from: number, to: number) => header.slice(from, to).map(hex2).join(':');
    if ((this.#flags & LOG_MAC_DECODE) === 0) this.text += `MAC=${text(0, header.length)} `;
    else if (macOff !== -1)
      this.text += `MACSRC=${text(6, 12)} MACDST=${text(0, 6)} MACPROTO=${header.slice(12).map(hex2).join('')} `;
    else if (!isEthernet) this.text += `MAC=${text(0, header.length)} `;
  }

  ip4(at: number, outer: boolean): void {
    const view = this.#view;
    if (!this.#has(at, 20)) {
      this.text += 'TRUNCATED';
      return;
    }
    const size = (view.getUint8(at) & 15) << 2;
    const tos = view.getUint8(at + 1);
    const frag = view.getUint16(at + 6);
    const offset = frag & 0x1fff;
    const protocol = view.getUint8(at + 9);
    this.text +=
      `SRC=${printIp4(view.getUint32(at + 12))} DST=${printIp4(view.getUint32(at + 16))} ` +
      `LEN=${view.getUint16(at + 2)} TOS=0x${hex2(tos & 0x1e).toUpperCase()} PREC=0x${hex2(tos & 0xe0).toUpperCase()} ` +
      `TTL=${view.getUint8(at + 8)} ID=${view.getUint16(at + 4)} ` +
      `${frag & 0x8000 ? 'CE ' : ''}${frag & 0x4000 ? 'DF ' : ''}${frag & 0x2000 ? 'MF ' : ''}` +
      `${offset === 0 ? '' : `FRAG:${offset} `}`;
    if ((this.#flags & LOG_IP_OPTIONS) !== 0 && size > 20) {
      if (!this.#has(at + 20, size - 20)) {
        this.text += 'TRUNCATED';
        return;
      }
      this.text += `OPT (${this.#hexUpper(at + 20, size - 20)}) `;
    }
    const l4 = at + size;
    switch (protocol) {
      case IPPROTO_TCP:
        if (!this.#tcp(l4, offset !== 0)) return;
        break;
      case IPPROTO_UDP:
      case IPPROTO_UDPLITE:
        if (!this.#udp(l4, protocol, offset !== 0)) return;
        break;
      case IPPROTO_ICMP:
        this.text += 'PROTO=ICMP ';
        if (offset === 0) this.#icmp4(l4, outer);
        break;
      case IPPROTO_AH:
        // A later fragment of AH says nothing at all.
        if (offset === 0) this.#spi('PROTO=AH ', l4, 12, 4);
        break;
      case IPPROTO_ESP:
        if (offset === 0) this.#spi('PROTO=ESP ', l4, 8, 0);
        else this.text += 'PROTO=ESP ';
        break;
      default:
        this.text += `PROTO=${protocol} `;
    }
    if (outer) this.#tail();
  }

  #tail(): void {
    const mark = this.#packet.f[Field.Mark]!;
    if (mark !== 0) this.text += `MARK=0x${mark.toString(16)} `;
  }

  #spi(name: string, at: number, size: number, spiOff: number): void {
    this.text += name;
    if (this.#has(at, size)) this.text += `SPI=0x${this.#view.getUint32(at + spiOff).toString(16)} `;
    else this.#incomplete(at);
  }

  /** False if nothing may follow (nf_log_dump_tcp_header() returned 1). */
  #tcp(at: number, fragment: boolean): boolean {
    const view = this.#view;
    this.text += 'PROTO=TCP ';
    if (fragment) return true;
    if (!this.#has(at, 20)) {
      this.#incomplete(at);
      return false;
    }
    this.text += `SPT=${view.getUint16(at)} DPT=${view.getUint16(at + 2)} `;
    if ((this.#flags & LOG_TCP_SEQUENCE) !== 0)
      this.text += `SEQ=${view.getUint32(at + 4)} ACK=${view.getUint32(at + 8)} `;
    const offsetByte = view.getUint8(at + 12);
    const flags = view.getUint8(at + 13);
    this.text += `WINDOW=${view.getUint16(at + 14)} RES=0x${hex2((offsetByte & 14) << 2)} `;
    // The lowest reserved bit is Accurate ECN's since Linux 6.15 (before, it shows in RES).
    if ((offsetByte & 1) !== 0) this.text += 'AE ';
    for (const [bit, name] of TCP_FLAGS) if ((flags & bit) !== 0) this.text += name;
    this.text += `URGP=${view.getUint16(at + 18)} `;
    const size = (offsetByte >> 4) << 2;
    if ((this.#flags & LOG_TCP_OPTIONS) !== 0 && size > 20) {
      if (!this.#has(at + 20, size - 20)) {
        this.text += 'OPT (TRUNCATED)';
        return false;
      }
      this.text += `OPT (${this.#hexUpper(at + 20, size - 20)}) `;
    }
    return true;
  }

  #udp(at: number, protocol: number, fragment: boolean): boolean {
    this.text += protocol === IPPROTO_UDP ? 'PROTO=UDP ' : 'PROTO=UDPLITE ';
    if (fragment) return true;
    if (!this.#has(at, 8)) {
      this.#incomplete(at);
      return false;
    }
    const view = this.#view;
    this.text += `SPT=${view.getUint16(at)} DPT=${view.getUint16(at + 2)} LEN=${view.getUint16(at + 4)} `;
    return true;
  }

  #icmp4(at: number, outer: boolean): void {
    const view = this.#view;
    if (!this.#has(at, 8)) {
      this.#incomplete(at);
      return;
    }
    const type = view.getUint8(at);
    const code = view.getUint8(at + 1);
    this.text += `TYPE=${type} CODE=${code} `;
    if (this.#packet.wireEnd - at < (ICMP_REQUIRED[type] ?? 0)) {
      this.#incomplete(at);
      return;
    }
    if (type === 0 || type === 8) this.text += `ID=${view.getUint16(at + 4)} SEQ=${view.getUint16(at + 6)} `;
    else if (type === 12) this.text += `PARAMETER=${view.getUint8(at + 4)} `;
    else if (type === 3 || type === 4 || type === 5 || type === 11) {
      if (type === 5) this.text += `GATEWAY=${printIp4(view.getUint32(at + 4))} `;
      if (outer) {
        this.text += '[';
        this.ip4(at + 8, false);
        this.text += '] ';
      }
      if (type === 3 && code === 4) this.text += `MTU=${view.getUint16(at + 6)} `;
    }
  }

  #address6(at: number): string {
    return Array.from({ length: 8 }, (_, i) =>
      this.#view
        .getUint16(at + 2 * i)
        .toString(16)
        .padStart(4, '0'),
    ).join(':');
  }

  ip6(at: number, outer: boolean): void {
    const view = this.#view;
    if (!this.#has(at, 40)) {
      this.text += 'TRUNCATED';
      return;
    }
    const first = view.getUint32(at);
    this.text +=
      `SRC=${this.#address6(at + 8)} DST=${this.#address6(at + 24)} LEN=${view.getUint16(at + 4) + 40} ` +
      `TC=${(first >>> 20) & 255} HOPLIMIT=${view.getUint8(at + 7)} FLOWLBL=${first & 0xfffff} `;
    const walk = this.#extensions6(view.getUint8(at + 6), at + 40);
    if (walk === undefined) return;
    const { next, off, fragment } = walk;
    switch (next) {
      case IPPROTO_TCP:
        if (!this.#tcp(off, fragment)) return;
        break;
      case IPPROTO_UDP:
      case IPPROTO_UDPLITE:
        if (!this.#udp(off, next, fragment)) return;
        break;
      case IPPROTO_ICMPV6:
        this.text += 'PROTO=ICMPv6 ';
        if (!fragment && !this.#icmp6(off, outer)) return;
        break;
      default:
        this.text += `PROTO=${next} `;
    }
    if (outer) this.#tail();
  }

  /** Extension headers; undefined if the line ends there. */
  #extensions6(first: number, start: number): { next: number; off: number; fragment: boolean } | undefined {
    const view = this.#view;
    const options = (this.#flags & LOG_IP_OPTIONS) !== 0;
    let next = first;
    let off = start;
    let fragment = false;
    while (isLoggedExtension(next)) {
      if (!this.#has(off, 2)) {
        this.text += 'TRUNCATED';
        return undefined;
      }
      if (options) this.text += 'OPT ( ';
      let size = (view.getUint8(off + 1) + 1) << 3;
      if (next === IPPROTO_FRAGMENT) {
        this.text += 'FRAG:';
        if (!this.#has(off, 8)) {
          this.text += 'TRUNCATED ';
          return undefined;
        }
        const frag = view.getUint16(off + 2);
        const id = view
          .getUint32(off + 4)
          .toString(16)
          .padStart(8, '0');
        this.text += `${frag & 0xfff8} ${frag & 1 ? 'INCOMPLETE ' : ''}ID:${id} `;
        if ((frag & 0xfff8) !== 0) fragment = true;
        size = 8;
      } else if (next === IPPROTO_AH || next === IPPROTO_ESP) {
        if (options) {
          this.text += next === IPPROTO_AH ? 'AH ' : 'ESP ';
          if (fragment) {
            this.text += ')';
            return undefined;
          }
          if (!this.#has(off, next === IPPROTO_AH ? 12 : 8)) {
            this.#incomplete(off);
            this.text += ')';
            return undefined;
          }
          const spi = view.getUint32(off + (next === IPPROTO_AH ? 4 : 0)).toString(16);
          this.text += `SPI=0x${spi} ${next === IPPROTO_ESP ? ')' : ''}`;
        }
        if (next === IPPROTO_ESP) return undefined;
        size = (view.getUint8(off + 1) + 2) << 2;
      } else if (fragment) {
        if (options) this.text += ')';
        return undefined;
      }
      if (options) this.text += ') ';
      next = view.getUint8(off);
      off += size;
    }
    return { next, off, fragment };
  }

  /** False if nothing may follow. */
  #icmp6(at: number, outer: boolean): boolean {
    const view = this.#view;
    if (!this.#has(at, 8)) {
      this.#incomplete(at);
      return false;
    }
    const type = view.getUint8(at);
    this.text += `TYPE=${type} CODE=${view.getUint8(at + 1)} `;
    if (type === 128 || type === 129) this.text += `ID=${view.getUint16(at + 4)} SEQ=${view.getUint16(at + 6)} `;
    if (type >= 1 && type <= 4) {
      if (type === 4)
        this.text += `POINTER=${view
          .getUint32(at + 4)
          .toString(16)
          .padStart(8, '0')} `;
      if (outer) {
        this.text += '[';
        this.ip6(at + 8, false);
        this.text += '] ';
      }
      if (type === 2) this.text += `MTU=${view.getUint32(at + 4)} `;
    }
    return true;
  }
}

/** Headers that the line walks over: ip6tables' own, and ESP, which ends it. */
function isLoggedExtension(next: number): boolean {
  return (
    next !== IPPROTO_NONE &&
    (next === IPPROTO_HOPOPTS ||
      next === IPPROTO_ROUTING ||
      next === IPPROTO_FRAGMENT ||
      next === IPPROTO_ESP ||
      next === IPPROTO_AH ||
      next === IPPROTO_DSTOPTS)
  );
}
