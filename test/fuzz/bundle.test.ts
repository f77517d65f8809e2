/**
 * Broken bundles (listings of addresses, routes, rules, neighbours, sysctls, connections) give a host or diagnostics, and
 * the host that comes of one carries packets. FUZZ_SEED varies the seed, FUZZ_BUNDLES the number.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { renderDiagnostic } from '../../src/base/diagnostic.js';
import { Rng } from '../../src/base/rng.js';
import { parseEntries } from '../../src/conntrack/parse.js';
import { compiledEngine } from '../../src/engine/compiled/engine.js';
import { HOST_FILES, parseBundle } from '../../src/host/bundle.js';
import { Host } from '../../src/host/host.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { bytesOf, icmpBody, ipBytes, tcpBody, udpBody } from '../support/craft.js';
import { pick } from '../support/mutate-packet.js';
import { mutate } from '../support/rule-file.js';

const SEED = Number(process.env.FUZZ_SEED ?? 31);
const COUNT = Number(process.env.FUZZ_BUNDLES ?? 4000);
const LONGEST_MS = 5000;

const read = (path: string): string => readFileSync(path, 'utf8');
const BUNDLES = readdirSync('rules', { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap((scenario) => readdirSync(join('rules', scenario.name)).map((host) => join('rules', scenario.name, host)))
  .map((folder) => {
    const texts = new Map<string, string>();
    for (const name of readdirSync(folder)) if (name !== 'expected') texts.set(name, read(join(folder, name)));
    const connections = ['conntrack', 'conntrack6'].map((name) => read(join(folder, 'expected', name)));
    return { folder, texts, connections: connections.join('') };
  });

const VALUES = [
  'null',
  '-1',
  '0',
  '1e99',
  '4294967296',
  '99999999999999999999',
  '""',
  '"x"',
  '[]',
  '{}',
  'true',
  '"::"',
  '"300.1.1.1"',
  '"\\u0000"',
  '"eth0\\n"',
];

/** A value swapped for one of another kind, a key renamed, or characters and stretches changed. */
function mutateJson(text: string, rng: Rng): string {
  let out = text;
  for (let n = 1 + rng.below(3); n > 0; n--) {
    const kind = rng.below(4);
    if (kind === 3) {
      out = mutate(out, rng);
      continue;
    }
    const found = [...out.matchAll(kind === 0 ? /"[a-z_]+"(?=:)/g : /(?<=":)\s*("[^"]*"|[-\d.]+|true|false)/g)];
    if (found.length === 0) continue;
    const hit = pick(rng, found);
    const value =
      kind === 0
        ? `"${pick(rng, ['dst', 'dev', 'gateway', 'prefixlen', 'local', 'family', 'zzz', '__proto__', 'nexthops', 'table', 'type'])}"`
        : pick(rng, VALUES);
    out = out.slice(0, hit.index) + value + out.slice(hit.index + hit[0].length);
  }
  return out;
}

const PACKETS = [
  ['198.51.100.10', '203.0.113.2', 6, tcpBody({ sport: 40000, dport: 8080, flags: 2 })],
  ['192.168.1.10', '198.51.100.10', 17, udpBody(5353, 53)],
  ['172.30.0.178', '172.30.1.1', 6, tcpBody({ sport: 40000, dport: 30100, flags: 2 })],
  ['10.10.0.1', '10.20.0.2', 6, tcpBody({ sport: 40000, dport: 8080, flags: 2 })],
  ['2001:db8::1', 'fd00::1', 58, icmpBody(128, 0, [0, 1, 0, 1])],
  ['0.0.0.0', '255.255.255.255', 1, icmpBody(8, 0, [0, 1, 0, 1])],
] as const;

it('mutated bundles give a host or diagnostics', () => {
  const rng = new Rng(SEED);
  let faulty = 0;
  let hosts = 0;
  for (let i = 0; i < COUNT; i++) {
    const { folder, texts } = pick(rng, BUNDLES);
    const name = pick(
      rng,
      HOST_FILES.filter((file) => texts.has(file)),
    );
    const before = texts.get(name)!;
    const changed = name.endsWith('.json') ? mutateJson(before, rng) : mutate(mutate(before, rng), rng);
    const files = new Map([...texts, [name, changed]].map(([file, text]) => [file!, { name: file!, text: text! }]));
    if (rng.below(10) === 0) files.delete(pick(rng, HOST_FILES));
    const fail = (what: string) =>
      expect.fail(`FUZZ_SEED=${SEED} bundle ${i}, ${folder}/${name}: ${what}\n${changed.slice(0, 4000)}`);
    const start = performance.now();
    try {
      const { config, diagnostics } = parseBundle(files);
      for (const d of diagnostics) {
        const { span } = d;
        if (!(span.start >= 0 && span.start <= span.end && span.end <= span.source.text.length))
          fail(`${d.code} has a bad span`);
        if (!renderDiagnostic(d).startsWith(`${span.source.name}:`)) fail(`${d.code} has no place`);
      }
      if (diagnostics.some((d) => d.severity === 'error')) {
        faulty++;
        continue;
      }
      const rules = i % 8 === 0 ? parseRuleSet(files.get('iptables-save')!, { family: 4 }).ruleSet : undefined;
      const host = new Host(config, { ruleSet4: rules, buildEngine: compiledEngine, seed: 1, assumeNeighbours: true });
      hosts++;
      for (const [src, dst, protocol, body] of PACKETS) {
        const family = src.includes(':') ? 6 : 4;
        const ip = ipBytes({ src, dst, protocol, body });
        const bytes = bytesOf(new Uint8Array(64), ip);
        const device = 1 + rng.below(Math.max(1, config.devices.length));
        const frame = {
          ...{ bytes, view: new DataView(bytes.buffer), start: 0, l3Off: 64, capturedEnd: bytes.length },
          ...{ originalEnd: bytes.length, family: family as 4 | 6, device, macOff: -1, pktType: 0, offloaded: false },
        };
        host.deviceTowards(family, [rng.u32(), 0, 0, rng.u32()]);
        if (rng.below(2) === 0) host.receive(frame);
        else host.sendLocal(frame);
      }
    } catch (error) {
      if (error instanceof Error && error.name === 'AssertionError') throw error;
      fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    if (performance.now() - start > LONGEST_MS) fail(`took ${Math.round(performance.now() - start)} ms`);
  }
  expect(faulty).toBeGreaterThan(COUNT / 20);
  expect(hosts).toBeGreaterThan(COUNT / 20);
}, 600_000);

it('mutated listings of connections give entries or located diagnostics', () => {
  const rng = new Rng(SEED);
  let refused = 0;
  for (let i = 0; i < COUNT * 5; i++) {
    const { connections } = pick(rng, BUNDLES);
    const lines = connections.split('\n');
    const at = rng.below(lines.length);
    const text = mutate(lines.slice(at, at + 3).join('\n'), rng);
    const { entries, diagnostics } = parseEntries({ name: 'conntrack', text });
    if (diagnostics.length > 0) refused++;
    for (const d of diagnostics) {
      if (!(d.span.start >= 0 && d.span.start <= d.span.end && d.span.end <= text.length) || d.message === '')
        expect.fail(
          `FUZZ_SEED=${SEED} listing ${i}: ${d.code} has a bad span or no message in ${JSON.stringify(text)}`,
        );
    }
    for (const e of entries)
      if (!(e.seconds >= 0))
        expect.fail(`FUZZ_SEED=${SEED} listing ${i}: ${e.seconds} seconds in ${JSON.stringify(text)}`);
  }
  expect(refused).toBeGreaterThan(COUNT);
});
