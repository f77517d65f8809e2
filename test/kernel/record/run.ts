/**
 * Makes the recordings in rules/ and pcaps/ anew, from Linux itself. As root:
 *
 *   npx tsx test/kernel/record/run.ts [SCENARIO…]
 *
 * For each scenario: namespaces are built and left to settle, rules are loaded (all counters zero), the state is collected, captures
 * start on every interface of each host under test, the traffic runs, and the state is collected again.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { docker } from './docker.js';
import { kubernetes } from './kubernetes.js';
import { Lab, sleep } from './lab.js';
import { router, routerOffload } from './router.js';
import type { Scenario } from './scenario.js';
import { server } from './server.js';

const SCENARIOS: readonly Scenario[] = [kubernetes, router, routerOffload, server, docker];
const ROOT = new URL('../../..', import.meta.url).pathname;
const SETTLE_MS = 3000;

async function record(scenario: Scenario): Promise<void> {
  process.stderr.write(`${scenario.name}\n`);
  const lab = new Lab(scenario.offload);
  try {
    await scenario.build(lab);
    await sleep(SETTLE_MS);
    const rules = join(ROOT, 'rules', scenario.name);
    const pcaps = join(ROOT, 'pcaps', scenario.name);
    rmSync(rules, { recursive: true, force: true });
    rmSync(pcaps, { recursive: true, force: true });
    for (const host of scenario.hosts) {
      lab.restore(host.name, 4, host.rules);
      lab.restore(host.name, 6, host.rules6);
    }
    for (const host of scenario.hosts) {
      for (const family of ['ipv4', 'ipv6']) lab.exec(host.name, 'conntrack', '-F', '-f', family);
      lab.collect(host.name, join(rules, host.name));
      await lab.capture(host.name, host.interfaces, join(pcaps, host.name));
    }
    await scenario.traffic(lab);
    await lab.stopCaptures();
    for (const host of scenario.hosts) {
      lab.collectExpected(host.name, join(rules, host.name, 'expected'));
      const text = readFileSync(join(rules, host.name, 'iptables-save'), 'utf8');
      const from = `# ${host.about} From test/kernel/record/${sourceOf(scenario)}.ts, as iptables-legacy-save -c prints it.\n`;
      writeFileSync(join(ROOT, 'rules', `${scenario.name}-${host.name}.rules`), from + text);
    }
  } finally {
    lab.destroy();
  }
}

function sourceOf(scenario: Scenario): string {
  return scenario.name.replace(/-offload$/, '');
}

async function main(names: readonly string[]): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('the recordings need root: network namespaces and iptables');
  for (const name of names) {
    if (!SCENARIOS.some((s) => s.name === name)) {
      throw new Error(`no scenario ${name}; there are ${SCENARIOS.map((s) => s.name).join(', ')}`);
    }
  }
  for (const scenario of SCENARIOS) {
    if (names.length === 0 || names.includes(scenario.name)) await record(scenario);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
