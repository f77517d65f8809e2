/**
 * Limits on the ICMP errors that a host sends: one bucket for all, one for each destination.
 * Kernel: icmp_global_allow(), icmpv4_xrlim_allow(), inet_peer_xrlim_allow(), ip_error(), ip_rt_send_redirect().
 * Times are jiffies of virtual time.
 */
import { type Clock, jiffiesAt } from '../base/clock.js';
import type { Rng } from '../base/rng.js';

interface Peer {
  tokens: number;
  last: number;
  redirects: number;
}

/** Errors that may be sent at once to a destination that was silent before (XRLIM_BURST_FACTOR). */
const BURST = 6;
/** Peers remembered; the kernel keeps about as many (inet_peer_threshold) and forgets the oldest too. */
const MOST_PEERS = 65664;
const REDIRECTS = 9;

export class IcmpLimit {
  readonly #clock: Clock;
  readonly #hz: number;
  readonly #rng: Rng;
  readonly #perSecond: number;
  readonly #burst: number;
  #credit: number;
  #stamp: number;
  readonly #peers4 = new Map<number, Peer>();
  readonly #peers6 = new Map<string, Peer>();
  /** Called whenever a limit is asked: one answer leaves less for the next. */
  watch: (() => void) | undefined;

  constructor(clock: Clock, hz: number, rng: Rng, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#hz = hz;
    this.#rng = rng;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#credit = 0;
    this.#stamp = 0;
  }

  #now(): number {
    return jiffiesAt(this.#clock, this.#hz);
  }

  /** Whether the bucket that all limited messages share has something left. */
  hasCredit(): boolean {
    this.watch?.();
    if (this.#credit > 0) return true;
    const now = this.#now();
    const delta = Math.min(now - this.#stamp, this.#hz);
    if (delta >= this.#hz / 50) {
      const more = Math.floor((this.#perSecond * delta) / this.#hz);
      if (more > 0) {
        this.#credit = Math.min(this.#credit + more, this.#burst);
        this.#stamp = now;
      }
    }
    return this.#credit > 0;
  }

  /** A message goes out: it takes 0, 1 or 2 from the shared bucket, by lot. */
  takeCredit(): void {
    this.watch?.();
    this.#credit = Math.max(0, this.#credit - this.#rng.below(3));
  }

  /** One message per `intervalMs` and destination, after a burst. */
  allow4(destination: number, intervalMs: number): boolean {
    return this.#take(this.#peer4(destination), intervalMs);
  }

  allow6(destination: ArrayLike<number>, at: number, intervalMs: number): boolean {
    return this.#take(this.#peer6(destination, at), intervalMs);
  }

  #take(peer: Peer, intervalMs: number): boolean {
    const cost = Math.floor((intervalMs * this.#hz) / 1000);
    const now = this.#now();
    // Only a new tick fills the bucket, and cuts it to what this limit allows: the two limits share it.
    if (now !== peer.last) {
      peer.tokens = Math.min(peer.tokens + (now - peer.last), BURST * cost);
      peer.last = now;
    }
    if (peer.tokens < cost) return false;
    peer.tokens -= cost;
    return true;
  }

  /** Routing errors have a bucket of five a second and destination before the general ones (kernel: ip_error()). */
  allowRouteError(destination: number): boolean {
    const peer = this.#peer4(destination);
    const now = this.#now();
    peer.tokens = Math.min(peer.tokens + (now - peer.last), 5 * this.#hz);
    peer.last = now;
    if (peer.tokens < this.#hz) return false;
    peer.tokens -= this.#hz;
    return true;
  }

  /** Nine redirects to a host that does not listen, further and further apart; then silence. */
  allowRedirect(destination: number): boolean {
    const peer = this.#peer4(destination);
    const now = this.#now();
    const load = Math.floor(this.#hz / 50);
    if (now > peer.last + load * 1024) {
      peer.tokens = 0;
      peer.redirects = 0;
    }
    if (peer.redirects >= REDIRECTS) {
      peer.last = now;
      return false;
    }
    return peer.redirects === 0 || now > peer.last + load * 2 ** peer.redirects;
  }

  redirected(destination: number): void {
    const peer = this.#peer4(destination);
    peer.last = this.#now();
    peer.redirects++;
  }

  #peer4(destination: number): Peer {
    this.watch?.();
    let peer = this.#peers4.get(destination);
    if (peer === undefined) {
      peer = this.#fresh();
      this.#peers4.set(destination, peer);
      if (this.#peers4.size > MOST_PEERS) this.#peers4.delete(this.#peers4.keys().next().value!);
    }
    return peer;
  }

  #peer6(d: ArrayLike<number>, at: number): Peer {
    this.watch?.();
    const key = `${d[at]},${d[at + 1]},${d[at + 2]},${d[at + 3]}`;
    let peer = this.#peers6.get(key);
    if (peer === undefined) {
      peer = this.#fresh();
      this.#peers6.set(key, peer);
      if (this.#peers6.size > MOST_PEERS) this.#peers6.delete(this.#peers6.keys().next().value!);
    }
    return peer;
  }

  /** A new peer has been silent for a minute. */
  #fresh(): Peer {
    return { tokens: 0, last: this.#now() - 60 * this.#hz, redirects: 0 };
  }
}
