/**
 * Names of kube-proxy's per-service chains: a prefix and the first 16 base32 characters of a SHA-256.
 * kube-proxy: portProtoHash(), servicePortEndpointChainName(), pkg/proxy/iptables/proxier.go.
 */
import { Sha256 } from '../base/sha256.js';

export const SVC_PREFIX = 'KUBE-SVC-';
export const SVL_PREFIX = 'KUBE-SVL-';
export const EXT_PREFIX = 'KUBE-EXT-';
export const FW_PREFIX = 'KUBE-FW-';
export const SEP_PREFIX = 'KUBE-SEP-';

/** Whether a chain belongs to the population that kube-proxy makes and deletes by service (isServiceChainName()). */
export function isServiceChain(chain: string): boolean {
  return (
    chain.startsWith(SVC_PREFIX) ||
    chain.startsWith(SVL_PREFIX) ||
    chain.startsWith(EXT_PREFIX) ||
    chain.startsWith(FW_PREFIX) ||
    chain.startsWith(SEP_PREFIX)
  );
}

/** Character codes of the base32 alphabet by value (RFC 4648). */
const BASE32 = Uint8Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', (c) => c.charCodeAt(0));
const HASH_SIZE = 16;

/** Makes chain names; holds scratch memory. */
export class ChainNamer {
  readonly #sha = new Sha256();
  readonly #sep = Uint8Array.from([...SEP_PREFIX, ...'0'.repeat(HASH_SIZE)], (c) => c.charCodeAt(0));

  /** First 16 base32 characters (80 bits) of the SHA-256 of `text`. */
  hash16(text: string): string {
    this.#sha.hash(text);
    const c = this.#sep;
    encode(this.#sha.words, c, SEP_PREFIX.length);
    // biome-ignore format: 16 characters
    return String.fromCharCode(
      c[9]!, c[10]!, c[11]!, c[12]!, c[13]!, c[14]!, c[15]!, c[16]!, c[17]!, c[18]!, c[19]!, c[20]!, c[21]!, c[22]!,
      c[23]!, c[24]!,
    );
  }

  /** The hash that SVC, SVL, EXT and FW of a service port share; `display` is `namespace/name[:port]`. */
  servicePortHash(display: string, protocol: string): string {
    return this.hash16(display + protocol);
  }

  /** Chain of an endpoint of a service port; `endpoint` is `ip:port` or `[ip]:port`. */
  endpointChain(display: string, protocol: string, endpoint: string): string {
    this.#sha.hash(display + protocol + endpoint);
    const c = this.#sep;
    encode(this.#sha.words, c, SEP_PREFIX.length);
    // In one piece, as there are as many of these as endpoints: a concatenation would be kept as a tree of its parts.
    // biome-ignore format: 25 characters
    return String.fromCharCode(
      c[0]!, c[1]!, c[2]!, c[3]!, c[4]!, c[5]!, c[6]!, c[7]!, c[8]!, c[9]!, c[10]!, c[11]!, c[12]!, c[13]!, c[14]!,
      c[15]!, c[16]!, c[17]!, c[18]!, c[19]!, c[20]!, c[21]!, c[22]!, c[23]!, c[24]!,
    );
  }
}

/** Writes the first 80 bits of a digest as 16 characters: five bits each, across the borders of the words. */
function encode(words: Int32Array, into: Uint8Array, at: number): void {
  const w0 = words[0]!;
  const w1 = words[1]!;
  const w2 = words[2]!;
  for (let i = 0; i < 6; i++) into[at + i] = BASE32[(w0 >>> (27 - 5 * i)) & 31]!;
  into[at + 6] = BASE32[((w0 & 3) << 3) | (w1 >>> 29)]!;
  for (let i = 0; i < 5; i++) into[at + 7 + i] = BASE32[(w1 >>> (24 - 5 * i)) & 31]!;
  into[at + 12] = BASE32[((w1 & 15) << 1) | (w2 >>> 31)]!;
  for (let i = 0; i < 3; i++) into[at + 13 + i] = BASE32[(w2 >>> (26 - 5 * i)) & 31]!;
}
