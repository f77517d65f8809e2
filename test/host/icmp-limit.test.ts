/** Limits on ICMP errors, as seen on Linux 6.18. */
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/base/clock.js';
import { Rng } from '../../src/base/rng.js';
import { IcmpLimit } from '../../src/host/icmp-limit.js';
import { ipBytes, udpBody } from '../support/craft.js';
import { makeLab } from './lab.js';

describe('ICMP limits', () => {
  it.each([
    // interval  milliseconds between  sent of 20
    [1000, 0, 6],
    [1000, 500, 15],
    [1000, 1000, 20],
    [100, 10, 7],
    [0, 0, 20],
  ])('one in %d ms, one every %d ms: %d of 20', (interval, gap, expected) => {
    const clock = new VirtualClock();
    clock.advanceTo(1_700_000_000_000_000);
    const limit = new IcmpLimit(clock, 250, new Rng(1), 1000, 50);
    let sent = 0;
    for (let i = 0; i < 20; i++) {
      if (limit.allow4(1, interval)) sent++;
      clock.advanceTo(clock.nowUs + gap * 1000);
    }
    expect(sent).toBe(expected);
  });

  it('route errors have a bucket of their own before it: five at once', () => {
    const lab = makeLab();
    const ip = ipBytes({ src: '10.0.0.2', dst: '10.9.9.9', protocol: 17, body: udpBody(1, 2) });
    for (let i = 0; i < 12; i++) lab.receive('eth0', ip.slice());
    expect(lab.sent.length).toBeLessThanOrEqual(5);
    expect(lab.sent.length).toBeGreaterThan(0);
  });

  it('redirects: nine, further and further apart', () => {
    const lab = makeLab({ routes: ['10.55.0.0/16 via 10.0.0.9 eth0'] });
    const ip = ipBytes({ src: '10.0.0.2', dst: '10.55.0.1', protocol: 17, body: udpBody(1, 2) });
    let redirects = 0;
    for (let i = 0; i < 2000; i++) {
      lab.host.clock.advanceTo(lab.host.clock.nowUs + 20_000);
      lab.sent.length = 0;
      lab.receive('eth0', ip.slice());
      redirects += lab.sent.filter((f) => f.line.includes('icmp 5/1')).length;
    }
    expect(redirects).toBe(9);
  });

  it('frag needed is not limited', () => {
    const lab = makeLab({
      devices: [
        { name: 'eth0', addresses: ['10.0.0.1/24'] },
        { name: 'eth1', addresses: ['10.1.0.1/24'], mtu: 600 },
      ],
    });
    const ip = ipBytes({ src: '10.0.0.2', dst: '10.1.0.2', protocol: 17, body: udpBody(1, 2, new Uint8Array(1000)) });
    for (let i = 0; i < 12; i++) lab.receive('eth0', ip.slice());
    expect(lab.sent).toHaveLength(12);
  });
});
