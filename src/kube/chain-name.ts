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

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** Two base32 characters by their ten bits: half the steps of one character at a time. */
const PAIRS: readonly string[] = Array.from({ length: 1024 }, (_, bits) => BASE32[bits >> 5]! + BASE32[bits & 31]!);

/** Makes chain names; holds the hash's scratch memory. */
export class ChainNamer {
  readonly #sha = new Sha256();

  /** First 16 base32 characters (80 bits) of the SHA-256 of `text`. */
  hash16(text: string): string {
    this.#sha.hash(text);
    const words = this.#sha.words;
    const w0 = words[0]!;
    const w1 = words[1]!;
    const w2 = words[2]!;
    return (
      PAIRS[w0 >>> 22]! +
      PAIRS[(w0 >>> 12) & 1023]! +
      PAIRS[(w0 >>> 2) & 1023]! +
      PAIRS[((w0 & 3) << 8) | (w1 >>> 24)]! +
      PAIRS[(w1 >>> 14) & 1023]! +
      PAIRS[(w1 >>> 4) & 1023]! +
      PAIRS[((w1 & 15) << 6) | (w2 >>> 26)]! +
      PAIRS[(w2 >>> 16) & 1023]!
    );
  }

  /** The hash that SVC, SVL, EXT and FW of a service port share; `display` is `namespace/name[:port]`. */
  servicePortHash(display: string, protocol: string): string {
    return this.hash16(display + protocol);
  }

  /** Chain of an endpoint of a service port; `endpoint` is `ip:port` or `[ip]:port`. */
  endpointChain(display: string, protocol: string, endpoint: string): string {
    return SEP_PREFIX + this.hash16(display + protocol + endpoint);
  }
}
