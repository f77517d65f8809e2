import fc from 'fast-check';
import { Conversation } from './conversation.js';
import { arbRuleSet, ruleSetText, usesOf } from './generate/rule-set.js';
import { arbTraffic, leavesTraces } from './generate/traffic.js';
import { Kernel } from './kernel.js';

const family = Number(process.argv[2]) as 4 | 6;
const k = await Kernel.start(family, { log: true });
const N = Number(process.argv[3] ?? 50);
let t = Date.now();
const cases = fc.sample(fc.record({ rules: arbRuleSet(family), traffic: arbTraffic(family) }), {
  numRuns: N,
  seed: Number(process.argv[4] ?? 1),
});
console.log('gen ms', (Date.now() - t) / N);
t = Date.now();
let inj = 0,
  out = 0,
  bad = 0,
  fresh = 0,
  ct = 0;
const uses = new Map<string, number>();
const errs = new Map<string, number>();
for (const c of cases) {
  const f = leavesTraces(c.traffic);
  if (f) fresh++;
  const text = ruleSetText(c.rules, true);
  const r = await k.load([text], f);
  if (r.code !== 0) {
    bad++;
    const m = /line:? (\d+)/.exec(r.error);
    const key = r.error.split('\n')[0] + ' | ' + (m ? text.split('\n')[Number(m[1]) - 1] : '');
    errs.set(key, (errs.get(key) ?? 0) + 1);
    continue;
  }
  for (const u of usesOf(c.rules)) uses.set(u, (uses.get(u) ?? 0) + 1);
  const conv = new Conversation(
    family,
    c.traffic,
    async (p) => {
      inj += p.length;
      const s = await k.send(p);
      out += s.out.length;
      for (const e of s.errors) if (e) errs.set('send ' + e, (errs.get('send ' + e) ?? 0) + 1);
      return s.out;
    },
    family === 4 ? 0x1000 + Math.floor(Math.random() * 0x9000) : 0x10000,
  );
  await conv.play(c.traffic.steps);
  const o = await k.finish(false);
  ct += o.connections.split('\n').length - 1;
}
console.log({ ms: (Date.now() - t) / N, inj: inj / N, out: out / N, bad, fresh, ct });
console.log(errs, [...uses].sort().join(' '));
k.stop();
